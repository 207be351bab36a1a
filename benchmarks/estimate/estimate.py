"""The cost of a suite before it runs: jobs, images, passes, device hours, memory, disk. Imports no torch.

FLOPs are counted (benchmarks/estimate/flops.py), passes are declared by the methods and tested against counted ones,
hours follow from a device's rate. Miniatures run on a CPU: their seconds are those of earlier records, where there are
any.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.assets import PICKLED
from benchmarks.data import prompts
from benchmarks.estimate import networks as counted_networks
from benchmarks.estimate.networks import FLOAT, STATES, MemoryEstimate, Network, memory_of
from benchmarks.suite import components
from benchmarks.suite.checks import options_of
from benchmarks.suite.protocol import Prompts, PromptSource
from benchmarks.suite.released import describe
from sid.fault import Fault, parsed
from sid.passes import Passes, branches

if TYPE_CHECKING:
    from benchmarks.estimate.devices import Device
    from benchmarks.suite.config import Suite, TeacherSection
    from benchmarks.suite.job import Job
    from benchmarks.suite.plan import Plan
    from benchmarks.suite.protocol import Protocol


STAGES = ("teachers", "features", "prompts", "latents", "pairs", "training", "sampling", "scoring")
# By the coarse costs of benchmarks/suite/plan.py: `mini` has 117 million passes and takes twelve minutes on two cores.
CPU_RATE = 81_000.0  # passes of a miniature's network per second and core
BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}


@dataclass
class Stage:
    """A line of the table."""

    jobs: int = 0
    images: float = 0.0
    passes: float = 0.0  # forward passes of samples, as network_passes of a record
    flops: dict[str, float] = field(default_factory=dict)  # precision -> FLOPs of counted networks
    cpu_seconds: float = 0.0  # of the miniatures' jobs, on one core
    disk: float = 0.0  # bytes

    def add(self, images: float, passes: float, flops: float, precision: str = "fp32") -> None:
        self.images += images
        self.passes += passes
        self.flops[precision] = self.flops.get(precision, 0.0) + flops

    def hours(self, device: Device) -> float:
        """Hours of one device that does all of it."""
        return sum(device.hours(flops, precision) for precision, flops in self.flops.items())


@dataclass
class Estimate:
    """All stages of a suite, the memory of its trainings, and what is not known."""

    stages: dict[str, Stage]
    trainings: dict[tuple[str, MemoryEstimate], list[str]] = field(default_factory=dict)  # (network, memory) -> runs
    networks: dict[str, Network] = field(default_factory=dict)
    unknown: dict[str, None] = field(default_factory=dict)  # sentences, each once
    measured: int = 0  # miniatures' jobs whose seconds are those of a record
    reckoned: int = 0  # miniatures' jobs whose seconds follow from CPU_RATE
    largest_state: float = 0.0  # bytes, beside the two states that are stored


class Estimator:
    """Goes through a plan's jobs once; `result` is the estimate."""

    def __init__(self, plan: Plan, gpus: int):
        self.plan, self.suite, self.gpus = plan, plan.suite, gpus
        self.result = Estimate({name: Stage() for name in STAGES})
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
        """Adds a miniature's job: by the record of an earlier run in its folder, else by its coarse cost."""
        seconds = _recorded(job)
        self.result.measured += seconds is not None
        self.result.reckoned += seconds is None
        stage.cpu_seconds += job.work / CPU_RATE if seconds is None else seconds

    def _teacher(self, job: Job) -> None:
        stage = self.result.stages["teachers"]
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
        stage = self.result.stages["features"]
        stage.jobs += 1
        self._cpu(stage, job)

    def _prompts(self, job: Job) -> None:
        stage, params = self.result.stages["prompts"], job.params
        stage.jobs += 1
        network = self._network_of_source(params)
        if network is None:
            return
        section = params["prompts"]
        source = (Prompts if "count" in section else PromptSource)(**section)
        count = _count(source)
        tokens, width, pooled = network.text
        each = (tokens * width + pooled) * BYTES[params["dtype"]]
        if count is None:
            self._unsure(
                f"prompts: the number of '{source.name or source.file or source.data}' is not stated, and the list is "
                f"not here; a million of {network.name} take {each / 1000:,.0f} GB"
            )
            return
        stage.add(0, 0, count * network.prompt)
        stage.disk += count * each

    def _latents(self, job: Job) -> None:
        stage, params = self.result.stages["latents"], job.params
        stage.jobs += 1
        if (network := self._network_of_source(params)) is None:
            return
        tokens, width, pooled = network.text
        values = tokens * width + pooled + math.prod(network.sample)
        each = 1e5 * values * BYTES[params["dtype"]] / 1e9
        self._unsure(
            f"latents: the pairs of {params['pairs']} are counted when they are encoded; 100,000 take {each:.0f} GB"
        )

    def _network_of_source(self, params: Mapping[str, Any]) -> Network | None:
        """The network whose text encoders or autoencoder a shared job runs; None for the miniatures' words."""
        if params["source"] is None:
            return None
        for teacher in self.suite.teachers.values():
            if (teacher.source, teacher.resolution) == (params["source"], params["resolution"]):
                return self._network(teacher, params["source"])
        return None

    def _pairs(self, job: Job) -> None:
        stage = self.result.stages["pairs"]
        stage.jobs += 1
        count, name = job.params["count"], self.plan.find("teacher", job.params["teacher"]).params["name"]
        teacher = self.suite.teachers[name]
        passes = count * _solved(teacher, job.params["steps"], job.params.get("kappa", 1.0))
        network = self._network(teacher, "pairs")
        stage.add(count, passes, passes * network.forward if network else 0)
        if teacher.source is None:
            self._cpu(stage, job)
        if network is not None:
            stage.disk += 2 * FLOAT * count * math.prod(network.sample)

    def _run(self, job: Job) -> None:
        """Training, then samples of every trial and every point of the curve, each scored."""
        params = job.params
        task, name = params["task"], params["entry"]
        entry, settings = self.suite.entries_of(task)[name], self.suite.tasks[task]
        protocol, teacher = self.suite.protocols[settings.protocol], self.suite.teachers[settings.teacher]
        network = self._network(teacher, settings.teacher)
        scorings = protocol.selection.trials
        if entry.method:
            scorings += len(params["recipe"]["observe"])
            self._train(job, network)
        elif teacher.source is None and not entry.released:
            self._cpu(self.result.stages["sampling"], job)
        each, sampled = self._passes(task, name, network)
        images = float(scorings * protocol.samples)
        sampling, scoring = self.result.stages["sampling"], self.result.stages["scoring"]
        sampling.jobs += 1
        scoring.jobs += 1
        flops = sampled.decode + each * sampled.forward if sampled else 0.0
        sampling.add(images if each else 0, images * each, images * flops)
        scoring.add(images, 0, images * self._scored(protocol))

    def _train(self, job: Job, network: Network | None) -> None:
        """Adds a training: its passes and FLOPs, its memory, its states on disk."""
        stage, params = self.result.stages["training"], job.params
        stage.jobs += 1
        task, name = params["task"], params["entry"]
        method, options = components.methods()[params["method"]], options_of(self.suite, task, name)
        images, budget = params["recipe"]["images"], self.suite.budget(task, name)
        mean = sum((turn.mean for turn in method.passes(options).values()), Passes())
        if not mean.forward:
            self._unsure(f"training: the method {method.name} declares no passes")
        cost = mean.cost(network.early) * network.forward if network else 0.0
        stage.add(images, images * (mean.forward + mean.encoder), images * cost, budget.executed.precision)
        if network is None:
            if self.suite.teachers[self.suite.tasks[task].teacher].source is None:
                self._cpu(stage, job)
            return
        memory = memory_of(method, options, network, budget, self.gpus)
        self.result.trainings.setdefault((network.name, memory), []).append(f"{task}/{name}")
        stage.disk += STATES * memory.state + memory.generator
        self.result.largest_state = max(self.result.largest_state, memory.state)

    def _passes(self, task: str, name: str, network: Network | None) -> tuple[float, Network | None]:
        """Passes of one image, and the network that makes it."""
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
        """FLOPs of one image through every feature network of the protocol."""
        total = 0.0
        for name in dict.fromkeys(column.extractor for column in protocol.metrics.values()):
            if components.extractors()[name].trained_here:
                continue
            flops = counted_networks.extractor_flops(name)
            if flops is None:
                self._unsure(f"scoring: the feature network {name} was not counted")
            total += flops or 0.0
        return total

    def _network(self, teacher: TeacherSection, purpose: str) -> Network | None:
        """The teacher's counted network; where there is none, the hours of that purpose are noted as unknown."""
        network = counted_networks.of_teacher(teacher)
        if network is not None:
            self.result.networks[f"{network.name} at {network.side}"] = network
            if network.stands_for:
                self._unsure(f"{network.stands_for} was not counted itself: {network.name} stands for it")
        elif teacher.source is not None:
            size = f" at {teacher.resolution} pixels" if teacher.resolution else ""
            self._unsure(f"the network of {teacher.source}{size} was not counted: no hours of {purpose}")
        return network

    def _unsure(self, sentence: str) -> None:
        self.result.unknown.setdefault(sentence)


