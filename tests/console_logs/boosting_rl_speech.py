"""Logs of boosting, reinforcement learning, speech and of the models of graphs and words."""

from __future__ import annotations

from console_logs.log import Expected, log, rep


@log
def coqui() -> tuple[list[str], Expected]:
    lines = [" > EPOCH: 0/1000", " --> /out/run-1"]
    g = 1000000
    for e in range(2):
        lines += [
            f"\n\x1b[4m\x1b[1m > EPOCH: {e}/1000\x1b[0m",
            "\n\x1b[1m > TRAINING (2023-01-01 10:00:00) \x1b[0m",
        ]
        for i in range(4, 37, 5):
            g += 5
            lines += [
                "",
                f"\x1b[1m   --> STEP: {i}/36 -- GLOBAL_STEP: {g}\x1b[0m",
                f"     | > loss: {15.36 - i / 10:.5f}  (15.47000)",
                "     | > loss_mel: 12.1  (12.20000)",
                "     | > current_lr: 0.0001 ",
                "     | > step_time: 0.30  (0.40000)",
            ]
        lines += [
            "",
            "\x1b[1m > EVALUATION \x1b[0m\n",
            "\x1b[1m   --> STEP: 0\x1b[0m",
            "     | > loss: 14.1  (14.1)",
            "",
            "  \x1b[1m--> EVAL PERFORMANCE\x1b[0m",
            "     | > avg_loader_time:\x1b[92m 0.0067 \x1b[0m(-0.001)",
            f"     | > avg_loss:\x1b[91m {14.2 - e} \x1b[0m(+0.09751)",
        ]
    return lines, {"loss": (14, 1000070), "loss_avg": (14, 1000070), "val:avg_loss": (2, 1000070)}


@log
def k2() -> tuple[list[str], Expected]:
    lines: list[str] = []
    n = 0
    for e in (1, 2):
        for b in range(0, 500, 50):
            lines.append(
                f"2023-05-01 10:00:00,123 INFO [train.py:898] (0/4) Epoch {e}, batch {b}, global_batch_idx: {n}, batch size: 50, loss[loss={8.3 - n / 1000:.4f}, simple_loss=7.4, pruned_loss=8.1, over 12345.00 frames. ], tot_loss[loss={8.4 - n / 1000:.4f}, simple_loss=7.5, pruned_loss=8.2, over 123456.00 frames. ], batch size: 50, lr: 3.00e-03, grad_scale: 1.0"
            )
            n += 50
        lines.append(
            f"2023-05-01 10:00:00,123 INFO [train.py:932] (0/4) Epoch {e}, validation: loss={0.9:.4f}, simple_loss=0.9, pruned_loss=0.8, over 944034.00 frames. "
        )
    return lines, {
        "loss/loss": (20, 950),
        "tot_loss/loss": (20, 950),
        "lr": (20, 950),
        "val:loss": (2, 950),
    }


@log
def espnet() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in (1, 2):
        for b in range(1, 400, 50):
            lines.append(
                f"[gpu1] 2022-11-21 16:36:28,711 (trainer:732) INFO: {e}epoch:train:{b}-{b + 49}batch: iter_time=0.001, forward_time=0.15, loss_ctc={100 - b / 10:.3f}, loss_att=80.1, acc=0.1, loss={90 - b / 10:.3f}, backward_time=0.1, grad_norm=50.1, clip=100.000, loss_scale=1.000, optim_step_time=0.05, optim0_lr0=1.000e-05, train_time=1.2"
            )
        lines.append(
            f"[gpu1] 2022-11-21 16:36:28,711 (trainer:338) INFO: {e}epoch results: [train] iter_time=0.001, loss=85.2, acc=0.2, time=1 hour, 2 minutes, [valid] loss_ctc=70.1, loss=60.2, acc=0.3, time=30.1 seconds"
        )
    return lines, {"loss_ctc": (16, None)}


