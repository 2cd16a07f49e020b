"""What a target offers is read from its source, which is never run."""

from __future__ import annotations

from pathlib import Path

import pytest

from traintop import demo
from traintop.target_reading import target_fields

HEAD = "from traintop import Target\nraise SystemExit('this must not run')\n"


@pytest.mark.parametrize(
    ("source", "fields"),
    [
        ("def target():\n    return Target(model=m, train=t, val=None)", {"model", "train"}),
        ("def target():\n    return traintop.Target(model=m)", {"model"}),
        ("from traintop import Target as T\ndef target():\n    return T(model=m)", {"model"}),
        ("def target():\n    return make(1)\ndef make(n):\n    return Target(model=n)", {"model"}),
        ("def target():\n    made = Target(model=m, loss=f)\n    return made", {"model", "loss"}),
        (
            "def target():\n    if a:\n        return Target(model=m)\n    return Target(val=v)",
            {"model", "val"},
        ),
        ("def target():\n    return Target(**fields)", None),
        ("def target():\n    return somewhere.make()", None),
        ("def target():\n    return target()", None),
        ("def other():\n    return Target(model=m)", None),
        ("def target(:", None),
        ("\0", None),
    ],
)
def test_fields(tmp_path: Path, source: str, fields: set[str] | None) -> None:
    file = tmp_path / "train.py"
    file.write_text(HEAD + source + "\n")
    assert target_fields(f"{file}:target") == fields


@pytest.mark.parametrize("spec", ["gone.py:target", "package.module:target", "x", ":", "a.py:"])
def test_what_cannot_be_read_is_not_known(spec: str) -> None:
    assert target_fields(spec) is None


def test_the_demo_s_own_target() -> None:
    file = Path(demo.__file__).with_name("target.py")
    assert target_fields(f"{file}:target_leaky") == {"model", "train", "val", "loss", "optimizer"}
