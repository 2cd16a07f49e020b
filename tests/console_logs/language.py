"""Logs of programs that train language models."""

from __future__ import annotations

from console_logs.log import Expected, log, rep


@log
def nanogpt() -> tuple[list[str], Expected]:
    lines = [
        "tokens per iteration will be: 491,520",
        "number of parameters: 123.59M",
        "num decayed parameter tensors: 50, with 124,354,560 parameters",
        "using fused AdamW: True",
    ]
    for i in range(41):
        if i % 20 == 0:
            lines.append(f"step {i}: train loss {4 - i / 100:.4f}, val loss {4.1 - i / 100:.4f}")
        lines.append(
            f"iter {i}: loss {4 - i / 100:.4f}, time {1970.2:.2f}ms, mfu {-100.0 if i < 5 else 30.1:.2f}%"
        )
    return lines, {"loss": (41, 40), "train loss": (3, 40), "val loss": (3, 40)}


@log
def llmc_stdout() -> tuple[list[str], Expected]:
    lines = [
        "+-----------------------+----------------------------------------------------+",
        "| Parameter             | Value                                              |",
        "| train data pattern    | dev/data/fineweb10B/fineweb_train_*.bin            |",
        "| learning rate (LR)    | 6.000000e-04                                       |",
        "| val_loss_every        | 250 |",
        "val loss 11.009160",
    ]
    for i in range(1, 31):
        z = "(+nanz)" if i < 10 else f"({0.5:+.2f}z)"
        lines.append(
            f"step {i:4d}/19560 | loss {11 - i / 10:.6f} {z}| norm {15.1:.4f} {z}| lr {8.57e-7 * i:.2e} | {4688.25:.2f} ms | {28.8:.1f}% bf16 MFU | {111830} tok/s"
        )
        if i % 10 == 0:
            lines.append(f"val loss {10.5:.6f}")
    return lines, {"loss": (30, 30), "norm": (30, 30), "lr": (30, 30), "val loss": (3, 30)}


@log
def megatron() -> tuple[list[str], Expected]:
    lines = [
        "using world size: 8, data-parallel size: 8, context-parallel size: 1 tensor-model-parallel size: 1",
        "------------------------ arguments ------------------------",
        "  lr .............................................. 0.0003",
        "  train_iters ..................................... 500000",
        "time (ms) | model-and-optimizer-setup: 4967.59 | train/valid/test-data-iterators-setup: 9000.10",
    ]
    for i in range(10, 301, 10):
        loss = "" if i == 20 else f" lm loss: {11.9 / i:.6E} |"
        lines.append(
            f" [2025-05-27 15:23:07] iteration {i:8d}/   24000 | consumed samples: {i * 1024:12d} | elapsed time per iteration (ms): {271607.0 / i:.1f} | throughput per GPU (TFLOP/s/GPU): {40.4:.1f} | learning rate: {1.5e-6 * i:.6E} | global batch size: {1024:5d} |{loss} loss scale: {1.0:.1f} | grad norm: {5.96:.3f} | num zeros: {0.0:.1f} | params norm: {238.33:.3f} | number of skipped iterations: {0:3d} | number of nan iterations: {0:3d} |"
        )
        if i % 100 == 0:
            lines += [
                "(min, max) time across ranks (ms):",
                "    evaluate .......................................: (2000.10, 2001.1)",
                "-----------------------------------------------------------------------------------------------",
                f" validation loss at iteration {i} | lm loss value: {2.1:.6E} | lm loss PPL: {8.1:.6E} | ",
                "-----------------------------------------------------------------------------------------------",
            ]
    return lines, {
        "lm loss": (29, 300),
        "learning rate": (30, 300),
        "grad norm": (30, 300),
        "elapsed time per iteration (ms)": (30, 300),
        "val:lm loss value": (3, 300),
        "number of nan iterations": (30, 300),
    }


