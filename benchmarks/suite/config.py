"""The keys of a suite file: one strict model a section. benchmarks/suite/checks.py finds what types cannot check."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, create_model, field_validator, model_validator

from benchmarks.suite.protocol import PromptSource, Protocol
from benchmarks.suite.strict import Count, Many, Name, Number, Points, Positive, Share, Strict, Whole, model_of, numbers
from sid import pretrain
from sid.method import Adapters
from sid.parallel.settings import EngineSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


AdapterSettings: Any = model_of(Adapters, partial=True)
EngineOptions: Any = model_of(EngineSettings, partial=True)
DENOISING = frozenset(entry.name for entry in fields(pretrain.DenoisingSettings))


class Budget(Strict):
    """How long a run trains and how. What an entry sets replaces what its task sets."""

    images: Count = Field(100_000, description="generator images, rounded up to whole batches")
    batch: Count = Field(256, description="the global batch")
    micro_batch: Count | None = Field(None, description="images per process and pass; absent: the whole share at once")
    ema_halflife: Positive = Field(500_000.0, description="half-life of the averaged generator, in images")
    ema_ramp: Share = Field(0.05, description="the half-life is at most this share of the images seen so far")
    observe: Points = Field(0, description="points of the curve, spaced evenly in the logarithm of the images")
    clip_norm: Positive | None = Field(None, description="largest norm of a player's gradient")
    dtype: Literal["float32", "float64"] = "float32"
    student: AdapterSettings | None = Field(None, description="low-rank adapters; absent: all weights are trained")
    engine: EngineOptions | None = Field(
        None, description="how it is executed (docs/engine.md); absent: faithful to the paper"
    )

    @property
    def executed(self) -> EngineSettings:
        """The engine's settings, with the defaults of those that are absent."""
        return EngineSettings(**(self.engine.model_dump(exclude_unset=True) if self.engine is not None else {}))

    def over(self, other: Budget) -> Budget:
        """The other budget with the keys that this one sets."""
        return other.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})


class ChurnSection(Strict):
    """EDM's stochastic sampler (Karras et al. 2022, algorithm 2); see `sid.sampling.Churn`."""

    amount: Positive
    low: Number = 0.0
    high: Number = 1e9
    noise: Positive = 1.0


class Entry(Strict):
    """A row of the table: a method with its options, a control, or a published generator."""

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
    kappa: Number = Field(1.0, description="guidance in sampling: of a teacher, or of each step of a student")
    sampler: str | None = Field(None, description="sampler of the control 'teacher'; absent: its process's own")
    churn: ChurnSection | None = Field(None, description="EDM's stochastic sampler for the control 'teacher'")
    stop_players: dict[str, Share] = Field(
        {}, description="player -> share of the images after which it is trained no more"
    )
    init: Name | None = Field(None, description="an entry whose generator of the same seed it begins from")
    budget: Budget = Budget()
    prompts: Literal["real"] | None = Field(
        None, description="real: trains on the captions of the task's real pairs; absent: on the task's prompts"
    )
    quantiser: Literal["round", "truncate"] | None = Field(
        None, description="float to uint8 as its source does it; absent: as the protocol says"
    )
    tasks: Many[Name] | None = Field(None, description="the tasks it runs on; absent: all")
    series: str = Field("", description="entries of one series form one line of a front")
    at: Number | None = Field(None, description="its position on that line, such as its guidance")

    @model_validator(mode="after")
    def _one_kind(self) -> Entry:
        if sum(part is not None for part in (self.method, self.control, self.released)) != 1:
            raise ValueError("must name exactly one of method, control and released")
        if self.method is None:
            unused = sorted(self.model_fields_set & {"options", "stop_players", "budget", "init", "prompts"})
            if unused:
                raise ValueError(
                    f"a {'control' if self.control else 'released generator'} has no {' and no '.join(unused)}"
                )
        if self.control == "heldout" and self.quantiser:
            raise ValueError("the control 'heldout' has no quantiser: its images are uint8 already")
        if "kappa" in self.model_fields_set and (self.released or self.control == "heldout"):
            raise ValueError(
                "a released generator is sampled as published: it has no kappa"
                if self.released
                else "the control 'heldout' has no kappa"
            )
        if self.control != "teacher":
            unused = sorted(self.model_fields_set & {"steps", "sampler", "churn"})
            if unused:
                raise ValueError(f"only the control 'teacher' has {' and '.join(unused)}")
        elif self.steps is None:
            raise ValueError("the control 'teacher' needs steps")
        return self


def _fields(model: type[Strict]) -> dict[str, Any]:
    """A model's fields, as `create_model` takes them."""
    return {name: (entry.annotation, entry) for name, entry in model.model_fields.items()}


# A teacher's training: the loop's budget and the denoising player's own settings, in one section.
_LOOP = {name: entry for name, entry in _fields(Budget).items() if name != "observe"}
Training: Any = create_model(
    "Training",
    __base__=Strict,
    __doc__="How a miniature teacher is trained.",
    **_LOOP,
    **_fields(model_of(pretrain.DenoisingSettings, partial=True)),
)


