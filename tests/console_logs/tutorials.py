"""Logs of tutorials and examples, which many a loop was written after."""

from __future__ import annotations

from console_logs.log import Expected, log


@log
def yunjey() -> tuple[list[str], Expected]:
    return [
        f"Epoch [{e}/5], Step [{i}/600], Loss: {2 / (e * i):.4f}"
        for e in (1, 2)
        for i in range(100, 601, 100)
    ], {"Loss": (12, 1200)}


@log
def yunjey2() -> tuple[list[str], Expected]:
    return [
        f"Epoch [{e}/5], Step [{i}/600] Loss: {2 / (e * i):.4f} lr: 0.1"
        for e in (1, 2)
        for i in range(100, 601, 100)
    ] + ["Test Accuracy of the model on the 10000 test images: 97.5 %"], {"Loss": (12, 1200)}


@log
def superres() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in (1, 2):
        lines += [f"===> Epoch[{e}]({i}/100): Loss: {1 / i / e:.4f}" for i in range(1, 101, 10)] + [
            f"===> Epoch {e} Complete: Avg. Loss: 0.1{e}"
        ]
    return lines, {"Loss": (20, 191)}


@log
def vae() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in (1, 2):
        lines += [
            f"Train Epoch: {e} [{i * 128}/60000 ({100 * i // 469}%)]\tLoss: {550 / (i + 1):.6f}"
            for i in range(0, 469, 50)
        ] + [f"====> Epoch: {e} Average loss: 165.1{e}", f"====> Test set loss: 127.{e}"]
    return lines, {
        "Loss": (20, 60000 + 450 * 128),
        "Average loss": (2, None),
        "Test set loss": (2, None),
    }


@log
def ffjord() -> tuple[list[str], Expected]:
    return [
        f"Iter {i:04d} | Time 0.51(0.50) | Bit/dim {3.5 - i / 1000:.4f}(3.6) | Steps 50(51.00)"
        for i in range(0, 300, 10)
    ], {"Bit/dim": (30, 290)}


@log
def equals() -> tuple[list[str], Expected]:
    return [
        f"epoch = {e}, train_loss = {1 / e:.4f}, test_acc = {50 + e}.1%" for e in range(1, 11)
    ], {"train_loss": (10, 10), "test_acc": (10, 10)}


@log
def hf_newlines() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for n in range(1, 101):
        lines.append(f" {n}%|█         | {n}/100 [00:10<00:20,  9.9it/s]")
        if n % 10 == 0:
            lines += [
                "                                               ",
                f"{{'loss': {2 - n / 100:.4f}, 'grad_norm': 1.2, 'learning_rate': 1e-05, 'epoch': {n / 50:.2f}}}",
                f" {n}%|█         | {n}/100 [00:10<00:20,  9.9it/s]",
            ]
    return lines, {"loss": (10, 100)}


@log
def logdict() -> tuple[list[str], Expected]:
    return [
        f"2023-01-01 10:00:00,123 - INFO - {{'step': {i}, 'loss': {2 - i / 100}, 'metrics': {{'acc': 0.{i}, 'f1': 0.5}}}}"
        for i in range(10, 31)
    ], {"loss": (21, 30), "metrics/acc": (21, 30)}


@log
def wide_epoch() -> tuple[list[str], Expected]:
    return [
        f"Epoch {e:>3} | train: loss {1 / e:.4f}, acc {50 + e}% | valid: loss {1.1 / e:.4f}, acc {49 + e}% | 12.3s"
        for e in range(1, 11)
    ], {"train/loss": (10, 10), "val/loss": (10, 10)}


@log
def rllib_like() -> tuple[list[str], Expected]:
    return [
        f"iter: {i}, reward_mean: {i * 2.5}, len_mean: 200.0, ts: {i * 4000}" for i in range(1, 20)
    ], {"reward_mean": (19, 19)}


@log
def ep_return() -> tuple[list[str], Expected]:
    return [f"Ep {i:4d} | return {20 + i:8.2f} | len 200 | eps 0.95" for i in range(30)], {
        "return": (30, 29)
    }


@log
def negative() -> tuple[list[str], Expected]:
    return [f"step {i}: elbo={-100 + i:.2f} kl={i / 10:.2f} ll={-90.5}" for i in range(30)], {
        "elbo": (30, 29)
    }


@log
def transposed() -> tuple[list[str], Expected]:
    return [f"loss={2 - i / 100:.3f} acc={i / 100:.2f} step={i * 10}" for i in range(30)], {
        "loss": (30, 290),
        "acc": (30, 290),
    }


@log
def rich_bar() -> tuple[list[str], Expected]:
    return [
        "\r".join(
            f"Training: {i}%|{'#' * (i // 10)}| {i}/100 [00:0{i % 10}<00:05, 20.1it/s, Loss=0.{99 - i:02d}, Acc={i}.5]"
            for i in range(10, 101, 10)
        )
    ], {"Loss": (10, 100), "Acc": (10, 100)}


@log
def eval_between() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for i in range(0, 300, 10):
        lines.append(f"INFO:train:step={i} loss={2 - i / 1000:.3f}")
        if i % 100 == 90:
            lines.append(f"INFO:eval:val_loss={1.9 - i / 1000:.3f} val_acc=0.{i:03d}")
    return lines, {"loss": (30, 290), "val_loss": (3, 290)}
