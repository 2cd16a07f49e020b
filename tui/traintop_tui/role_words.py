"""What roles are called, for a person."""

from __future__ import annotations

WORDS = {
    "loss/train": "training loss",
    "loss/val": "validation loss",
    "accuracy/train": "training accuracy",
    "accuracy/val": "validation accuracy",
    "lr": "learning rate",
    "grad_norm": "gradient norm before clipping",
    "grad_norm_clipped": "gradient norm after clipping",
    "grad_cos": "cosine with the previous gradient",
    "update_ratio": "update over weights",
    "throughput": "tokens, samples or steps a second",
    "step_time": "time of a step",
    "gpu_memory": "GPU memory in use",
    "loss_scale": "loss scale of mixed precision",
    "skipped_step": "1 where the scaler skipped the step",
    "balanced_accuracy": "balanced accuracy of an evaluation",
    "majority_pred_fraction": "share of the commonest prediction",
    "compute_time": "time of forward and backward",
    "param_hash": "hash of the weights",
    "reward": "reward or return of an episode",
    "tokens": "tokens or samples so far: an x axis",
}
