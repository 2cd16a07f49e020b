from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traintop.records import ROLES
from traintop.sources.roles import (
    NAMES,
    SPLIT_ROLES,
    averaged_word,
    choose,
    choose_all,
    role_of,
    unit_of,
)

USED = {
    "loss/train": """
        loss, train_loss, train/loss, training_loss, lm loss, reduced_train_loss, total_loss, Loss
        loss/train, trainLoss, train_loss_step, loss/train/total, train/CE loss, trl
        Train Loss, avg_loss, loss_avg, running_loss, Train net output #0: loss, train-logloss
        training's binary_logloss, loss/loss, tot_loss
        loss/train/cross_entropy, epoch_loss, nll_loss, bits_per_byte, train/train_loss
    """,
    "loss/val": """
        val_loss, eval_loss, valid_loss, test_loss, val/loss, eval/loss, validation/loss, loss/val
        validation loss, val_loss_epoch, dev_loss, eval/lm loss, tel, evaluation/loss, loss_val
        valid_1's binary_logloss, val_sparse_categorical_crossentropy
        valid-logloss, validation_0-logloss, Test net output #1: loss, valid_nll_loss, Val Loss
    """,
    "accuracy/train": """
        acc, accuracy, train_acc, train/accuracy, top1, accuracy/top1, train_accuracy_epoch
    """,
    "accuracy/val": """
        val_acc, eval_accuracy, val/acc, test_acc1, validation/accuracy, val_top1, acc/val
        Val Acc@1, eval_top1, Test accuracy, epoch_val_acc, test top-1 acc
    """,
    "lr": """
        lr, learning_rate, lr-AdamW, lr/pg0, train/lr, train/learning_rate, learning rate, LR
        lr-Adam/pg0, train_lr, learningRate, Opt/LearningRate, scheduler/lr
    """,
    "grad_norm": """
        grad_norm, gnorm, norm, grad_norm/total, mean_grad_norm, train/grad_norm, gradient_norm
        grad norm, train_gnorm, optim/total grad norm, grad_2.0_norm_total, l2_norm/grad/global
    """,
    "throughput": """
        samples_per_sec, tokens_per_sec, tok/s, tps, train_samples_per_second, train_wps, wps
        train/tokens_per_sec, images_per_sec, throughput, time/fps, charts/SPS, img/sec
        Tokens/s/device, ips, Perf/SamplesPerSec
        throughput per GPU (TFLOP/s/GPU), throughput/device/tokens_per_sec, its/sec
    """,
    "gpu_memory": """
        gpu_memory_mb, memory, gpu/mem_gib, gpu_mem, memory/max_allocated (GiB), peak_memory_active
    """,
    "step_time": """
        step_time, train/step_time, time, batch_time, train_step_timing in s, step_avg (ms), dt
        elapsed time per iteration (ms), step_avg_ms, ms/batch, Batch Time, iter_time
    """,
    "reward": """
        rollout/ep_rew_mean, EpRewMean, AverageEpRet, episode_reward_mean, episodic_return
        mean 100 episode reward, Mean Reward
        charts/episodic_return, rollout/return, eval/mean_reward
    """,
    "tokens": """
        tokens, consumed samples, num_input_tokens_seen, tokens/total, TotalEnvInteracts
        time/total_timesteps, Progress/kimg, total_tokens, time/token, timesteps_total
    """,
    "update_ratio": "weight_update, update_ratio, train/update_ratio",
    "loss_scale": "loss_scale, loss scale, train_loss_scale",
    "grad_cos": "grad_cos",
    "grad_norm_clipped": "grad_norm_clipped",
    "skipped_step": "skipped_step",
    "balanced_accuracy": "balanced_accuracy",
    "majority_pred_fraction": "majority_pred_fraction",
}


@pytest.mark.parametrize("role", USED)
def test_names_that_frameworks_use(role: str) -> None:
    for name in re.split(r",|\n", USED[role]):
        if name.strip():
            match = role_of(name.strip())
            assert (name, match and match.role) == (name, role)


