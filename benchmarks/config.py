"""What a suite file may say. `load_suite` reads it strictly and tells every fault at once."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, create_model, field_validator, model_validator

from benchmarks import source
from benchmarks.protocol import Protocol
from benchmarks.strict import Count, Location, Many, Name, Positive, Share, Strict, Whole, faults, model_of, numbers
from sid.fault import Fault
from sid.teachers import pretrain

if TYPE_CHECKING:
    from collections.abc import Mapping


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

    def over(self, other: Budget) -> Budget:
        """This budget where it says something, the other elsewhere."""
        return other.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})


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
    """A diffusion model that is trained on the spot, once per seed."""

    family: str = Field(description="a teacher family of `sidbench list teachers`")
    data: str = Field(description="a data set of `sidbench list datasets`")
    conditional: bool = False
    network: dict[str, Any] = Field({}, description="the network's init arguments")
    training: Training = Training()

    _numbers = field_validator("network")(numbers)

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


class Task(Strict):
    """A teacher to distil, a budget and the protocol of its scores."""

    title: str = ""
    teacher: Name
    protocol: Name
    budget: Budget = Budget()
    pairs: Pairs | None = None


class Entry(Strict):
    """A row of the table: a method with its options, or a control."""

    label: str = ""
    method: str | None = Field(None, description="a method of `sidbench list methods`")
    control: Literal["teacher", "untrained", "heldout"] | None = Field(
        None,
        description="teacher: sampled with its full number of steps; untrained: its network as a one-step generator;"
        " heldout: the held-out images themselves, the floor of a distance",
    )
    options: dict[str, Any] = Field({}, description="the method's options")
    steps: Count | None = Field(None, description="sampling steps of the control 'teacher'")
    stop_players: dict[str, Share] = Field({}, description="player -> share of the images after which it rests")
    init: Name | None = Field(None, description="an entry whose generator of the same seed it begins from")
    budget: Budget = Budget()
    tasks: Many[Name] | None = Field(None, description="the tasks it runs on; absent: all")

    @model_validator(mode="after")
    def _one_kind(self) -> Entry:
        if (self.method is None) == (self.control is None):
            raise ValueError("must name either a method or a control")
        if self.control is not None:
            idle = sorted(self.model_fields_set & {"options", "stop_players", "budget", "init"})
            if idle:
                raise ValueError(f"a control has no {' and no '.join(idle)}")
        if (self.steps is not None) != (self.control == "teacher"):
            raise ValueError("the control 'teacher' needs steps" if self.steps is None else "only a teacher has steps")
        return self


class Suite(Strict):
    """Which entries are run on which tasks, with which seeds."""

    name: Name
    title: str = ""
    extends: str | None = Field(None, description="a suite whose keys this one starts from; null takes a key away")
    seeds: Many[Whole] = Field(min_length=1)
    teachers: dict[Name, Teacher] = Field(min_length=1)
    tasks: dict[Name, Task] = Field(min_length=1)
    entries: dict[Name, Entry] = Field(min_length=1)
    protocols: dict[Name, Protocol] = Field({}, description="protocols of this suite alone; others are read by name")

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"must all be different (got {list(seeds)})")
        return seeds

    def entries_of(self, task: str) -> Mapping[str, Entry]:
        """The entries that run on a task, in the file's order."""
        return {name: entry for name, entry in self.entries.items() if entry.tasks is None or task in entry.tasks}

    def budget(self, task: str, entry: str) -> Budget:
        """What a run of the entry on the task may cost."""
        return self.entries[entry].budget.over(self.tasks[task].budget)


def load_suite(name_or_path: str) -> Suite:
    """A suite by its name or its file; Fault tells all that is wrong with it."""
    from benchmarks.checks import suite_faults

    given = source.resolve("suite", str(name_or_path))
    missing = _add_protocols(given)
    try:
        suite = Suite.model_validate(given.content)
    except ValidationError as error:
        found = [*faults(error, Suite), *missing, *suite_faults(*_sound(given.content))]
    else:
        found = [*missing, *suite_faults(suite)]
    if found:
        raise Fault([given.sentence(at, what) for at, what in found])
    return suite


BEARING = {"tasks", "steps", "pairs", "method", "control"}  # without these an item would seem to have other faults
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


def _add_protocols(given: source.Source) -> list[tuple[Location, str]]:
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
            protocol = source.resolve("protocol", name)
        except Fault as fault:
            found += [(("tasks", str(task), "protocol"), sentence) for sentence in fault.sentences]
        else:
            given.graft(("protocols", name), protocol.file, protocol.content)
    return found
