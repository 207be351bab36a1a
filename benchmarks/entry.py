"""A row of a suite's tables: what is trained, or sampled, and what that may cost."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from benchmarks.suite.strict import Count, Many, Name, Number, Positive, Share, Strict, Whole, model_of
from sid.loop.recipe import Adapters
from sid.parallel.settings import EngineSettings

AdapterSettings: Any = model_of(Adapters, partial=True)
EngineOptions: Any = model_of(EngineSettings, partial=True)


class Budget(Strict):
    """How long a run trains and how; what an entry sets replaces what its task sets."""

    images: Count = Field(100_000, description="generator images, rounded up to whole batches")
    batch: Count = Field(256, description="the global batch")
    micro_batch: Count | None = Field(None, description="per process and round; absent: the whole share at once")
    ema_halflife: Positive = Field(500_000.0, description="half-life of the averaged generator, in images")
    ema_ramp: Share = Field(0.05, description="the half-life is at most this share of the images seen so far")
    observe: Whole = Field(0, description="points of the curve, spaced evenly in the logarithm of the images")
    clip_norm: Positive | None = Field(None, description="largest norm of a player's gradient")
    dtype: Literal["float32", "float64"] = "float32"
    student: AdapterSettings | None = Field(None, description="low-rank adapters; absent: all weights are trained")
    engine: EngineOptions | None = Field(None, description="how it is executed (docs/engine.md); absent: faithfully")

    @property
    def executed(self) -> EngineSettings:
        """The engine's settings, completed."""
        return EngineSettings(**(self.engine.model_dump(exclude_unset=True) if self.engine is not None else {}))

    def over(self, other: Budget) -> Budget:
        """This budget where it says something, the other elsewhere."""
        return other.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})


class Churn(Strict):
    """EDM's stochastic sampler (Karras et al. 2022, algorithm 2)."""

    amount: Positive
    low: Number = 0.0
    high: Number = 1e9
    noise: Positive = 1.0


class Entry(Strict):
    """A row of the table: a method with its options, a control, or a generator that others published."""

    label: str = ""
    method: str | None = Field(None, description="a method of `sidbench list methods`")
    control: Literal["teacher", "untrained", "heldout"] | None = Field(
        None,
        description="teacher: sampled with its full number of steps; untrained: its network as a one-step generator;"
        " heldout: the held-out images themselves, the floor of a distance",
    )
    released: str | None = Field(None, description="a published generator of `sidbench list released`")
    options: dict[str, Any] = Field({}, description="the method's options")
    steps: Count | None = Field(None, description="sampling steps of the control 'teacher'")
    kappa: Number = Field(1.0, description="guidance of the control 'teacher'")
    sampler: str | None = Field(None, description="of the control 'teacher'; absent: its process's own")
    churn: Churn | None = Field(None, description="EDM's stochastic sampler for the control 'teacher'")
    stop_players: dict[str, Share] = Field({}, description="player -> share of the images after which it rests")
    init: Name | None = Field(None, description="an entry whose generator of the same seed it begins from")
    budget: Budget = Budget()
    tasks: Many[Name] | None = Field(None, description="the tasks it runs on; absent: all")
    series: str = Field("", description="entries of one series are one line of a front")
    at: Number | None = Field(None, description="where on that line it stands, as its guidance")

    @model_validator(mode="after")
    def _one_kind(self) -> Entry:
        if sum(part is not None for part in (self.method, self.control, self.released)) != 1:
            raise ValueError("must name exactly one of method, control and released")
        if self.method is None:
            idle = sorted(self.model_fields_set & {"options", "stop_players", "budget", "init"})
            if idle:
                raise ValueError(
                    f"a {'control' if self.control else 'released generator'} has no {' and no '.join(idle)}"
                )
        if self.control != "teacher":
            idle = sorted(self.model_fields_set & {"steps", "kappa", "sampler", "churn"})
            if idle:
                raise ValueError(f"only the control 'teacher' has {' and '.join(idle)}")
        elif self.steps is None:
            raise ValueError("the control 'teacher' needs steps")
        return self
