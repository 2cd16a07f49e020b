"""What a user's project trains, guessed by reading its sources: nothing of it is run."""

from __future__ import annotations

import ast
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MOST_FILES = 500
MOST_BYTES = 1 << 20
SKIPPED = {"__pycache__", "node_modules", "site-packages", "build", "dist", "tests", "test", "docs"}
MODULE_BASES = {"Module", "LightningModule", "PreTrainedModel", "Sequential"}
CLASS_COUNTS = {"num_classes", "n_classes", "nb_classes", "num_labels", "n_class", "classes"}

_BUILDER = re.compile(r"_?(build|create|get|make|load|init)_(model|net|network)s?", re.IGNORECASE)
_LOADERS = re.compile(
    r"_?((build|create|get|make|load|setup|prepare)_)?((train|training|data)_?)*"
    r"(data|dataset|loader|dataloader)s?",
    re.IGNORECASE,
)
_NAMES_DATA = re.compile(r"load|data", re.IGNORECASE)
WRITTEN = "Written by `traintop analyze --init`"
"""In the docstring of the target files that are written."""


@dataclass(frozen=True)
class Call:
    """How something is called, by the sources: what stands between the brackets."""

    arguments: tuple[str, ...]
    """As source, with known constants put in their places."""
    unknown: tuple[str, ...]
    """Those whose values the sources do not tell; they are among `arguments`."""
    line: int


@dataclass(frozen=True)
class Definition:
    """A class or a function of the project."""

    name: str
    module: Source
    line: int
    required: tuple[str, ...]
    """Parameters without a default."""
    call: Call | None = None
    """A call of it, where there is one."""
    returns: int = 1
    """How many values a function returns."""


@dataclass
class Source:
    """One file, parsed."""

    path: Path
    """Relative to the project."""
    tree: ast.Module
    constants: dict[str, str] = field(default_factory=dict[str, str])
    """Source of what is bound to a literal: names of the file, parameters of its functions and
    options of the command line (`args.x`) by their defaults."""
    runs_when_imported: int | None = None
    """The line of a call or a loop that an import would run."""


@dataclass(frozen=True)
class Project:
    """The guesses, each with the file and line that it comes from; None where nothing was found."""

    model: Definition | None
    builds_model: bool
    """Whether `model` is a function that builds it, rather than its class."""
    lightning: bool
    loaders: Definition | None
    loss: tuple[str, Source, int] | None
    """Source of the expression, and where it stands."""
    optimizer: tuple[str, Source, int] | None
    """Source of a call with `params` for the parameters."""
    num_classes: str | None


def scan(folder: Path) -> Project:
    """Read the Python files of a project, its tests and hidden folders left out."""
    sources = list(_sources(folder))
    classes = _model_classes(sources)
    model, builds = _model(sources, classes)
    lightning = model is not None and not builds and classes[model.name][1]
    return Project(
        model=model,
        builds_model=builds,
        lightning=lightning,
        loaders=_loaders(sources),
        loss=_loss(sources),
        optimizer=_optimizer(sources),
        num_classes=_num_classes(sources),
    )


def _sources(folder: Path) -> Iterator[Source]:
    count = 0
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in SKIPPED
            and not (Path(here) / name / "pyvenv.cfg").exists()
        )
        for name in sorted(files):
            path = Path(here) / name
            if not name.endswith(".py"):
                continue
            count += 1
            if count > MOST_FILES:
                return
            try:
                if path.stat().st_size > MOST_BYTES:
                    continue
                with warnings.catch_warnings(action="ignore"):  # of escapes in their strings
                    tree = ast.parse(path.read_bytes())
            except (OSError, SyntaxError, ValueError, RecursionError):
                continue  # not ours to complain about: it may be a template or Python 2
            if WRITTEN in (ast.get_docstring(tree) or ""):
                continue  # a target file: its calls are guesses themselves
            source = Source(path.relative_to(folder), tree)
            source.constants = _constants(tree)
            source.runs_when_imported = _runs(tree)
            yield source


