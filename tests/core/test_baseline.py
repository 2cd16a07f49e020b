"""The comparison with a good run, rule by rule, each with what must not set it off."""

from __future__ import annotations

import json
import math

import pytest

from traintop import baseline
from traintop.baseline import ID, compare, read_baseline
from traintop.errors import PathError
from traintop.opening import read_whole
from traintop.settings import Settings

INFO = {
    "format": "traintop/1",
    "task": "classification",
    "num_classes": 10,
    "model": "MLP",
    "batch_size": 32,
    "grad_accumulation": 1,
    "cadence": "step",
}


def good(step):
    return 2.3 * math.exp(-step / 60) + 0.2


def flat(_step):
    return 2.3


def write(folder, loss=good, *, steps=range(300), val=None, info=(), **columns):
    """Write a run whose metrics are functions of the step."""
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({**INFO, **dict(info)}))
    with (folder / "train_diagnostics.jsonl").open("w") as file:
        for step in steps:
            record = {"step": step, **({} if loss is None else {"loss": loss(step)})}
            record |= {name: value(step) for name, value in columns.items()}
            file.write(json.dumps(record) + "\n")
    if val is not None:
        with (folder / "val_diagnostics.jsonl").open("w") as file:
            for step in list(steps)[19::20]:
                file.write(json.dumps({"step": step, "loss": val(step)}) + "\n")
    return folder


@pytest.fixture
def compared(tmp_path):
    """Compare a run that is written here with one that is written here."""

    def run(base, run, until=None):
        good_run = read_baseline(str(write(tmp_path / "base", **base)), Settings())
        session = read_whole(write(tmp_path / "run", **run), Settings(), until=until)
        return compare(session, good_run)

    return run


def rules(comparison):
    """Return the words of each rule that was broken."""
    [finding] = comparison.findings
    assert finding.id == ID
    assert all(each.threshold is not None for each in finding.evidence)
    return {" ".join(each.what.split()[:3]) for each in finding.evidence}


def test_the_same_run_is_no_worse(compared):
    assert compared({}, {}) == baseline.Comparison()


def test_a_better_run_is_no_worse(compared):
    assert compared({}, {"loss": lambda step: good(2 * step) / 10}) == baseline.Comparison()


def test_a_run_that_does_not_learn_is_critical(compared):
    comparison = compared({}, {"loss": flat})
    assert rules(comparison) == {"last level of", "lowest level of", "fall of loss/train"}
    [finding] = comparison.findings
    assert finding.severity == "critical"
    assert finding.detected_step == 299
    values = {each.what.split()[0]: each.value for each in finding.evidence}
    ends = sorted(good(step) for step in range(270, 300))
    assert values["last"] == pytest.approx(2.3 / ((ends[14] + ends[15]) / 2))
    assert values["fall"] == 0


def test_a_run_that_ends_higher_is_a_warning_with_its_onset(compared):
    # It learns as the baseline does, until it goes no further from step 100 on.
    comparison = compared({}, {"loss": lambda step: good(min(step, 100))})
    [finding] = comparison.findings
    assert finding.severity == "warning"
    assert 100 <= finding.onset_step <= 160
    assert finding.series == ("loss/train",)


def test_validation_decides_where_both_have_one(compared):
    both = compared({"val": good}, {"loss": flat, "val": good})
    [finding] = both.findings
    assert finding.severity == "info"


def test_a_worse_validation_alone_is_a_finding(compared):
    [finding] = compared({"val": good}, {"val": flat}).findings
    assert (finding.severity, finding.series) == ("critical", ("loss/val",))


def test_runs_are_compared_at_the_same_steps(compared):
    # The run has done a third of the baseline's steps, and is as far as that was then.
    assert compared({}, {"steps": range(100)}) == baseline.Comparison()


def test_until_cuts_the_run_off(compared):
    broken = {"loss": lambda step: good(step) if step < 150 else 50.0}
    assert compared({}, broken, until=149) == baseline.Comparison()


