"""One run in one job: train (or open a control or a released generator), sample, score, write the record.

Images are scored in portions, so that many fit a small machine.
"""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.assets import sha256
from benchmarks.features.store import Store
from benchmarks.hardware import default_device
from benchmarks.run import embeddings
from benchmarks.run.artefacts import (
    CAPTIONS,
    Origin,
    decoder_of,
    encoded_pairs,
    open_generator,
    open_teacher,
    real_images,
    teacher_pairs,
)
from benchmarks.run.record import rates, recipe, write_record
from benchmarks.run.samples import SampleSource, sample_shards, score_dataset, score_source
from benchmarks.scoring.protocol import scorer_of
from benchmarks.scoring.score import FeatureSet, ScoreSettings
from benchmarks.suite import components
from benchmarks.suite.checks import options_of
from benchmarks.suite.job import SHARED
from sid import atomic, generator, sampling, stages
from sid.fault import Fault, report
from sid.generator import Generator
from sid.parallel.settings import EngineSettings, first_process
from sid.prompts import PromptCache, PromptConditions

if TYPE_CHECKING:
    from benchmarks.scoring.score import Scorer
    from benchmarks.suite.config import Suite
    from benchmarks.suite.job import Job
    from benchmarks.suite.plan import Plan
    from benchmarks.suite.protocol import Protocol
    from sid.loop.settings import Data
    from sid.loop.trainer import Trained


SHOWN = 64  # samples stored for the report: the first sample indices, never chosen


def run(job: Job, plan: Plan, command: str, quiet: bool = False) -> None:
    """Makes the files of a run; the record is written last.

    Args:
        job: a job of the kind `run`.
        plan: the plan it is part of.
        command: the command line that makes it again, for the record.
        quiet: without progress.
    """
    started = time.monotonic()
    params = job.params
    protocol = plan.suite.protocols[params["protocol"]]
    settings = ScoreSettings(
        device=default_device(),
        random_weights=plan.suite.random_weights,
        weights={name: Path(folder) for name, folder in params["extractors"].items()},
        store=Store(Path(plan.results) / SHARED / "features"),
    )
    scorer = scorer_of(protocol, settings)
    trained = None
    if params.get("control") == "heldout":
        scored, steps = score_dataset(params["data"], scorer, SHOWN), 0
    else:
        if "method" in params:
            trained, source = _distil(job, plan.suite, protocol, scorer, quiet)
        elif "released" in params:
            source = _released(job, protocol)
        else:
            source = _control(job, protocol)
        shards = Path(params["state"]) / "samples"
        if not first_process():
            sample_shards(source, protocol, scorer, shards, SHOWN)
            return
        scored, steps = score_source(source, protocol, scorer, SHOWN, shards), source.steps
    scores = {
        "suite": plan.suite.name,
        "task": params["task"],
        "entry": params["entry"],
        "label": params["label"],
        "method": params.get("method", params.get("control", "released")),
        "steps": steps,
        "seed": params["seed"],
        "digest": job.digest,
        "images": scored.count,
        "metrics": scored.metrics,
        "unavailable": scorer.unavailable,
    }
    if plan.suite.random_weights is not None:
        scores["random_weights"] = plan.suite.random_weights
    _write_samples(job.folder / "samples.npz", scored.images, scored.captions)
    atomic.write_json(job.folder / "scores.json", scores)
    seconds = time.monotonic() - started if trained is None else trained.seconds
    weights = dict(scorer.weights)
    if (network := Path(params.get("teacher", "")) / "network.safetensors").is_file():
        weights["teacher"] = sha256(network)
    peak = trained.peak_memory if trained else 0
    notes = _notes(params, protocol)
    measured = {"notes": notes} if notes else {}
    measured |= rates(trained) if trained else {}
    write_record(job, command, seconds, peak, weights=weights, **measured)


def _notes(params: Any, protocol: Protocol) -> list[str]:
    """How these images are made differently from those of the protocol's source."""
    notes = [f"{name}: {column.note}" for name, column in protocol.metrics.items() if column.note]
    if protocol.rules.seeding == "batch":
        notes.append(f"noise is drawn by sample index; the protocol's source draws it per batch of {protocol.batch}")
    own = params.get("released", {}).get("resolution")
    if own is not None and protocol.rules.size not in (None, own):
        notes.append(
            f"pictures of {own} pixels, as the generator was published; the protocol says {protocol.rules.size}"
        )
    return notes


def _control(job: Job, protocol: Protocol) -> SampleSource:
    """The teacher at full steps, or its network as a one-step generator."""
    params = job.params
    folder = Path(params["teacher"])
    teacher, data = open_teacher(folder)
    teacher = teacher.to(default_device())
    if params["control"] == "teacher":
        options = params.get("sampling", {})
        churn = sampling.Churn(**options["churn"]) if "churn" in options else None
        kappa, sampler_name = options.get("kappa", 1.0), options.get("sampler")
        sampler = sampling.from_teacher(teacher, params["steps"], kappa, sampler_name, churn)
        return _source(sampler, params["steps"], data, Origin.of(folder), params, protocol)
    sampler = sampling.from_generator(Generator(teacher), kappa=params.get("sampling", {}).get("kappa", 1.0))
    return _source(sampler, 1, data, Origin.of(folder), params, protocol)