@log
def sb3() -> tuple[list[str], Expected]:
    lines = ["Using cuda device", "Wrapping the env with a `Monitor` wrapper"]
    for i in range(1, 11):
        lines += ["-" * 41] + [
            "| rollout/                |             |",
            f"|    ep_len_mean          | {22 + i:<11} |",
            f"|    ep_rew_mean          | {22 + i:<11} |",
            "| time/                   |             |",
            "|    fps                  | 1420        |",
            f"|    iterations           | {i:<11} |",
            f"|    time_elapsed         | {i:<11} |",
            f"|    total_timesteps      | {2048 * i:<11} |",
        ]
        if i > 1:
            lines += [
                "| train/                  |             |",
                "|    approx_kl            | 0.0085      |",
                f"|    loss                 | {-0.5 / i:<11.3g} |",
                "|    learning_rate        | 0.0003      |",
            ]
        lines += ["-" * 41]
    return lines, {
        "rollout/ep_rew_mean": (10, 20480),
        "train/loss": (9, 20480),
        "time/fps": (10, 20480),
    }


@log
def baselines() -> tuple[list[str], Expected]:
    lines = ["Logging to /tmp/openai-2018"]
    for i in range(1, 11):
        lines += [
            "-" * 36,
            f"| % time spent exploring  | {98 - i:<8} |",
            f"| episodes                | {100 * i:<8} |",
            f"| mean 100 episode reward | {20.5 + i:<8} |",
            f"| steps                   | {1993 * i:<8} |",
            "-" * 36,
        ]
    return lines, {"mean 100 episode reward": (10, 19930)}


@log
def xgboost() -> tuple[list[str], Expected]:
    return [
        f"[{i}]\ttrain-rmse:{0.5 / (i + 1):.5f}\tvalid-rmse:{0.6 / (i + 1):.5f}" for i in range(30)
    ], {"train-rmse": (30, 29), "valid-rmse": (30, 29)}


@log
def lightgbm() -> tuple[list[str], Expected]:
    return [
        "[LightGBM] [Info] Number of positive: 212, number of negative: 357",
        "Training until validation scores don't improve for 10 rounds",
    ] + [
        f"[{i}]\ttraining's binary_logloss: {0.5 / i:.6f}\tvalid_1's binary_logloss: {0.6 / i:.6f}"
        for i in range(10, 301, 10)
    ], {"training's binary_logloss": (30, 300), "valid_1's binary_logloss": (30, 300)}


@log
def catboost() -> tuple[list[str], Expected]:
    return [
        f"{i}:\tlearn: {0.69 - i / 100:.7f}\ttest: {0.68 - i / 100:.7f}\tbest: {0.68 - i / 100:.7f} ({i})\ttotal: {50 + i}ms\tremaining: {2}s"
        for i in range(30)
    ], {"learn": (30, 29), "test": (30, 29)}


@log
def sklearn_mlp() -> tuple[list[str], Expected]:
    return [f"Iteration {i}, loss = {2.3 / i:.8f}" for i in range(1, 31)], {"loss": (30, 30)}


@log
def sklearn_gbm() -> tuple[list[str], Expected]:
    return ["      Iter       Train Loss   Remaining Time "] + [
        f"{i:10d} {1.2 / i:16.4f} {2.5:15.2f}s"
        for i in list(range(1, 11)) + list(range(20, 101, 10))
    ], {"Train Loss": (19, 100)}


@log
def skorch() -> tuple[list[str], Expected]:
    return [
        "  epoch    train_loss    valid_acc    valid_loss     dur",
        "-------  ------------  -----------  ------------  ------",
    ] + [
        f"{e:7d}        {0.68 / e:.4f}       0.6000        0.6740  0.0312" for e in range(1, 21)
    ], {"train_loss": (20, 20), "valid_acc": (20, 20), "valid_loss": (20, 20)}


@log
def fastai() -> tuple[list[str], Expected]:
    return ["epoch     train_loss  valid_loss  accuracy  time    "] + [
        f"{e}         {0.9 / (e + 1):.6f}    0.310000    0.850000  00:1{e}     " for e in range(8)
    ], {"train_loss": (8, 7), "valid_loss": (8, 7), "accuracy": (8, 7)}


@log
def tf_estimator() -> tuple[list[str], Expected]:
    lines = ["INFO:tensorflow:Create CheckpointSaverHook.", "INFO:tensorflow:loss = 2.3, step = 1"]
    for i in range(1, 15):
        lines += [
            f"INFO:tensorflow:global_step/sec: {31.2 + i / 10}",
            f"INFO:tensorflow:loss = {2.3 - i / 10:.4f}, step = {i * 100 + 1} (3.205 sec)",
        ]
    return lines, {"loss": (15, 1401), "global_step/sec": (14, None)}