def _constants(tree: ast.Module) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and _is_literal(node.value):
            found |= {
                each.id: ast.unparse(node.value)
                for each in node.targets
                if isinstance(each, ast.Name)
            }
    spaces = {"args", *_parsed_arguments(tree)}
    for call in _calls(tree):
        default = next((word.value for word in call.keywords if word.arg == "default"), None)
        if _last_name(call.func) != "add_argument" or default is None or not _is_literal(default):
            continue
        options = [each.value for each in call.args if isinstance(each, ast.Constant)]
        for option in options:
            name = str(option).lstrip("-").replace("-", "_")
            found |= {f"{space}.{name}": ast.unparse(default) for space in spaces}
    return _defaults(tree) | found


def _parsed_arguments(tree: ast.Module) -> Iterator[str]:
    """What the arguments of the command line are called."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
            continue
        if _last_name(node.value.func) == "parse_args":
            yield from (each.id for each in node.targets if isinstance(each, ast.Name))


def _defaults(tree: ast.Module) -> dict[str, str]:
    """The defaults of functions' parameters, where all that have the name agree."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        named = node.args.args
        for each, default in zip(reversed(named), reversed(node.args.defaults), strict=False):
            found.setdefault(each.arg, set()).add(ast.unparse(default))
            if not _is_literal(default):
                found[each.arg].add("")  # unknown
    return {name: texts.pop() for name, texts in found.items() if len(texts) == 1}


def _runs(tree: ast.Module) -> int | None:
    """The first line at which an import would do more than define: a loop, or a call of its own."""
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.For | ast.While):
            return node.lineno
        if isinstance(node, ast.Expr | ast.Assign) and any(
            _last_name(call.func) in functions | {"parse_args"} for call in _calls(node)
        ):
            return node.lineno
    return None


def _model_classes(sources: list[Source]) -> dict[str, tuple[Source, bool, ast.ClassDef]]:
    """The classes that are models, by name: where, and whether they are Lightning's."""
    classes = {
        node.name: (source, node)
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef)
    }
    found: dict[str, tuple[Source, bool, ast.ClassDef]] = {}

    def kind(name: str, depth: int = 0) -> str | None:
        if name in MODULE_BASES:
            return name
        if name not in classes or depth > 8:
            return None
        bases = (_last_name(base) for base in classes[name][1].bases)
        return next((known for base in bases if (known := kind(base, depth + 1))), None)

    for name, (source, node) in classes.items():
        known = kind(name)
        if known is not None:
            found[name] = source, known == "LightningModule", node
    return found


def _model(
    sources: list[Source], classes: dict[str, tuple[Source, bool, ast.ClassDef]]
) -> tuple[Definition | None, bool]:
    """A function that builds the model, else the class that is no part of another one."""
    for source in sources:
        for node in source.tree.body:
            if isinstance(node, ast.FunctionDef) and _BUILDER.fullmatch(node.name):
                return _definition(node.name, source, node, node, sources), True
    parts = {
        _last_name(call.func)
        for _, _, node in classes.values()
        for call in _calls(node)
        if _last_name(call.func) != node.name
    }
    whole = [name for name in classes if name not in parts] or list(classes)
    made = [name for name in whole if _call_of(name, sources) is not None] or whole
    if not made:
        return None, False
    name = made[-1]
    source, _, node = classes[name]
    init = next(
        (
            each
            for each in node.body
            if isinstance(each, ast.FunctionDef) and each.name == "__init__"
        ),
        None,
    )
    return _definition(name, source, node, init, sources), False


def _loaders(sources: list[Source]) -> Definition | None:
    found: list[Definition] = []
    for source in sources:
        for node in source.tree.body:
            if not isinstance(node, ast.FunctionDef) or not _LOADERS.fullmatch(node.name):
                continue
            if any(_last_name(call.func) == "DataLoader" for call in _calls(node)):
                found.append(_definition(node.name, source, node, node, sources))
    return max(found, key=lambda each: (each.returns, -len(each.required)), default=None)