def estimate(plan: Plan, gpus: int = 1) -> Estimate:
    """The cost of the plan. `gpus` share each training, which decides its memory."""
    return Estimator(plan, gpus).result


def gpus_of(suite: Suite) -> int:
    """The number of GPUs of the suite's largest training."""
    return max([task.machine.gpus * task.machine.nodes for task in suite.tasks.values()] + [1])


def _solved(teacher: TeacherSection, steps: int, kappa: float, sampler: str | None = None) -> float:
    """Passes of a teacher's full sampler: Heun's method takes two a step but the last, PNDM one on top, others one."""
    heun = components.teachers()[teacher.family].process == "edm" or "wrapper" in teacher.settings
    return float((2 * steps - 1 if heun else steps + (sampler == "pndm")) * branches(kappa))


def _count(source: PromptSource) -> int | None:
    """The number of prompts, if it is stated or the list is here."""
    if source.name is None and source.file is None:
        return None
    stated = getattr(source, "count", 0) or prompts.list_named(str(source.name or source.file), source.file).count
    if stated:
        return int(stated)
    try:
        return len(prompts.read(str(source.name or source.file), Path(source.file) if source.file else None))
    except Fault:
        return None


def _recorded(job: Job) -> float | None:
    """The seconds of an earlier run of the job, whatever its digest."""
    try:
        return float(parsed((job.folder / "record.json").read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
