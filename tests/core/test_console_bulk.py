from __future__ import annotations

import itertools

import pytest

from console_logs.read import points


def nanogpt(i: int) -> list[str]:
    lines = [f"iter {i}: loss {4 - i / 1e3:.4f}, time {900 + i:.2f}ms, mfu {30 - i / 70:.2f}%"]
    if i % 100 == 0:
        lines.insert(0, f"step {i}: train loss {4 - i / 1e3:.4f}, val loss {4.1 - i / 1e3:.4f}")
    return lines


def mmcv(i: int) -> list[str]:
    time = f"2020-10-{10 + i // 300} 21:{i % 60:02d}:07,618"
    place = f"Epoch [{i // 200 + 1}][{i % 200 + 1}/200]"
    values = f"lr: 1.978e-0{3 + i % 3}, eta: 7:{i % 60:02d}:55, loss: {2 - i / 1e3:.4f}"
    return [f"{time} - mmdet - INFO - {place}\t{values}"]


def titan(i: int) -> list[str]:
    time = "[rank0]:[titan] 2025-11-25 19:45:01,441 - root - INFO -"
    memory = f"memory: 1.21GiB({i % 7}.86%)  tps: {900 + i * 3:,}"
    return [f"{time} step: {i:3}  loss: {8 - i / 100:8.4f}  {memory}"]


LINES = {
    "nanogpt": nanogpt,
    "mmcv": mmcv,
    "titan": titan,
    "words with digits": lambda i: [f"step {i} layer{i % 2}: loss {1 / (i + 1):.4f} acc1 {i}.5"],
    "falls and runs": lambda i: [f"step={i % 251} loss={2 - i / 1e3:.3f} lr=1e-{i % 4 + 2:02d}"],
    "said again": lambda i: [
        f"it {i // 2 * 2}, loss {2 - i // 2 / 1e3:.3f}, reward {-i // 2 / 9:.2f}"
    ],
    "not a number": lambda i: [
        f"step {i} loss {'nan' if i % 97 == 5 else i / 7:.8} norm 0.{i:03d}"
    ],
    "broken": lambda i: [f"step {i}{'.5' * (i % 90 == 7)} loss {i / 7:.3f}{'.1' * (i % 50 == 3)}"],
    "two kinds": lambda i: (
        [f"iteration {i} | lm loss: {1 / (i + 1):.6E} |"] if i % 5 else ["saved"]
    ),
}


def text(name: str) -> list[str]:
    make = LINES[name]
    lines = (["lr: 0.1", "model: x"], *(make(i) for i in range(700)))
    return list(itertools.chain.from_iterable(lines))


@pytest.mark.parametrize("name", LINES)
def test_many_lines_at_once_are_read_as_one_by_one(name: str) -> None:
    lines = [f"{line}\n".encode() for line in text(name)]
    one_by_one = points(*lines)
    for size in (len(lines), 97):
        chunks = [b"".join(lines[at : at + size]) for at in range(0, len(lines), size)]
        found = points(*chunks)
        assert found[1] == one_by_one[1]
        assert found[0].keys() == one_by_one[0].keys()
        for series, values in one_by_one[0].items():
            assert repr(found[0][series]) == repr(values), series


def test_many_lines_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from traintop.sources.console.reader import ConsoleReader

    taken = 0
    take = ConsoleReader.take

    def counting(self: ConsoleReader, line: str, flat: str) -> int:
        nonlocal taken
        taken += 1
        return take(self, line, flat)

    monkeypatch.setattr(ConsoleReader, "take", counting)
    found, _ = points("\n".join(text("nanogpt")).encode())
    assert len(found["train", "loss"]) == 700
    assert taken < 300
