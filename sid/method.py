"""The base of every method. One file in `sid/methods/` or `baselines/` is one method, found by discovery.

A method is a description: `build` names its networks, `players` states who is trained, in which order and on which
loss. Both must be written. Modes, freezing, accumulation, the NaN mask, denominators, optimisers, averages, logging and
state are the loop's (`sid.loop`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

from sid.discovery import Component, UnknownName
from sid.fault import Fault
from sid.passes import Turns

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sid.condition import Condition
    from sid.draws import Draws


AUGMENT_VERSION = 2  # of the non-leaking augmentation in sid/augment.py


@dataclass(frozen=True)
class Optimiser:
    """Adam's settings for one player; beta1 = 0 is what keeps score distillation stable (SiD, section 4).

    The warm-up counts as its source counts. With `warmup_calls` 0 it counts the player's own updates, the first at
    1 / warmup of the rate. Otherwise it counts calls of a schedule, `warmup_calls` of them after every iteration,
    whether or not the player played: in the authors' runs every process makes one (as `accelerate` does). The first
    iteration has rate 0.
    """

    lr: float
    betas: tuple[float, float] = (0.0, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0  # decoupled (AdamW) when not 0
    warmup: int = 0  # updates or calls until the whole rate, linearly
    warmup_calls: int = 0  # per iteration; 0: the player's own updates are counted
    decay_from: float = 1.0  # share of the images after which the rate falls linearly to 0
    clip_value: float | None = None
    clip_norm: float | None = None


@dataclass(frozen=True)
class Progress:
    """The position in the training, equal on every rank."""

    iteration: int = 0
    images: int = 0  # before this iteration
    total: int = 1

    @property
    def fraction(self) -> float:
        return self.images / self.total


@dataclass
class Batch:
    """One micro-batch, the input of a player's loss."""

    draws: Draws
    condition: Condition
    progress: Progress
    sample_shape: tuple[int, ...]
    like: Tensor  # an empty tensor with the run's dtype and device
    real: Tensor | None = None  # present if Method.needs has it
    real_condition: Condition | None = None
    pairs: tuple[Tensor, Tensor] | None = None  # (noise, the teacher's image from it), if needed
    pairs_condition: Condition | None = None
    shared: dict[str, Any] = field(default_factory=dict)  # this iteration's tensors, for methods that reuse x
    size: int = 0  # samples in the global batch: what a mean over the batch divides by

    def noise(self, stream: str) -> Tensor:
        """Unit normal noise of the samples' shape."""
        return self.draws.normal(stream, self.sample_shape, self.like)


@dataclass
class Terms:
    """A player's loss: per-sample terms [B], each with its weight. The trainer masks and reduces them."""

    terms: dict[str, Tensor]
    weights: dict[str, float] = field(default_factory=dict)  # 1 where absent
    health: dict[str, Tensor] = field(default_factory=dict)  # per-sample figures for the log, no gradient
    image: Tensor | None = None  # the generator's image, for a method that adds terms of its own


@dataclass(frozen=True)
class Player:
    """One optimiser: what it trains, when it plays and on which loss."""

    name: str
    trains: tuple[str, ...]  # nets, or "net.submodule"; all else is frozen for it, input gradients still flow
    loss: Callable[[Mapping[str, nn.Module], Batch], Terms]
    optimiser: Optimiser
    train_mode: tuple[str, ...] = ()  # nets in train() (dropout) while this player plays; the rest in eval()
    plays: Callable[[Progress], bool] = lambda progress: True
    conditions: str | None = None  # the player whose conditions it shares; None: it draws its own


@dataclass(frozen=True)
class Copy:
    """A trainable network that starts as the teacher. `dropout` is its layers' share; None: the teacher's own."""

    of: str = "teacher"
    dropout: float | None = None


@dataclass(frozen=True)
class Ema:
    """An average of another network: a consistency target."""

    of: str
    halflife: float  # images
    ramp: float | None = None


@dataclass(frozen=True)
class Head:
    """A new trainable module over the teacher's encoder features; `make(channels, size)`, seeded by the trainer."""

    make: Callable[[int, int], nn.Module]


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters over the teacher's own weights: one module, its adapters switched on for this net alone."""

    rank: int = 64
    alpha: float = 108.0
    layers: tuple[str, ...] = ()  # names of the layers that are adapted, as to_q; empty: all


@dataclass(frozen=True)
class Student:
    """A trainable copy of the teacher's network, used as a one- or few-step generator."""

    chain: Any  # sid.chain.Chain
    dropout: float | None = None  # of its layers; None: the teacher's own


Net = Copy | Ema | Head | Lora | Student