@log
def tf_od() -> tuple[list[str], Expected]:
    return rep(
        20,
        lambda i: (
            f"I0501 10:00:00.123456 140 learning.py:512] global step {i + 1}: loss = {2.3 - i / 100:.4f} (0.512 sec/step)"
        ),
    ), {"loss": (20, 20)}


@log
def flax() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in range(1, 6):
        lines += [
            f"I0501 10:00:00.123456 140123 train.py:100] train epoch: {e}, loss: {0.5 / e:.4f}, accuracy: 80.12",
            f"I0501 10:00:00.123456 140123 train.py:120] eval epoch: {e}, loss: {0.4 / e:.4f}, accuracy: 85.12",
        ]
    return lines, {"loss": (5, 5), "val:loss": (5, 5)}


@log
def pyg() -> tuple[list[str], Expected]:
    return rep(
        20,
        lambda i: (
            f"Epoch: {i + 1:03d}, Loss: {1.9 - i / 100:.4f}, Train: 0.9012, Val: 0.5{i:02d}, Test: 0.6"
        ),
    ), {"Loss": (20, 20), "Val": (20, 20)}


@log
def dgl() -> tuple[list[str], Expected]:
    return rep(
        20,
        lambda i: (
            f"Epoch {i:05d} | Loss {1.9450 - i / 100:.4f} | Train Acc {0.2:.4f} | Val Acc {0.3 + i / 100:.4f} "
        ),
    ), {"Loss": (20, 19), "Val Acc": (20, 19)}


@log
def spacy() -> tuple[list[str], Expected]:
    lines = [
        "ℹ Pipeline: ['tok2vec', 'ner']",
        "ℹ Initial learn rate: 0.001",
        "E    #       LOSS TOK2VEC  LOSS NER  ENTS_F  ENTS_P  ENTS_R  SCORE ",
        "---  ------  ------------  --------  ------  ------  ------  ------",
    ]
    for i in range(12):
        lines.append(
            f"{i // 4:3d}  {i * 200:6d}  {45.85 + i:12.2f}  {52.01:8.2f}  {i:6.2f}    0.00    0.00  {i / 100:6.2f}"
        )
    return lines, {"LOSS NER": (12, 2200), "ENTS_F": (12, 2200)}


@log
def flair() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in (1, 2):
        for i in range(10, 101, 10):
            lines.append(
                f"2021-01-01 10:00:00,123 epoch {e} - iter {i}/100 - loss {0.5 - i / 1000 - e / 10:.8f} - time (sec): 1.21 - samples/sec: 300.11 - lr: 0.100000"
            )
        lines += [
            "2021-01-01 10:00:00,123 " + "-" * 100,
            f"2021-01-01 10:00:00,123 EPOCH {e} done: loss {0.5:.4f} - lr: 0.1000000",
            f"2021-01-01 10:00:00,123 DEV : loss {0.3 - e / 10:.6f} - f1-score (micro avg)  0.9{e}",
        ]
    return lines, {"lr": (20, 200), "val:loss": (2, 200)}


@log
def mlagents() -> tuple[list[str], Expected]:
    return rep(
        15,
        lambda i: (
            f"[INFO] 3DBall. Step: {12000 * i + 12000}. Time Elapsed: {20.1 + i:.3f} s. Mean Reward: {1.2 + i:.3f}. Std of Reward: 0.712. Training."
        ),
    ), {"Mean Reward": (15, 180000)}


@log
def rsl_rl() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for i in range(12):
        lines += [
            "#" * 80,
            f"                      \x1b[1m Learning iteration {i}/1500 \x1b[0m                       ",
            "",
            f"                       Computation: {71234 + i} steps/s (collection: 1.051s, learning 0.329s)",
            f"               Value function loss: {0.0123 / (i + 1):.4f}",
            f"                    Surrogate loss: {-0.0045:.4f}",
            f"             Mean action noise std: {0.98:.2f}",
            f"                       Mean reward: {1.23 + i:.2f}",
            "-" * 80,
            f"                   Total timesteps: {98304 * (i + 1)}",
            "                    Iteration time: 1.38s",
            f"                        Total time: {1.38 * i:.2f}s",
            "                               ETA: 2070.1s",
            "",
        ]
    return lines, {"Mean reward": (12, 11), "Value function loss": (12, 11)}


@log
def cleanrl() -> tuple[list[str], Expected]:
    return rep(20, lambda i: f"global_step={100 * i + 25}, episodic_return={10.0 + i}"), {
        "episodic_return": (20, 1925)
    }
