"""What kind of training a run is: supervised, reinforcement learning, or adversarial.

The level of a policy's loss, or of two networks that play against each other, says nothing of
progress: rules that take a falling loss for learning are silent there. A run says what it is by its
`task`, the user by the setting `profile`; else the names of its series tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

import msgspec

from traintop.records import RunInfo

Profile = Literal["auto", "supervised", "rl", "gan"]

_WORDS = re.compile(r"[^0-9a-z]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_EVENTS = frozenset({"episode", "rollout"})


def _names(words: str) -> re.Pattern[str]:
    """Match any of the words, which are separated by spaces, as whole words of a spelled name."""
    return re.compile(rf"(?:^|_)({'|'.join(words.split())})(?=_|$)")


# Names as Stable-Baselines3, CleanRL, RLlib, Spinning Up, rsl_rl, TRL and verl have them.
_RL = _names(
    "ep_rew ep_ret ep_reward episode_reward episode_return episodic_return episode_rewards "
    "eprewmean mean_reward reward_mean avg_reward average_reward reward_std episode_len ep_len "
    "episodic_length explained_variance "
    "policy_loss policy_gradient_loss actor_loss pg_loss loss_pi loss_policy loss_actor surrogate "
    "clip_fraction clipfrac clip_frac approx_kl approxkl ppo_kl pg_clipfrac"
)
_DISCRIMINATOR = _names(
    "d_loss loss_d disc_loss discriminator_loss loss_disc loss_discriminator err_d lossd errd dloss"
)
_GENERATOR = _names(
    "g_loss loss_g gen_loss generator_loss loss_gen loss_generator err_g lossg errg gloss"
)
_KL = _names("kl")
# Preference optimisation and reward models log rewards, and learn by an ordinary loss.
_PREFERENCES = _names("chosen rejected margin margins")


def recognise(names: Iterable[str], events: Iterable[str] = ()) -> Literal["rl", "gan"] | None:
    """Tell reinforcement learning and adversarial training by what they log; None for all else.

    One sign of a policy or of returns is not enough, because distillation has a KL and language
    models have an entropy: there must be two, or the reward itself. Of a GAN, both losses.

    Args:
        names: Of the series, as their writer has them.
        events: Names of events.
    """
    spelled = {_spell(name) for name in names}
    if _found(_PREFERENCES, spelled):
        return None
    if _found(_DISCRIMINATOR, spelled) and _found(_GENERATOR, spelled):
        return "gan"
    signs = len(_found(_RL, spelled)) + any(name.startswith("rollout_") for name in spelled)
    reward = any(name.removeprefix("train_") in ("reward", "rewards") for name in spelled)
    if signs > 1 or (reward and (signs or _found(_KL, spelled))) or _EVENTS & set(events):
        return "rl"
    return None


def with_profile(
    info: RunInfo,
    profile: Profile,
    names: Iterable[str],
    events: Iterable[str] = (),
    *,
    averaged: bool = False,
) -> RunInfo:
    """What is known of a run, with the task that its profile says.

    Args:
        info: `run.json`.
        profile: The setting; `auto`: what the run declares, else what its series tell.
        names: Of the series.
        events: Names of events.
        averaged: Whether the training loss is by its name a mean over some past.
    """
    if averaged and info.averaged_loss is None:
        info = msgspec.structs.replace(info, averaged_loss=True)
    if profile == "auto":
        task = info.task or recognise(names, events)
    elif profile == "supervised":
        task = None if (info.task or "").lower() in ("rl", "gan") else info.task
    else:
        task = profile
    return info if task == info.task else msgspec.structs.replace(info, task=task)


def _spell(name: str) -> str:
    """`train/EpRewMean` as `train_ep_rew_mean`."""
    return "_".join(word for word in _WORDS.split(_CAMEL.sub("_", name).lower()) if word)


def _found(pattern: re.Pattern[str], spelled: Iterable[str]) -> set[str]:
    """Which words of a pattern there are among the names."""
    return {word for name in spelled for word in pattern.findall(name)}
