from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traintop.records import ROLES
from traintop.sources.roles import NAMES, SPLIT_ROLES, choose, role_of

USED = {
    "loss/train": """
        loss, train_loss, train/loss, training_loss, lm loss, reduced_train_loss, total_loss, Loss
        loss/train, trainLoss, train_loss_step, loss/train/total, train/CE loss, trl
    """,
    "loss/val": """
        val_loss, eval_loss, valid_loss, test_loss, val/loss, eval/loss, validation/loss, loss/val
        validation loss, val_loss_epoch, dev_loss, eval/lm loss, tel, evaluation/loss
    """,
    "accuracy/train": """
        acc, accuracy, train_acc, train/accuracy, top1, accuracy/top1, train_accuracy_epoch
    """,
    "accuracy/val": """
        val_acc, eval_accuracy, val/acc, test_acc1, validation/accuracy, val_top1, acc/val
    """,
    "lr": """
        lr, learning_rate, lr-AdamW, lr/pg0, train/lr, train/learning_rate, learning rate, LR
        lr-Adam/pg0, train_lr, learningRate
    """,
    "grad_norm": """
        grad_norm, gnorm, norm, grad_norm/total, mean_grad_norm, train/grad_norm, gradient_norm
        grad norm, train_gnorm, optim/total grad norm, grad_2.0_norm_total, l2_norm/grad/global
    """,
    "throughput": """
        samples_per_sec, tokens_per_sec, tok/s, tps, train_samples_per_second, train_wps, wps
        train/tokens_per_sec, images_per_sec, throughput, time/fps
    """,
    "gpu_memory": """
        gpu_memory_mb, memory, gpu/mem_gib, gpu_mem, memory/max_allocated (GiB), peak_memory_active
    """,
    "step_time": "step_time, train/step_time, time, batch_time, train_step_timing in s",
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


def test_the_table_of_names_is_sound() -> None:
    split = {f"{role}/{part}" for role in SPLIT_ROLES for part in ("train", "val")}
    assert (set(NAMES) - SPLIT_ROLES) | split == set(ROLES)
    names = [name for text in NAMES.values() for name in text.split()]
    assert len(names) == len(set(names))


@given(st.text(), st.text())
def test_any_name_has_an_answer(name: str, table: str) -> None:
    match = role_of(name, table)
    assert match is None or match.role in ROLES