@log
def torchtitan() -> tuple[list[str], Expected]:
    lines = [
        "[rank0]:[titan] 2025-11-25 19:44:01,441 - root - INFO - Starting job: Llama 3 debug training",
        "[rank0]:[titan] 2025-11-25 19:44:11,441 - root - INFO - Model llama3 debugmodel size: 6,139,136 total parameters",
    ]
    for i in [1] + list(range(10, 201, 10)):
        lines.append(
            f"[rank0]:[titan] 2025-11-25 19:45:01,441 - root - INFO - \x1b[31mstep: {i:2}  \x1b[32mloss: {8.0277 - i / 100:7.4f}  \x1b[38;5;208mgrad_norm: {1.46:7.4f}  \x1b[33mmemory: {1.21:5.2f}GiB(0.86%)  \x1b[34mtps: {round(5756 * i / 2):,}  \x1b[36mtflops: {0.41:,.2f}  \x1b[35mmfu: {0.04:.2f}%\x1b[39m"
        )
    return lines, {
        "loss": (21, 200),
        "grad_norm": (21, 200),
        "memory": (21, 200),
        "tps": (21, 200),
        "mfu": (21, 200),
    }


@log
def nemo() -> tuple[list[str], Expected]:
    lines = [
        "[NeMo I 2024-10-01 10:00:00 megatron_init:314] Rank 0 has data parallel group : [0, 1]"
    ]
    n = 0
    for e in range(2):
        for i in range(0, 100, 3):
            v = "" if n < 50 else f" | val_loss: {1.51:.4}"
            lines.append(
                f"Training epoch {e}, iteration {i}/99 | lr: {4.8e-06:.4} | global_batch_size: 16 | global_step: {n} | reduced_train_loss: {1.436 + 1 / (n + 1):.4} | train_step_timing in s: {4.929:.4} | consumed_samples: {n * 16 + 16}{v}"
            )
            n += 3
    n -= 3
    return lines, {"reduced_train_loss": (68, n), "lr": (68, n), "train_step_timing in s": (68, n)}


@log
def composer() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for i in range(1, 31):
        lines += [
            f"[batch={i}/300]:",
            "\t Train time/epoch: 0",
            f"\t Train time/batch: {i - 1}",
            f"\t Train time/sample: {(i - 1) * 32}",
            f"\t Train loss/train/total: {11.97 - i / 10:.4f}",
            f"\t Train lr-DecoupledAdamW/group0: {1e-4 * i:.4f}",
        ]
        if i % 10 == 0:
            lines += [
                "[Eval batch=10/10] Eval on eval data:",
                f"\t Eval metrics/eval/LanguageCrossEntropy: {5.1:.4f}",
            ]
    return lines, {
        "Train loss/train/total": (30, 30),
        "val:Eval metrics/eval/LanguageCrossEntropy": (3, 30),
    }


@log
def olmo() -> tuple[list[str], Expected]:
    lines = ["2026-08-08 12:00:00 INFO [olmo_core.train.trainer:500] Training for 2,000 steps"]
    for i in list(range(1, 1200, 40)):
        lines += [
            f"2026-08-08 12:01:00 INFO [olmo_core.train.callbacks.console_logger:68] [step={i:,}/2,000,epoch=0,eta=5h11m]",
            f"    train/CE loss={6.2341 - i / 1000:.4g}",
            f"    train/PPL={511.9:.4g}",
            f"    optim/total grad norm={0.8:.4g}",
            f"    throughput/device/TPS={12345:,}",
        ]
    return lines, {
        "train/CE loss": (30, 1161),
        "train/PPL": (30, 1161),
        "throughput/device/TPS": (30, 1161),
    }


@log
def torchtune() -> tuple[list[str], Expected]:
    return [
        f"Step {i} | loss:{1.56 - i / 100} lr:{2e-5 * i} tokens_per_second_per_gpu:{712.3} peak_memory_active:{16.2} grad_norm:{12.9} "
        for i in range(1, 31)
    ], {"loss": (30, 30), "lr": (30, 30), "grad_norm": (30, 30)}


