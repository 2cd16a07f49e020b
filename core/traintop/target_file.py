"""`traintop analyze --init`: a target file for a project, written from what its sources show."""

from __future__ import annotations

from pathlib import Path

from traintop.errors import AnalysisError
from traintop.project_scan import CLASS_COUNTS, WRITTEN, Definition, Project, Source, scan

DEFAULT_NAME = "traintop_target.py"

_HEAD = '''\
"""What traintop analyses: how this project's model, data, loss and optimizer are built.

{written} from the sources of this folder, which were read, not run.
Every guess says where it comes from: look it through. Then, for instance:

    traintop analyze --list
    traintop analyze dead_neurons --target {name}:target --checkpoint CKPT
"""

'''
_NO_DATA = """\
        # No function was found that builds the loaders. Give batches here (a DataLoader, a list),
        # or record a few in the training, `Recorder(model, optimizer, keep_batches=4)` and
        # `recorder.keep(batch)` in the loop, and name the run with `--run DIR`.
        # train=...,
"""


def write_target(folder: Path, out: Path | None = None) -> Path:
    """Write the target file of the project in a folder.

    Args:
        folder: The project's.
        out: The file, or a folder for it; default `traintop_target.py` in the project.

    Returns:
        The file.

    Raises:
        AnalysisError: It is there already, or cannot be written.
    """
    path = folder / DEFAULT_NAME if out is None else out / DEFAULT_NAME if out.is_dir() else out
    if path.suffix != ".py":
        raise AnalysisError(f"a target file ends in .py, not {path.name!r}")
    text = target_text(scan(folder), path.name, _way_to(folder, path.parent))
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise AnalysisError(f"{path} is there already: name another with --out") from None
    except OSError as error:
        raise AnalysisError(f"{path} cannot be written: {error.strerror}") from None
    return path


def target_text(project: Project, name: str, root: str | None = None) -> str:
    """The source of a target file.

    Args:
        project: What was found.
        name: Of the file.
        root: The project's folder, as source, where that is not the file's.
    """
    model, loaders = project.model, project.loaders
    body: list[str] = []
    for each in (model, loaders):
        if each is not None:
            body += _import(each)
    body += [""] if body else []
    body += _model_lines(project)
    if loaders is not None:
        body += _loader_lines(loaders)
    body += ["    return Target(", "        model=model,", _data_lines(loaders)]
    body += [*_training_lines(project), "    )"]
    imports = ["import torch", "from torch import nn", "", "from traintop import Target"]
    folders = _folders(project, root)
    if folders:
        imports[:0] = ["import sys", "from pathlib import Path", ""]
        imports += ["", *folders]
    text = _HEAD.format(name=name, written=WRITTEN) + "\n".join(
        [*imports, "", "", "def target() -> Target:", *body]
    )
    return text.rstrip() + "\n"


def _folders(project: Project, root: str | None) -> list[str]:
    """Lines that make the project's modules importable."""
    found = [each.module.path for each in (project.model, project.loaders) if each is not None]
    src = any(path.parts[0] == "src" for path in found)
    base = root or "Path(__file__).parent"
    places = [base] if root is not None else []
    places += [f'{base} / "src"'] if src else []
    return [f"sys.path.insert(0, str({place}))" for place in places]


def _way_to(folder: Path, other: Path) -> str | None:
    same = folder.resolve() == other.resolve()
    return None if same else f"Path({str(folder.resolve())!r})"


def _import(found: Definition) -> list[str]:
    parts = found.module.path.with_suffix("").parts
    parts = parts[1:] if parts[0] == "src" and len(parts) > 1 else parts
    module = ".".join(part for part in parts if part != "__init__")
    lines = [
        f"    from {module or '__init__'} import {found.name}  # {_where(found.module, found.line)}"
    ]
    line = found.module.runs_when_imported
    if line is not None:
        lines.insert(
            0,
            f"    # CAREFUL: importing {found.module.path} does work, at line {line}: put what\n"
            '    # trains below `if __name__ == "__main__":`.',
        )
    return lines


def _model_lines(project: Project) -> list[str]:
    model = project.model
    if model is None:
        return [
            "    # No class that is a torch.nn.Module was found: build the model here.",
            '    raise NotImplementedError("build the model, and return it in the Target")',
            "    model = nn.Identity()",
        ]
    arguments, unsure = _arguments(model, project.num_classes)
    return [*_unsure(model, unsure), f"    model = {model.name}({', '.join(arguments)})"]


def _loader_lines(loaders: Definition) -> list[str]:
    arguments, unsure = _arguments(loaders, None)
    names = ["train", "val", "_test"][: loaders.returns] if loaders.returns > 1 else ["train"]
    names += [f"_{place}" for place in range(len(names), loaders.returns)]
    call = f"{loaders.name}({', '.join(arguments)})"
    return [*_unsure(loaders, unsure), f"    {', '.join(names)} = {call}"]


def _arguments(found: Definition, num_classes: str | None) -> tuple[list[str], list[str]]:
    """What it is called with, and what of that has to be filled in."""
    if found.call is not None:
        given = [
            "..."
            if each in found.call.unknown and "=" not in each
            else f"{each.partition('=')[0]}=..."
            if each in found.call.unknown
            else each
            for each in found.call.arguments
        ]
        return given, list(found.call.unknown)
    known = {name: num_classes for name in found.required if name in CLASS_COUNTS and num_classes}
    given = [f"{name}={known.get(name, '...')}" for name in found.required]
    return given, [name for name in found.required if name not in known]


def _unsure(found: Definition, unsure: list[str]) -> list[str]:
    if not unsure:
        return []
    line = f" (line {found.call.line} has it so)" if found.call is not None else ""
    text = f"fill in for {found.name}: {', '.join(unsure)}{line}".replace('"', "'")
    return [f"    raise NotImplementedError({text!r})", "    # ... and take that line away."]


def _data_lines(loaders: Definition | None) -> str:
    if loaders is None:
        return _NO_DATA.rstrip()
    lines = "        train=train,"
    return lines + ("\n        val=val," if loaders.returns > 1 else "")


def _training_lines(project: Project) -> list[str]:
    lines: list[str] = []
    if project.lightning:
        lines.append("        step=lambda model, batch: model.training_step(batch, 0),")
    elif project.loss is not None:
        text, source, line = project.loss
        lines.append(f"        loss={text},  # {_where(source, line)}")
    else:
        lines.append("        # loss(output, target), or step=lambda model, batch: loss")
        lines.append("        loss=nn.CrossEntropyLoss(),")
    if project.optimizer is not None:
        text, source, line = project.optimizer
        lines.append(f"        optimizer=lambda params: {text},  # {_where(source, line)}")
    else:
        lines.append(
            "        optimizer=lambda params: torch.optim.AdamW(params, lr=1e-3),  # none found"
        )
    return lines


def _where(source: Source, line: int) -> str:
    return f"{source.path}:{line}"
