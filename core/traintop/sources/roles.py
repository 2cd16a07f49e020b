"""What a series means, told by the name that its writer gave it.

A name is cut into words; a word that says which part of the data is meant (`train`, `val`, `eval`)
is taken out; what remains is looked up in a table. Names that are not in it are custom metrics.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from traintop.sources.keys import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterable

# Role -> names that mean it, the better first: where a run has several, the first is taken.
# Names are written as words joined by `_`; `loss` and `accuracy` have a train and a val role each.
NAMES: dict[str, str] = {
    "loss": (
        "loss total_loss loss_total lm_loss reduced_loss loss_epoch loss_step mean_loss loss_mean "
        "avg_loss loss_avg average_loss running_loss batch_loss epoch_loss step_loss ce_loss "
        "loss_ce cross_entropy cross_entropy_loss nll_loss loss_nll nll objective cost"
    ),
    "accuracy": (
        "accuracy acc top1 acc1 accuracy_top1 top_1 accuracy_top_1 acc_1 top1_acc top1_accuracy "
        "acc_top1 accuracy_epoch acc_epoch accuracy_step acc_step mean_accuracy accuracy_mean "
        "categorical_accuracy sparse_categorical_accuracy binary_accuracy batch_acc epoch_acc"
    ),
    "lr": (
        "lr learning_rate lr_0 lr_pg0 pg0_lr lr_group0 lr_group_0 learning_rate_0 "
        "learning_rate_pg0 optimizer_lr optim_lr optim_learning_rate lr_adam lr_adamw lr_sgd "
        "lr_rmsprop lr_lion lr_adafactor lr_muon lr_adam_pg0 lr_adamw_pg0 lr_sgd_pg0 "
        "lr_adamw_group0 lr_adam_group0 lr_decoupledadamw_group0 base_lr current_lr"
    ),
    "grad_norm": (
        "grad_norm gradient_norm gnorm grad_norm_total total_grad_norm global_grad_norm "
        "grad_global_norm grad_norm_global optim_total_grad_norm grad_2_norm_total "
        "grad_2_0_norm_total l2_norm_grad_global grad_norm_l2 grad_l2_norm grad_norm_before_clip "
        "grad_norm_unclipped norm mean_grad_norm grad_norm_mean"
    ),
    "grad_norm_clipped": "grad_norm_clipped clipped_grad_norm grad_norm_after_clip",
    "grad_cos": "grad_cos grad_cosine grad_cosine_similarity",
    "update_ratio": (
        "weight_update update_ratio update_to_weight_ratio update_weight_ratio "
        "update_to_param_ratio update_to_data_ratio"
    ),
    "throughput": (
        "samples_per_sec samples_per_second samples_s examples_per_sec examples_per_second "
        "images_per_sec images_per_second img_s imgs_s tokens_per_sec tokens_per_second tok_s "
        "tokens_s tps wps throughput tokens_per_second_per_gpu tokens_per_sec_per_gpu "
        "throughput_tokens_per_sec throughput_samples_per_sec device_tokens_per_sec "
        "throughput_batches_per_sec steps_per_second steps_per_sec it_s its_per_sec "
        "iterations_per_second batches_per_sec ups fps time_fps"
    ),
    "step_time": (
        "step_time time_per_step sec_per_step seconds_per_step s_per_step iter_time time_per_iter "
        "sec_per_iter iteration_time batch_time step_time_ms time_per_step_ms ms_per_step "
        "step_avg_ms train_step_timing step_timing_in_s train_step_timing_in_s time dt"
    ),
    "gpu_memory": (
        "gpu_memory_mb gpu_memory gpu_mem gpu_mem_mb gpu_mem_gb gpu_mem_gib gpu_memory_gb "
        "memory_mb memory_gb memory mem max_memory max_mem peak_memory peak_memory_mb "
        "peak_memory_gb peak_memory_active peak_gpu_mem_gb resources_peak_gpu_mem_gb cuda_max_mem "
        "max_memory_allocated memory_max_allocated memory_max_active memory_allocated "
        "gpu_memory_allocated memory_max_active_gib memory_max_allocated_gib"
    ),
    "loss_scale": "loss_scale grad_scale amp_scale scaler_scale loss_scaler",
    "skipped_step": "skipped_step step_skipped amp_skipped overflow",
    "balanced_accuracy": "balanced_accuracy balanced_acc",
    "majority_pred_fraction": "majority_pred_fraction",
    "compute_time": (
        "compute_time forward_backward_time fwd_bwd_time forward_backward fwd_bwd gpu_compute_time"
    ),
    "param_hash": (
        "param_hash params_hash parameter_hash weight_hash weights_hash model_hash param_checksum "
        "weight_checksum model_checksum"
    ),
}

SPLIT_ROLES = frozenset({"loss", "accuracy"})
BOTH = frozenset({"balanced_accuracy", "majority_pred_fraction"})
"""Roles that a validation table may have too, under the same name."""

WHOLE_NAMES = {
    "trl": ("loss/train", 0),  # llm.c
    "tel": ("loss/val", 0),
}

_LOOKUP = {
    name: (role, rank) for role, names in NAMES.items() for rank, name in enumerate(names.split())
}
_WORDS = re.compile(r"[^0-9a-z]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_RANK = re.compile(r"rank\d+(/|$)")


class Match(NamedTuple):
    """The role of a name."""

    role: str
    preference: int
    """Smaller is better, among the names that a run has for one role."""


def role_of(name: str, table: str = "") -> Match | None:
    """The role of a series, None for a custom metric.

    Args:
        name: As the writer has it: `train/loss`, `eval_accuracy`, `lr-AdamW`.
        table: Of its rows: `val` makes a plain `loss` the validation loss.
    """
    for spelling in (name, _CAMEL.sub("_", name)):
        words = [word for word in _WORDS.split(spelling.lower()) if word]
        if (whole := WHOLE_NAMES.get("_".join(words))) is not None:
            return Match(*whole)
        split = _take_split(words)
        found = _LOOKUP.get("_".join(words))
        if found is not None:
            return _match(*found, split or _split_of_table(table))
    return None


def _match(role: str, preference: int, split: str | None) -> Match | None:
    """The role in a part of the data: a learning rate of the validation is none."""
    if split == "test":  # the test data stand in where a run has no validation
        preference += 1000
    if role in SPLIT_ROLES:
        return Match(f"{role}/{'train' if split in (None, 'train') else 'val'}", preference)
    return Match(role, preference) if split in (None, "train") or role in BOTH else None


def _take_split(words: list[str]) -> str | None:
    """Take the word away that says which part of the data is meant: the first, last or second."""
    for place in (0, -1, 1):
        if 1 < len(words) > place and words[place] in SPLITS:
            return SPLITS[words.pop(place)]
    return None


def _split_of_table(table: str) -> str | None:
    """`val` for `val`, `rank00003/val`, `eval_metrics`; None where the name says nothing."""
    words = _WORDS.split(_RANK.sub("", table).rpartition("/")[2].lower())
    return SPLITS.get(words[0]) or SPLITS.get(words[-1])


def choose(series: Iterable[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """The one series that has each role: the best name, and among equals the first.

    Args:
        series: Table and name of each series, in the order in which they turned up. Those of other
            ranks than 0 have no part in this.

    Returns:
        Role -> table and name.
    """
    best: dict[str, tuple[int, tuple[str, str]]] = {}
    for table, name in series:
        match = None if _RANK.match(table) else role_of(name, table)
        if match is None:
            continue
        # `balanced_accuracy` is worth more on data that was not trained on.
        preference = match.preference - (match.role in BOTH and table.rpartition("/")[2] == "val")
        if match.role not in best or preference < best[match.role][0]:
            best[match.role] = (preference, (table, name))
    return {role: found for role, (_, found) in best.items()}
