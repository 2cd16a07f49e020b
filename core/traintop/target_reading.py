"""What a target offers, read from its source: nothing of the user's is imported or run."""

from __future__ import annotations

import ast
from pathlib import Path

_MOST_BYTES = 1 << 20
_CLASS = "Target"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def target_fields(spec: str) -> frozenset[str] | None:
    """Return the fields that a target gives to its `Target`.

    Calls of functions of the same file are followed.

    Args:
        spec: `FILE.py:FUNCTION`, or `package.module:FUNCTION`, whose file is not looked for.

    Returns:
        The names, those of `None` left out; None where the source does not tell.
    """
    where, _, name = spec.rpartition(":")
    if not where.endswith(".py"):
        return None
    try:
        path = Path(where)
        if path.stat().st_size > _MOST_BYTES:
            return None
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None  # What is wrong with it is said by the process that runs it.
    functions = {
        each.name: each
        for each in tree.body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    calls = _target_calls(name, functions, _names_of_target(tree), set())
    if not calls:
        return None
    fields: set[str] = set()
    for call in calls:
        for keyword in call.keywords:
            if keyword.arg is None:
                return None  # Target(**something)
            if not (isinstance(keyword.value, ast.Constant) and keyword.value.value is None):
                fields.add(keyword.arg)
    return frozenset(fields)


def _names_of_target(tree: ast.Module) -> set[str]:
    """What `Target` is called in the file."""
    return {_CLASS} | {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == _CLASS and alias.asname
    }


def _target_calls(
    name: str, functions: dict[str, Function], classes: set[str], seen: set[str]
) -> list[ast.Call]:
    """The calls that make a `Target` in a function, or in those that it calls."""
    if name not in functions or name in seen:
        return []
    seen.add(name)
    found: list[ast.Call] = []
    for node in ast.walk(functions[name]):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if (isinstance(called, ast.Attribute) and called.attr == _CLASS) or (
            isinstance(called, ast.Name) and called.id in classes
        ):
            found.append(node)
        elif isinstance(called, ast.Name):
            found += _target_calls(called.id, functions, classes, seen)
    return found
