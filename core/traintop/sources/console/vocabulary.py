"""The words by which console text names counters, parts of the data and measurements."""

from __future__ import annotations

import re
from functools import lru_cache

from traintop.sources.keys import SPLITS
from traintop.sources.languages import in_english
from traintop.sources.roles import role_of

STEPS = (
    "global_step", "global_steps", "global_iter", "global_iteration", "global_batch_idx",
    "trainer/global_step", "total_steps_done", "completed_steps", "completed_step",
    "optimizer_step", "opt_step", "up.", "num_updates", "num_update", "train_num_updates",
    "valid_num_updates", "current_steps", "current_step",
    "train_step", "training_step", "train_iter", "total_timesteps", "num_timesteps", "timesteps",
    "timestep", "total_env_steps", "env_steps", "environment_steps", "env_step",
    "totalenvinteracts", "n_updates", "updates", "update",
    "step", "stp", "iteration", "iter", "itr", "it", "time_step", "steps", "iters",
    "iterations", "frames",
    "frame", "num_frames", "tick", "episode", "episodes", "eps", "ep", "episode_num", "game",
    "games",
    "generation", "gen", "round", "trial", "boosting_round", "tree",
)  # fmt: skip
"""Counters that rise over the whole run unless an epoch stands beside them, the better first."""

NEVER_PER_EPOCH = frozenset(STEPS[: STEPS.index("step")])
PLURAL = frozenset({"steps", "iters", "iterations", "updates", "frames", "episodes", "games"})
"""Names that are counters only at the start of a line: elsewhere they name an amount."""

INNER = frozenset(
    {
        "batch", "batch_idx", "batch_index", "batches", "minibatch", "mini_batch", "mini-batch",
        "mb", "i", "batch_id", "batch_num", "local_step", "step_in_epoch", "batch_i",
    }
)  # fmt: skip
"""Counters that begin anew in each epoch."""

EPOCHS = frozenset(
    {"epoch", "epochs", "ep.", "current_epoch", "train_epoch", "epoch_num", "epoch_idx"}
)

NOT_COUNTED = frozenset(
    {
        "per", "total", "max", "num", "number", "warmup", "best", "last", "next", "first", "every",
        "each", "remaining", "save", "log", "fps", "time", "loss", "rate", "size", "mean",
        "avg", "logging", "of", "maximum", "min", "n", "from",
        "every_n", "warm", "previous", "prev", "seconds", "steps", "accumulation", "patience",
    }
)  # fmt: skip
"""Words before the name of a counter that make it an amount: `max step`, `best epoch`."""

STOP_WORDS = frozenset(
    {
        "at", "in", "on", "of", "with", "and", "is", "was", "the", "a", "an", "after", "took",
        "for",
        "to", "from", "by", "over", "than", "or", "are", "be", "into", "using", "used", "up", "has",
    }
)  # fmt: skip

NOT_METRICS = frozenset(
    {
        "eta", "elapsed", "remaining", "date", "time_stamp", "timestamp", "version", "pid", "seed",
        "rank", "local_rank", "world_size", "line", "port", "cuda", "gpu", "python", "lineno",
        "device", "node", "host", "job", "uuid", "id", "time_ms", "v_num", "worker", "cuda:",
        "max_epochs", "max_steps", "max_iter", "max_iters", "num_examples", "total_samples",
        "total_iters", "eval_samples", "fold", "best_is_trial",
    }
)  # fmt: skip
"""Names whose numbers measure nothing of the training."""

SETTINGS = frozenset(
    {
        "epochs", "num_epochs", "n_epochs", "max_epoch", "max_epochs", "num_train_epochs",
        "max_steps", "max_iter", "max_iters", "batch", "batch_size", "bs", "train_batch_size",
        "momentum", "weight_decay", "wd", "decay", "warmup", "warmup_steps", "warmup_ratio",
        "warmup_epochs", "lr0", "lrf", "patience", "workers", "num_workers", "seed", "imgsz",
        "img_size", "image_size", "dropout", "hidden_size", "hidden_dim", "num_layers", "n_layers",
        "n_layer", "num_heads", "n_heads", "n_head", "n_embd", "embed_dim", "beta1", "beta2",
        "gamma", "eps", "epsilon", "block_size", "vocab_size", "gradient_accumulation_steps",
        "save_every", "log_every", "eval_every", "log_interval", "eval_interval", "save_interval",
        "label_smoothing", "clip_grad", "max_grad_norm", "num_classes", "seq_len", "seq_length",
        "max_seq_length", "lora_r", "lora_alpha", "world_size", "num_gpus", "buffer_size",
    }
)  # fmt: skip
"""Names of settings: two of them in a line, and it is one of settings."""

_METRIC_WORDS = frozenset(
    {
        "loss", "losses", "acc", "accuracy", "err", "error", "ppl", "perplexity", "bleu", "rouge",
        "f1", "auc", "map", "ap", "iou", "miou", "dice", "psnr", "ssim", "fid", "score", "reward",
        "rewards", "return", "returns", "precision", "recall", "top1", "top5", "prec", "wer", "cer",
        "rmse", "mse", "mae", "r2", "logloss", "nll", "kl", "entropy", "elbo", "lr", "norm",
        "gnorm", "rew", "ret", "cost", "auroc", "kappa", "mcc", "is", "bpc", "bpd", "eer", "lpips",
        "objective", "fitness", "mlogloss", "merror", "l1", "l2", "ndcg", "mrr", "hit", "ce", "bce",
        "acc1", "acc5", "acc@1", "acc@5", "prec@1", "prec@5", "map50", "advantage",
        "tloss", "vloss",
    }
)  # fmt: skip
_SETTINGS_TOO = frozenset({"lr", "rate", "norm", "scale", "weight", "coef", "target", "threshold"})
_SPLIT_WORD = re.compile(
    r"(?<![A-Za-z])(train(?:ing)?|val(?:id)?(?:ation)?|valid(?:ating)?|eval(?:uation|uate|uating)?"
    r"|test(?:ing)?|dev|cv)(?:_inner)?(?:[ _]?(?:set|data|dataset|results?|metrics?|stats?|loss"
    r"|epoch|performance|step|iter|net))?(?![A-Za-z])",
    re.IGNORECASE,
)
_RATE = re.compile(r"(?:/|per[_ ]?)s(?:ec(?:ond)?)?$")
_WORD = re.compile(r"[a-z][a-z0-9]*(?:@\d+)?")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def normal(name: str) -> str:
    """A name as the tables of this module have it."""
    return "_".join(in_english(name).lower().replace("_", " ").split())


@lru_cache(maxsize=4096)
def is_metric(name: str) -> bool:
    """Whether a name says by itself that it measures the training."""
    words = set(_WORD.findall(_CAMEL.sub(" ", in_english(name)).lower()))
    if not _METRIC_WORDS.isdisjoint(words) or role_of(name) is not None:
        return True
    return _RATE.search(name) is not None


@lru_cache(maxsize=4096)
def is_result(name: str) -> bool:
    """Whether a name is that of what a training is judged by, rather than of a setting as well."""
    words = set(_WORD.findall(_CAMEL.sub(" ", in_english(name)).lower()))
    if not words.isdisjoint(_SETTINGS_TOO):
        return False
    return is_metric(name)


def split_in(text: str) -> str | None:
    """The part of the data that a heading speaks of: `train`, `val` or `test`."""
    found = _SPLIT_WORD.search(text)
    if found is None:
        return None
    word = found[1].lower()
    return SPLITS.get(word, "train" if word.startswith("train") else "val")
