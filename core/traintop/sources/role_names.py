"""The names that frameworks give to what a run logs: plain data, looked up by `roles`.

Names are written as lower-case words joined by `_`, without the word for the part of the data
(`train`, `val`), without words for an average and without units; `roles` takes those away first.
"""

from __future__ import annotations

# Role -> names that mean it, the better first: where a run has several, the first is taken.
# `loss` and `accuracy` have a train and a val role each.
NAMES: dict[str, str] = {
    "loss": (
        "loss total_loss loss_total loss_total_loss lm_loss reduced_loss loss_step step_loss "
        "batch_loss "
        "loss_epoch epoch_loss loss_batch loss_iter iter_loss overall_loss loss_all loss_sum "
        "sum_loss objective_loss net_loss ce_loss loss_ce cross_entropy cross_entropy_loss "
        "loss_cross_entropy cross_entropyloss xent crossentropy ce logloss log_loss mlogloss "
        "nll_loss loss_nll nll bpb bits_per_byte objective cost criterion mse rmse mae "
        "train_output_loss lm_loss_value losses loss_loss tot_loss binary_logloss multi_logloss "
        "binary_crossentropy categorical_crossentropy sparse_categorical_crossentropy "
        "tot_loss_loss"
    ),
    "accuracy": (
        "accuracy acc top1 acc1 accuracy_top1 top_1 accuracy_top_1 acc_1 top1_acc top1_accuracy "
        "top_1_acc top_1_accuracy acc_top1 acc_top_1 prec_1 prec1 precision_1 accuracy_step "
        "acc_step batch_acc accuracy_epoch acc_epoch epoch_acc epoch_accuracy overall_accuracy "
        "categorical_accuracy sparse_categorical_accuracy binary_accuracy multiclass_accuracy "
        "metrics_accuracy_top1 metrics_accuracy metric_accuracy multiclassaccuracy token_accuracy "
        "next_token_accuracy masked_accuracy mlm_accuracy accuracy_top_1_5 accu"
    ),
    "lr": (
        "lr learning_rate lr_0 lr_pg0 pg0_lr lr_group0 lr_group_0 learning_rate_0 lr0 "
        "learning_rate_pg0 optimizer_lr optim_lr optim_learning_rate lr_adam lr_adamw lr_sgd "
        "lr_rmsprop lr_lion lr_adafactor lr_muon lr_adam_pg0 lr_adamw_pg0 lr_sgd_pg0 "
        "lr_adamw_group0 lr_adam_group0 lr_sgd_group0 lr_decoupledadamw_group0 base_lr current_lr "
        "learningrate lr_rate step_lr lrate optim_learning_rate_group_0 lr_0_0 last_lr eta_lr "
        "optim0_lr0 optim_lr_group_0 optim_learning_rate_group0 x_lr0 l_r"
    ),
    "grad_norm": (
        "grad_norm gradient_norm gnorm grad_norm_total total_grad_norm global_grad_norm gradnorm "
        "grad_global_norm grad_norm_global optim_total_grad_norm grad_2_norm_total grad_norm_0 "
        "grad_2_0_norm_total l2_norm_grad_global grad_norm_l2 grad_l2_norm grad_norm_before_clip "
        "grad_norm_unclipped total_norm norm gnorm_total optimizer_grad_norm actor_grad_norm gn"
    ),
    "grad_norm_clipped": (
        "grad_norm_clipped clipped_grad_norm grad_norm_after_clip grad_norm_post_clip"
    ),
    "grad_cos": "grad_cos grad_cosine grad_cosine_similarity",
    "update_ratio": (
        "weight_update update_ratio update_to_weight_ratio update_weight_ratio "
        "update_to_param_ratio update_to_data_ratio"
    ),
    "throughput": (
        "samples_per_sec samples_per_second samples_s samples_sec examples_per_sec "
        "examples_per_second examples_s ex_s images_per_sec images_per_second images_s images_sec "
        "imgs_sec img_s imgs_s img_sec tokens_per_sec tokens_per_second tok_s toks_s tokens_s "
        "tokens_sec tok_sec tps wps throughput tokens_per_second_per_gpu tokens_per_sec_per_gpu "
        "tgs tokens_per_gpu_per_second tokens_gpu_s tok_s_gpu throughput_tokens_per_sec "
        "throughput_samples_per_sec throughput_device_tokens_per_sec throughput_device_tps "
        "device_tokens_per_sec throughput_samples_s throughput_per_gpu throughput_batches_per_sec "
        "steps_per_second steps_per_sec steps_s it_s its_per_sec iter_s its iterations_per_second "
        "iterations_s batches_per_sec batches_s tokens_s_device tok_s_device tokens_s_gpu "
        "samples_s_gpu ips ups fps time_fps speed env_steps_per_second sps charts_sps "
        "perf_total_fps"
    ),
    "step_time": (
        "step_time time_per_step sec_per_step seconds_per_step s_per_step iter_time time_per_iter "
        "sec_per_iter s_per_iter s_it s_iter s_step iteration_time batch_time time_per_batch "
        "step_avg train_step_timing step_timing elapsed_time_per_iteration sec_it sec_step "
        "time_per_iteration seconds_per_iteration time_step step_dt time_this_iter ms_per_step "
        "ms_batch ms_step ms_it ms_iter ms_per_batch time dt"
    ),
    "gpu_memory": (
        "gpu_memory gpu_mem memory mem max_memory max_mem peak_memory peak_memory_active "
        "peak_gpu_mem resources_peak_gpu_mem cuda_max_mem max_memory_allocated "
        "memory_max_allocated memory_max_active memory_allocated mem_alloc gpu_memory_allocated "
        "peak_memory_alloc peak_memory_allocated gpu_mem_allocated vram cuda_memory peak_mem "
        "memory_peak memory_active max_mem_allocated "
        "system_gpu_memory_allocated_bytes system_gpu_memory_allocated "
        "cuda_memory_allocated mem_usage memory_usage"
    ),
    "loss_scale": (
        "loss_scale grad_scale amp_scale scaler_scale loss_scaler scale_loss amp_loss_scale "
        "dynamic_loss_scale"
    ),
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
    "reward": (
        "ep_rew rollout_ep_rew eprew episode_reward episode_return episodic_return ep_ret "
        "ep_reward env_runners_episode_return env_runners_episode_reward charts_episodic_return "
        "sampler_results_episode_reward reward return rewards returns rollout_return_history "
        "rollout_return ep_return total_reward score critic_rewards reward_total "
        "eprewmean"
    ),
    "tokens": (
        "tokens num_tokens n_tokens total_tokens tokens_total num_input_tokens_seen tokens_seen "
        "seen_tokens consumed_tokens processed_tokens tokens_processed total_tokens_seen "
        "throughput_total_tokens time_token cumulative_tokens tokens_consumed consumed_samples "
        "samples_seen seen_samples examples_seen images_seen total_samples samples num_samples "
        "time_sample total_timesteps time_total_timesteps timesteps_total total_env_steps "
        "total_env_interacts env_steps num_env_steps num_env_steps_sampled "
        "num_env_steps_sampled_lifetime global_env_steps total_frames num_frames frames "
        "progress_kimg kimg nimg"
    ),
}

