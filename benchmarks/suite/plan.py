"""A suite as jobs: what is made, from which inputs, under which digest, at which cost. Imports no torch.

What the digest of a run is made of stands in `Plan._run`, that of a shared artefact in the method of its kind.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.data.open import dataset_version
from benchmarks.suite import components
from benchmarks.suite.checks import options_of
from benchmarks.suite.config import Entry, Suite
from benchmarks.suite.contents import Contents
from benchmarks.suite.digests import (
    decisive,
    digest,
    fingerprint,
    left_networks,
    recipe_of,
    sampled,
    score_versions,
    scored,
    seeded,
    tabled,
    tabled_protocol,
    taken_networks,
)
from benchmarks.suite.files import PACKAGE_DIR, sheets
from benchmarks.suite.job import FILES, KINDS, SHARED, SHARED_KINDS, Job, Kind
from benchmarks.suite.load import load_suite
from benchmarks.suite.protocol import PromptSource
from benchmarks.suite.released import describe
from sid import pretrain
from sid.discovery import UnknownName
from sid.fault import Fault
from sid.loop.settings import LOOP_VERSION
from sid.method import deciding

TABLE_VERSION = 4  # of the tables' layout: a bump remakes tables and pages, and trains nothing
REPORT_VERSION = 4
PROMPTS_VERSION = 1  # of the cache of embeddings
LATENTS_VERSION = 1  # of the cache of real images
# Keys of a released generator that decide no number.
REFERENCE = PACKAGE_DIR.parent / "results" / "reference"  # the project's own committed runs, one csv a suite

# Costs, in forward passes of the miniature's digits network over one image.
BACKWARD = 2  # a backward pass, in forward passes
START = 500_000.0  # starting a process
EXTRACTOR = START + 600 * 128 * (1 + BACKWARD)  # training a feature network of the miniature's size
PAGE = START
TRANSFORMER = 28.0  # one pass of the miniature's text-to-image network


class Plan:
    """All jobs of a suite, or of some of its rows. Outputs lie below `results`.

    Args:
        suite: What is planned.
        results: The folder of all results.
        rows: The rows to be made, as "task/entry", with those that they begin from; None: all. Tables show all rows.
    """

    def __init__(self, suite: Suite, results: str = "results", rows: Collection[str] | None = None):
        if not results or any(letter < " " for letter in results):
            raise Fault(f"the folder of the results can't be called {results!r}: it needs a name without line breaks")
        self.suite = suite
        self.results = results.rstrip("/") or "/"
        self.contents = Contents(Path(self.results))
        self._jobs: dict[tuple[Kind, str], Job] = {}
        for task in suite.tasks:
            for name, entry in suite.entries_of(task).items():
                if rows is not None and f"{task}/{name}" not in rows:
                    continue
                for seed in self._seeds(task, entry):
                    self._run(task, name, entry, seed)
        self._table()
        self.contents.seen.keep()

    def _seeds(self, task: str, entry: Entry) -> tuple[int, ...]:
        """The seeds of a row. One without any training here has a single run: its noise is the protocol's."""
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
        """Jobs that others wait for come first, then long ones before short ones, so that no core idles at the end."""
        waited_for = job.kind in SHARED_KINDS
        return int(job.work / 1000) + (10**9 if waited_for else 0)

    def _folder(self, *parts: str) -> str:
        return "/".join((self.results, *parts))

    def _add(self, job: Job) -> Job:
        return self._jobs.setdefault((job.kind, job.id), job)

    def _shared(
        self,
        kind: Kind,
        section: dict[str, Any],
        versions: dict[str, int],
        work: float,
        params: Mapping[str, Any] | None = None,
        needs: Sequence[Job] = (),
        machine: dict[str, int] | None = None,
    ) -> Job:
        """Adds an artefact that every suite may use, named by its digest.

        Args:
            kind: One of SHARED_KINDS.
            section: Everything that decides the artefact; files by their names.
            versions: Of the components that make it.
            work: What it costs.
            params: Further parameters of the job, which decide nothing.
            needs: Jobs whose outputs it reads.
            machine: Resources beside those that follow from the cost.
        """
        key = digest(self.contents.of(section), versions, [job.digest for job in needs])
        files = FILES["published" if section.get("source") and kind == "teacher" else kind]
        home = self._folder(SHARED, kind, key)
        return self._add(
            Job(
                kind,
                key,
                key,
                versions,
                tuple(path for job in needs for path in job.outputs),
                tuple(f"{home}/{name}" for name in files),
                {
                    **section,
                    "folder": home,
                    "state": self._folder(SHARED, "state", kind, key),
                    **(params or {}),
                },
                with_cost(work) | (machine or {}),
                work,
            )
        )

    def teacher(self, name: str, seed: int) -> Job:
        """The training of a suite's teacher with a seed, or the check of a published one."""
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
            **dataset_version(settings.data or ""),
            "loop": LOOP_VERSION,
            "denoising": pretrain.Denoising.version,
        }
        price = TRANSFORMER if family.text else 1.0
        params = {"recipe": asdict(recipe), "name": name}
        return self._shared("teacher", section, versions, work=teacher_cost(recipe.images, price), params=params)

    def prompts(self, task: str, source: PromptSource, dtype: str) -> Job:
        """Embeddings of a list of prompts by the text encoder of a task's teacher."""
        teacher = self.suite.teachers[self.suite.tasks[task].teacher]
        section = {
            "family": teacher.family,
            "source": teacher.source,
            "world": None if teacher.source else teacher.data,
            "resolution": teacher.resolution,
            "prompts": source.model_dump(mode="json", exclude={"dtype"}),
            "dtype": dtype,
        }
        if teacher.of_text:
            section["settings"] = teacher.of_text
        versions = {"prompts": PROMPTS_VERSION}
        for data in {source.data, section["world"]} - {None}:
            versions |= dataset_version(str(data))
        machine = self.suite.tasks[task].machine.resources()
        return self._shared("prompts", section, versions, work=START, machine=machine)

    def latents(self, task: str) -> Job:
        """Real images in a latent teacher's space, with their captions' embeddings."""
        settings = self.suite.tasks[task]
        teacher, real = self.suite.teachers[settings.teacher], settings.real
        assert real is not None, "checked with the suite"
        section: dict[str, Any] = {
            "family": teacher.family,
            "source": teacher.source,
            "resolution": teacher.resolution,
        }
        section |= {"pairs": real.pairs, "dtype": real.dtype}
        if teacher.of_text:
            section["settings"] = teacher.of_text
        machine = settings.machine.resources()
        return self._shared("latents", section, {"latents": LATENTS_VERSION}, work=START, machine=machine)

    def extractor(self, name: str, seed: int = 0) -> Job:
        """The training of a miniature feature network."""
        extractor = components.extractors()[name]
        versions = {f"extractor:{name}": extractor.version}
        if extractor.data:
            versions |= dataset_version(extractor.data)
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
        if (prompts := self.suite.tasks[task].prompts) is not None:
            needs.append(self.prompts(task, prompts, prompts.dtype))
            params["prompts_folder"] = str(needs[-1].folder)
        work = START + samples_cost(settings.count, 2 * settings.steps)
        machine = self.suite.tasks[task].machine.resources()
        return self._shared("pairs", section, dict(teacher.versions), work, params, needs, machine)

    def _needs(self, task: str, entry: Entry, options: Any, seed: int) -> dict[str, Job]:
        """The jobs whose outputs a run reads, by the parameter that holds their folder."""
        settings = self.suite.tasks[task]
        if entry.control == "heldout" or entry.released:  # a released generator is opened without the task's teacher
            return {}
        needs = {"teacher": self.teacher(settings.teacher, seed)}
        if entry.method and "pairs" in components.methods()[entry.method].needs_of(options):
            needs["pairs"] = self.pairs(task, seed)
        if entry.init:
            needs["init"] = self._run(task, entry.init, self.suite.entries_of(task)[entry.init], seed)
        reads_real = entry.method and "real" in components.methods()[entry.method].needs_of(options)
        if settings.real and (reads_real or entry.prompts == "real"):
            needs["latents"] = self.latents(task)
        if components.teachers()[self.suite.teachers[settings.teacher].family].text:
            prompts, captions = settings.prompts, self.suite.protocols[settings.protocol].prompts
            assert captions is not None, "checked with the suite"
            if entry.method and entry.prompts is None:
                assert prompts is not None, "checked with the suite"
                needs["prompts"] = self.prompts(task, prompts, prompts.dtype)
            needs["captions"] = self.prompts(task, captions, prompts.dtype if prompts is not None else "float16")
        return needs

    def _run(self, task: str, name: str, entry: Entry, seed: int) -> Job:
        """One row of one seed: training, samples and scores, or a control's samples and scores."""
        settings = self.suite.tasks[task]
        protocol = self.suite.protocols[settings.protocol]
        teacher = self.suite.teachers[settings.teacher]
        options: Any = options_of(self.suite, task, name) if entry.method else None
        needs = self._needs(task, entry, options, seed)
        trained_here = {
            (column.extractor, column.seed)
            for column in protocol.metrics.values()
            if components.extractors()[column.extractor].trained_here
        }
        extractors = {seeded(*pair): self.extractor(*pair) for pair in sorted(trained_here)}
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
            section |= {"method": entry.method, "options": deciding(options), "recipe": decisive(recipe)}
            if changed := budget.executed.decisive():
                section["engine"] = changed
            rest["engine"] = asdict(budget.executed)
            versions |= {f"method:{entry.method}": components.methods()[entry.method].version, "loop": LOOP_VERSION}
            versions |= components.methods()[entry.method].parts(options)
            rest["recipe"] = asdict(recipe)
            # What is handed from row to row decides nothing that the two rows' own digests don't say.
            if handed := taken_networks(self.suite, task, name):
                rest["takes"] = handed
            if handed := left_networks(self.suite, task, name):
                rest["leaves"] = handed
            if entry.prompts:
                section["prompts_from"] = entry.prompts
            section |= sampled(entry)
            work = price * distilled_cost(recipe.images) + work * (1 + len(recipe.observe))
        elif entry.released:
            described = describe(entry.released)
            section |= {"released": described.deciding()}
            if weights := self.contents.released(described):
                section["released_files"] = weights
        else:
            section |= {"control": entry.control, "steps": entry.steps, "data": teacher.data, **sampled(entry)}
        if entry.quantiser:
            section["quantiser"] = entry.quantiser
        work += START
        inputs = [*needs.values(), *extractors.values()]
        key = digest(self.contents.of(section), versions, [job.digest for job in inputs])
        place = ("runs", task, name, str(seed))
        rest |= {"folder": self._folder(self.suite.name, *place), "state": self._state(task, name, str(seed), key)}
        rest |= {kind: str(job.folder) for kind, job in needs.items()}
        rest["extractors"] = {extractor: str(job.folder) for extractor, job in extractors.items()}
        reported = ("record.json", "scores.json", "samples.npz", "curve.jsonl")  # of the run it begins from
        read = tuple(path for job in inputs for path in job.outputs if not path.endswith(reported))
        written = tuple(f"{rest['folder']}/{file}" for file in FILES["method" if entry.method else "control"])
        params = {**section, **rest}
        shards = self.suite.protocols[settings.protocol].in_shards
        resources = with_cost(work) | settings.machine.resources(entry.method is not None, shards)
        run = Job("run", "/".join(place[1:]), key, versions, read, written, params, resources, work)
        return self._add(run)

    def _state(self, *parts: str) -> str:
        """The folder of a training state: undeclared, so that Snakemake does not delete it, and named by the digest."""
        return self._folder(self.suite.name, "state", *parts)

    def _table(self) -> None:
        """Adds the tables of all runs, and the page made from them."""
        suite, runs = self.suite, self.of("run")
        reference = fingerprint([REFERENCE / f"{suite.name}.csv"])
        published = fingerprint(sheets())
        section = {
            "suite": tabled(suite),
            "protocols": {name: tabled_protocol(protocol) for name, protocol in suite.protocols.items()},
            "reference": reference,
            "published": published,
            "claims": fingerprint(sorted((PACKAGE_DIR / "papers").glob("*/claims.yaml"))),
        }
        versions = {"table": TABLE_VERSION}
        key = digest(self.contents.of(section), versions, [run.digest for run in runs])
        compared = any(teacher.source for teacher in suite.teachers.values())  # with what papers print
        names = (*FILES["table"], *(FILES["papers"] if compared else ()))
        tables = tuple(f"{self._folder(suite.name, 'tables')}/{name}" for name in names)
        tabulated = ("scores.json", "record.json")
        shown = (*tabulated, "samples.npz", "curve.jsonl")
        scores = tuple(path for run in runs for path in run.outputs if path.endswith(tabulated))
        read = tuple(path for run in runs for path in run.outputs if path.endswith(shown))
        home = {"folder": self._folder(suite.name)}
        params = {**home, "papers": compared}
        self._add(Job("table", suite.name, key, versions, scores, tables, params, with_cost(PAGE), PAGE))
        page = (f"{self._folder(suite.name, 'report')}/index.html",)
        versions = versions | {"report": REPORT_VERSION}
        key = digest({}, versions, [key])
        report = Job("report", suite.name, key, versions, read + tables, page, home, with_cost(PAGE), PAGE)
        self._add(report)


def load_plan(suite: str, results: str = "results", rows: Collection[str] | None = None) -> Plan:
    """The plan of a suite, by its name or file; `rows` as of `Plan`."""
    return Plan(load_suite(suite), results, rows)


def teacher_cost(images: int, price: float = 1.0) -> float:
    """Denoising: one network, forward and backward. `price` is that of one pass."""
    return START + price * images * (1 + BACKWARD)


def distilled_cost(images: int) -> float:
    """The critic's step: generator, then critic forward and backward; the generator's: three networks, both ways."""
    return images * (1 + (1 + BACKWARD) + 3 * (1 + BACKWARD))


def samples_cost(count: int, passes: int) -> float:
    """Generation of `count` images in so many passes, and their features."""
    return count * (passes + 1)


def with_cost(work: float) -> dict[str, int]:
    """Default resources for the scheduler: the miniatures fit one core and little memory."""
    return {"mem_mb": 3000, "runtime": max(30, int(work / 1e6))}