@log
def fairseq_json() -> tuple[list[str], Expected]:
    lines = [
        "2020-02-07 13:21:07 | INFO | fairseq_cli.train | Namespace(no_progress_bar=True, log_interval=100, epoch=0, lr=[0.1], seed=1)"
    ]
    n = 0
    for e in range(1, 4):
        for _ in range(10):
            n += 100
            lines.append(
                f'2020-02-07 13:21:07 | INFO | train_inner | {{"epoch": {e}, "update": {n / 1000:.3f}, "loss": "{11 - n / 1000:.3f}", "nll_loss": "10.399", "ppl": "1350.12", "wps": "2.39679e+06", "num_updates": "{n}", "lr": "9.05909e-05", "gnorm": "1.682", "loss_scale": "20", "wall": "119"}}'
            )
        lines.append(
            f'2020-02-07 13:21:07 | INFO | valid | {{"epoch": {e}, "valid_loss": "9.1", "valid_ppl": "373", "valid_num_updates": "{n}"}}'
        )
        lines.append(
            f'2020-02-07 13:21:07 | INFO | train | {{"epoch": {e}, "train_loss": "11.049", "train_ppl": "1350.12", "train_num_updates": "{n}", "train_lr": "9.05909e-05", "train_gnorm": "1.682"}}'
        )
    return lines, {
        "loss": (30, 3000),
        "gnorm": (30, 3000),
        "val:valid_loss": (3, 3000),
        "train_loss": (3, 3000),
    }


@log
def fairseq_simple() -> tuple[list[str], Expected]:
    lines: list[str] = []
    n = 0
    for e in range(1, 3):
        for i in range(100, 1100, 100):
            n += 100
            lines.append(
                f"2021-01-01 10:00:00 | INFO | train_inner | epoch {e:03d}: {i:6d} / 1131 loss={11 - n / 1000:.3f}, nll_loss=10.1, ppl=1132.4, wps=31000, ups=5.2, wpb=3500, bsz=120, num_updates={n}, lr=1.2e-05, gnorm=2.1, clip=0, train_wall=19, wall=25"
            )
        lines.append(
            f"2021-01-01 10:00:00 | INFO | valid | epoch {e:03d} | valid on 'valid' subset | loss 9.1 | nll_loss 8.5 | ppl 373.1 | wps 90000 | wpb 2800 | bsz 100 | num_updates {n}"
        )
        lines.append(
            f"2021-01-01 10:00:00 | INFO | train | epoch {e:03d} | loss 9.5 | nll_loss 9.2 | ppl 400 | wps 31000 | ups 5 | num_updates {n} | lr 0.0005 | gnorm 1.9 | train_wall 200 | wall 250"
        )
    return lines, {"loss": (20, 2000), "val:loss": (2, 2000), "gnorm": (20, 2000)}


@log
def word_lm() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for e in (1, 2):
        for i in range(200, 2983, 200):
            lines.append(
                f"| epoch {e:3d} | {i:5d}/{2983:5d} batches | lr {20.0:02.2f} | ms/batch {5.3:5.2f} | loss {7.64 - i / 1000:5.2f} | ppl {2079.6:8.2f}"
            )
        lines += [
            "-" * 89,
            f"| end of epoch {e:3d} | time: {29.84:5.2f}s | valid loss {5.5 - e / 10:5.2f} | valid ppl {245.1:8.2f}",
            "-" * 89,
        ]
    lines += ["=" * 89, "| End of training | test loss  4.90 | test ppl   134.20", "=" * 89]
    return lines, {
        "loss": (28, 2983 + 2800),
        "lr": (28, 5783),
        "ppl": (28, 5783),
        "valid loss": (2, 5783),
    }


@log
def neox() -> tuple[list[str], Expected]:
    return rep(
        20,
        lambda i: (
            f" samples/sec: {12.345:.3f} | iteration {10 * i + 10:8d}/  320000 | elapsed time per iteration (ms): 12345.6 | learning rate: 1.000E-04 | approx flops per GPU: 45.1TFLOPS | lm_loss: {9.1 - i / 10:.6E} | loss scale: 65536.0 | number of skipped iterations:   0 | number of nan iterations:   0 |"
        ),
    ), {"lm_loss": (20, 200), "samples/sec": (20, 200)}


