"""The cells of a suite's tables in their order: as the suite declares them, run or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.suite.job import SHARED_KINDS

if TYPE_CHECKING:
    from benchmarks.suite.config import Entry
    from benchmarks.suite.job import Job
    from benchmarks.suite.plan import Plan


Kind = Literal["method", "ablation", "teacher", "untrained", "heldout"]


@dataclass(frozen=True)
class TableColumn:
    """One metric of a task's protocol."""

    name: str
    about: str = ""  # the metric, its features, its reference, the number of samples
    decimals: int = 2
    tolerance: float = 0.0  # as a share of the compared value
    higher: bool = False  # whether a higher value is better

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
    digests: Mapping[int, str]  # seed -> digest of the run that the suite declares; "" if unknown
    series: str = ""  # entries of one series are one line of the front
    at: float | None = None  # place on that line, such as a guidance scale
    counterpart: str = ""  # of an ablation: the entry that is the same but for its stopped players
    critic_never: bool = False  # an ablation whose critic stays the teacher

    @property
    def trains(self) -> bool:
        return self.kind in ("method", "ablation")


@dataclass(frozen=True)
class TableTask:
    """One task: its columns, its entries, and the selection rules of other papers that its protocol reports."""

    name: str
    title: str
    columns: tuple[TableColumn, ...]
    lines: tuple[Line, ...]
    front: tuple[str, str] | None = None  # the columns that are drawn against each other
    alternatives: Mapping[str, str] = field(default_factory=dict)  # name -> rule, as "minimum of 3 trials"


@dataclass(frozen=True)
class UsedComponent:
    """A component that the suite uses, and how far it was verified."""

    kind: str
    name: str
    version: int | None  # None for published weights: their sha256 identifies them
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
    """All tables of a suite, with the components and shared artefacts behind them."""

    suite: str
    title: str
    tasks: tuple[TableTask, ...]
    components: tuple[UsedComponent, ...] = ()
    shared: tuple[Shared, ...] = ()


def layout_of(plan: Plan) -> Layout:
    """The tables of a planned suite, in the order of its file."""
    lines: dict[str, dict[str, list[Job]]] = {name: {} for name in plan.suite.tasks}
    for job in plan.of("run"):
        lines[job.params["task"]].setdefault(job.params["entry"], []).append(job)
    tasks = tuple(_task(plan, name, list(entries.values())) for name, entries in lines.items())
    return Layout(plan.suite.name, plan.suite.title or plan.suite.name, tasks, _components(plan), _shared(plan))


def _task(plan: Plan, name: str, entries: list[list[Job]]) -> TableTask:
    settings = plan.suite.tasks[name]
    protocol = plan.suite.protocols[settings.protocol]
    front = (protocol.front.x, protocol.front.y) if protocol.front else None
    lines = tuple(_line(plan, jobs) for jobs in entries)
    alternatives = {
        rule: "the first trial" if its.rule == "single" else f"{its.rule} of {its.trials} trials"
        for rule, its in protocol.alternatives.items()
    }
    return TableTask(name, settings.title or name, _columns(plan, name), lines, front, alternatives)


def _columns(plan: Plan, task: str) -> tuple[TableColumn, ...]:
    from benchmarks.suite import components

    protocol = plan.suite.protocols[plan.suite.tasks[task].protocol]
    columns = []
    for name, column in protocol.metrics.items():
        against = f" against {column.reference.data}, {column.reference.split} split" if column.reference else ""
        about = f"{column.metric} on {column.features}{against}; {protocol.samples:,} samples"
        if protocol.rules.seeding == "batch":
            about += ", noise by sample index (the source draws it per batch)"
        higher = components.metrics()[column.metric].direction == "higher"
        columns.append(TableColumn(name, about, column.decimals, column.tolerance, higher))
    return tuple(columns)


def _line(plan: Plan, jobs: list[Job]) -> Line:
    name = jobs[0].params["entry"]
    entry = plan.suite.entries_of(jobs[0].params["task"])[name]
    kind: Kind = entry.control or ("ablation" if entry.stop_players else "method")
    digests = {job.params["seed"]: job.digest for job in jobs}
    guided = "kappa" in entry.model_fields_set
    at = entry.kappa if entry.at is None and guided else entry.at
    return Line(
        entry=name,
        label=entry.label or name,
        kind=kind,
        steps=entry.steps,
        digests=digests,
        series=entry.series,
        at=at,
        counterpart=_counterpart(plan, jobs[0].params["task"], entry),
        critic_never=entry.stop_players == {"critic": 0.0},
    )


def _counterpart(plan: Plan, task: str, entry: Entry) -> str:
    """The task's entry that differs from an ablation in nothing but its stopped players; empty if there is none."""
    if not entry.stop_players:
        return ""
    same = ("method", "options", "init")
    others = plan.suite.entries_of(task).items()
    alike = (name for name, its in others if all(getattr(its, key) == getattr(entry, key) for key in same))
    return next((name for name in alike if not plan.suite.entries_of(task)[name].stop_players), "")


COMPONENT_KINDS = ("method", "teacher", "data", "extractor", "metric")


def _components(plan: Plan) -> tuple[UsedComponent, ...]:
    """Every component whose version is recorded in a job of the plan, and the released generators."""
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
    listed = []
    for kind in COMPONENT_KINDS:
        for name in sorted(name for its, name in used if its == kind):
            component = known[kind][name]
            listed.append(UsedComponent(kind, name, component.version, component.verified, component.paper))
    for name in sorted({entry.released for *_, entry in plan.suite.rows if entry.released}):
        released = describe(name)
        listed.append(UsedComponent("released", name, None, released.verified, released.paper))
    return tuple(listed)


def _shared(plan: Plan) -> tuple[Shared, ...]:
    jobs = [job for kind in SHARED_KINDS for job in plan.of(kind)]
    return tuple(Shared(job.kind, _named(job), int(job.params.get("seed", 0)), job.folder) for job in jobs)


def _named(job: Job) -> str:
    """The suite's name of an artefact, else the name of the prompts or pairs it is made of, else its id."""
    source = dict(job.params.get("prompts") or {})
    source |= {"file": job.params.get("pairs")} if job.kind == "latents" else {}
    names = (job.params.get("name"), source.get("name"), source.get("data"), source.get("file"))
    return str(next((name for name in names if name), job.id))