def _definition(
    name: str,
    source: Source,
    node: ast.stmt,
    signature: ast.FunctionDef | None,
    sources: list[Source],
) -> Definition:
    required: tuple[str, ...] = ()
    returns = 1
    if signature is not None:
        names = [each.arg for each in signature.args.args if each.arg not in ("self", "cls")]
        required = tuple(names[: len(names) - len(signature.args.defaults)])
        required += tuple(
            each.arg
            for each, default in zip(
                signature.args.kwonlyargs, signature.args.kw_defaults, strict=True
            )
            if default is None
        )
        for each in ast.walk(signature):
            if isinstance(each, ast.Return) and isinstance(each.value, ast.Tuple):
                returns = len(each.value.elts)
    return Definition(name, source, node.lineno, required, _call_of(name, sources), returns)


def _call_of(name: str, sources: list[Source]) -> Call | None:
    """A call of a function or class; the one that tells the most of its arguments."""
    found = [
        _call(call, source)
        for source in sources
        for call in _calls(source.tree)
        if _last_name(call.func) == name
    ]
    return min(found, key=lambda call: len(call.unknown), default=None)


def _call(call: ast.Call, source: Source) -> Call:
    arguments: list[str] = []
    unknown: list[str] = []
    for name, value in [(None, each) for each in call.args] + [
        (word.arg, word.value) for word in call.keywords if word.arg is not None
    ]:
        text, known = _resolved(value, source)
        written = text if name is None else f"{name}={text}"
        arguments.append(written)
        if not known:
            unknown.append(written)
    return Call(tuple(arguments), tuple(unknown), call.lineno)


def _resolved(value: ast.expr, source: Source) -> tuple[str, bool]:
    text = ast.unparse(value)
    if _is_literal(value):
        return text, True
    text = re.sub(r"^(opt|opts|cfg|config|flags|hparams)\.", "args.", text)
    return source.constants.get(text, ast.unparse(value)), text in source.constants


def _loss(sources: list[Source]) -> tuple[str, Source, int] | None:
    functional: tuple[str, Source, int] | None = None
    for source in sources:
        for call in _calls(source.tree):
            name, owner = _last_name(call.func), _owner(call.func)
            if name.endswith("Loss") and owner in ("nn", "torch.nn"):
                made = _call(call, source)
                return f"nn.{name}({', '.join(_known(made))})", source, call.lineno
            if owner in ("F", "nn.functional", "torch.nn.functional") and (
                name.endswith("_loss") or "cross_entropy" in name
            ):
                functional = functional or (f"nn.functional.{name}", source, call.lineno)
    return functional


def _optimizer(sources: list[Source]) -> tuple[str, Source, int] | None:
    for source in sources:
        for call in _calls(source.tree):
            if _owner(call.func) not in ("torch.optim", "optim") or not call.args:
                continue
            name = _last_name(call.func)
            if name[:1].isupper():
                made = _call(
                    ast.Call(call.func, call.args[1:], call.keywords, lineno=call.lineno), source
                )
                text = ", ".join(["params", *_known(made)])
                return f"torch.optim.{name}({text})", source, call.lineno
    return None


def _known(call: Call) -> list[str]:
    """The arguments whose values are known."""
    return [each for each in call.arguments if each not in call.unknown]


def _num_classes(sources: list[Source]) -> str | None:
    for source in sources:
        for name, value in source.constants.items():
            if name.removeprefix("args.").lower() in CLASS_COUNTS:
                return value
        for call in _calls(source.tree):
            for word in call.keywords:
                if word.arg in CLASS_COUNTS and _is_literal(word.value):
                    return ast.unparse(word.value)
    return None


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (each for each in ast.walk(node) if isinstance(each, ast.Call))


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _last_name(node: ast.expr) -> str:
    return (
        node.attr
        if isinstance(node, ast.Attribute)
        else node.id
        if isinstance(node, ast.Name)
        else ""
    )


def _owner(node: ast.expr) -> str:
    return ast.unparse(node.value) if isinstance(node, ast.Attribute) else ""
