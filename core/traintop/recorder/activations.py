"""Statistics of activations, through forward hooks that are there only in the steps that count.

What is dead or saturated follows the literature: a unit is dead if it is never active in all that
was sampled (exactly zero for the ReLU family; within 1e-5 for GELU and SiLU, which are never zero:
TheDeepChecker's bound); tanh and sigmoid are saturated within 1 % of a bound of their range.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from traintop.recorder.guard import Guarded
from traintop.recorder.parameters import bare_name
from traintop.recorder.readback import Packet
from traintop.recorder.sampling import sample_view

ACTIVATION_STATISTICS = ("act_mean", "act_std", "act_zero_frac", "act_dead_frac", "act_sat_frac")
RUNS, RUN = 256, 256
"""Elements of an output that mean, spread, zeros and saturation are taken of; dead units are
looked for in all of it."""
NEVER_ZERO_BOUND = 1e-5
SATURATED_WITHIN = 0.01

_KINDS: tuple[tuple[str, tuple[type[nn.Module], ...]], ...] = (
    ("relu", (nn.ReLU, nn.ReLU6)),
    ("leaky_relu", (nn.LeakyReLU, nn.PReLU, nn.RReLU)),
    ("elu", (nn.ELU, nn.SELU, nn.CELU)),
    ("gelu", (nn.GELU,)),
    ("silu", (nn.SiLU, nn.Mish, nn.Hardswish)),
    ("tanh", (nn.Tanh, nn.Hardtanh)),
    ("sigmoid", (nn.Sigmoid, nn.Hardsigmoid)),
)
# Libraries have their own classes: GELUActivation, NewGELUActivation, QuickGELU, SiLUActivation ...
_NAMED_KINDS = (("gelu", "gelu"), ("silu", "silu"), ("swish", "silu"), ("relu", "relu"))
_UNITS_SECOND = ("Conv", "BatchNorm", "InstanceNorm", "GroupNorm")
_UNITS_LAST = ("Linear", "LayerNorm", "RMSNorm", "Embedding")


def kind_of(module: nn.Module) -> str | None:
    """The kind of an activation module, or None for any other module."""
    if next(module.children(), None) is not None:
        return None
    for kind, classes in _KINDS:
        if isinstance(module, classes):
            return kind
    name = type(module).__name__.lower()
    return next((kind for part, kind in _NAMED_KINDS if part in name), None)


class ActivationProbes:
    """The probes of all activation modules of a model.

    Attributes:
        names: Their names in the model.
        kinds: Their kinds, as `kind_of` has them.
        seconds: What the probes have cost since they were last armed.
    """

    def __init__(self, model: nn.Module, guarded: Guarded) -> None:
        self.names: list[str] = []
        self.kinds: list[str] = []
        self.seconds = 0.0
        self._model = model
        self._guarded = guarded
        self._probes: list[_Probe] = []
        self._modules: list[nn.Module] = []
        self._handles: list[Any] = []
        with guarded:
            self._find()

    def arm(self) -> None:
        """Put the hooks in place for the next step."""
        self.disarm()
        for probe in self._probes:
            probe.sites.clear()
            probe.calls = 0
        self.seconds = 0.0
        if not self._probes or self._guarded.failed:
            return
        with self._guarded:
            self._handles.append(self._model.register_forward_pre_hook(_Rewind(self._probes)))
            for module, probe in zip(self._modules, self._probes, strict=True):
                self._handles.append(module.register_forward_hook(probe))

    def disarm(self) -> None:
        """Take the hooks away; what they have seen stays until the next `arm`."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    @property
    def armed(self) -> bool:
        """Whether the hooks are in place."""
        return bool(self._handles)

    def see(self, probe: _Probe, output: object) -> None:
        """Take the statistics of one output. Called by the probes."""
        # Evaluations run without gradients and are not the training's; a compiler that is tracing
        # must find nothing here.
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return
        start = time.perf_counter()
        if (
            isinstance(output, Tensor)
            and output.numel()
            and output.is_floating_point()
            and not self._guarded.failed
        ):
            with self._guarded, torch.no_grad():
                probe.record(output.detach())
        self.seconds += time.perf_counter() - start

    def _find(self) -> None:
        units_last = True
        modules = cast("Iterable[tuple[str, nn.Module]]", self._model.named_modules())
        for name, module in modules:
            label = type(module).__name__
            if label.startswith(_UNITS_SECOND):
                units_last = False
            elif label.endswith(_UNITS_LAST):
                units_last = True
            kind = kind_of(module)
            if kind is not None:
                self.names.append(bare_name(name))
                self.kinds.append(kind)
                self._modules.append(module)
                self._probes.append(_Probe(self, kind, units_last))

    def add_statistics(
        self, packet: Packet
    ) -> Callable[[Sequence[float]], dict[str, list[float | None]]]:
        """Put what was seen into a packet; the function returned gives a list a statistic."""
        decoders = [probe.add_statistics(packet) for probe in self._probes]

        def decode(floats: Sequence[float]) -> dict[str, list[float | None]]:
            rows = [decoder(floats) for decoder in decoders]
            return {
                name: [row[column] for row in rows]
                for column, name in enumerate(ACTIVATION_STATISTICS)
            }

        return decode