@pytest.mark.parametrize(
    "name",
    [
        "layer0/grad_norm",
        "loss_cls",
        "Loss/G/loss/mean",
        "train/ppl",
        "config/lr",
        "val_lr",
        "decode.loss_ce",
        "eval/grad_norm",
        "",
        "///",
        "train",
        "val",
        "lr_schedule_name",
        "num_batches",
        "eval_samples_per_second",
        "loss_G",
        "loss_min",
        "DeltaLossPi",
        "train/box_loss",
        "lm loss PPL",
        "data_time",
        "err",
        "mean",
        "loss scores",
    ],
)
def test_custom_metrics(name: str) -> None:
    assert role_of(name) is None


@pytest.mark.parametrize(
    ("table", "name", "role"),
    [
        ("val", "loss", "loss/val"),
        ("train", "loss", "loss/train"),
        ("metrics", "loss", "loss/train"),
        ("rank00003/val", "loss", "loss/val"),
        ("test", "accuracy", "accuracy/val"),
        ("val", "lr", None),
        ("val", "train_loss", "loss/train"),
        ("train", "val_loss", "loss/val"),
        ("metrics/val", "acc", "accuracy/val"),
        ("eval_metrics", "loss", "loss/val"),
        ("val", "balanced_accuracy", "balanced_accuracy"),
    ],
)
def test_the_table_matters(table: str, name: str, role: str | None) -> None:
    match = role_of(name, table)
    assert (match.role if match else None) == role


def test_one_series_a_role() -> None:
    series = [
        ("train", "mean_grad_norm"),
        ("train", "grad_norm"),
        ("train", "train_loss"),
        ("train", "total_loss"),
        ("rank00001/train", "loss"),
        ("test", "loss"),
        ("val", "loss"),
        ("train", "custom"),
        ("train", "balanced_accuracy"),
        ("val", "balanced_accuracy"),
    ]
    assert choose(series) == {
        "grad_norm": ("train", "grad_norm"),
        "loss/train": ("train", "train_loss"),
        "loss/val": ("val", "loss"),
        "balanced_accuracy": ("val", "balanced_accuracy"),
    }
    assert choose([("test", "loss")]) == {"loss/val": ("test", "loss")}
    assert choose([("rank00001/train", "loss")]) == {}


@pytest.mark.parametrize(
    ("names", "role", "chosen"),
    [
        # A total beside its parts, in any order.
        (["loss_cls", "loss_box", "loss"], "loss/train", "loss"),
        # Parts alone: the first, and the same one in validation.
        (["train/box_loss", "train/cls_loss"], "loss/train", "train/box_loss"),
        (["train/box_loss", "val/cls_loss", "val/box_loss"], "loss/val", "val/box_loss"),
        (["Loss/D/loss", "Loss/G/loss"], "loss/train", "Loss/D/loss"),
        (["LossPi", "LossV", "DeltaLossPi"], "loss/train", "LossPi"),
        # A part of the validation loss beside a total in training would be no yardstick.
        (["loss", "loss_cls", "val/loss_cls"], "loss/val", None),
        # A loss on one of several sets of data is none of those parts.
        (["loss", "eval_wikitext_loss", "eval_c4_loss"], "loss/val", "eval_wikitext_loss"),
        # The value of the step rather than a mean of the past.
        (["avg_loss", "loss"], "loss/train", "loss"),
        (["smooth_loss", "train/CE loss"], "loss/train", "train/CE loss"),
        (["train_loss_epoch", "train_loss_step"], "loss/train", "train_loss_step"),
        (["train loss", "val loss", "loss"], "loss/train", "loss"),  # nanoGPT
        (["train_loss", "loss"], "loss/train", "train_loss"),
        (["r", "l", "t"], "reward", "r"),  # a monitor of gym
        (["r", "l", "t", "rollout/ep_rew_mean"], "reward", "rollout/ep_rew_mean"),
        (["r", "l"], "reward", None),
        (["mean_grad_norm"], "grad_norm", "mean_grad_norm"),
        # Validation before test.
        (["test_loss", "val_loss"], "loss/val", "val_loss"),
        (["loss_scale", "loss_weight", "best_loss", "loss_std"], "loss/train", None),
    ],
)
def test_which_of_several_has_the_role(names: list[str], role: str, chosen: str | None) -> None:
    found = choose([("train", name) for name in names])
    assert found.get(role, (None, None))[1] == chosen


