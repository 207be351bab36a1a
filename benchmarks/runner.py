"""One job in one process: a teacher, an extractor or a whole run (train, sample, score)."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks import components
from benchmarks.artefacts import data_of, open_generator, open_teacher, origin, real_images, teacher_pairs
from benchmarks.checks import options_of
from benchmarks.record import record, sha256
from benchmarks.scoring import Scorer, as_json
from sid import atomic, generator, sampling
from sid.draws import Draws, key
from sid.generator import Generator
from sid.recipe import Recipe
from sid.teachers import pretrain
from sid.trainer import Data, Trained, train

if TYPE_CHECKING:
    from benchmarks.config import Suite
    from benchmarks.plan import Job, Plan
    from sid.denoiser import Denoiser

BATCH = 1000  # images a teacher samples at a time
GRID = 64  # samples kept for the report: the first sample indices, never chosen


def prepare(job: Job, command: str, quiet: bool = False) -> None:
    """Makes a shared artefact."""
    if job.kind == "teacher":
        _teach(job, command, quiet)
    elif job.kind == "extractor":
        started = time.monotonic()
        components.extractors()[job.params["name"]].train(job.folder, job.params["seed"])
        _finish(job, command, time.monotonic() - started, 0)
    else:
        _pair(job, command)


def _teach(job: Job, command: str, quiet: bool) -> None:
    """Trains a miniature teacher on real data."""
    from safetensors.torch import save

    params = job.params
    dataset = components.datasets()[params["data"]]
    classes = dataset.classes if params["conditional"] else 0
    settings = {"shape": list(dataset.shape), "classes": classes, **params["network"]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(params["seed"], "teacher") % 2**63)
        blank = components.teachers()[params["family"]].build(settings)
    data = data_of(dataset, bool(classes))
    data.real = real_images(dataset, bool(classes))
    options, recipe = pretrain.Settings(**params["options"]), _recipe(params)
    trained = pretrain.pretrain(blank, options, data, recipe, Path(params["state"]), quiet)
    network = trained.generator.denoiser.network
    atomic.write_bytes(job.folder / "network.safetensors", save(network.state_dict()))
    described = {
        "family": params["family"],
        "settings": settings,
        "data": params["data"],
        "conditional": bool(classes),
        "dropout": options.dropout,
        "digest": job.digest,
    }
    atomic.write_json(job.folder / "teacher.json", described)
    _finish(job, command, trained.seconds, trained.peak_memory, **_rates(trained))


def _pair(job: Job, command: str) -> None:
    """Noise with the teacher's images from it, by Heun's method: for methods that regress on such pairs."""
    from safetensors.torch import save

    started, params = time.monotonic(), job.params
    teacher, data = open_teacher(Path(params["teacher_folder"]))
    like, parts = torch.empty(0), []
    for first in range(0, params["count"], BATCH):
        draws = Draws(params["seed"], 0, range(first, min(first + BATCH, params["count"])), "pairs")
        condition = data.conditions.draw(draws)
        noise = draws.normal("z0", data.sample_shape, like)
        parts.append((noise, sampling.heun(teacher, noise, condition, params["steps"]), condition.labels))
    tensors = {"noise": torch.cat([part[0] for part in parts]), "images": torch.cat([part[1] for part in parts])}
    if parts[0][2] is not None:
        tensors["labels"] = torch.cat([part[2] for part in parts if part[2] is not None])
    atomic.write_bytes(job.folder / "pairs.safetensors", save(tensors))
    _finish(job, command, time.monotonic() - started, 0)


def run(job: Job, plan: Plan, command: str, quiet: bool = False) -> None:
    """Trains (unless it is a control), samples and scores; the record is written last."""
    started = time.monotonic()
    params = job.params
    protocol = plan.suite.protocols[params["protocol"]]
    scorer = Scorer(protocol, params["extractors"])
    trained = None
    if params.get("control") == "heldout":
        images, steps = components.datasets()[params["data"]].images("heldout"), 0
    else:
        teacher, data = open_teacher(Path(params["teacher"]))
        if "method" in params:
            trained = _distil(job, plan.suite, teacher, data, scorer, quiet)
            sampler, steps = sampling.from_generator(trained.generator), trained.generator.chain.steps
        elif params["control"] == "teacher":
            sampler, steps = sampling.from_teacher(teacher, params["steps"]), params["steps"]
        else:
            sampler, steps = sampling.from_generator(Generator(teacher)), 1
        images = _sample(sampler, data, protocol.samples, protocol.seed, protocol.batch)
    scores = {
        "suite": plan.suite.name,
        "task": params["task"],
        "entry": params["entry"],
        "label": params["label"],
        "method": params.get("method", params.get("control")),
        "steps": steps,
        "seed": params["seed"],
        "digest": job.digest,
        "images": len(images),
        "metrics": as_json(scorer.score(images)),
        "unavailable": scorer.unavailable,
    }
    _write_samples(job.folder / "samples.npz", images[:GRID])
    atomic.write_json(job.folder / "scores.json", scores)
    seconds = time.monotonic() - started if trained is None else trained.seconds
    peak = trained.peak_memory if trained else 0
    weights = {name: sha256(Path(params[name]) / "network.safetensors") for name in ("teacher",) if name in params}
    _finish(job, command, seconds, peak, weights=weights, **(_rates(trained) if trained else {}))


def _distil(job: Job, suite: Suite, teacher: Denoiser, data: Data, scorer: Scorer, quiet: bool) -> Trained:
    """Trains the student and writes it with its curve."""
    params = job.params
    method = components.methods()[params["method"]]
    options = options_of(suite, params["task"], params["entry"])
    protocol = scorer.protocol
    needs = method.needs_of(options)
    if "real" in needs:
        data.real = real_images(*origin(Path(params["teacher"])))
    if "pairs" in needs:
        data.pairs = teacher_pairs(Path(params["pairs"]))

    def observe(images: int, student: Any) -> dict[str, float]:
        drawn = _sample(sampling.from_generator(student), data, protocol.samples, protocol.seed, protocol.batch)
        return scorer.values(drawn)

    start = open_generator(Path(params["init"]))[0] if "init" in params else None
    state = Path(params["state"])
    trained = train(
        method,
        options,
        teacher,
        data,
        _recipe(params),
        state,
        (observe,),
        identity=job.digest,
        quiet=quiet,
        start=start,
    )
    dataset, conditional = origin(Path(params["teacher"]))
    facts = {"method": method.name, "digest": job.digest, "data": dataset.name, "conditional": conditional}
    generator.save(trained.generator, job.folder, facts)
    curve = "".join(json.dumps(row) + "\n" for row in trained.curve)
    atomic.write_text(job.folder / "curve.jsonl", curve)
    return trained


def _sample(sampler: sampling.Sampler, data: Data, count: int, seed: int, batch: int) -> np.ndarray:
    return sampling.generate(sampler, data.conditions, data.sample_shape, range(count), seed, batch)


def _recipe(params: Any) -> Recipe:
    told = dict(params["recipe"])
    return Recipe(**{**told, "observe": tuple(told["observe"])})


def _rates(trained: Trained) -> dict[str, Any]:
    return {
        "images": trained.images,
        "images_per_second": round(trained.images / max(trained.seconds, 1e-9), 1),
        "network_passes": trained.passes,
    }


def _write_samples(path: Path, images: np.ndarray) -> None:
    held = io.BytesIO()
    np.savez_compressed(held, images=images)
    atomic.write_bytes(path, held.getvalue())


def _finish(job: Job, command: str, seconds: float, peak: int, **measured: Any) -> None:
    atomic.write_json(job.folder / "record.json", record(job, command, seconds, peak, **measured))
