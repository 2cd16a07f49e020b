"""Which detectors there are, and the thresholds that each is given."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from traintop.detectors.amp_overflow import AmpOverflow
from traintop.detectors.bad_initialization import BadInitialization
from traintop.detectors.base import Detector, Thresholds
from traintop.detectors.class_collapse import ClassCollapse
from traintop.detectors.data_not_shuffled import DataNotShuffled
from traintop.detectors.dead_units import DeadUnits
from traintop.detectors.disconnected_params import DisconnectedParams
from traintop.detectors.divergence import Divergence
from traintop.detectors.eval_mode_training import EvalModeTraining
from traintop.detectors.exploding_gradients import ExplodingGradients
from traintop.detectors.frozen_params import FrozenParams
from traintop.detectors.grad_clip_too_tight import GradClipTooTight
from traintop.detectors.input_not_normalized import InputNotNormalized
from traintop.detectors.labels_broken import LabelsBroken
from traintop.detectors.loss_scaled_by_accumulation import LossScaledByAccumulation
from traintop.detectors.loss_spike import LossSpike
from traintop.detectors.lr_reduced_too_early import LrReducedTooEarly
from traintop.detectors.lr_schedule_mismatch import LrScheduleMismatch
from traintop.detectors.lr_too_high import LrTooHigh
from traintop.detectors.lr_too_low import LrTooLow
from traintop.detectors.masked_nan import MaskedNan
from traintop.detectors.memory_leak import MemoryLeak
from traintop.detectors.nan_inf import NanInf
from traintop.detectors.noisy_gradients import NoisyGradients
from traintop.detectors.not_learning import NotLearning
from traintop.detectors.oscillation import Oscillation
from traintop.detectors.out_of_memory_soon import OutOfMemorySoon
from traintop.detectors.overfitting import Overfitting
from traintop.detectors.plateau import Plateau
from traintop.detectors.rank_desync import RankDesync
from traintop.detectors.saturated_units import SaturatedUnits
from traintop.detectors.straggler import Straggler
from traintop.detectors.throughput_drop import ThroughputDrop
from traintop.detectors.underfitting import Underfitting
from traintop.detectors.update_ratio_off import UpdateRatioOff
from traintop.detectors.val_leakage import ValLeakage
from traintop.detectors.vanishing_gradients import VanishingGradients
from traintop.detectors.weight_decay_too_high import WeightDecayTooHigh
from traintop.detectors.wrong_loss import WrongLoss
from traintop.detectors.zero_grad_missing import ZeroGradMissing
from traintop.errors import SettingsError

DETECTORS: tuple[type[Detector[Any]], ...] = (
    AmpOverflow,
    NanInf,
    Divergence,
    LrTooHigh,
    LrReducedTooEarly,
    LrScheduleMismatch,
    LrTooLow,
    Oscillation,
    UpdateRatioOff,
    LossSpike,
    Overfitting,
    ExplodingGradients,
    VanishingGradients,
    DeadUnits,
    BadInitialization,
    GradClipTooTight,
    InputNotNormalized,
    LossScaledByAccumulation,
    MaskedNan,
    NoisyGradients,
    ZeroGradMissing,
    MemoryLeak,
    OutOfMemorySoon,
    ThroughputDrop,
    ValLeakage,
    DataNotShuffled,
    DisconnectedParams,
    EvalModeTraining,
    FrozenParams,
    SaturatedUnits,
    WeightDecayTooHigh,
    WrongLoss,
    LabelsBroken,
    ClassCollapse,
    Underfitting,
    Plateau,
    NotLearning,
    Straggler,
    RankDesync,
)
"""In the order in which they see a record: what stops a run comes first."""

IDS = tuple(detector.id for detector in DETECTORS)


def resolve_thresholds(
    given: Mapping[str, Mapping[str, float]] | None,
) -> dict[str, Thresholds]:
    """The thresholds in force, per detector id: the defaults with what was given over them.

    Raises:
        SettingsError: An id or a threshold that does not exist, or a value that is no number.
    """
    given = given or {}
    for name in given:
        if name not in IDS:
            raise SettingsError(f"detectors.{name}: there is no such detector{nearest(name, IDS)}")
    return {
        detector.id: _thresholds(detector, given.get(detector.id, {})) for detector in DETECTORS
    }


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that is meant, for the end of an error message."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are: {', '.join(known)}"


def _thresholds(detector: type[Detector[Any]], given: Mapping[str, object]) -> Thresholds:
    kind = detector.thresholds_type
    known = kind.__struct_fields__
    values: dict[str, float] = {}
    for key, value in given.items():
        where = f"detectors.{detector.id}.{key}"
        if key not in known:
            raise SettingsError(f"{where}: there is no such threshold{nearest(key, known)}")
        # A bool is an int to Python, but `true` is no threshold.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            raise SettingsError(f"{where}: a threshold is a number, not {value!r}")
        values[key] = float(value)
    return kind(**values)
