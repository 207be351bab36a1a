"""A suite as jobs: what is made, from what, under which digest, at which cost. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.data.open import stated
from benchmarks.suite import components, stages
from benchmarks.suite.checks import options_of
from benchmarks.suite.config import Entry, Suite
from benchmarks.suite.digests import (
    decisive,
    digest,
    fingerprint,
    recipe_of,
    sampled,
    score_versions,
    scored,
    seeded,
    tabled,
)
from benchmarks.suite.job import FILES, KINDS, SHARED, SHARED_KINDS, Job, Kind
from benchmarks.suite.load import load_suite
from benchmarks.suite.protocol import PromptSource
from benchmarks.suite.released import describe
from sid import pretrain
from sid.discovery import UnknownName
from sid.loop.recipe import LOOP_VERSION

TABLE_VERSION = 2  # of the tables' layout: a bump remakes tables and pages, and trains nothing
REPORT_VERSION = 2
PROMPTS_VERSION = 1  # of the cache of embeddings
LATENTS_VERSION = 1  # of that of real images
TOLD = {"title", "paper", "licence", "verified", "confidence", "sources", "note"}  # of a released generator: no number
HERE = Path(__file__).parents[1]
REFERENCE = HERE.parent / "results" / "reference"  # the project's own committed runs, one csv a suite


class Plan:
    """All jobs of a suite."""

    def __init__(self, suite: Suite, results: str = "results"):
        self.suite = suite
        self.results = results.rstrip("/") or "/"
        self._jobs: dict[tuple[Kind, str], Job] = {}
        for task in suite.tasks:
            for name, entry in suite.entries_of(task).items():
                for seed in self._seeds(task, entry):
                    self._run(task, name, entry, seed)
        self._table()

    def _seeds(self, task: str, entry: Entry) -> tuple[int, ...]:
        """A row without any training by us has one run: its noise is the protocol's."""
        seeds = self.suite.seeds_of(task)
        published = self.suite.teachers[self.suite.tasks[task].teacher].source is not None
        untrained = entry.control == "heldout" or (entry.method is None and published)
        return seeds[:1] if untrained or entry.released else seeds

    @property
    def jobs(self) -> tuple[Job, ...]:
        return tuple(sorted(self._jobs.values(), key=lambda job: KINDS.index(job.kind)))

    def of(self, kind: Kind) -> tuple[Job, ...]:
        """The jobs of one kind, in the suite's order."""
        return tuple(job for job in self._jobs.values() if job.kind == kind)

    def find(self, kind: Kind, id: str) -> Job:
        """One job, or a Fault with the nearest id."""
        if (kind, id) not in self._jobs:
            raise UnknownName(f"{kind} of the suite {self.suite.name}", id, [job.id for job in self.of(kind)])
        return self._jobs[kind, id]

    def priority(self, job: Job) -> int:
        """What others wait for comes first, then the long before the short, so that no core idles at the end."""
        waited_for = job.kind in SHARED_KINDS
        return int(job.work / 1000) + (10**9 if waited_for else 0)

    def _folder(self, *parts: str) -> str:
        return "/".join((self.results, *parts))

    def _add(self, job: Job) -> Job:
        return self._jobs.setdefault((job.kind, job.id), job)

    def _shared(self, kind: Kind, section: dict[str, Any], versions: dict[str, int], **rest: Any) -> Job:
        """An artefact that every suite may use: its digest is its name."""
        key = digest(section, versions, [job.digest for job in rest.get("needs", ())])
        files = FILES["published" if section.get("source") and kind == "teacher" else kind]
        home = self._folder(SHARED, kind, key)
        return self._add(
            Job(
                kind,
                key,
                key,
                versions,
                tuple(path for job in rest.get("needs", ()) for path in job.outputs),
                tuple(f"{home}/{name}" for name in files),
                {
                    **section,
                    "folder": home,
                    "state": self._folder(SHARED, "state", kind, key),
                    **rest.get("params", {}),
                },
                with_cost(rest["work"]) | rest.get("machine", {}),
                rest["work"],
            )
        )

    def teacher(self, name: str, seed: int) -> Job:
        """The training of a suite's teacher with a seed, or the opening of a published one."""
        settings = self.suite.teachers[name]
        family = components.teachers()[settings.family]
        versions = {f"teacher:{settings.family}": family.version}
        section: dict[str, Any] = {
            "family": settings.family,
            "data": settings.data,
            "conditional": settings.conditional,
        }
        if settings.source is not None:
            section |= {"source": settings.source, "settings": settings.settings, "resolution": settings.resolution}
            return self._shared("teacher", section, versions, work=START, params={"name": name})
        recipe = recipe_of(settings.budget, seed)
        section |= {
            "network": settings.network,
            "options": asdict(settings.denoising),
            "recipe": decisive(recipe),
            "seed": seed,
        }
        versions |= {
            **stated(settings.data or ""),
            "loop": LOOP_VERSION,
            "denoising": pretrain.Denoising.version,
        }
        price = TRANSFORMER if family.text else 1.0
        params = {"recipe": asdict(recipe), "name": name}
        return self._shared("teacher", section, versions, work=teacher_cost(recipe.images, price), params=params)

    def prompts(self, task: str, asked: PromptSource, dtype: str) -> Job:
        """Embeddings of a list of prompts by a teacher's text encoder."""
        teacher = self.suite.teachers[self.suite.tasks[task].teacher]
        section = {
            "family": teacher.family,
            "source": teacher.source,
            "world": None if teacher.source else teacher.data,
            "resolution": teacher.resolution,
            "prompts": asked.model_dump(mode="json", exclude={"dtype"}),
            "dtype": dtype,
        }
        versions = {"prompts": PROMPTS_VERSION}
        for data in {asked.data, section["world"]} - {None}:
            versions |= stated(str(data))
        machine = self.suite.tasks[task].machine.resources()
        return self._shared("prompts", section, versions, work=START, machine=machine)

    def latents(self, task: str) -> Job:
        """Real images in a latent teacher's space, with their captions' embeddings."""
        settings = self.suite.tasks[task]
        teacher, real = self.suite.teachers[settings.teacher], settings.real
        assert real is not None, "checked with the suite"
        section = {"family": teacher.family, "source": teacher.source, "resolution": teacher.resolution}
        section |= {"pairs": real.pairs, "dtype": real.dtype}
        machine = settings.machine.resources()
        return self._shared("latents", section, {"latents": LATENTS_VERSION}, work=START, machine=machine)

    def extractor(self, name: str, seed: int = 0) -> Job:
        """The training of a miniature feature network."""
        extractor = components.extractors()[name]
        versions = {f"extractor:{name}": extractor.version}
        if extractor.data:
            versions |= stated(extractor.data)
        section = {"name": name, "data": extractor.data, "preprocess": extractor.preprocess, "seed": seed}
        return self._shared("extractor", section, versions, work=EXTRACTOR)

    def pairs(self, task: str, seed: int) -> Job:
        """Noise with the teacher's images from it."""
        teacher = self.teacher(self.suite.tasks[task].teacher, seed)
        settings = self.suite.tasks[task].pairs
        assert settings is not None, "checked with the suite"
        section = {"teacher": teacher.digest, "count": settings.count, "steps": settings.steps, "seed": seed}
        if settings.kappa != 1:
            section["kappa"] = settings.kappa
        needs = [teacher]
        params = {"teacher_folder": str(teacher.folder)}
        if (asked := self.suite.tasks[task].prompts) is not None:
            needs.append(self.prompts(task, asked, asked.dtype))
            params["prompts_folder"] = str(needs[-1].folder)
        work = START + samples_cost(settings.count, 2 * settings.steps)
        machine = self.suite.tasks[task].machine.resources()
        told = {"needs": needs, "params": params, "machine": machine}
        return self._shared("pairs", section, dict(teacher.versions), work=work, **told)

    def _needs(self, task: str, entry: Entry, options: Any, seed: int) -> dict[str, Job]:
        """What a run reads: by the name under which it is told where that lies."""
        settings = self.suite.tasks[task]
        if entry.control == "heldout" or entry.released:  # others' generators bring all that they need
            return {}
        needs = {"teacher": self.teacher(settings.teacher, seed)}
        if entry.method and "pairs" in components.methods()[entry.method].needs_of(options):
            needs["pairs"] = self.pairs(task, seed)
        if entry.init:
            needs["init"] = self._run(task, entry.init, self.suite.entries_of(task)[entry.init], seed)
        if entry.method and "real" in components.methods()[entry.method].needs_of(options) and settings.real:
            needs["latents"] = self.latents(task)
        if components.teachers()[self.suite.teachers[settings.teacher].family].text:
            asked, captions = settings.prompts, self.suite.protocols[settings.protocol].prompts
            assert captions is not None, "checked with the suite"
            if entry.method:
                assert asked is not None, "checked with the suite"
                needs["prompts"] = self.prompts(task, asked, asked.dtype)
            needs["captions"] = self.prompts(task, captions, asked.dtype if asked is not None else "float16")
        return needs

    def _run(self, task: str, name: str, entry: Entry, seed: int) -> Job:
        """One row of one seed: training, samples and scores, or a control's samples and scores."""
        settings = self.suite.tasks[task]
        protocol = self.suite.protocols[settings.protocol]
        teacher = self.suite.teachers[settings.teacher]
        options: Any = options_of(self.suite, task, name) if entry.method else None
        needs = self._needs(task, entry, options, seed)
        trained_here = {
            (c.extractor, c.seed)
            for c in protocol.metrics.values()
            if components.extractors()[c.extractor].trained_here
        }
        extractors = {seeded(*wanted): self.extractor(*wanted) for wanted in sorted(trained_here)}
        section: dict[str, Any] = {"task": task, "seed": seed, "scores": scored(protocol)}
        if self.suite.random_weights is not None:
            section["random_weights"] = self.suite.random_weights
        versions = score_versions(protocol)
        rest: dict[str, Any] = {"entry": name, "label": entry.label or name, "protocol": settings.protocol}
        price = TRANSFORMER if components.teachers()[teacher.family].text else 1.0
        work = price * samples_cost(protocol.samples, 2 * entry.steps if entry.steps else 1)
        if entry.method:
            budget = self.suite.budget(task, name)
            recipe = recipe_of(budget, seed, entry.stop_players)
            section |= {"method": entry.method, "options": asdict(options), "recipe": decisive(recipe)}
            if changed := budget.executed.decisive():
                section["engine"] = changed
            rest["engine"] = asdict(budget.executed)
            versions |= {f"method:{entry.method}": components.methods()[entry.method].version, "loop": LOOP_VERSION}
            rest["recipe"] = asdict(recipe)
            # What is handed from row to row decides nothing that the two rows' own digests don't say.
            if handed := stages.takes(self.suite, task, name):
                rest["takes"] = handed
            if handed := stages.leaves(self.suite, task, name):
                rest["leaves"] = handed
            work = price * distilled_cost(recipe.images) + work * (1 + len(recipe.observe))
        elif entry.released:
            section |= {"released": describe(entry.released).model_dump(mode="json", exclude=TOLD)}
        else:
            section |= {"control": entry.control, "steps": entry.steps, "data": teacher.data, **sampled(entry)}
        work += START
        inputs = [*needs.values(), *extractors.values()]
        key = digest(section, versions, [job.digest for job in inputs])
        place = ("runs", task, name, str(seed))
        rest |= {"folder": self._folder(self.suite.name, *place), "state": self._state(task, name, str(seed), key)}
        rest |= {kind: str(job.folder) for kind, job in needs.items()}
        rest["extractors"] = {extractor: str(job.folder) for extractor, job in extractors.items()}
        told = ("record.json", "scores.json", "samples.npz", "curve.jsonl")
        read = tuple(path for job in inputs for path in job.outputs if not path.endswith(told))
        made = tuple(f"{rest['folder']}/{file}" for file in FILES["method" if entry.method else "control"])
        params = {**section, **rest}
        shards = self.suite.protocols[settings.protocol].in_shards
        resources = with_cost(work) | settings.machine.resources(entry.method is not None, shards)
        run = Job("run", "/".join(place[1:]), key, versions, read, made, params, resources, work)
        return self._add(run)

    def _state(self, *parts: str) -> str:
        """Training state: undeclared, so that Snakemake does not delete it, and named by the digest."""
        return self._folder(self.suite.name, "state", *parts)

    def _table(self) -> None:
        """The tables of all runs, and the page made of them."""
        suite, runs = self.suite, self.of("run")
        reference = fingerprint([REFERENCE / f"{suite.name}.csv"])
        published = fingerprint(sorted((HERE / "published").glob("*.yaml")))
        section = {
            "suite": tabled(suite),
            "protocols": {
                name: protocol.model_dump(mode="json", exclude={"shard", "keep_images"})  # they change no number
                for name, protocol in suite.protocols.items()
            },
            "reference": reference,
            "published": published,
        }
        versions = {"table": TABLE_VERSION}
        key = digest(section, versions, [run.digest for run in runs])
        tables = tuple(f"{self._folder(suite.name, 'tables')}/{name}" for name in FILES["table"])
        shown = ("record.json", "samples.npz", "curve.jsonl")
        scores = tuple(path for run in runs for path in run.outputs if path.endswith("scores.json"))
        read = tuple(path for run in runs for path in run.outputs if path.endswith(shown))
        home = {"folder": self._folder(suite.name)}
        self._add(Job("table", suite.name, key, versions, scores, tables, home, with_cost(PAGE), PAGE))
        page = (f"{self._folder(suite.name, 'report')}/index.html",)
        versions = versions | {"report": REPORT_VERSION}
        key = digest({}, versions, [key])
        report = Job("report", suite.name, key, versions, read + tables, page, home, with_cost(PAGE), PAGE)
        self._add(report)


def load_plan(suite: str, results: str = "results") -> Plan:
    """The plan of a suite by its name or file."""
    return Plan(load_suite(suite), results)


BACKWARD = 2  # a backward pass costs about two forward passes
START = 500_000.0  # the start of a process, in passes of a miniature's network
EXTRACTOR = START + 600 * 128 * (1 + BACKWARD)  # a network of the miniature's size
PAGE = START
TRANSFORMER = 28.0  # the miniature's text-to-image network, in passes of the digits' one


def teacher_cost(images: int, price: float = 1.0) -> float:
    """Denoising: one network, forward and backward."""
    return START + price * images * (1 + BACKWARD)


def distilled_cost(images: int) -> float:
    """Critic's step: generator, critic and back; generator's step: three networks and back through them."""
    return images * (1 + (1 + BACKWARD) + 3 * (1 + BACKWARD))


def samples_cost(count: int, passes: int) -> float:
    """Generation and its features."""
    return count * (passes + 1)


def with_cost(work: float) -> dict[str, int]:
    """What the scheduler is told; the miniatures fit one core and little memory."""
    return {"mem_mb": 3000, "runtime": max(30, int(work / 1e6))}