SPLIT_ROLES = frozenset({"loss", "accuracy"})
BOTH = frozenset({"balanced_accuracy", "majority_pred_fraction", "reward"})
"""Roles that a validation table may have too, under the same name."""

WHOLE_NAMES = {
    "trl": "loss/train",  # llm.c
    "tel": "loss/val",
    "reduced_train_loss": "loss/train",  # NeMo, where `train` stands in the middle
    "validation_loss_at_iteration": "loss/val",  # Megatron
}
"""Names whose words are no guide."""

MONITOR = frozenset({"r", "l", "t"})
"""What the monitors of gym and Stable-Baselines3 call the return, the length and the time of an
episode."""

AVERAGES = frozenset(
    {
        *("avg", "average", "averaged", "mean", "running", "smooth", "smoothed", "ema", "ewma"),
        *("moving", "mov", "median", "rolling", "cumulative"),
    }
)
"""Words that say that a value is a mean over some past."""

AVERAGING_WRITERS: tuple[tuple[frozenset[str], frozenset[str], str], ...] = (
    # Detectron2: losses and times are medians of 20 iterations.
    (frozenset({"data_time", "eta_seconds", "total_loss"}), frozenset({"loss", "time"}), "median"),
    # OpenAI baselines: the mean of all returns so far hides a collapse.
    (frozenset({"rollout/return", "rollout/return_history"}), frozenset({"return"}), "lifetime"),
)
"""Names that such a writer has together; the last words of those that are averages; the average."""

GROUPS = frozenset(
    {
        *("opt", "optim", "optimizer", "scheduler", "schedule", "hyper", "hparams"),
        *("perf", "performance", "speed", "charts", "progress"),
    }
)
"""Words that a name may begin with to say which panel of a tracker it is for."""

NOT_A_LOSS = frozenset(
    {
        *("scale", "scaler", "scaling", "ratio", "weight", "weights", "coef", "coeff", "std"),
        *("var", "variance", "min", "max", "best", "lowest", "delta", "diff", "improvement"),
        *("count", "num", "n", "skip", "skipped", "spike", "change", "percent", "time", "gain"),
        *("epsilon", "norm", "grad", "lr", "nan", "per", "target", "threshold", "ppl", "lambda"),
        *("signs", "scores", "accuracy", "acc", "window", "factor", "z", "zscore"),
    }
)
"""Words beside `loss` in names of something else."""

MOST_WORDS = 5
"""A part of a loss has a name of so many words at most."""

UNITS: dict[str, str] = {
    "ms": "ms", "msec": "ms", "milliseconds": "ms", "us": "us", "s": "s", "sec": "s", "secs": "s",
    "seconds": "s", "min": "min", "mins": "min", "minutes": "min", "h": "h", "hours": "h",
    "b": "B", "bytes": "B", "kb": "KiB", "kib": "KiB", "mb": "MiB", "mib": "MiB", "m": "MiB",
    "gb": "GiB", "gib": "GiB", "g": "GiB", "tb": "TiB", "pct": "%", "percent": "%",
    "tflops": "TFLOP/s", "mfu": "MFU",
}  # fmt: skip
"""How units are written in names -> the unit. A megabyte of a log is 2**20 bytes."""

WITH_UNIT = frozenset({"step_time", "gpu_memory", "throughput", "compute_time"})
"""Roles whose names end in a unit; the `g` of `loss_g` is none."""

RATES = {
    "token": "tokens", "tok": "tokens", "sample": "samples", "example": "examples",
    "image": "images", "img": "images", "batch": "batches", "step": "steps", "iter": "steps",
    "frame": "frames",
}  # fmt: skip
"""What a throughput counts, by a word of its name; the first that is in it."""

RATE_WORDS = {
    "tps": "tokens/s", "wps": "tokens/s", "tgs": "tokens/s", "ups": "steps/s", "its": "steps/s",
    "sps": "steps/s", "fps": "frames/s", "it": "steps/s", "ips": "samples/s",
}  # fmt: skip
"""The same where the name is an abbreviation."""
