"""What the recorder costs a training step.

A transformer of about 10 M parameters is trained on the CPU, with one thread. Two trainers, one
with the recorder and one without, take turns by blocks of steps in one process, timed in CPU time,
so that a busy machine slows both. Reported is the median over pairs of blocks of their ratio (a
block holds a step at which the layers are measured), and beside it the share of the recorded
blocks' wall time that the recorder's own clock has counted.

    python bench/recorder_overhead.py [--blocks 6] [--steps 10] [--small]

`--small` trains a network whose step takes about 2 ms instead, where writing a line is what costs.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from torch import nn

from traintop import Recorder


class Block(nn.Module):
    """A transformer block with its attention written out, so that nothing is fused away."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attention and feed-forward, each with its residual; shape (batch, time, width)."""
        batch, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, length, width))
        fed: torch.Tensor = self.mlp(self.norm2(x))
        return x + fed


class Transformer(nn.Module):
    """A small language model; 12 blocks of width 256 have 9.8 M parameters in 149 tensors."""

    def __init__(self, vocabulary: int = 512, width: int = 256, blocks: int = 12) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.Sequential(*[Block(width, 8) for _ in range(blocks)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits; shape (batch, time, vocabulary)."""
        logits: torch.Tensor = self.head(self.norm(self.blocks(self.embedding(tokens))))
        return logits


class Trainer:
    """A plain loop over random tokens or features."""

    def __init__(self, small: bool) -> None:
        torch.manual_seed(0)
        self.small = small
        self.model: nn.Module
        if small:
            self.model = nn.Sequential(
                nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
            )
            self.inputs = torch.randn(512, 64)
            self.targets = torch.randint(0, 10, (512,))
        else:
            self.model = Transformer()
            self.inputs = torch.randint(0, 512, (8, 128))
            self.targets = torch.randint(0, 512, (8 * 128,))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)

    def step(self) -> torch.Tensor:
        """One training step, to its optimizer's."""
        logits = self.model(self.inputs).flatten(0, -2)
        loss = nn.functional.cross_entropy(logits, self.targets)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch's own gap
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss


def timed(trainer: Trainer, recorder: Recorder | None, steps: int) -> float:
    """Mean CPU seconds of a step and its record, over a block of steps."""
    start = time.process_time()
    for _ in range(steps):
        loss = trainer.step()
        if recorder is None:
            loss.item()  # what a plain loop logs
        else:
            recorder.step(loss=loss)
    return (time.process_time() - start) / steps


def own_seconds(recorder: Recorder, began: float) -> float:
    """Seconds that the recorder has counted as its own."""
    return recorder.overhead * (time.perf_counter() - began)


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--steps", type=int, default=10, help="of a block")
    parser.add_argument("--small", action="store_true", help="a step of about 2 ms")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plain, recorded = Trainer(arguments.small), Trainer(arguments.small)
    with tempfile.TemporaryDirectory() as directory:
        began = time.perf_counter()
        recorder = Recorder(recorded.model, recorded.optimizer, directory=directory, batch_size=8)
        timed(plain, None, 2)
        timed(recorded, recorder, 2 * arguments.steps)
        gc.disable()
        own_before = own_seconds(recorder, began)
        without: list[float] = []
        extra: list[float] = []
        wall = 0.0
        for block in range(arguments.blocks):
            spent: dict[bool, float] = {}
            for on in (False, True) if block % 2 else (True, False):
                start = time.perf_counter()
                trainer = recorded if on else plain
                spent[on] = timed(trainer, recorder if on else None, arguments.steps)
                wall += (time.perf_counter() - start) * on
            without.append(spent[False])
            extra.append(spent[True] - spent[False])
        own = own_seconds(recorder, began) - own_before
        recorder.close()
        written = sum(file.stat().st_size for file in Path(directory).iterdir())
    steps = arguments.blocks * arguments.steps
    ratios = [1 + more / base for more, base in zip(extra, without, strict=True)]
    report = {
        "parameters": sum(each.numel() for each in plain.model.parameters()),
        "tensors": len(list(plain.model.parameters())),
        "steps": steps,
        "step_ms": round(1e3 * median(without), 3),
        "ratio": round(median(ratios), 5),
        "ratios": [round(ratio, 4) for ratio in sorted(ratios)],
        "extra_ms": round(1e3 * median(extra), 4),
        "own_clock_share": round(own / wall, 5),
        "bytes_a_step": round(written / steps),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
