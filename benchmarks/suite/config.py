"""What a suite file may say. `load_suite` reads it strictly and tells every fault at once."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, create_model, field_validator, model_validator

from benchmarks.entry import Budget, Entry
from benchmarks.suite import files
from benchmarks.suite.protocol import PromptSource, Protocol
from benchmarks.suite.strict import Count, Location, Many, Name, Number, Strict, Whole, faults, model_of, numbers
from sid import pretrain
from sid.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def _fields(model: type[Strict]) -> dict[str, Any]:
    """A model's fields, as another one is made from them."""
    return {name: (entry.annotation, entry) for name, entry in model.model_fields.items()}


DENOISING = frozenset(entry.name for entry in fields(pretrain.Settings))

# A teacher's training: the loop's budget and the denoising player's own settings, in one section.
_LOOP = {name: entry for name, entry in _fields(Budget).items() if name != "observe"}
Training: Any = create_model(
    "Training",
    __base__=Strict,
    __doc__="How a miniature teacher is trained on the spot.",
    **_LOOP,
    **_fields(model_of(pretrain.Settings, partial=True)),
)


class Teacher(Strict):
    """A diffusion model: published, or trained on the spot, once per seed."""

    family: str = Field(description="a teacher family of `sidbench list teachers`")
    source: str | None = Field(
        None, description="a published model: a folder, a .pkl file, or a name in the Hugging Face cache"
    )
    data: str | None = Field(None, description="a data set of `sidbench list datasets`")
    conditional: bool = False
    network: dict[str, Any] = Field({}, description="the network's init arguments")
    settings: dict[str, Any] = Field({}, description="what a published model's family is told, as PixArt's wrapper")
    resolution: Count | None = Field(None, description="pixels a side of what a published latent model is asked for")
    training: Training = Training()

    _numbers = field_validator("network")(numbers)

    @model_validator(mode="after")
    def _published_or_trained(self) -> Teacher:
        if self.source is None and self.data is None:
            raise ValueError("needs a source (a published model) or data (to be trained on)")
        idle = {"network", "training"} if self.source is not None else {"resolution", "settings"}
        for key in sorted(self.model_fields_set & idle):
            raise ValueError(f"a teacher {'with' if self.source else 'without'} a source has no {key}")
        return self

    @property
    def denoising(self) -> pretrain.Settings:
        """The denoising player's settings."""
        return pretrain.Settings(**{key: value for key, value in self._trained().items() if key in DENOISING})

    @property
    def budget(self) -> Budget:
        """The loop's settings."""
        return Budget(**{key: value for key, value in self._trained().items() if key not in DENOISING})

    def _trained(self) -> dict[str, Any]:
        return {key: getattr(self.training, key) for key in self.training.model_fields_set}


class Pairs(Strict):
    """Noise with the teacher's image from it, for methods that regress on such pairs."""

    count: Count = 4000
    steps: Count = 18
    kappa: Number = Field(1.0, description="the teacher's guidance")


class TaskPrompts(PromptSource):
    """Prompts that are drawn uniformly, and how their embeddings are kept."""

    dtype: Literal["float16", "bfloat16", "float32"] = "float16"


class Machine(Strict):
    """What a task's trainings are given. Results do not depend on it: it is told to no digest."""

    gpus: Whole = Field(0, description="per node, a process each; 0: the CPU")
    nodes: Count = Field(1, description="more than one needs the slurm profile")
    memory_gb: Count | None = Field(None, description="main memory per node; absent: enough for a miniature")
    hours: Count | None = Field(None, description="what a scheduler may take away afterwards; absent: by the work")

    def resources(self, training: bool = False, shards: bool = False) -> dict[str, int]:
        """For the scheduler: only a training uses several nodes, only that and a sampling in shards several GPUs."""
        several = training or shards
        told = {"gpu": self.gpus if several else min(self.gpus, 1), "nodes": self.nodes if training else 1}
        told |= {"mem_mb": 1024 * self.memory_gb} if self.memory_gb else {}
        return told | ({"runtime": 60 * self.hours} if self.hours else {})


class Real(Strict):
    """Real images with captions, for a latent teacher's students: encoded once."""

    pairs: str = Field(description="a folder of pictures with captions, a webdataset tar, or a folder of them")
    dtype: Literal["float16", "bfloat16", "float32"] = "float16"


class Task(Strict):
    """A teacher to distil, a budget and the protocol of its scores."""

    title: str = ""
    teacher: Name
    protocol: Name
    budget: Budget = Budget()
    pairs: Pairs | None = None
    prompts: TaskPrompts | None = Field(None, description="what a text-to-image student is trained on")
    real: Real | None = Field(None, description="for methods that need real images, where the teacher is a latent one")
    machine: Machine = Machine()
    entries: dict[Name, Entry] = Field({}, description="rows of this task alone, beside or instead of the suite's")
    seeds: Many[Whole] | None = Field(None, description="absent: the suite's")