class TeacherSection(Strict):
    """A diffusion model: published, or trained here, once per seed."""

    family: str = Field(description="a teacher family of `sidbench list teachers`")
    source: str | None = Field(
        None, description="a published model: a folder, a .pkl file, or a name in the Hugging Face cache"
    )
    data: str | None = Field(None, description="a data set of `sidbench list datasets`")
    conditional: bool = False
    network: dict[str, Any] = Field({}, description="the network's init arguments")
    settings: dict[str, Any] = Field(
        {}, description="further settings for a published model's family, such as PixArt's wrapper"
    )
    resolution: Count | None = Field(
        None, description="pixels a side of the images that a published latent model makes"
    )
    training: Training = Training()

    _numbers = field_validator("network")(numbers)

    @model_validator(mode="after")
    def _published_or_trained(self) -> TeacherSection:
        if self.source is None and self.data is None:
            raise ValueError("needs a source (a published model) or data (to be trained on)")
        unused = {"network", "training"} if self.source is not None else {"resolution", "settings"}
        for key in sorted(self.model_fields_set & unused):
            raise ValueError(f"a teacher {'with' if self.source else 'without'} a source has no {key}")
        return self

    @property
    def of_text(self) -> dict[str, Any]:
        """The settings that the text encoders read, on which embeddings depend."""
        return {key: value for key, value in self.settings.items() if key == "tokens"}

    @property
    def denoising(self) -> pretrain.DenoisingSettings:
        """The denoising player's settings."""
        return pretrain.DenoisingSettings(**{key: value for key, value in self._trained().items() if key in DENOISING})

    @property
    def budget(self) -> Budget:
        """The loop's settings."""
        return Budget(**{key: value for key, value in self._trained().items() if key not in DENOISING})

    def _trained(self) -> dict[str, Any]:
        return {key: getattr(self.training, key) for key in self.training.model_fields_set}


class PairsSection(Strict):
    """Noise and the teacher's image from it, for methods that regress on such pairs."""

    count: Count = 4000
    steps: Count = 18
    kappa: Number = Field(1.0, description="the teacher's guidance")


class TaskPrompts(PromptSource):
    """Training prompts, drawn uniformly, and how their embeddings are stored."""

    dtype: Literal["float16", "bfloat16", "float32"] = "float16"


class Machine(Strict):
    """The resources of a task's trainings. Results do not depend on them: they are part of no digest."""

    gpus: Whole = Field(0, description="GPUs per node, a process each; 0: the CPU")
    nodes: Count = Field(1, description="more than one needs the slurm profile")
    memory_gb: Count | None = Field(None, description="main memory per node; absent: enough for a miniature")
    hours: Count | None = Field(None, description="time limit for a scheduler; absent: by the work")

    def resources(self, training: bool = False, shards: bool = False) -> dict[str, int]:
        """For the scheduler: only a training uses several nodes, only it and a sampling in shards several GPUs."""
        several = training or shards
        resources = {"gpu": self.gpus if several else min(self.gpus, 1), "nodes": self.nodes if training else 1}
        resources |= {"mem_mb": 1024 * self.memory_gb} if self.memory_gb else {}
        return resources | ({"runtime": 60 * self.hours} if self.hours else {})


class Real(Strict):
    """Real images with captions, for a latent teacher's students: encoded once."""

    pairs: str = Field(description="a folder of images with captions, a webdataset tar, or a folder of them")
    dtype: Literal["float16", "bfloat16", "float32"] = "float16"


class Task(Strict):
    """A teacher to distil, a budget and the protocol of its scores."""

    title: str = ""
    teacher: Name
    protocol: Name
    budget: Budget = Budget()
    pairs: PairsSection | None = None
    prompts: TaskPrompts | None = Field(None, description="training prompts of a text-to-image student")
    real: Real | None = Field(None, description="for methods that need real images, where the teacher is a latent one")
    machine: Machine = Machine()
    entries: dict[Name, Entry] = Field(
        {}, description="rows of this task alone, in addition to the suite's or in their place"
    )
    seeds: Many[Whole] | None = Field(None, description="absent: the suite's")


class AcrossSection(Strict):
    """The same methods on several tasks, side by side in one table: by each task's first metric."""

    title: str
    tasks: Many[Name] = Field(min_length=2)
    rows: dict[str, Many[Name]] = Field(min_length=1, description="label -> its entry on each of these tasks, in order")


class Suite(Strict):
    """Which entries are run on which tasks, with which seeds."""

    name: Name
    title: str = ""
    extends: str | Many[str] | None = Field(
        None,
        description="suites whose keys this one starts from; a later one overrides an earlier one, null removes a key",
    )
    random_weights: Whole | None = Field(
        None, description="a rehearsal: feature networks with random weights of this seed; every number is then marked"
    )
    seeds: Many[Whole] = Field(min_length=1)
    teachers: dict[Name, TeacherSection] = Field(min_length=1)
    tasks: dict[Name, Task] = Field(min_length=1)
    entries: dict[Name, Entry] = Field({}, description="rows of every task, or of the tasks they name")
    across: AcrossSection | None = Field(None, description="a table over several tasks; absent: none")
    protocols: dict[Name, Protocol] = Field(
        {}, description="protocols of this suite alone; all others are found by name"
    )

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"must all be different (got {list(seeds)})")
        return seeds

    def entries_of(self, task: str) -> Mapping[str, Entry]:
        """The entries that run on a task, in the file's order, the task's own last."""
        common = {name: entry for name, entry in self.entries.items() if entry.tasks is None or task in entry.tasks}
        return common | self.tasks[task].entries

    @property
    def rows(self) -> Iterator[tuple[str, str, Entry]]:
        """Every entry of every task, as (task, name, entry)."""
        return ((task, name, entry) for task in self.tasks for name, entry in self.entries_of(task).items())

    def seeds_of(self, task: str) -> tuple[int, ...]:
        """The seeds of a task's runs."""
        return tuple(self.tasks[task].seeds or self.seeds)

    def budget(self, task: str, entry: str) -> Budget:
        """The budget of a run of the entry on the task."""
        return self.entries_of(task)[entry].budget.over(self.tasks[task].budget)
