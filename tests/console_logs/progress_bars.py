"""Logs of programs that draw progress bars, and of generative and small ones."""

from __future__ import annotations

from console_logs.log import Expected, log


@log
def keras_verbose2() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(1, 11):
        lines += [
            f"Epoch {e}/10",
            f"100/100 - 2s - 20ms/step - accuracy: {0.8 + e / 100:.4f} - loss: {0.5 - e / 100:.4f} - val_accuracy: 0.8100 - val_loss: 0.4500 - learning_rate: 0.0010",
        ]
    return lines, {"loss": (10, 10), "val_loss": (10, 10), "accuracy": (10, 10)}


@log
def keras_verbose1_old() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(1, 6):
        lines += [f"Epoch {e}/5"]
        s = ""
        for i in (10, 50, 100):
            bar = "=" * (i * 30 // 100) + ">" + "." * (29 - i * 30 // 100) if i < 100 else "=" * 30
            s += (
                f"\r{i:3d}/100 [{bar}] - "
                + (f"ETA: {1}s" if i < 100 else "2s 20ms/step")
                + f" - loss: {0.5 - e / 100:.4f} - accuracy: 0.8000"
            )
        s += f"\r100/100 [{'=' * 30}] - 2s 21ms/step - loss: {0.5 - e / 100:.4f} - accuracy: 0.8000 - val_loss: {0.4:.4f} - val_accuracy: 0.8100"
        lines.append(s)
    return lines, {"loss": (5, 500), "val_loss": (5, 500)}


@log
def lightning_bar() -> tuple[list[str], Expected]:
    lines = [
        "  | Name  | Type       | Params",
        "0 | model | Sequential | 1.2 M",
        "1.2 M     Trainable params",
        "4.800     Total estimated model params size (MB)",
    ]
    for e in range(3):
        s = ""
        for i in (0, 20, 40, 60, 80, 100):
            pl = f", v_num=0, train_loss={0.9 - i / 1000 - e / 10:.3f}" if i else ", v_num=0"
            s += f"\rEpoch {e}: {i:3d}%|{'█' * (i // 10)}{' ' * (10 - i // 10)}| {i}/100 [00:10<00:12,  4.30it/s{pl}]"
        s += f"\rEpoch {e}: 100%|██████████| 100/100 [00:10<00:00,  4.30it/s, v_num=0, train_loss={0.8 - e / 10:.3f}, val_loss=0.500]"
        lines.append(s)
    return lines, {"train_loss": (15, 300)}


@log
def rich_lightning() -> tuple[list[str], Expected]:
    return [
        "\n".join(
            f"Epoch {e}/4 ━━━━━━━━━━━━━━━━━━ {i}/100 0:00:10 • 0:00:00 9.50it/s v_num: 0.000 train_loss: {0.5 - i / 1000:.3f}"
            for i in (50, 100)
        )
        for e in range(4)
    ], {"train_loss": (8, 400)}


@log
def hf_trainer() -> tuple[list[str], Expected]:
    lines = [
        "***** Running training *****",
        "  Num examples = 8,000",
        "  Num Epochs = 3",
        "  Instantaneous batch size per device = 8",
        "  Total optimization steps = 300",
    ]
    s = ""
    for i in range(1, 301):
        s += f"\r {i * 100 // 300:2d}%|{'█' * (i // 30):10s}| {i}/300 [00:{i % 60:02d}<08:20,  1.98it/s]"
        if i % 10 == 0:
            lines.append(
                s
                + "\r"
                + " " * 80
                + "\r"
                + str(
                    {
                        "loss": round(2 - i / 200, 4),
                        "grad_norm": 1.5 if i != 20 else float("nan"),
                        "learning_rate": 2e-5 * (1 - i / 300),
                        "epoch": round(i / 100, 2),
                    }
                )
            )
            lines.append("")
            s = f"\r {i * 100 // 300:2d}%|{'█' * (i // 30):10s}| {i}/300 [00:{i % 60:02d}<08:20,  1.98it/s]"
        if i % 100 == 0:
            lines.append(
                s
                + "".join(
                    f"\r  {k * 10}%|█         | {k}/10 [00:00<00:01, 10it/s]\x1b[A"
                    for k in range(1, 11)
                )
                + "\r"
                + " " * 60
                + "\r"
                + str(
                    {
                        "eval_loss": 1.88,
                        "eval_runtime": 3.2,
                        "eval_samples_per_second": 100.1,
                        "eval_steps_per_second": 12.5,
                        "epoch": round(i / 100, 2),
                    }
                )
            )
            s = f"\r {i * 100 // 300:2d}%|{'█' * (i // 30):10s}| {i}/300 [00:{i % 60:02d}<08:20,  1.98it/s]"
    lines.append(
        s
        + "\r"
        + str(
            {
                "train_runtime": 100.1,
                "train_samples_per_second": 240.0,
                "train_steps_per_second": 3.0,
                "train_loss": 1.2,
                "epoch": 3.0,
            }
        )
    )
    return lines, {
        "loss": (30, 300),
        "grad_norm": (30, 300),
        "learning_rate": (30, 300),
        "eval_loss": (3, 300),
        "train_loss": (1, 300),
    }


@log
def hf_stdout_only() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for i in range(10, 301, 10):
        lines.append(
            str(
                {
                    "loss": f"{2 - i / 200:.4g}",
                    "grad_norm": f"{9.634:.4g}",
                    "learning_rate": f"{2e-5 * (1 - i / 300):.4g}",
                    "epoch": f"{i / 100:.4g}",
                }
            )
        )
    return lines, {"loss": (30, None), "grad_norm": (30, None)}


@log
def diffusers() -> tuple[list[str], Expected]:
    return [
        "\r".join(
            f"Steps: {i // 10:3d}%|{'█' * (i // 100):10s}| {i}/1000 [00:30<04:30,  3.30it/s, lr={1e-5}, step_loss={0.5 - i / 3000:.3g}]"
            for i in range(1, 301)
        )
    ], {"step_loss": (300, 300)}


@log
def tqdm_plain_epochs() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(3):
        lines.append(
            "\r".join(
                f"{i:3d}%|{'█' * (i // 10):10s}| {i}/100 [00:05<00:00, 85.11it/s, loss={0.5 - i / 1000 - e / 10:.3f}]"
                for i in range(20, 101, 20)
            )
        )
    return lines, {"loss": (15, 300)}


@log
def tqdm_epoch_desc() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(1, 4):
        lines.append(
            "\r".join(
                f"Epoch {e}/3: {i:3d}%|{'█' * (i // 10):10s}| {i}/100 [00:05<00:00, 85.11it/s, loss={0.5 - i / 1000 - e / 10:.3f}]"
                for i in range(20, 101, 20)
            )
        )
        lines.append(
            "\r".join(
                f"Validation: {i * 5:3d}%|{'█' * (i // 2):10s}| {i}/20 [00:05<00:00, 85.11it/s, loss={0.6 - e / 10:.3f}]"
                for i in range(5, 21, 5)
            )
        )
        lines.append(f"Epoch {e}: train_loss={0.5:.4f}, val_loss={0.4:.4f}")
    return lines, {"loss": (15, 300), "val:loss": (3, 300), "val_loss": (3, 300)}


@log
def tianshou() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(1, 4):
        lines.append(
            "\r".join(
                f"Epoch #{e}: {i}it [00:10, 950.1it/s, env_step={(e - 1) * 1000 + i}, len=200, loss={0.5 - i / 10000:.3f}, rew=20.00]"
                for i in (500, 1000)
            )
        )
        lines.append(
            f"Epoch #{e}: test_reward: {195 + e}.000000 ± 10.000000, best_reward: 199.000000 ± 2.1 in #{e}"
        )
    return lines, {"loss": (6, 3000), "test_reward": (3, 3000)}


@log
def cyclegan() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in (1, 2):
        for i in range(100, 1001, 100):
            lines.append(
                f"(epoch: {e}, iters: {i}, time: 0.512, data: 0.123) D_A: {0.3 - i / 10000:.3f} G_A: 0.512 cycle_A: 1.234 idt_A: 0.4 "
            )
        lines.append(f"End of epoch {e} / 200 \t Time Taken: 300 sec")
        lines.append("learning rate 0.0002000 -> 0.0002000")
    return lines, {"D_A": (20, 2000), "cycle_A": (20, 2000)}


@log
def dcgan() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(2):
        for i in range(0, 782, 50):
            lines.append(
                f"[{e}/25][{i}/782] Loss_D: {1.4 - i / 1000:.4f} Loss_G: 2.1234 D(x): 0.5123 D(G(z)): 0.4123 / 0.2123"
            )
    return lines, {"Loss_D": (32, 1532), "Loss_G": (32, 1532), "D(x)": (32, 1532)}


@log
def pytorch_gan() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(2):
        for i in range(0, 938, 100):
            lines.append(
                f"[Epoch {e}/200] [Batch {i}/938] [D loss: {0.69 - i / 10000:f}] [G loss: {0.7:f}]"
            )
    return lines, {"D loss": (20, 1838), "G loss": (20, 1838)}


@log
def ignite() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in (1, 2):
        for i in range(100, 939, 100):
            lines.append(f"Epoch[{e}] Iteration[{i}/938] Loss: {0.5 - i / 10000:.2f}")
        lines += [
            f"Training Results - Epoch: {e} Avg accuracy: 0.91 Avg loss: 0.31",
            f"Validation Results - Epoch: {e} Avg accuracy: 0.9{e} Avg loss: 0.30",
        ]
    return lines, {"Loss": (18, 1838), "val:Avg accuracy": (2, 1838)}
