"""What a suite costs before any of it is made: jobs, images, passes, device hours, disk. An estimate; imports no torch.

FLOPs are counted (benchmarks/estimate/flops.py), passes are declared by the methods and tested against counted ones;
hours follow from a device's rate. Miniatures, which are trained on a CPU, are told by the seconds of earlier records.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.assets import PICKLED
from benchmarks.data import prompts
from benchmarks.estimate import networks as counted_networks
from benchmarks.estimate.networks import FLOAT, STATES, Held, Network, held
from benchmarks.suite import components
from benchmarks.suite.checks import options_of
from benchmarks.suite.protocol import Prompts, PromptSource
from benchmarks.suite.released import describe
from sid.fault import Fault
from sid.passes import Passes, branches

if TYPE_CHECKING:
    from benchmarks.estimate.devices import Device
    from benchmarks.suite.config import Suite, Teacher
    from benchmarks.suite.job import Job
    from benchmarks.suite.plan import Plan
    from benchmarks.suite.protocol import Protocol


STAGES = ("teachers", "features", "prompts", "latents", "pairs", "training", "sampling", "scoring")
# From the coarse costs in benchmarks/suite/plan.py: `mini` has 117 million and takes twelve minutes on two cores.
CPU_RATE = 81_000.0  # passes of a miniature's network a second and core
BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}


@dataclass
class Stage:
    """A line of the table."""

    jobs: int = 0
    images: float = 0.0
    passes: float = 0.0  # forward passes of samples, as a record's network_passes
    flops: dict[str, float] = field(default_factory=dict)  # by precision, of counted networks
    cpu_seconds: float = 0.0  # of the miniatures' jobs, on one core
    disk: float = 0.0

    def runs(self, images: float, passes: float, flops: float, precision: str = "fp32") -> None:
        self.images += images
        self.passes += passes
        self.flops[precision] = self.flops.get(precision, 0.0) + flops

    def hours(self, device: Device) -> float:
        """Of one device that does it all alone."""
        return sum(device.hours(flops, precision) for precision, flops in self.flops.items())


@dataclass
class Estimate:
    """All stages of a suite, with what each network's trainings hold and what could not be told."""

    stages: dict[str, Stage]
    trainings: dict[tuple[str, Held], list[str]] = field(default_factory=dict)  # network, bytes -> its runs
    networks: dict[str, Network] = field(default_factory=dict)
    unknown: dict[str, None] = field(default_factory=dict)  # sentences, each once
    measured: int = 0  # miniatures' jobs whose seconds are those of a record
    stated: int = 0  # and those that are reckoned
    one_state: float = 0.0  # bytes of the largest state, beside the two that are kept


