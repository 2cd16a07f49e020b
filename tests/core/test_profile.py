"""Which runs are told to be reinforcement learning or adversarial, and what follows from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from traintop.opening import read_whole
from traintop.profile import Profile, recognise, with_profile
from traintop.records import Finding, RunInfo
from traintop.settings import Settings


@pytest.mark.parametrize(
    "names",
    [
        ["rollout/ep_rew_mean", "rollout/ep_len_mean", "train/loss", "train/approx_kl"],
        ["charts/episodic_return", "losses/policy_loss", "losses/approx_kl", "losses/clipfrac"],
        ["AverageEpRet", "EpLen", "LossPi", "LossV", "KL", "Entropy"],
        ["episode_reward_mean", "policy_loss", "vf_loss", "entropy", "kl"],
        ["Loss/surrogate", "Train/mean_reward", "Train/mean_episode_length"],
        ["loss", "reward", "reward_std", "kl", "completion_length"],
        ["actor/pg_loss", "actor/ppo_kl", "critic/rewards/mean"],
    ],
)
def test_reinforcement_learning_is_recognised(names: list[str]) -> None:
    assert recognise(names) == "rl"


@pytest.mark.parametrize(
    "names",
    [
        ["d_loss", "g_loss"],
        ["Loss_D", "Loss_G", "D(x)"],
        ["Loss/D/loss", "Loss/G/loss"],
        ["discriminator_loss", "generator_loss", "fid"],
        ["errD", "errG"],
    ],
)
def test_adversarial_training_is_recognised(names: list[str]) -> None:
    assert recognise(names) == "gan"


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["loss", "learning_rate", "grad_norm"],
        ["loss", "entropy", "num_tokens", "mean_token_accuracy"],
        ["loss", "kl_loss", "recon_loss"],
        ["loss", "distill_kl", "ce"],
        ["loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "reward_mean"],
        ["loss", "mean_reward", "max_reward", "margin"],
        ["loss", "policy_loss"],
        ["loss_cls", "loss_bbox", "loss_dfl"],
        ["g_loss", "seg_loss"],
        ["loss", "embedding_loss", "dispersion"],
    ],
)
def test_all_else_is_not(names: list[str]) -> None:
    assert recognise(names) is None


def test_events_tell_too() -> None:
    assert recognise(["loss"], ["checkpoint", "episode"]) == "rl"


@pytest.mark.parametrize(
    ("declared", "setting", "names", "expected"),
    [
        (None, "auto", ["d_loss", "g_loss"], "gan"),
        ("classification", "auto", ["d_loss", "g_loss"], "classification"),
        (None, "auto", ["loss"], None),
        (None, "rl", ["loss"], "rl"),
        ("classification", "gan", ["loss"], "gan"),
        ("rl", "supervised", ["loss"], None),
        (None, "supervised", ["d_loss", "g_loss"], None),
        ("regression", "supervised", ["loss"], "regression"),
    ],
)
def test_the_setting_wins_then_what_is_declared_then_what_is_recognised(
    declared: str | None, setting: Profile, names: list[str], expected: str | None
) -> None:
    info = RunInfo(task=declared, batch_size=8)
    found = with_profile(info, setting, names)
    assert (found.task, found.batch_size) == (expected, 8)
    assert (found is info) == (declared == expected)


def rising(path: Path, **more: float) -> Path:
    """A log whose loss falls, and then rises for good."""
    with (path / "train_diagnostics.jsonl").open("w") as file:
        for step in range(400):
            loss = 2.0 - 0.008 * min(step, 200) + 0.03 * max(0, step - 200)
            file.write(json.dumps({"step": step, "loss": loss, **more}) + "\n")
    return path


def judged(path: Path, profile: Profile = "auto") -> list[Finding]:
    session = read_whole(path, Settings(profile=profile))
    assert not session.failures()
    return [each for each in session.findings() if each.id == "divergence"]


def test_rules_of_the_loss_are_silent_where_its_level_means_nothing(tmp_path: Path) -> None:
    path = rising(tmp_path, ep_rew_mean=1.0, approx_kl=0.01)
    assert judged(path) == []
    assert len(judged(path, profile="supervised")) == 1
    session = read_whole(path, Settings())
    assert "divergence" in {each.id for each in session.not_judged()}


def test_a_profile_can_be_set_for_a_run_that_nothing_tells_of(tmp_path: Path) -> None:
    path = rising(tmp_path)
    assert len(judged(path)) == 1
    assert judged(path, profile="gan") == []