@log
def deepspeed() -> tuple[list[str], Expected]:
    lines: list[str] = []
    for i in range(10, 301, 10):
        lines += [
            f"[2023-05-01 10:00:00,123] [INFO] [logging.py:96:log_dist] [Rank 0] step={i}, skipped=0, lr=[{1e-4 * i}, {1e-4 * i}], mom=[(0.9, 0.999), (0.9, 0.999)]",
            f"steps: {i} loss: {2.3 - i / 1000:.4f} iter time (s): 0.512 samples/sec: 31.200",
        ]
    return lines, {"loss": (30, 300), "lr": (30, 300), "samples/sec": (30, 300)}


@log
def dschat() -> tuple[list[str], Expected]:
    return rep(
        30,
        lambda i: (
            f"Epoch: 0 | Step: {i} | PPO Epoch: 1 | Actor Loss: {0.1 - i / 1000:.4f} | Critic Loss: {0.2} | Unsupervised Loss: 0.0"
        ),
    ), {"Actor Loss": (30, 29)}


@log
def verl() -> tuple[list[str], Expected]:
    return rep(
        30,
        lambda i: (
            f"step:{i + 1} - actor/entropy_loss:{0.5 - i / 100:.3f} - actor/kl_loss:0.000 - critic/score/mean:{i / 100:.3f} - response_length/mean:123.400 - timing_s/step:45.600"
        ),
    ), {"actor/entropy_loss": (30, 30), "critic/score/mean": (30, 30)}


@log
def maxtext() -> tuple[list[str], Expected]:
    return [
        f"completed step: {i}, seconds: 1.235, TFLOP/s/device: 45.123, Tokens/s/device: 1234.567, total_weights: 65536, loss: {10.3 - i / 10:.3f}"
        for i in range(30)
    ], {"loss": (30, 29), "seconds": (30, 29), "TFLOP/s/device": (30, 29)}


@log
def t5x() -> tuple[list[str], Expected]:
    return [
        f"I0501 10:00:00.123456 140000000000000 logging_writer.py:48] [{i}] learning_rate=0.01, loss={3.2 - i / 1000:.4f}, steps_per_sec=2.1"
        for i in range(100, 1001, 100)
    ], {"loss": (10, 1000), "learning_rate": (10, 1000)}


@log
def opennmt() -> tuple[list[str], Expected]:
    return rep(
        20,
        lambda i: (
            f"[2020-01-01 10:00:00,123 INFO] Step {50 * i + 50}/100000; acc: {4.5 + i:6.2f}; ppl: {12345.6 - i:5.2f}; xent: 9.42; lr: 0.00001; 12345/12321 tok/s;     {20 + i} sec"
        ),
    ), {"acc": (20, 1000), "ppl": (20, 1000), "xent": (20, 1000)}


@log
def marian() -> tuple[list[str], Expected]:
    return rep(
        20,
        lambda i: (
            f"[2020-01-01 10:00:00] Ep. 1 : Up. {1000 * i + 1000} : Sen. {64000 * i:,} : Cost {7.2 - i / 10:.8f} : Time 20.11s : 12345.67 words/s : gNorm 1.234 : lines.r. 6.2500e-05"
        ),
    ), {"Cost": (20, 20000), "gNorm": (20, 20000)}


@log
def mingpt() -> tuple[list[str], Expected]:
    return rep(
        20, lambda i: f"iter_dt {25.31:.2f}ms; iter {100 * i}: train loss {2.34 - i / 100:.5f}"
    ), {"train loss": (20, 1900), "iter_dt": (20, 1900)}


@log
def llamacpp() -> tuple[list[str], Expected]:
    return rep(
        20,
        lambda i: (
            f"train_opt_callback: iter={i:6d} sample={i + 1}/100 sched=0.{i:06d} loss={7.1 - i / 10:.6f} dt=00:00:10 eta=00:16:40 |->"
        ),
    ), {"loss": (20, 19)}


@log
def dllogger() -> tuple[list[str], Expected]:
    return rep(
        20,
        lambda i: (
            f"DLL 2020-01-01 10:00:00.123456 - Training Epoch: 0 Training Iteration: {10 * i + 10}  step_loss : {8.5 - i / 10:.4f}  learning_rate : 0.0001 "
        ),
    ), {"step_loss": (20, 200), "learning_rate": (20, 200)}