class Estimator:
    """Walks a plan's jobs once."""

    def __init__(self, plan: Plan, gpus: int):
        self.plan, self.suite, self.gpus = plan, plan.suite, gpus
        self.told = Estimate({name: Stage() for name in STAGES})
        for kind, reckon in (
            ("teacher", self._teacher),
            ("extractor", self._extractor),
            ("prompts", self._prompts),
            ("latents", self._latents),
            ("pairs", self._pairs),
            ("run", self._run),
        ):
            for job in plan.of(kind):  # type: ignore[arg-type]
                reckon(job)

    def _cpu(self, stage: Stage, job: Job) -> None:
        """A miniature's job: by the record of an earlier run in its folder, else by its coarse cost."""
        seconds = _recorded(job)
        self.told.measured += seconds is not None
        self.told.stated += seconds is None
        stage.cpu_seconds += job.work / CPU_RATE if seconds is None else seconds

    def _teacher(self, job: Job) -> None:
        stage = self.told.stages["teachers"]
        stage.jobs += 1
        source = job.params.get("source")
        if source is None:
            self._cpu(stage, job)
            stage.images += job.params["recipe"]["images"]
            stage.passes += job.params["recipe"]["images"]
        elif Path(source).suffix in PICKLED:
            network = self._network(self.suite.teachers[job.params["name"]], job.params["name"])
            stage.disk += FLOAT * network.parameters if network else 0

    def _extractor(self, job: Job) -> None:
        stage = self.told.stages["features"]
        stage.jobs += 1
        self._cpu(stage, job)

    def _prompts(self, job: Job) -> None:
        stage, params = self.told.stages["prompts"], job.params
        stage.jobs += 1
        network = self._around(params)
        if network is None:
            return
        told = params["prompts"]
        asked = (Prompts if "count" in told else PromptSource)(**told)
        count = _count(asked)
        tokens, width, pooled = network.text
        each = (tokens * width + pooled) * BYTES[params["dtype"]]
        if count is None:
            self._unsure(
                f"prompts: nobody states how many '{asked.name or asked.file or asked.data}' has, and no list is here; "
                f"of {network.name} a million take {each / 1000:,.0f} GB"
            )
            return
        stage.runs(0, 0, count * network.prompt)
        stage.disk += count * each

    def _latents(self, job: Job) -> None:
        stage, params = self.told.stages["latents"], job.params
        stage.jobs += 1
        if (network := self._around(params)) is None:
            return
        tokens, width, pooled = network.text
        values = tokens * width + pooled + math.prod(network.sample)
        each = 1e5 * values * BYTES[params["dtype"]] / 1e9
        self._unsure(
            f"latents: how many pairs {params['pairs']} holds is seen when they are encoded; 100,000 take {each:.0f} GB"
        )

    def _around(self, params: Mapping[str, Any]) -> Network | None:
        """The network for whose text encoders and autoencoder a shared job works; none for the miniatures' words."""
        if params["source"] is None:
            return None
        for teacher in self.suite.teachers.values():
            if (teacher.source, teacher.resolution) == (params["source"], params["resolution"]):
                return self._network(teacher, params["source"])
        return None

    def _pairs(self, job: Job) -> None:
        stage = self.told.stages["pairs"]
        stage.jobs += 1
        count, name = job.params["count"], self.plan.find("teacher", job.params["teacher"]).params["name"]
        teacher = self.suite.teachers[name]
        passes = count * _solved(teacher, job.params["steps"], job.params.get("kappa", 1.0))
        network = self._network(teacher, "pairs")
        stage.runs(count, passes, passes * network.forward if network else 0)
        if teacher.source is None:
            self._cpu(stage, job)
        if network is not None:
            stage.disk += 2 * FLOAT * count * math.prod(network.sample)

    def _run(self, job: Job) -> None:
        """Training, then samples of every trial and of every point of the curve, each of them scored."""
        params = job.params
        task, name = params["task"], params["entry"]
        entry, settings = self.suite.entries_of(task)[name], self.suite.tasks[task]
        protocol, teacher = self.suite.protocols[settings.protocol], self.suite.teachers[settings.teacher]
        network = self._network(teacher, settings.teacher)
        looks = protocol.selection.trials
        if entry.method:
            looks += len(params["recipe"]["observe"])
            self._train(job, network)
        elif teacher.source is None and not entry.released:
            self._cpu(self.told.stages["sampling"], job)
        each, made_by = self._passes(task, name, network)
        images = float(looks * protocol.samples)
        sampling, scoring = self.told.stages["sampling"], self.told.stages["scoring"]
        sampling.jobs += 1
        scoring.jobs += 1
        flops = made_by.decode + each * made_by.forward if made_by else 0.0
        sampling.runs(images if each else 0, images * each, images * flops)
        scoring.runs(images, 0, images * self._scored(protocol))

    def _train(self, job: Job, network: Network | None) -> None:
        stage, params = self.told.stages["training"], job.params
        stage.jobs += 1
        task, name = params["task"], params["entry"]
        method, options = components.methods()[params["method"]], options_of(self.suite, task, name)
        images, budget = params["recipe"]["images"], self.suite.budget(task, name)
        mean = sum((turn.mean for turn in method.passes(options).values()), Passes())
        if not mean.forward:
            self._unsure(f"training: the method {method.name} does not say how many passes it takes")
        cost = mean.cost(network.early) * network.forward if network else 0.0
        stage.runs(images, images * (mean.forward + mean.encoder), images * cost, budget.executed.precision)
        if network is None:
            if self.suite.teachers[self.suite.tasks[task].teacher].source is None:
                self._cpu(stage, job)
            return
        holds = held(method, options, network, budget, self.gpus)
        self.told.trainings.setdefault((network.name, holds), []).append(f"{task}/{name}")
        stage.disk += STATES * holds.state + holds.generator
        self.told.one_state = max(self.told.one_state, holds.state)

    def _passes(self, task: str, name: str, network: Network | None) -> tuple[float, Network | None]:
        """Of one image, and the network that makes it."""
        entry, teacher = self.suite.entries_of(task)[name], self.suite.teachers[self.suite.tasks[task].teacher]
        if entry.control == "heldout":
            return 0.0, None
        if entry.released:
            described = describe(entry.released)
            own = counted_networks.of_released(described, network)
            if own is None:
                self._unsure(f"sampling: the network of {entry.released} at {described.resolution} was not counted")
            return float(described.steps * branches(described.guidance)), own
        if entry.method:
            return float(getattr(options_of(self.suite, task, name), "steps", 1)), network
        solved = _solved(teacher, entry.steps or 1, entry.kappa, entry.sampler)
        return solved if entry.control == "teacher" else 1.0, network

    def _scored(self, protocol: Protocol) -> float:
        """FLOPs of one image through every feature network that the protocol reads."""
        total = 0.0
        for name in dict.fromkeys(column.extractor for column in protocol.metrics.values()):
            if components.extractors()[name].trained_here:
                continue
            flops = counted_networks.extractor_flops(name)
            if flops is None:
                self._unsure(f"scoring: the feature network {name} was not counted")
            total += flops or 0.0
        return total

    def _network(self, teacher: Teacher, called: str) -> Network | None:
        found = counted_networks.of_teacher(teacher)
        if found is not None:
            self.told.networks[f"{found.name} at {found.side}"] = found
            if found.stands_for:
                self._unsure(f"{found.stands_for} was not counted itself: {found.name} stands for it")
        elif teacher.source is not None:
            size = f" at {teacher.resolution} pixels" if teacher.resolution else ""
            self._unsure(f"the network of {teacher.source}{size} was not counted: no hours of {called}")
        return found

    def _unsure(self, sentence: str) -> None:
        self.told.unknown.setdefault(sentence)


