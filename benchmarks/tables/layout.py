"""Which cells a suite's tables have, in which order: declared by the suite, whether or not they were run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.suite.job import SHARED_KINDS

if TYPE_CHECKING:
    from benchmarks.suite.job import Job
    from benchmarks.suite.plan import Plan


Kind = Literal["method", "ablation", "teacher", "untrained", "heldout"]


@dataclass(frozen=True)
class Column:
    """One metric of a task's protocol."""

    name: str
    about: str = ""  # which metric, on which features, against what
    decimals: int = 2
    tolerance: float = 0.0  # share of the compared value
    higher: bool = False  # is better

    @property
    def better(self) -> str:
        return "higher is better" if self.higher else "lower is better"


@dataclass(frozen=True)
class Line:
    """One entry on one task: a method, a method with a player stopped (ablation), or a control."""

    entry: str
    label: str
    kind: Kind
    steps: int | None
    digests: Mapping[int, str]  # seed -> digest of the run the suite asks for; "" where nobody knows it
    series: str = ""  # entries of one series are one line of the front
    at: float | None = None  # where on that line, as a guidance scale

    @property
    def trains(self) -> bool:
        return self.kind in ("method", "ablation")


@dataclass(frozen=True)
class Task:
    name: str
    title: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    front: tuple[str, str] | None = None  # the columns that are drawn against each other


@dataclass(frozen=True)
class Part:
    """A component the suite uses, and how far it was verified."""

    kind: str
    name: str
    version: int | None  # of a file of ours; others' weights are named by their sha256
    verified: str
    paper: str


@dataclass(frozen=True)
class Shared:
    """An artefact that several runs start from."""

    kind: str
    name: str
    seed: int
    folder: Path


@dataclass(frozen=True)
class Layout:
    suite: str
    title: str
    tasks: tuple[Task, ...]
    parts: tuple[Part, ...] = ()
    shared: tuple[Shared, ...] = field(default=())


def layout_of(plan: Plan) -> Layout:
    """The tables of a planned suite, in the order of its file."""
    lines: dict[str, dict[str, list[Job]]] = {name: {} for name in plan.suite.tasks}
    for job in plan.of("run"):
        lines[job.params["task"]].setdefault(job.params["entry"], []).append(job)
    tasks = tuple(_task(plan, name, list(entries.values())) for name, entries in lines.items())
    return Layout(plan.suite.name, plan.suite.title or plan.suite.name, tasks, _parts(plan), _shared(plan))


def _task(plan: Plan, name: str, entries: list[list[Job]]) -> Task:
    settings = plan.suite.tasks[name]
    drawn = plan.suite.protocols[settings.protocol].front
    front = (drawn.x, drawn.y) if drawn else None
    lines = tuple(_line(plan, jobs) for jobs in entries)
    return Task(name, settings.title or name, _columns(plan, name), lines, front)


def _columns(plan: Plan, task: str) -> tuple[Column, ...]:
    from benchmarks.suite import components

    protocol = plan.suite.protocols[plan.suite.tasks[task].protocol]
    found = []
    for name, column in protocol.metrics.items():
        against = f" against {column.reference.data}, {column.reference.split} split" if column.reference else ""
        about = f"{column.metric} on {column.features}{against}; {protocol.samples:,} samples"
        if protocol.rules.seeding == "batch":
            about += ", noise by sample index (the source draws it per batch)"
        higher = components.metrics()[column.metric].direction == "higher"
        found.append(Column(name, about, column.decimals, column.tolerance, higher))
    return tuple(found)


def _line(plan: Plan, jobs: list[Job]) -> Line:
    name = jobs[0].params["entry"]
    entry = plan.suite.entries_of(jobs[0].params["task"])[name]
    kind: Kind = entry.control or ("ablation" if entry.stop_players else "method")
    digests = {job.params["seed"]: job.digest for job in jobs}
    guided = entry.control == "teacher" and "kappa" in entry.model_fields_set
    at = entry.kappa if entry.at is None and guided else entry.at
    return Line(name, entry.label or name, kind, entry.steps, digests, entry.series, at)


COMPONENT_KINDS = ("method", "teacher", "data", "extractor", "metric")


def _parts(plan: Plan) -> tuple[Part, ...]:
    """Every component whose version stands in a job of the plan."""
    from benchmarks.data.open import datasets
    from benchmarks.suite import components
    from benchmarks.suite.released import describe

    known: dict[str, Mapping[str, Any]] = {
        "method": components.methods(),
        "teacher": components.teachers(),
        "data": datasets(),
        "extractor": components.extractors(),
        "metric": components.metrics(),
    }
    used = {tuple(key.split(":", 1)) for job in plan.jobs for key in job.versions if ":" in key}
    found = []
    for kind in COMPONENT_KINDS:
        for name in sorted(name for its, name in used if its == kind):
            one = known[kind][name]
            found.append(Part(kind, name, one.version, one.verified, one.paper))
    for name in sorted({entry.released for *_, entry in plan.suite.rows if entry.released}):
        told = describe(name)
        found.append(Part("released", name, None, told.verified, told.paper))
    return tuple(found)


def _shared(plan: Plan) -> tuple[Shared, ...]:
    jobs = [job for kind in SHARED_KINDS for job in plan.of(kind)]
    return tuple(Shared(job.kind, _named(job), int(job.params.get("seed", 0)), job.folder) for job in jobs)


def _named(job: Job) -> str:
    """By the suite, or by the list of prompts it is made of; by its digest where neither says more."""
    asked = dict(job.params.get("prompts") or {})
    asked |= {"file": job.params.get("pairs")} if job.kind == "latents" else {}
    told = (job.params.get("name"), asked.get("name"), asked.get("data"), asked.get("file"))
    return str(next((name for name in told if name), job.id))