class _Inert:
    """A hook that a copy or a pickle of the model does not take along.

    In its place stands a function of the standard library that takes anything and returns None, so
    that a checkpoint of a whole model loads where traintop is not installed.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (contextlib.nullcontext(), "__exit__")


class _Rewind(_Inert):
    """At the start of a forward pass: the modules that are used several times start over."""

    def __init__(self, probes: Sequence[_Probe]) -> None:
        self._probes = probes

    def __call__(self, *_: object) -> None:
        if not torch.compiler.is_compiling():
            for probe in self._probes:
                probe.calls = 0


class _Site:
    """One place where an activation module is called; a module may be used in several."""

    def __init__(self) -> None:
        self.moments: list[Tensor] = []
        self.alive: Tensor | None = None


class _Probe(_Inert):
    def __init__(self, owner: ActivationProbes, kind: str, units_last: bool) -> None:
        self._owner = owner
        self._kind = kind
        self._units_last = units_last
        self.calls = 0
        self.sites: list[_Site] = []

    def __call__(self, *seen: object) -> None:
        self._owner.see(self, seen[-1])

    def record(self, output: Tensor) -> None:
        """Add one output of the module."""
        if self.calls == len(self.sites):
            self.sites.append(_Site())
        site = self.sites[self.calls]
        self.calls += 1
        sample = sample_view(output, RUNS, RUN).reshape(-1).float()
        variance, mean = torch.var_mean(sample, correction=0)
        zeros = (sample == 0).float().mean()
        site.moments.append(torch.stack([mean, variance, zeros, self._saturated(sample)]))
        alive = self._alive(output)
        if alive is not None:
            known = site.alive
            together = known is not None and known.shape == alive.shape
            site.alive = torch.logical_or(known, alive) if known is not None and together else alive

    def _saturated(self, sample: Tensor) -> Tensor:
        if self._kind == "tanh":
            return (sample.abs() > 1 - SATURATED_WITHIN).float().mean()
        if self._kind == "sigmoid":
            return ((sample - 0.5).abs() > 0.5 - SATURATED_WITHIN).float().mean()
        return sample.new_zeros(())

    def _alive(self, output: Tensor) -> Tensor | None:
        """Which units are active at least once; None for kinds whose units cannot die."""
        if self._kind not in ("relu", "gelu", "silu"):
            return None
        axis = output.ndim - 1 if self._units_last or output.ndim < 3 else 1
        others = [dim for dim in range(output.ndim) if dim != axis]
        highest = output.amax(dim=others) if others else output
        # Written so that NaN counts as active.
        if self._kind == "relu":
            return ~(highest <= 0)
        lowest = output.amin(dim=others) if others else output
        return ~((highest <= NEVER_ZERO_BOUND) & (lowest >= -NEVER_ZERO_BOUND))

    def add_statistics(
        self, packet: Packet
    ) -> Callable[[Sequence[float]], tuple[float | None, ...]]:
        sites, self.sites = self.sites, []
        moments = [packet.add(each) for site in sites for each in site.moments]
        alive = [site.alive for site in sites if site.alive is not None]
        living = [packet.add(each.sum()) for each in alive]
        units = sum(each.numel() for each in alive)

        def decode(floats: Sequence[float]) -> tuple[float | None, ...]:
            if not moments:
                return (None,) * len(ACTIVATION_STATISTICS)
            means, variances, zeros, saturated = zip(*[floats[at] for at in moments], strict=True)
            n = len(means)
            mean = sum(means) / n
            variance = sum(variances) / n + sum((each - mean) ** 2 for each in means) / n
            std = math.sqrt(variance) if variance >= 0 else math.nan
            dead = 1.0 - sum(floats[at][0] for at in living) / units if units else 0.0
            return mean, std, sum(zeros) / n, dead, sum(saturated) / n

        return decode