def estimate(plan: Plan, gpus: int = 1) -> Estimate:
    """What the plan costs."""
    return Estimator(plan, gpus).told


def gpus_of(suite: Suite) -> int:
    """As many as the suite's largest training is given."""
    return max([task.machine.gpus * task.machine.nodes for task in suite.tasks.values()] + [1])


def _solved(teacher: Teacher, steps: int, kappa: float, sampler: str | None = None) -> float:
    """Passes of a teacher at full steps: Heun's method takes two a step but the last, others one, PNDM one on top."""
    heun = components.teachers()[teacher.family].process == "edm" or "wrapper" in teacher.settings
    return float((2 * steps - 1 if heun else steps + (sampler == "pndm")) * branches(kappa))


def _count(asked: PromptSource) -> int | None:
    """How many prompts a list has, where that is stated or the file lies here."""
    if asked.name is None and asked.file is None:
        return None
    stated = getattr(asked, "count", 0) or prompts.described(str(asked.name or asked.file), asked.file).count
    if stated:
        return int(stated)
    try:
        return len(prompts.read(str(asked.name or asked.file), Path(asked.file) if asked.file else None))
    except Fault:
        return None


def _recorded(job: Job) -> float | None:
    """The seconds of an earlier run of the job, whatever its digest."""
    try:
        return float(json.loads((job.folder / "record.json").read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