def test_other_ranks_have_no_role_wherever_their_folder_is() -> None:
    tables = ("job-7/rank00001/train", "job-7/train", "rank3")
    assert choose([(table, "loss") for table in tables]) == {"loss/train": ("job-7/train", "loss")}


def test_each_choice_has_a_reason() -> None:
    series = [("train", name) for name in ("train/box_loss", "train/cls_loss", "avg_acc", "x")]
    why = {each[1]: choice.why for each, choice in choose_all(series).items()}
    assert why == {
        "avg_acc": "`acc` in its name, an average (avg)",
        "train/box_loss": "the first of 2 parts of the loss, no total: box, cls",
    }


@pytest.mark.parametrize(
    ("name", "role", "unit"),
    [
        ("step_avg_ms", "step_time", "ms"),
        ("elapsed time per iteration (ms)", "step_time", "ms"),
        ("ms/batch", "step_time", "ms"),
        ("train_step_timing in s", "step_time", "s"),
        ("memory/max_active (GiB)", "gpu_memory", "GiB"),
        ("gpu_memory_mb", "gpu_memory", "MiB"),
        ("gpu_mem_bytes", "gpu_memory", "B"),
        ("system.gpu.0.memoryAllocatedBytes", "gpu_memory", "B"),
        ("system.gpu.0.memory", None, None),
        ("tok/s", "throughput", "tokens/s"),
        ("samples_per_sec", "throughput", "samples/s"),
        ("wps", "throughput", "tokens/s"),
        ("it/s", "throughput", "steps/s"),
        ("throughput", "throughput", None),
        ("throughput per GPU (TFLOP/s/GPU)", "throughput", "TFLOP/s/GPU"),
        ("loss_min", None, None),
        ("loss", "loss/train", None),
        ("mfu %", None, "%"),
        ("metrics/precision(B)", None, None),
        ("memory (G)", "gpu_memory", "GiB"),
        ("class s", None, None),
        ("tracked_stats/imgs_sec", None, "images/s"),
        ("Timing/total_sec", None, "s"),
        ("", None, None),
    ],
)
def test_units_in_names(name: str, role: str | None, unit: str | None) -> None:
    assert unit_of(name, role) == unit


def test_the_table_of_names_is_sound() -> None:
    split = {f"{role}/{part}" for role in SPLIT_ROLES for part in ("train", "val")}
    assert (set(NAMES) - SPLIT_ROLES) | split == set(ROLES)
    names = [name for text in NAMES.values() for name in text.split()]
    assert len(names) == len(set(names))


@given(st.text(), st.text())
def test_any_name_has_an_answer(name: str, table: str) -> None:
    match = role_of(name, table)
    assert match is None or match.role in ROLES


@pytest.mark.parametrize(
    ("name", "beside", "average"),
    [
        ("avg_loss", "", "avg"),
        ("EpRewMean", "", "mean"),
        ("total_loss", "data_time eta_seconds total_loss lr loss_cls", "median"),
        ("loss_cls", "data_time eta_seconds total_loss lr loss_cls", "median"),
        ("lr", "data_time eta_seconds total_loss lr loss_cls", None),
        ("total_loss", "total_loss loss_cls", None),
        ("rollout/return", "rollout/return rollout/return_history", "lifetime"),
        ("rollout/return_history", "rollout/return rollout/return_history", None),
        ("meaning", "", None),
        ("", "", None),
    ],
)
def test_what_says_that_values_are_averages(name: str, beside: str, average: str | None) -> None:
    assert averaged_word(name, frozenset(beside.split())) == average