@dataclass(frozen=True)
class TeacherFacts:
    """What is known of a teacher before any network is loaded."""

    name: str
    process: str  # "edm" | "vp" | "flow"
    conditional: bool = False
    text: bool = False
    guidance: bool = False  # trained with condition dropout: has an unconditional branch
    features: bool = False  # offers encoder features for an adversarial term
    real: bool = False  # real training data is at hand
    augment: bool = False  # its network takes the labels of the non-leaking augmentation


class Method(Component, ABC):
    """A method of distillation. Its module imports no torch."""

    needs: ClassVar[frozenset[str]] = frozenset()  # subset of {"real", "pairs", "prompts"}
    # The networks that a second stage takes over from the first with their last weights. All others begin as the
    # teacher, the generator as the first stage's average; averages begin as what they average, optimisers anew.
    continues: ClassVar[frozenset[str]] = frozenset()
    split_matters: ClassVar[str] = ""  # why the split into micro-batches changes its loss; empty where it does not
    Options: ClassVar[type] = type(None)  # a frozen dataclass
    defaults: ClassVar[dict[str, dict[str, Any]]] = {}  # task or data name -> options: the tasks it states settings for

    def options(self, task: str = "", data: str = "", given: Mapping[str, Any] | None = None) -> Any:
        """The options for a task: the class's defaults, then the data's, the task's, and those given."""
        merged = {**self.defaults.get(data, {}), **self.defaults.get(task, {}), **(given or {})}
        known = {entry.name for entry in fields(self.Options)}
        for key in merged:
            if key not in known:
                raise UnknownName(f"option of {self.name}", key, known)
        missing = [
            entry.name
            for entry in fields(self.Options)
            if entry.default is MISSING and entry.default_factory is MISSING and entry.name not in merged
        ]
        if missing:
            raise Fault(f"{self.name} needs the option{'s' * (len(missing) > 1)} {', '.join(missing)}")
        return self.Options(**merged)

    def needs_of(self, options: Any) -> frozenset[str]:
        """The data that these options need beside noise and conditions: `needs`, unless an option decides."""
        return self.needs

    def faults(self, options: Any, teacher: TeacherFacts) -> list[str]:
        """What is wrong with these options for this teacher, a sentence each; checked before any work."""
        return []

    def missing(self, options: Any) -> list[str]:
        """Files that these options read and that are missing; checked before a training, never before a plan."""
        return []

    def passes(self, options: Any) -> Turns:
        """What each player's updates cost, for a plan; empty where the method declares nothing."""
        return {}

    def parts(self, options: Any) -> dict[str, int]:
        """Versions of what several methods share and only some options bring in; a bump re-runs those rows alone."""
        return {"augment": AUGMENT_VERSION} if getattr(options, "augment", 0) else {}

    @abstractmethod
    def build(self, options: Any) -> dict[str, Net]:
        """The networks beside the teacher. One of them is called "generator"."""

    @abstractmethod
    def players(self, options: Any) -> tuple[Player, ...]:
        """The players, in playing order."""


def newer(default: Any, before: Any) -> Any:
    """A field for an option that came later: no digest holds it while it equals `before`, what was done without it."""
    return field(default=default, metadata={"before": before})


def deciding(options: Any) -> dict[str, Any]:
    """The options that decide a result. A `newer` one at its old value is left out: adding it changed no digest."""
    values = asdict(options)
    before = {entry.name: entry.metadata["before"] for entry in fields(options) if "before" in entry.metadata}
    return {name: value for name, value in values.items() if name not in before or value != before[name]}


def positive(options: Any, *names: str) -> list[str]:
    """Faults of options that must be finite and above zero."""
    faults = []
    for name in names:
        value = getattr(options, name)
        if not (math.isfinite(value) and value > 0):
            faults.append(f"{name} must be above 0 (got {value})")
    return faults


def dropout_faults(share: float | None) -> list[str]:
    """Why students and critics can't drop out this share of their activations."""
    return [] if share is None or 0 <= share < 1 else [f"dropout must be in [0, 1) (got {share})"]


def augment_faults(p: float, teacher: TeacherFacts) -> list[str]:
    """Faults of an augmentation probability for the critic's images."""
    if not 0 <= p <= 1:
        return [f"augment must be in [0, 1] (got {p})"]
    if p and not teacher.augment:
        return [f"augment {p} needs a network that takes augmentation labels, and {teacher.name} takes none"]
    return []


@dataclass(frozen=True)
class Adapters:
    """A student that is the frozen teacher with low-rank adapters, which alone are trained."""

    rank: int = 64
    alpha: float = 64.0
