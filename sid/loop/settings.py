"""The loop's settings, which every method shares, and the data of a training. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sid.method import Adapters

if TYPE_CHECKING:
    from torch import Tensor

    from sid.condition import Condition, Conditions
    from sid.draws import Draws


LOOP_VERSION = 1  # of the training loop and its draws: a bump makes every training anew


@dataclass(frozen=True)
class LoopSettings:
    """Seed, budget and cadence of a training. Results are digested over these fields' names and values."""

    seed: int = 0
    images: int = 100_000  # budget: iterations times the global batch
    batch: int = 256  # global, over all processes and accumulation rounds
    micro_batch: int | None = None  # per process and round; None: the whole share at once
    ema_halflife: float = 500_000.0  # images
    ema_ramp: float = 0.05  # the half-life is at most this share of the images seen so far
    observe: tuple[int, ...] = ()  # image counts at which observers are called with the averaged generator
    stop_players: dict[str, float] = field(
        default_factory=dict
    )  # player -> share of the images after which it is no longer trained
    student: Adapters | None = None  # None: all of the student's weights are trained
    clip_norm: float | None = None
    dtype: str = "float32"
    log_images: int = 10_000  # a line of health figures every so many images
    save_seconds: float = 10.0  # between two states, the most that a kill costs; 0: a state after every iteration


@dataclass
class Data:
    """Conditions and shape of the samples; real images and the teacher's pairs where a method needs them."""

    conditions: Conditions
    sample_shape: tuple[int, ...]
    real: Callable[[Draws], tuple[Tensor, Condition]] | None = None  # draws -> (images, their condition)
    pairs: Callable[[Draws], tuple[Tensor, Tensor, Condition]] | None = None  # draws -> (noise, image, condition)