class Suite(Strict):
    """Which entries are run on which tasks, with which seeds."""

    name: Name
    title: str = ""
    extends: str | Many[str] | None = Field(
        None, description="suites whose keys this one starts from, the later over the earlier; null takes a key away"
    )
    random_weights: Whole | None = Field(
        None, description="a rehearsal: feature networks with made weights of this seed; every number then says so"
    )
    seeds: Many[Whole] = Field(min_length=1)
    teachers: dict[Name, Teacher] = Field(min_length=1)
    tasks: dict[Name, Task] = Field(min_length=1)
    entries: dict[Name, Entry] = Field({}, description="rows of every task, or of those they name")
    protocols: dict[Name, Protocol] = Field({}, description="protocols of this suite alone; others are read by name")

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
        """What a run of the entry on the task may cost."""
        return self.entries_of(task)[entry].budget.over(self.tasks[task].budget)


def load_suite(name_or_path: str) -> Suite:
    """A suite by its name or its file; Fault tells all that is wrong with it."""
    from benchmarks.suite.checks import suite_faults

    given = files.resolve("suite", str(name_or_path))
    missing = _extend_protocols(given) + _add_protocols(given)
    try:
        suite = Suite.model_validate(given.content)
    except ValidationError as error:
        found = [*faults(error, Suite), *missing, *suite_faults(*_sound(given.content))]
    else:
        found = [*missing, *suite_faults(suite)]
    if found:
        raise Fault([given.sentence(at, what) for at, what in found])
    return suite


BEARING = {
    "tasks",
    "entries",
    "steps",
    "pairs",
    "prompts",
    "method",
    "control",
    "released",
    "source",
    "data",
}  # without these an item would seem to have other faults
SECTIONS: dict[str, type[Strict]] = {"teachers": Teacher, "tasks": Task, "entries": Entry, "protocols": Protocol}


def _sound(content: dict[str, Any]) -> tuple[Suite, dict[str, set[str]]]:
    """What of a faulty suite can still be checked, and the names of what cannot, so that all faults come at once."""
    sections: dict[str, Any] = {}
    broken: dict[str, set[str]] = {}
    for section, model in SECTIONS.items():
        items = content.get(section)
        sections[section], broken[section] = {}, set()
        for name, item in items.items() if isinstance(items, dict) else ():
            sound = _sound_item(model, item)
            if sound is None:
                broken[section].add(str(name))
            else:
                sections[section][str(name)] = sound
    return Suite.model_construct(seeds=(0,), **sections), broken


def _sound_item(model: type[Strict], item: Any) -> Strict | None:
    """The item, without the keys that are wrong where it can do without them."""
    try:
        return model.model_validate(item)
    except ValidationError as error:
        wrong = {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]}
    if not isinstance(item, dict) or not wrong or wrong & BEARING:
        return None
    try:
        return model.model_validate({key: value for key, value in item.items() if str(key) not in wrong})
    except ValidationError:
        return None


def _extend_protocols(given: files.Source) -> list[tuple[Location, str]]:
    """A suite's own protocol may begin as another one: what it says stands over what that one says."""
    found: list[tuple[Location, str]] = []
    own = given.content.get("protocols")
    if not isinstance(own, dict):
        return found
    for name, said in own.items():
        if isinstance(said, dict) and isinstance(said.get("extends"), str):
            try:
                base = files.resolve("protocol", said["extends"])
            except Fault as fault:
                found += [(("protocols", str(name), "extends"), sentence) for sentence in fault.sentences]
            else:
                own[name] = files.laid_over(base, {"name": name, **said}, given.file)
    return found


def _add_protocols(given: files.Source) -> list[tuple[Location, str]]:
    """Reads the protocols that the tasks name and the suite does not define; faults where there is none."""
    found: list[tuple[Location, str]] = []
    tasks = given.content.get("tasks")
    for task, settings in tasks.items() if isinstance(tasks, dict) else ():
        name = settings.get("protocol") if isinstance(settings, dict) else None
        own = given.content.get("protocols")
        if not isinstance(name, str) or (own is not None and not isinstance(own, dict)) or name in (own or {}):
            continue
        try:
            if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
                raise Fault(f"unknown protocol '{name}'")
            protocol = files.resolve("protocol", name)
        except Fault as fault:
            found += [(("tasks", str(task), "protocol"), sentence) for sentence in fault.sentences]
        else:
            given.graft(("protocols", name), protocol.file, protocol.content)
    return found
