"""Non-finite loss or gradients: the run computes nothing any more from here on."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from traintop.detectors.base import Detector, Findings, Thresholds
from traintop.detectors.context import Context
from traintop.detectors.layers import named
from traintop.detectors.loss_level import ABSURD
from traintop.detectors.switched_off import Evaluations, GradientNorm
from traintop.records import Cause, Evidence, LayerNames, LayerStats, NotJudged, Row

TITLES = {
    "loss/train": "Training loss is not finite",
    "loss/val": "Validation loss is not finite",
    "grad_norm": "Gradient norm is not finite",
    "layers": "Gradients of some layers are not finite",
}


class NanInfThresholds(Thresholds, frozen=True):
    """Thresholds of `nan_inf`."""

    absurd: float = ABSURD
    """A magnitude that is treated like infinity. No published value: twelve orders above any
    cross-entropy or squared error, an overflow in all but name."""
    in_a_row: float = 3
    """Records in a row with a non-finite gradient norm alone that are a finding, where mixed
    precision may be in use and does not say which steps it skips; fewer are advice."""
    recovered_after: float = 10
    """Finite records in a row that end the episode: one window of most loggers."""
    recovered_after_evaluations: float = 2
    """Finite evaluations in a row that end the episode of a validation loss: an alternating one is
    one episode, not hundreds."""


class NanInf(Detector[NanInfThresholds]):
    """Only losses, the gradient norm and layer gradients count: an undefined metric is no fault.

    Any non-finite loss is a finding (all published rules agree). A non-finite gradient norm is one
    too, except on a step that the loss scaler skips: its search for the scale needs those, and what
    is more than a search is for `amp_overflow`. What is never computed, or not with each record, is
    no fault either: see `switched_off`.
    """

    id = "nan_inf"
    title = "Training loss is not finite"
    needs = "training loss or gradient norm"
    record = "recorder.step(loss=loss) at each step"
    sudden = True
    thresholds_type: ClassVar[type[Thresholds]] = NanInfThresholds

    def __init__(self, context: Context, thresholds: NanInfThresholds) -> None:
        super().__init__(context, thresholds)
        self._absurd = thresholds.absurd
        self._names: tuple[str, ...] = ()
        self._layers: tuple[str, ...] = ()
        self._first: dict[str, tuple[int, float]] = {}
        self._counts: dict[str, int] = {}
        self._clean = 0
        self._clean_step = 0
        self._finite_evals = 0
        self._finite_step = 0
        self._scaled = False
        self._skipped_step = -1
        self._in_a_row = 0
        self._last_norm: float | None = None
        self._norm = GradientNorm()
        self._evaluations = Evaluations()

    def on_train(self, row: Row) -> Findings:
        """Check loss and gradient norm."""
        values = row.values
        absurd = self._absurd
        loss = values.get("loss/train", 0.0)
        norm = values.get("grad_norm", 0.0)
        # One chained comparison is false for NaN, infinities and absurd values alike.
        if -absurd < loss < absurd and -absurd < norm < absurd:
            self._last_norm = norm
            if norm:
                self._norm.seen = True
            return self._finite(row.step) if self.current is not None else ()
        found: Findings = ()
        skipped = self._skipped(row)
        if (
            -absurd < loss < absurd
            and self.context.info.amp is None
            and self._norm.is_off(norm, loss)
        ):
            return self._finite(row.step) if self.current is not None else ()
        if not -absurd < loss < absurd:
            self._in_a_row += 1
            found = self._bad("loss/train", row.step, loss, certain=not skipped)
        if not -absurd < norm < absurd and not skipped:
            self._in_a_row += -absurd < loss < absurd
            # A constant scale of 1 is what bfloat16 logs.
            certain = self.context.info.amp is False or row.values.get("loss_scale") == 1.0
            found = self._bad("grad_norm", row.step, norm, certain=certain) or found
        return found

    def on_eval(self, row: Row) -> Findings:
        """Check the validation loss."""
        loss = row.values.get("loss/val")
        if loss is None:
            return ()
        if not -self._absurd < loss < self._absurd:
            # Beside a training loss that is a number it may be that none was made.
            fine = self.context.loss.count and "loss/train" not in self._counts
            if loss != loss and not self._evaluations.was_made(self.context.records) and fine:
                return ()
            return self._bad("loss/val", row.step, loss, certain=True)
        self._evaluations.finite()
        if self.current is None or set(self._counts) != {"loss/val"}:
            return ()
        if not self._finite_evals:
            self._finite_step = row.step
        self._finite_evals += 1
        recovered = self._finite_evals >= self.thresholds.recovered_after_evaluations
        return self._end(self._finite_step) if recovered else ()

    def on_layer_names(self, names: LayerNames) -> None:
        """Remember the names, to say where it began."""
        self._names = names.names

    def on_layers(self, stats: LayerStats) -> Findings:
        """Name the first layers with non-finite gradients."""
        counts = stats.stats.get("grad_nan")
        if counts is None or not (counts > 0).any() or stats.step == self._skipped_step:
            return ()
        bad = named(self._names, counts > 0)
        if self.current is None:
            # While a loss scaler is at work, overflowing gradients alone are its normal search.
            if self._scaled:
                return ()
            self._layers = bad
            certain = not self.context.info.amp
            return self._bad("layers", stats.step, float(np.nansum(counts)), certain=certain)
        if self._layers:
            return ()
        self._layers = bad
        return self.update(layers=self._layers)

    def not_judged(self) -> NotJudged | None:
        """A run without any loss or gradient norm."""
        return (
            None if self.context.loss.count or self._counts or self._last_norm else self.missing()
        )

    def _skipped(self, row: Row) -> bool:
        """Whether the loss scaler skips this step: it says so, or a scale is in use."""
        flag = row.values.get("skipped_step")
        scale = row.values.get("loss_scale")
        # A constant scale of 1 is what bfloat16 logs: nothing is skipped then.
        self._scaled = self._scaled or bool(flag) or (scale is not None and scale != 1.0)
        skipped = bool(flag) if flag is not None else scale is not None and self._scaled
        if skipped:
            self._skipped_step = row.step
        return skipped

    def _bad(self, signal: str, step: int, value: float, *, certain: bool) -> Findings:
        self._clean = 0
        self._finite_evals = 0
        certain = certain or self._in_a_row >= self.thresholds.in_a_row
        count = self._counts[signal] = self._counts.get(signal, 0) + 1
        self._first.setdefault(signal, (step, value))
        series = tuple(name for name in self._counts if name != "layers")
        if self.current is None:
            causes = self._causes(signal, step)
            return self.open(
                "critical" if certain else "info",
                step,
                self._evidence(),
                title=TITLES[signal],
                series=series,
                layers=self._layers,
                causes=causes,
                next=(self.next_test("Find the first module with a NaN", "nan_source", step),),
                fixes=self._fixes(signal, step, causes),
            )
        if certain and self.current.severity == "info":
            title = TITLES["loss/train" if "loss/train" in self._counts else signal]
            return self.update(
                severity="critical", title=title, series=series, evidence=self._evidence()
            )
        if count == 1:
            return self.update(series=series, evidence=self._evidence())
        # News is worth a message when the count has doubled, not with each record.
        return self.update(evidence=self._evidence()) if count & (count - 1) == 0 else ()

    def _finite(self, step: int) -> Findings:
        if not self._clean:
            self._clean_step = step
        self._clean += 1
        self._in_a_row = 0
        train = any(signal != "loss/val" for signal in self._counts)
        if train and self._clean >= self.thresholds.recovered_after:
            return self._end(self._clean_step)
        return ()

    def _end(self, step: int) -> Findings:
        found = self.resolve(step, evidence=self._evidence())
        self._counts.clear()
        self._first.clear()
        self._layers = ()
        self._clean = 0
        return found

    def _evidence(self) -> tuple[Evidence, ...]:
        found: list[Evidence] = []
        for signal, count in self._counts.items():
            step, first = self._first[signal]
            what = f"records with {signal} not finite or over {self._absurd:.0e}"
            if signal == "layers":
                what, of_it = "records with non-finite layer gradients", "non-finite elements"
            else:
                of_it = signal
            found += [
                Evidence(what=what, value=float(count), threshold=0.0, step=step),
                Evidence(what=f"{of_it} in the first of them", value=first, step=step),
            ]
        return tuple(found)

    def _causes(self, signal: str, step: int) -> tuple[Cause, ...]:
        causes: list[Cause] = []
        rise = self.context.lr_rise(step, within=200)
        if rise is not None:
            causes.append(rise)
        loss = self.context.loss
        if loss.count and signal != "loss/val":
            if loss.harmed or loss.last > 3.0 * abs(loss.start):
                because = f"the last finite loss was {loss.last:.3g}"
                if math.isfinite(loss.best):
                    because += f", after a best of {loss.best:.3g}"
                causes.append(Cause(cause="training diverged until it overflowed", because=because))
            elif signal == "loss/train":
                norm = f" and the gradient norm {self._last_norm:.3g}" if self._last_norm else ""
                last = loss.last + 0.0  # No -0.
                because = f"the last finite loss was {last:.3g}{norm}; the loss was not growing"
                cause = "a bad batch, or a log, division or root of 0 in the forward pass"
                causes.append(Cause(cause=cause, because=because))
        return tuple(causes)

    def _fixes(self, signal: str, step: int, causes: tuple[Cause, ...]) -> tuple[str, ...]:
        fixes: list[str] = []
        lr, norm = self.context.lr, self._last_norm
        jumps = [jump for jump in self.context.lr_jumps if jump.step <= step]
        grew = any("lr" in each.because or "diverged" in each.cause for each in causes)
        if jumps and jumps[-1].after > jumps[-1].before > 0 and grew:
            fixes.append(f"lr {jumps[-1].after:.3g} -> {jumps[-1].before:.3g}, as before the jump")
        elif lr > 0.0 and grew:
            fixes.append(f"lr {lr:.3g} -> {lr / 10:.2g}")
        if grew and self.context.info.grad_clip is None and norm:
            fixes.append(f"clip gradients, at no more than {norm:.2g}: the last finite norm")
        if not grew and signal in ("loss/train", "loss/val"):
            fixes += [
                "guard what `nan_source` names: log(x.clamp_min(1e-8)), sqrt(x + 1e-8), n >= 1",
                f"check the batch of step {step} for NaN, empty or masked-out samples",
            ]
        checkpoint = self.context.checkpoint_before(step)
        if checkpoint is not None:
            fixes.append(f"resume from {checkpoint}: weights that have become NaN stay NaN")
        return tuple(fixes)
