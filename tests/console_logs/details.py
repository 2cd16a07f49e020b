"""One log for each of the finer rules: what is a counter, what is said again, what is no metric."""

from __future__ import annotations

from console_logs.log import Expected, log, rep


@log
def best_iteration_said_again() -> tuple[list[str], Expected]:
    lines = rep(
        200, lambda i: f"[{i}]\ttrain-rmse:{1 / (i + 1):.5f}\teval-rmse:{1.1 / (i + 1):.5f}"
    )
    lines += ["Stopping. Best iteration:", lines[120]]
    return lines, {"train-rmse": (200, 199), "eval-rmse": (200, 199)}


@log
def dictionary_over_lines() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for i in range(0, 1000, 50):
        lines += [
            f"{{'eval_loss': {2 - i / 1000},",
            f" 'loss': {1.9 - i / 1000},",
            f" 'step': {i}}}",
        ]
    return lines, {"loss": (20, 950), "eval_loss": (20, 950)}


@log
def settings_are_none() -> tuple[list[str], Expected]:
    lines = ['{"lr": 0.0003, "epochs": 3, "warmup_ratio": 0.1}']
    lines += ["trainer: task=detect, epochs=60, patience=50, batch=16, lr0=0.01, momentum=0.937"]
    lines += rep(20, lambda i: f"Epoch {i + 1}/60 - loss: {2 - i / 100:.3f}")
    return lines, {"loss": (20, 20)}


@log
def value_behind_its_step() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for i in range(60):
        lines.append(f"Train loss {i} {30 / (i + 1):.6f} Grad Norm {2.1:.6f} 1.31s/it")
        if i % 20 == 19:
            lines.append(f"Validation loss {i}:  {31 / (i + 1):.6f}")
    return lines, {"Train loss": (60, 59), "Grad Norm": (60, 59), "Validation loss": (3, 59)}


@log
def step_in_a_sentence() -> tuple[list[str], Expected]:
    return rep(
        30,
        lambda i: f"After {100 + i * 100} iterations the training loss is {2 - i / 50:.4f}.",
    ), {"training loss": (30, 3000)}


@log
def episode_that_is_an_epoch() -> tuple[list[str], Expected]:
    lines = [
        f"[ep {e}/5 | it {i}] L={2 / e:.3f} acc={50 + e:.1f}%"
        for e in range(1, 6)
        for i in range(20, 401, 20)
    ]
    return lines, {"L": (100, 2000), "acc": (100, 2000)}


@log
def bar_over_all_epochs() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(4):
        lines.append(f"epoch {e + 1}/4")
        for i in range(e * 50 + 1, e * 50 + 51):
            bar = (
                f"steps: {i // 2:3d}%|##   | {i}/200 [01:00<02:00, 1.66it/s, avr_loss={1 / i:.4f}]"
            )
            lines.append(bar)
    return lines, {"avr_loss": (200, 200)}


@log
def evaluation_with_the_same_counter() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(1, 4):
        lines.append(f"Epoch {e}/3")
        lines += [
            f"step {i:3d}/100 - loss: {2 / e + 1 / i:.4f} - 33ms/step" for i in range(10, 101, 10)
        ]
        lines += ["Eval begin...", f"step 20/20 - loss: {2.1 / e:.4f} - 12ms/step"]
    return lines, {"loss": (30, 300), "val:loss": (3, 300)}


@log
def epochs_announced_before_epoch_0() -> tuple[list[str], Expected]:
    lines = ["Scheduled epochs: 3. LR stepped per epoch."]
    lines += [
        f"Train: {e} [{i:>4d}/100 ({i:>3.0f}%)]  Loss: {2 - e / 10:#.3g} ({2:#.3g})  LR: 1.000e-03"
        for e in range(3)
        for i in range(0, 100, 10)
    ]
    return lines, {"Loss": (30, 290), "LR": (30, 290)}


@log
def program_lines() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for i in range(1, 21):
        lines.append(
            f"[node7] 2024-01-01 12:00:00,123 (trainer:737) INFO: {i}epoch:train:1-100batch: "
            f"loss_ctc={2 / i:.3f}, loss={3 / i:.3f}, optim0_lr0=1.0e-03"
        )
    return lines, {"loss": (20, 2000), "loss_ctc": (20, 2000)}


@log
def numbers_in_names() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for i in range(1, 21):
        lines += [
            f"[step={i}/2000]",
            f"    train/loss={2 / i:.4g}",
            "    optim/learning_rate_group0=0.0003",
            "    optim/LR (group 1)=0.0003",
            f"    accuracy_top-5: {90 + i / 20:.4f}",
        ]
    found = ("train/loss", "optim/learning_rate_group0", "optim/LR (group 1)", "accuracy_top-5")
    return lines, dict.fromkeys(found, (20, 20))


@log
def other_languages() -> tuple[list[str], Expected]:
    return rep(
        20,
        lambda i: (
            f"【第{i + 1}轮】训练损失:{2 - i / 20:.4f} 验证损失:{2.1 - i / 20:.4f} 学习率:0.001"
        ),
    ), {"训练损失": (20, 20), "验证损失": (20, 20), "学习率": (20, 20)}


@log
def names_before_pictures() -> tuple[list[str], Expected]:
    return rep(
        20, lambda i: f"🚀 Epoch {i + 1:03d} ▶ loss 📉 {2 - i / 20:.4f} ▶ acc 🎯 {i / 20:.3f}"
    ), {"loss": (20, 20), "acc": (20, 20)}


