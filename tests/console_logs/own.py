"""Logs as people print them in loops of their own."""

from __future__ import annotations

from console_logs.log import Expected, log, rep


@log
def hand_written() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(1, 21):
        lines.append(
            f"Epoch {e}/20, Train Loss: {1.2 / e:.4f}, Val Loss: {1.3 / e:.4f}, Val Acc: {50 + e:.2f}%"
        )
    return lines, {"Train Loss": (20, 20), "Val Loss": (20, 20), "Val Acc": (20, 20)}


@log
def hand_written2() -> tuple[list[str], Expected]:
    lines = ["Using device: cuda", "lr: 0.001", "batch_size: 32"]
    for e in range(10):
        lines += [
            f"Epoch {e}",
            "-" * 10,
            f"train Loss: {0.9 / (e + 1):.4f} Acc: 0.5123",
            f"val Loss: {0.8 / (e + 1):.4f} Acc: 0.6123",
            "",
        ]
    lines.append("Training complete in 1m 23s")
    lines.append("Best val Acc: 0.612300")
    return lines, {"train Loss": (10, 9), "val Acc": (10, 9)}


@log
def two_runs() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for r in range(2):
        lines.append("lr: 0.01")
        for i in range(0, 500, 10):
            lines.append(f"step={i} loss={2 - i / 1000 + r / 10:.3f} lr=0.01")
    return lines, {"loss": (100, 490)}


@log
def ranks() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for i in range(0, 300, 10):
        for r in range(4):
            lines.append(f"[rank{r}]: step {i} loss {2 - i / 1000:.3f}")
    return lines, {"loss": (30, 290)}


@log
def simple_json() -> tuple[list[str], Expected]:
    return rep(
        30,
        lambda i: (
            f'{{"level":"info","msg":"train","step":{i * 10},"loss":{2 - i / 100:.3f},"lr":0.001}}'
        ),
    ), {"loss": (30, 290)}


@log
def loss_only() -> tuple[list[str], Expected]:
    return rep(30, lambda i: f"loss: {2 - i / 100:.4f}"), {"loss": (30, 29)}


@log
def pl_csvish() -> tuple[list[str], Expected]:
    return ["Epoch  train_loss  val_loss  val_acc"] + rep(
        10, lambda i: f"{i + 1:5d}  {1.2 - i / 10:.4f}  {1.3 - i / 10:.4f}  {50 + i:.2f}%"
    ), {"train_loss": (10, 10), "val_acc": (10, 10)}


@log
def mm_ss() -> tuple[list[str], Expected]:
    return rep(
        20,
        lambda i: (
            f"[Epoch {i + 1:3d}/200] [time: 12.3s] [lr: 0.1] | train: loss={1.2 - i / 100:.3f} acc={50 + i:.1f} | test: loss={1.3 - i / 100:.3f} acc={49 + i:.1f} | best: 50.1"
        ),
    ), {"train/loss": (20, 20), "test/loss": (20, 20), "test/acc": (20, 20)}


@log
def units_mix() -> tuple[list[str], Expected]:
    return rep(
        20,
        lambda i: (
            f"step {i} loss {2 - i / 100:.3f} time {950 + i}ms mem 1.2GiB"
            if i < 10
            else f"step {i} loss {2 - i / 100:.3f} time {1.0 + i / 100:.2f}s mem 900MiB"
        ),
    ), {"time": (20, 19), "mem": (20, 19)}


@log
def crash_tail() -> tuple[list[str], Expected]:
    return rep(20, lambda i: f"step {i}: loss={2 - i / 100:.3f}") + [
        "Traceback (most recent call last):",
        '  File "train.py", line 12, in <module>',
        "    loss.backward()",
        "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 15.90 GiB total capacity; 14.1 GiB already allocated; 0 bytes free)",
    ], {"loss": (20, 19)}


@log
def best_lines() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(1, 11):
        lines += [
            f"Epoch {e}: loss {1.0 / e:.3f} acc {50 + e}.0",
            f"=> best epoch 3 acc 53.0, saved checkpoint to model_epoch_{e}.pt",
        ]
    return lines, {"loss": (10, 10), "acc": (10, 10)}


@log
def glue_run() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for i in range(10, 101, 10):
        lines.append(f"INFO:root:step {i}\tloss 0.5{i}\tlr 1e-4")
    lines += [
        "***** eval metrics *****",
        "  epoch                   =        3.0",
        "  eval_accuracy           =     0.8456",
        "  eval_loss               =     0.4",
        "  eval_runtime            = 0:00:03.21",
    ]
    return lines, {"loss": (10, 100), "val:eval_accuracy": (1, 100)}


@log
def jax_step() -> tuple[list[str], Expected]:
    return [f"Step {i}: loss = {2.3 - i / 1000:.4f}, lr = 0.001" for i in range(0, 3000, 100)], {
        "loss": (30, 2900)
    }


@log
def rl_episode() -> tuple[list[str], Expected]:
    return [
        f"Episode {i} | reward: {3.0 + i / 10:.1f} | length: 200 | epsilon: 0.95" for i in range(30)
    ], {"reward": (30, 29), "length": (30, 29)}


@log
def alphabet_soup() -> tuple[list[str], Expected]:
    return rep(
        20,
        lambda i: (
            f"Epoch: {i + 1:02} | Epoch Time: 0m {30 + i}s\n\tTrain Loss: {1.2 - i / 100:.3f} | Train PPL: {3.3 - i / 100:7.3f}\n\t Val. Loss: {1.3 - i / 100:.3f} |  Val. PPL: 3.600"
        ),
    ), {"Train Loss": (20, 20), "Val. Loss": (20, 20)}


@log
def robust() -> tuple[list[str], Expected]:
    lines = [
        "[2020/01/15 10:00:00] - Namespace(attack='pgd', lr_max=0.1, epochs=200, fgsm_init='random', norm='l_inf')",
        "[2020/01/15 10:00:01] - Epoch \t Train Time \t Test Time \t LR \t \t Train Loss \t Train Acc \t Train Robust Loss \t Test Loss \t Test Acc",
    ]
    for e in range(12):
        lines.append(
            f"[2020/01/15 10:0{e % 10}:05] - {e} \t {170.1:.1f} \t \t {20.2:.1f} \t \t {0.1:.4f} \t {1.9 - e / 10:.4f} \t {0.3:.4f} \t {2.0:.4f} \t {1.5:.4f} \t {0.45:.4f}"
        )
    return lines, {"Train Loss": (12, 11), "Test Acc": (12, 11), "LR": (12, 11)}


@log
def paddle() -> tuple[list[str], Expected]:
    return [
        f"[2023-05-01 10:00:00,123] [    INFO] - global step {i}, epoch: 1, batch: {i}, loss: {0.9 - i / 1000:.5f}, accu: 0.5, speed: 2.1 step/s"
        for i in range(10, 301, 10)
    ], {"loss": (30, 300), "speed": (30, 300)}
