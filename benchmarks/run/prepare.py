"""Makes shared artefacts, once for all suites: teachers, extractors, prompt embeddings, latents, teacher's pairs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from benchmarks.assets import PICKLED, resolve_data, resolve_weights, sha256
from benchmarks.data import prompts as prompt_lists
from benchmarks.data.open import open_dataset
from benchmarks.hardware import default_device
from benchmarks.run import embeddings
from benchmarks.run.artefacts import CAPTIONS, Origin, data_of, described_in, open_teacher, real_images
from benchmarks.run.record import rates, recipe, write_record
from benchmarks.suite import components
from benchmarks.suite.protocol import Prompts, PromptSource
from sid import atomic, pretrain, prompts, sampling
from sid.draws import Draws, key
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.suite.job import Job


PAIRS_BATCH = 1000  # images a teacher samples at a time


def prepare(job: Job, command: str, quiet: bool = False) -> None:
    """Makes the files of a shared artefact; the record is written last.

    Args:
        job: a job of a shared kind.
        command: the command line that makes it again, for the record.
        quiet: without progress.
    """
    if job.kind == "teacher":
        (_open_published if job.params.get("source") else _train_teacher)(job, command, quiet)
        return
    started = time.monotonic()
    if job.kind == "extractor":
        extractor = components.extractors()[job.params["name"]]
        extractor.train(job.folder, job.params["seed"], open_dataset(extractor.data))
    elif job.kind == "prompts":
        stated = job.params["prompts"]
        source = (Prompts if "count" in stated else PromptSource)(**stated)
        embeddings.embed_prompts(job.folder, job.params, source)
    elif job.kind == "latents":
        _encode_real(job)
    else:
        _sample_pairs(job)
    write_record(job, command, time.monotonic() - started)


def _train_teacher(job: Job, command: str, quiet: bool) -> None:
    """Trains a miniature teacher on real data."""
    from safetensors.torch import save

    from sid.loop.trainer import Execution, Training, train

    params = job.params
    dataset = open_dataset(params["data"])
    family = components.teachers()[params["family"]]
    classes = dataset.classes if params["conditional"] and not family.text else 0
    # A network of text takes its shape from its own config; one of classes from its data.
    settings = (
        params["network"] if family.text else {"shape": list(dataset.shape), "classes": classes, **params["network"]}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(params["seed"], "teacher") % 2**63)
        blank = family.build(dict(settings))
    options = pretrain.DenoisingSettings(**params["options"])
    described = {
        "family": params["family"],
        "settings": settings,
        "data": params["data"],
        "conditional": params["conditional"],
        "dropout": options.dropout,
        "digest": job.digest,
    }
    origin = Origin(**{name: value for name, value in described.items() if name != "digest"})
    prompts = _training_captions(Path(params["state"]), params["family"], params["data"]) if family.text else None
    data = data_of(origin, prompts, blank)
    data.real = real_images(origin, prompts)
    training = Training(pretrain.Denoising(), options, blank, data, recipe(params))
    trained = train(training, Execution(Path(params["state"]), quiet=quiet))
    network = trained.generator.denoiser.network
    atomic.write_bytes(job.folder / "network.safetensors", save(network.state_dict()))
    atomic.write_json(job.folder / "teacher.json", described)
    write_record(job, command, trained.seconds, trained.peak_memory, **rates(trained))


def _training_captions(state: Path, family: str, data: str) -> Path:
    """Embeddings of the data set's own captions, by word vectors; encoding them again costs nothing."""
    encoder = embeddings.encoder_of(family, None, data)
    listed = prompt_lists.prompt_list(PromptSource(data=data, split="train"))
    return prompts.cache_prompts(encoder, listed, state / "captions", "float32").folder


def _open_published(job: Job, command: str, quiet: bool) -> None:
    """Checks a published model and notes where it lies; a .pkl is converted to safetensors, and none of it is run."""
    params, started = job.params, time.monotonic()
    family: Any = components.teachers()[params["family"]]
    place, settings, weights = resolve_weights(params["source"]), {}, {}
    if place.suffix in PICKLED:
        from sid.teachers.pickles.edm_pickle import import_file

        if not place.is_file():
            raise Fault(f"there is no {place} (the teacher '{params['name']}' is read from that file)")
        weights = {"source": import_file(place, job.folder, own=True)["source"]["sha256"]}
        settings = described_in(job.folder, "teacher.json")["settings"]
    elif family.text:
        family.check(place)
    else:
        settings = family.load(place).settings
        weights = {"network": sha256(place / "network.safetensors")}
    described = {
        "family": params["family"],
        "source": params["source"],
        "settings": settings,
        "own": params["settings"],
        "resolution": params["resolution"],
        "data": params["data"],
        "conditional": params["conditional"],
        "digest": job.digest,
    }
    atomic.write_json(job.folder / "teacher.json", described)
    write_record(job, command, time.monotonic() - started, weights=weights)


def _encode_real(job: Job) -> None:
    """Real images as latents and their captions as embeddings, so that no training step runs an encoder."""
    from benchmarks.data.pairs import open_pairs
    from benchmarks.run.latents import write_latents
    from sid.prompts import write_cache

    params = job.params
    family: Any = components.teachers()[params["family"]]
    pairs, side = open_pairs(resolve_data(Path(params["pairs"]))), params["resolution"]
    time_ids = family.time_ids(side, side)
    device = default_device()
    encoder = family.text_encoder(params["source"], **params.get("settings", {})).to(device)
    write_cache(job.folder / CAPTIONS, encoder, pairs.captions, params["dtype"], time_ids)
    decoder = family.decoder(params["source"]).to(device)
    with tqdm(total=len(pairs.images), desc="encoding", unit="image", disable=None) as bar:
        write_latents(job.folder, decoder, params["source"], pairs.images, side, params["dtype"], progress=bar)


def _sample_pairs(job: Job) -> None:
    """Noise and the images that the teacher makes of it at full steps, for methods that regress on such pairs."""
    from safetensors.torch import save

    params = job.params
    prompts = Path(params["prompts_folder"]) if "prompts_folder" in params else None
    teacher, data = open_teacher(Path(params["teacher_folder"]), prompts)
    like = torch.empty(0, device=default_device())
    sampler = sampling.from_teacher(teacher.to(like.device), params["steps"], params.get("kappa", 1.0))
    parts: dict[str, list[torch.Tensor]] = {"noise": [], "images": []}
    for first in range(0, params["count"], PAIRS_BATCH):
        draws = Draws(params["seed"], 0, range(first, min(first + PAIRS_BATCH, params["count"])), "pairs")
        condition = data.conditions.draw(draws).to(like)
        parts["noise"].append(draws.normal("z0", data.sample_shape, like))
        parts["images"].append(sampler(draws, condition, data.sample_shape, like))
        if condition.labels is not None:
            parts.setdefault("labels", []).append(condition.labels)
        if condition.text is not None:
            parts.setdefault("prompts", []).append(torch.tensor(data.conditions.positions(draws)))  # type: ignore[attr-defined]
    tensors = {name: torch.cat(pieces).cpu() for name, pieces in parts.items()}
    atomic.write_bytes(job.folder / "pairs.safetensors", save(tensors))