def _released(job: Job, protocol: Protocol) -> SampleSource:
    """A published generator with its own text encoders and autoencoder."""
    from benchmarks.run.released import data_and_decoder, open_released
    from benchmarks.suite.released import describe

    described = describe(job.params["released"]["name"])
    opened = open_released(described, imports=Path(job.params["state"]))
    conditions, shape, decode, captions = data_and_decoder(opened, described, protocol, Path(job.params["state"]))
    sampler = sampling.from_generator(opened.generator.to(default_device()))
    own = {"bound": False, "quantiser": job.params.get("quantiser", "")}
    return SampleSource(sampler, conditions, shape, described.steps, captions, decode, **own)


def _source(
    sampler: sampling.Sampler, steps: int, data: Data, origin: Origin, params: Any, protocol: Protocol
) -> SampleSource:
    """Conditions by the protocol's captions where the model reads text, else by the teacher's labels."""
    decode, quantiser = decoder_of(origin), params.get("quantiser", "")
    if "captions" not in params:
        return SampleSource(sampler, data.conditions, data.sample_shape, steps, decode=decode, quantiser=quantiser)
    assert protocol.prompts is not None
    captions = embeddings.captions_of(Path(params["captions"]), protocol.prompts)
    return SampleSource(sampler, captions.conditions, data.sample_shape, steps, captions, decode, quantiser=quantiser)


def _distil(job: Job, suite: Suite, protocol: Protocol, scorer: Scorer, quiet: bool) -> tuple[Trained, SampleSource]:
    """Trains the student and writes it with its curve."""
    # With it come torch's checkpoints and shards: other jobs start without them.
    from sid.loop.trainer import Execution, Training, train

    params = job.params
    method = components.methods()[params["method"]]
    options = options_of(suite, params["task"], params["entry"])
    folder = Path(params["teacher"])
    origin = Origin.of(folder)
    prompts = Path(params["prompts"]) if "prompts" in params else None
    teacher, data = open_teacher(folder, prompts)
    needs = method.needs_of(options)
    if params.get("prompts_from") == "real":
        data.conditions = PromptConditions(PromptCache(Path(params["latents"]) / CAPTIONS))
    if "real" in needs:
        data.real = encoded_pairs(Path(params["latents"])) if "latents" in params else real_images(origin, prompts)
    if "pairs" in needs:
        data.pairs = teacher_pairs(Path(params["pairs"]), prompts)

    def source(student: Generator) -> SampleSource:
        sampler = sampling.from_generator(student, kappa=params.get("sampling", {}).get("kappa", 1.0))
        return _source(sampler, student.chain.steps, data, origin, params, protocol)

    def observe(images: int, student: Generator) -> dict[str, float]:
        features = FeatureSet()
        for pictures, captions in source(student).portions(protocol, protocol.seed):
            scorer.look(pictures, captions, features)
        return scorer.values(features)

    start = open_generator(Path(params["init"]))[0] if "init" in params else None
    networks = stages.load(Path(params["init"]), params["takes"]) if params.get("takes") else {}
    training = Training(method, options, teacher, data, recipe(params), job.digest, start, networks)
    engine, leaves = EngineSettings(**params["engine"]), params.get("leaves", ())
    trained = train(training, Execution(Path(params["state"]), (observe,), engine, quiet, True, leaves))
    if first_process():
        _write_student(trained, job, method.name, origin)
    return trained, source(trained.generator)


def _write_student(trained: Trained, job: Job, method: str, origin: Origin) -> None:
    if trained.networks:
        stages.save(job.folder, trained.networks, job.digest)
    generator.save(trained.generator, job.folder, {"method": method, "digest": job.digest, **origin.facts})
    _write_adapters(trained.generator, job)
    curve = "".join(json.dumps(row) + "\n" for row in trained.curve)
    atomic.write_text(job.folder / "curve.jsonl", curve)


def _write_adapters(student: Generator, job: Job) -> None:
    """For a student of adapters over a published pipeline, also the file that diffusers' `load_lora_weights` reads."""
    from sid.lora import adapter_parameters
    from sid.teachers.latent.adapters import write_adapters

    if adapter_parameters(student) and components.teachers()[student.denoiser.family].text:
        try:
            write_adapters(student.denoiser, job.folder)
        except Fault as fault:  # diffusers reads no adapters for this network: the folded weights remain
            report(" ".join(fault.sentences))


def _write_samples(path: Path, images: np.ndarray, captions: list[str]) -> None:
    content = io.BytesIO()
    texts = {"captions": np.array(captions)} if captions else {}
    np.savez_compressed(content, images=images, **texts)  # type: ignore[arg-type]
    atomic.write_bytes(path, content.getvalue())