@pytest.mark.parametrize("stride", [3, 10])
def test_how_densely_a_run_is_logged_makes_no_difference(compared, stride):
    assert compared({}, {"steps": range(0, 300, stride)}) == baseline.Comparison()


def test_losses_near_zero_are_not_divided(compared):
    tiny = {"loss": lambda step: 2.3 * math.exp(-step / 15) + 1e-6}
    tinier = {"loss": lambda step: 2.3 * math.exp(-step / 15) + 1e-8}
    assert compared(tinier, tiny) == baseline.Comparison()


def test_negative_losses_are_compared_by_their_fall(compared):
    comparison = compared({"loss": lambda step: -step / 100}, {"loss": lambda step: -step / 1000})
    assert rules(comparison) == {"fall of loss/train"}


def test_noise_does_not_make_a_run_worse(compared):
    def noisy(step):
        return good(step) * (1 + 0.3 * math.sin(step * 12.9898))

    assert compared({}, {"loss": noisy}) == baseline.Comparison()


def test_large_gradients_alone_are_advice(compared):
    norms = {"grad_norm": lambda step: 1 + step % 3 / 10}
    comparison = compared(norms, {"grad_norm": lambda step: 8 + step % 3})
    assert rules(comparison) == {"median gradient norm"}
    [finding] = comparison.findings
    assert (finding.severity, finding.series) == ("info", ("grad_norm",))


@pytest.mark.parametrize("key", ["task", "num_classes"])
def test_another_task_is_advice_that_names_it(compared, key):
    [finding] = compared({}, {"loss": flat, "info": {key: 3 if key == "num_classes" else "lm"}})[0]
    assert finding.severity == "info"
    assert key in finding.causes[0].because


def test_another_batch_size_is_named(compared):
    [finding] = compared({}, {"loss": flat, "info": {"batch_size": 64}}).findings
    assert finding.severity == "critical"
    assert finding.causes[0].because == "batch_size 64 instead of 32"


def test_what_the_config_does_not_say_is_asked(compared):
    [finding] = compared({"info": {"batch_size": None}}, {"loss": flat}).findings
    assert "batch_size" in finding.next[0].do


def test_another_reduction_is_told_from_worse_training(compared):
    [finding] = compared({}, {"loss": lambda step: 32 * good(step)}).findings
    assert finding.severity == "info"
    assert "another scale" in finding.causes[0].cause


def test_another_learning_rate_is_named_as_a_cause(compared):
    lr = {"learning_rate": lambda _: 1e-3}
    [finding] = compared(lr, {"loss": flat, "learning_rate": lambda _: 1e-6}).findings
    assert finding.causes[0].cause == "learning rate too low"


@pytest.mark.parametrize(
    "run",
    [
        {"loss": None, "grad_norm": lambda _: 1.0},
        {"steps": range(1000, 1300)},
        {"steps": range(5)},
        {"loss": lambda _: math.nan},
    ],
    ids=["no loss", "other steps", "too few", "all NaN"],
)
def test_without_common_values_it_is_not_judged(compared, run):
    comparison = compared({}, run)
    assert comparison.findings == ()
    [blind] = comparison.not_judged
    assert blind.id == ID


def test_values_that_are_not_finite_enter_no_level(compared):
    assert (
        compared({}, {"loss": lambda step: good(step) if step % 3 else math.nan})
        == baseline.Comparison()
    )


def test_a_baseline_without_a_loss_is_refused(tmp_path):
    folder = write(tmp_path / "base", loss=None, grad_norm=lambda _: 1.0)
    with pytest.raises(PathError, match="needs a loss"):
        read_baseline(str(folder), Settings())


def test_a_baseline_that_is_no_good_run_is_known_to_be_none(tmp_path):
    folder = write(tmp_path / "base", loss=lambda step: good(step) if step < 200 else math.nan)
    assert "nan_inf" in read_baseline(str(folder), Settings()).flaws