@log
def step_before_a_list() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for i in range(1, 31):
        lines += [
            f"v3 Region {layer} Avg (IOU: 0.51), count: 20, class_loss = {2 / i:.4f}"
            for layer in (139, 150, 161)
        ]
        lines.append(f" {i}: {9 / i:.6f}, {8 / i:.6f} avg loss, 0.001 rate, 3.2 seconds, 64 images")
    return lines, {"avg loss": (30, 30)}


@log
def trials_of_a_search() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for i in range(1, 16):
        lines += [
            "+--------------+----------+----------------+------+--------+",
            "| Trial name   | status   | loc            | iter | loss   |",
            "|--------------+----------+----------------+------+--------|",
            f"| t_abc_00000  | RUNNING  | 10.0.0.1:12345 | {i:4d} | {2 / i:.4f} |",
            "+--------------+----------+----------------+------+--------+",
            "",
        ]
    return lines, {"loss": (15, 15)}


@log
def means_of_an_epoch_beside_its_steps() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(1, 4):
        lines += [
            f"train_inner | epoch {e:03d}: {i} / 100 loss={9 / (e * 100 + i):.5f}, "
            f"num_updates={e * 100 - 100 + i}, lr=0.001"
            for i in range(10, 101, 10)
        ]
        lines.append(f"train | epoch {e:03d} | loss {8 / e:.3f} | num_updates {e * 100} | lr 0.001")
    return lines, {"loss": (30, 300), "lr": (30, 300)}


@log
def epoch_and_step_before_bars() -> tuple[list[str], Expected]:
    lines = [
        f"{e}|{(e - 1) * 20 + i}|Loss: {2 / i:.4f}: {i * 5:3d}%|#  | {i}/20 [00:01<00:09, 1.01s/it]"
        for e in (1, 2)
        for i in range(1, 21)
    ]
    return ["epochs: 2", "optimizer:", "  lr: 0.0003", *lines], {"Loss": (40, 40)}


@log
def columns_in_groups() -> tuple[list[str], Expected]:
    lines = ["ep  | train_loss val_loss | train_acc val_acc", "-" * 44]
    lines += rep(20, lambda i: f"{i:3d} | {2 - i / 20:.4f} {2.1 - i / 20:.4f} | 0.5123 0.4123")
    return lines, {"train_loss": (20, 19), "val_loss": (20, 19), "val_acc": (20, 19)}


@log
def bare_step_before_brackets() -> tuple[list[str], Expected]:
    return rep(
        20, lambda i: f"{i * 100} [D loss: {2 - i / 20:f}, acc.: {50 + i:.2f}%] [G loss: {1 + i:f}]"
    ), {"D loss": (20, 1900), "G loss": (20, 1900)}


@log
def part_named_behind_the_first_value() -> tuple[list[str], Expected]:
    return rep(
        20,
        lambda i: (
            f"iter {i} step {i} | loss train: {2 - i / 20:.3f}, "
            f"val: {'n/a' if i < 10 else '2.100'} | iter time: 412.12 ms"
        ),
    ), {"loss train": (20, 19)}


@log
def ranges_with_blanks() -> tuple[list[str], Expected]:
    lines = [
        f" Epoch[{e:2d} of 3]-Minibatch[{i - 99:4d}-{i:4d}, {i / 5:.2f}%]: Loss = {2 / e:.4f} * 6400"
        for e in (1, 2, 3)
        for i in range(100, 501, 100)
    ]
    return lines, {"Loss": (15, 1500)}


@log
def times_in_brackets_before_the_file() -> tuple[list[str], Expected]:
    lines = [
        f"[2021-04-13 12:00:{i:02d} swin_tiny](main.py 187): INFO Train: [{e}/300][{i}/50]\t"
        f"eta 1:00:01 lr 0.000001\tloss {6 - e - i / 50:.4f} (6.1000)\tmem 1002MB"
        for e in range(3)
        for i in range(0, 50, 10)
    ]
    return lines, {"loss": (15, 140), "lr": (15, 140)}


@log
def counts_of_passes() -> tuple[list[str], Expected]:
    return rep(
        20,
        lambda i: f"Progress on:train {i * 10}it/500it rate:2.3it/s postfix:loss={2 - i / 20:.4f}",
    ), {"loss": (20, 190)}


@log
def bare_numbers_that_are_steps() -> tuple[list[str], Expected]:
    return rep(20, lambda i: f"{i + 1}: loss {2 - i / 20:.3f} acc {i / 20:.3f}"), {
        "loss": (20, 20),
        "acc": (20, 20),
    }


@log
def bare_numbers_that_are_ranks() -> tuple[list[str], Expected]:
    lines = [f"{rank}: \tcrop_pct: 0.875" for rank in (0, 1)]
    for i in range(20):
        lines += [f"{rank}: step {i} loss {2 - i / 20:.3f}" for rank in (0, 1)]
    return lines, {"loss": (20, 19)}


@log
def block_behind_ranks() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for i in range(1, 21):
        lines += [f"0: [step={i}/2000]", f"0:     train/loss={2 / i:.4g}", "0:     optim/lr=0.0003"]
    return lines, {"train/loss": (20, 20), "optim/lr": (20, 20)}


@log
def tables_behind_times_and_ranks_of_mpi() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for i in range(1, 21):
        lines += [
            "-" * 40,
            "| rollout/           |          |",
            f"|    ep_rew_mean     | {20 + i}       |",
            "| time/              |          |",
            f"|    total_timesteps | {2048 * i:<8} |",
            "-" * 40,
        ]
    marked = [f"[1,0]<stdout>:2024-03-01T09:30:00.123Z {line}" for line in lines]
    return marked, {"rollout/ep_rew_mean": (20, 40960)}
