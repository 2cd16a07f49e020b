"""The data: what the splits hold, whether they overlap, and whether they are alike.

Samples of both splits are drawn through their loaders, as training sees them. What is measured is
in `split_scan` and `split_compare`, what is said of it in `data_findings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from traintop.analyses.batches import forward, move, one_pass
from traintop.analyses.context import AnalysisFailedError, Context, Outcome
from traintop.analyses.data_findings import judge, unscaled
from traintop.analyses.transforms import compare, transforms_of

if TYPE_CHECKING:
    from traintop.analyses.split_scan import Split


def run(context: Context) -> Outcome:
    """Look at both splits, and compare them.

    Raises:
        AnalysisFailedError: There is no training data, or a split holds no tensor.
    """
    from traintop.analyses import split_compare
    from traintop.analyses.split_scan import scan

    wanted = int(context.number("samples"))
    if wanted < 1:
        raise AnalysisFailedError(f"samples must be at least 1, not {wanted}")
    target = context.target
    if target.train is None:
        raise AnalysisFailedError("data needs train: give the Target train=...")
    named = {"train": target.train} | ({} if target.val is None else {"val": target.val})
    splits: dict[str, Split] = {}
    for number, (name, data) in enumerate(named.items()):
        begun, total = number * wanted, len(named) * wanted

        def progress(done: int, name: str = name, begun: int = begun, total: int = total) -> None:
            context.progress(begun + done, total, f"samples of {name}")

        splits[name] = scan(data, context.seed, wanted, progress)
        if not splits[name].parts:
            empty = "holds no batch" if not splits[name].batches else "holds no tensor or number"
            raise AnalysisFailedError(f"{name} {empty}: look at what its loader yields")
    full = len(named) * wanted
    context.progress(full, full, "comparing the splits")
    train, val = splits["train"], splits.get("val")
    first, scale = _first_layer(context), _scale(train)
    overlap = split_compare.overlap(train, val) if val is not None else None
    context.progress(full, full, "comparing distributions")
    shift = split_compare.shift(train, val) if val is not None else None
    ours, theirs = transforms_of(target.train), transforms_of(target.val) if val else None
    result: dict[str, Any] = {
        "splits": {name: _split(split) for name, split in splits.items()},
        "overlap": overlap,
        "drift": split_compare.drift(train, val) if val is not None else [],
        "label_shift": None if shift is None else shift[0],
        "label_shift_sigma": None if shift is None else shift[1],
        "normalised": _normalised(first, scale),
        "first_layer": first,
        "scale": scale,
        "transforms": None if ours is None or theirs is None else compare(ours, theirs),
        "alignment": split_compare.alignment(train),
        "preview": train.preview,
    }
    return Outcome(result=result, findings=judge(result, context.step))


def summary(result: Mapping[str, Any]) -> list[str]:
    """The result in lines of text."""
    lines: list[str] = []
    for name, split in result["splits"].items():
        more = "" if split["complete"] else " (there are more)"
        lines.append(f"{name}: {split['samples']} samples{more}, {split['duplicates']} copies")
        for part in split["parts"]:
            shape = "x".join("?" if size is None else str(size) for size in part["shape"])
            line = f"  {part['role']:<5} {part['name']}  {part['dtype']} {shape or 'scalar'}"
            if part["min"] is not None:
                line += f"  {part['min']:.4g} to {part['max']:.4g}"
                line += f"  mean {part['mean']:.4g}  deviation {part['std']:.4g}"
            bad = f"  {part['nonfinite']} NaN or infinite" if part["nonfinite"] else ""
            lines.append(line + bad)
        counts = split["class_counts"]
        if counts:
            shown = "  ".join(f"{value}: {count}" for value, count in list(counts.items())[:20])
            lines.append(f"  classes {shown}" + ("  ..." if len(counts) > 20 else ""))
    overlap = result["overlap"]
    if overlap is not None:
        lines.append(
            f"in both: {overlap['exact']} the same, {overlap['near']} all but the same "
            f"({overlap['fraction']:.1%} of val)"
        )
    if result["drift"]:
        worst = result["drift"][0]
        lines.append(f"largest drift: {worst['feature']}, KS {worst['ks']:.3f}")
    if result["label_shift"] is not None:
        lines.append(f"labels differ by {result['label_shift']:.1%}")
    words = {True: "yes", False: "no", None: "not asked: token numbers"}
    lines.append(f"inputs normalised: {words[result['normalised']]}")
    transforms = result["transforms"]
    if transforms is not None:
        lines.append(f"transforms {'equal' if transforms['equal'] else 'differ'}")
        for side in ("train", "val"):
            lines += [f"  only {side}: {step}" for step in transforms[f"only_{side}"]]
    if result["alignment"] is not None:
        found = result["alignment"]
        lines.append(
            f"nearest sample has the same label: {found['agreement']:.1%}, "
            f"by chance {found['chance']:.1%}"
        )
    for at, sample in enumerate(result["preview"]):
        lines.append(f"sample {at}: label {sample['label']}  mean {sample['mean']:.3g}")
    return lines


def _split(split: Split) -> dict[str, Any]:
    from traintop.analyses.split_compare import class_counts, duplicates

    return {
        "samples": split.samples,
        "complete": split.complete,
        "fair": split.fair,
        "duplicates": duplicates(split),
        "class_counts": class_counts(split),
        "parts": [
            {
                "name": name,
                "role": "label" if part.label else "input",
                "shape": part.shape,
                "dtype": part.dtype,
                "min": part.low if part.count else None,
                "max": part.high if part.count else None,
                "mean": part.mean if part.count else None,
                "std": part.std if part.count else None,
                "nonfinite": part.nonfinite,
                "first_bad": part.first_bad,
            }
            for name, part in split.parts.items()
        ],
    }


def _scale(train: Split) -> dict[str, Any] | None:
    """Mean and deviation of the largest input that is no token numbers."""
    inputs = [(name, part) for name, part in train.parts.items() if not part.label and part.count]
    known = [
        (name, part) for name, part in inputs if "int" not in part.dtype or part.dtype == "uint8"
    ]
    if not known:
        return None
    name, part = max(known, key=lambda each: each[1].count)
    return {"where": f"the input {name}", "mean": part.mean, "deviation": part.std}


def _first_layer(context: Context) -> dict[str, Any] | None:
    """What reaches the first layer with weights: the model may normalise by itself.

    Returns:
        `where`, the layer; `kind`: `values`, `tokens`, or `norm` where it normalises; `mean` and
        `deviation`. None where no layer is reached.
    """
    import torch
    from torch import nn

    from traintop.analyses.model_order import named_modules

    found: list[dict[str, Any]] = []

    def look(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            if found or not args or not isinstance(args[0], torch.Tensor):
                return
            values = args[0].detach().float()
            values = values[values.isfinite()]
            tokens = not args[0].is_floating_point()
            norm = "Norm" in type(module).__name__
            found.append(
                {
                    "where": name or type(module).__name__,
                    "kind": "tokens" if tokens else "norm" if norm else "values",
                    "mean": float(values.mean()) if values.numel() else 0.0,
                    "deviation": float(values.std(unbiased=False)) if values.numel() else 0.0,
                }
            )

        return hook

    handles = [
        module.register_forward_pre_hook(look(name))
        for name, module in named_modules(context.model)
        if not list(module.children()) and list(module.parameters())
    ]
    context.model.eval()
    try:
        for batch in islice(one_pass(context.target.train or (), context.seed), 1):
            with torch.no_grad():
                forward(context.target, context.model, move(batch, context.device))
    except Exception as error:  # noqa: BLE001 - the data is judged without the model, then
        context.log(f"the model failed on a batch, run the analysis shapes: {error}")
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def _normalised(first: Mapping[str, Any] | None, scale: Mapping[str, Any] | None) -> bool | None:
    """None where inputs are token numbers."""
    judged = first if first is not None else scale
    if judged is None or judged.get("kind") == "tokens":
        return None
    return judged.get("kind") == "norm" or not unscaled(judged)
