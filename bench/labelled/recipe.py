"""What determines a run: a recipe and nothing else, so that the same recipe gives the same run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One run, from its data to how it is logged. A planted fault is a change of some fields."""

    family: str
    world: int
    """Seed of what is to be learned; runs of one world share a reference run."""
    seed: int
    """Seed of everything else: samples, initial weights, order, noise."""

    # Data
    train_samples: int
    val_samples: int
    label_noise: float = 0.0
    """Share of wrong labels, or deviation of the noise on a target of deviation 1."""
    random_labels: bool = False
    input_scale: float = 1.0
    input_shift: float = 0.0
    input_noise: float = 0.0
    """Deviation of additional noise on inputs of deviation 1."""
    order: str = "shuffled"
    """`shuffled`, `sorted` (by label or topic) or `buffered` (sorted, then a small buffer)."""
    majority: float = 0.0
    """Share of the samples that are of class 0; 0: as the world has it."""

    # Network
    width: int
    depth: int
    activation: str = "relu"
    batch_norm: bool = False
    dropout: float = 0.0
    initial_gain: float = 1.0
    """What all initial weights are multiplied by."""
    sigmoid_layers: int = 0
    """Sigmoid layers put between the body and the head."""
    dead_share: float = 0.0
    """Share of the units before each activation whose bias is far below zero."""
    branch: str = ""
    """A second branch that takes no part: `detached` from the graph, or `unused`."""
    frozen: str = ""
    """`requires_grad`: first layers; `not_in_optimizer`: a layer; `one_small`: the smallest."""

    # Optimisation
    optimizer: str
    learning_rate: float
    weight_decay: float
    batch_size: int
    steps: int
    """Batches, which are updates where nothing is accumulated."""
    schedule: str = "const"
    clip: float | None = None
    accumulation: int = 1
    label_smoothing: float = 0.0
    amp: bool = False
    scale_growth: int = 120
    """Clean steps after which an emulated loss scale doubles."""
    resumed_after: int = 0
    """Steps that are trained before the log begins."""
    keeps_counting: bool = False
    """Whether a resumed log goes on counting, instead of from 0."""

    # Mistakes of the training loop
    eval_mode: bool = False
    zero_grad: bool = True
    optimizer_steps: bool = True
    double_softmax: bool = False
    onset: int = 0
    """The step at which an event or a trouble of the machine begins."""
    event: str = ""
    """`lr_factor`, `lr_ramp`, `log_zero`, `overflow_forward`, `overflow_gradients`."""
    event_factor: float = 1.0
    event_steps: int = 0
    """How long a changed learning rate lasts; 0: to the end."""
    overflow_share: float = 0.0
    """Share of the batches whose gradients overflow whatever the loss scale."""
    bad_steps: tuple[int, ...] = ()
    bad_share: float = 1.0
    """Share of the samples of a bad batch that are bad."""
    bad_scale: float = 1.0
    """What the inputs of bad samples (targets, in a regression) are multiplied by."""

    # Machine: the figures that are made up
    leak: float = 0.0
    """Memory lost with each step after the onset, as a share of what is in use."""
    slowdown: float = 1.0
    """What the throughput is multiplied by after the onset."""
    hiccup_every: int = 0
    levels_off: bool = False
    """Whether memory grows for a third of the run before it levels off."""

    # Log
    cadence: str = "step"
    """`step`, `window10` or `epoch`."""
    per_update: bool = False
    """Whether the batches of an accumulated update make one record."""
    logged: str = "all"
    """`all`; `minimal`: loss, learning rate, gradient norm; `loss_lr`: the first two."""
    val_is_train: bool = False
    """Whether what is logged as validation is the mean of the training epoch."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch; what does not fill a batch is left out."""
        return max(1, self.train_samples // self.batch_size)
