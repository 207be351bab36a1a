"""One training and one sampling without a suite: what `sidbench train`, `sidbench sample` and `import sidbench` do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.hardware import chosen_device
from benchmarks.run import artefacts, embeddings
from benchmarks.run.style import StyleReference, dress
from benchmarks.suite import components
from benchmarks.suite.strict import parse_options
from sid import generator as generators
from sid import sampling
from sid.discovery import pick
from sid.fault import Fault
from sid.loop.settings import LoopSettings
from sid.loop.trainer import Execution, Trained, Training, train
from sid.parallel.settings import FAITHFUL, EngineSettings
from sid.prompts import PromptCache, PromptConditions

if TYPE_CHECKING:
    from sid.condition import Conditions


TEACHER_STEPS = 18  # of a teacher's sampler, where a user names none


@dataclass(frozen=True)
class Distillation:
    """A training by hand.

    Args:
        method: A method's name.
        teacher: A folder with teacher.json (benchmarks/run/teachers.py makes one of anything else).
        out: Gets the generator, and the state in a folder of its own.
        settings: Budget, batch, averages and seed; the budget is rounded up to whole batches.
        options: NAME=VALUE words over the method's defaults.
        prompts: A file of prompts, one a line, for teachers that read text.
        pairs: A folder of the teacher's pairs, for methods that need them.
        engine: How it is executed.
        device: auto, cpu or cuda.
        quiet: Shows no progress.
    """

    method: str
    teacher: Path
    out: Path
    settings: LoopSettings = field(default_factory=LoopSettings)
    options: Sequence[str] = ()
    prompts: Path | None = None
    pairs: Path | None = None
    engine: EngineSettings = FAITHFUL
    device: str = "auto"
    quiet: bool = False


def distil(wanted: Distillation) -> Trained:
    """Trains, or goes on from the state in `out`, and writes the generator there."""
    method = pick("method", dict(components.methods()), wanted.method)
    device, out = chosen_device(wanted.device), wanted.out
    origin = artefacts.Origin.of(wanted.teacher)
    prompts = embeddings.embed_file(origin, wanted.prompts, out)
    teacher, data = artefacts.open_teacher(wanted.teacher, prompts)
    options = parse_options(method, origin.label, wanted.options)
    faults = method.faults(options, artefacts.teacher_facts(wanted.teacher)) + method.missing(options)
    needs = method.needs_of(options)
    if "pairs" in needs and wanted.pairs is None:
        faults.append(f"{method.name} needs the teacher's pairs: give their folder with --pairs")
    if faults:
        raise Fault(faults)
    identity = f"sha256 {artefacts.teacher_sha256(wanted.teacher)}"
    artefacts.refuse_other_teacher(out / "state", wanted.teacher, identity)
    if "real" in needs:
        data.real = artefacts.real_images(origin, prompts)
    if "pairs" in needs and wanted.pairs is not None:
        data.pairs = artefacts.teacher_pairs(wanted.pairs, prompts)
    training = Training(method, options, teacher, data, wanted.settings, identity=identity)
    trained = train(training, Execution(out / "state", engine=wanted.engine, quiet=wanted.quiet, device=device))
    generators.save(trained.generator, out, {"method": method.name, "digest": "", **origin.facts})
    return trained


@dataclass(frozen=True)
class Samples:
    """Images of a generator or a teacher, by sample index: the noise of an image depends on the seed and its index."""

    sampler: sampling.Sampler
    conditions: Conditions
    shape: tuple[int, ...]
    decode: Callable[[torch.Tensor], torch.Tensor] | None
    device: str
    remarks: tuple[str, ...] = ()  # what a user should know

    def portions(self, indices: range, seed: int, batch: int) -> Iterator[np.ndarray]:
        """uint8 images [N, C, H, W], `batch` at a time; the batch changes no image."""
        return sampling.pictures(
            self.sampler, self.conditions, self.shape, indices, seed, batch, self.device, self.decode
        )


def samples_of(
    folder: Path,
    steps: int | None = None,
    kappa: float = 1.0,
    prompts: Path | None = None,
    device: str = "auto",
    style: StyleReference | None = None,
) -> Samples:
    """Opens a folder for sampling.

    Args:
        folder: A run's, an exported student's, or a teacher's.
        steps: Of a student's chain (default: all), or of a teacher's sampler (default: 18).
        kappa: Guidance of a teacher, or of each step of a student.
        prompts: A file of prompts, one a line, for models that read text; they are embedded once, in the folder.
        device: auto, cpu or cuda.
        style: A style reference, for models that take an adapter.
    """
    place = chosen_device(device)
    distilled = (folder / "generator.json").exists()
    origin = artefacts.Origin.of(folder, "generator.json" if distilled else "teacher.json")
    if kappa != 1 and not artefacts.has_null(origin):
        raise Fault(f"--kappa {kappa}: {folder} has no null condition to guide with")
    cached = embeddings.embed_file(origin, prompts, folder)
    if distilled:
        generator, data = artefacts.open_generator(folder, cached)
        if steps is not None and steps > generator.chain.steps:
            raise Fault(f"--steps {steps}: this generator's chain has {generator.chain.steps}")
        denoiser, times = generator.denoiser, generator.times[:steps]
    else:
        denoiser, data = artefacts.open_teacher(folder, cached)
        times = _sampler_times(denoiser, steps or TEACHER_STEPS, data.sample_shape) if style is not None else []
    conditions = data.conditions if cached is None else PromptConditions(PromptCache(cached), "index")
    remarks: list[str] = []
    if style is not None:
        styled, remarks = dress(denoiser, origin, style, times, kappa)
        conditions = styled(conditions)
    if distilled:
        sampler = sampling.from_generator(generator.to(place), steps, kappa)
    else:
        sampler = sampling.from_teacher(denoiser.to(place), steps or TEACHER_STEPS, kappa)
    decoder = artefacts.decoder_of(origin)
    return Samples(sampler, conditions, data.sample_shape, decoder and decoder.to(place), place, tuple(remarks))


def _sampler_times(denoiser: Any, steps: int, shape: tuple[int, ...]) -> list[float]:
    """The times of the sampler that a teacher has by default; those of pixel models take no style."""
    if denoiser.process.kind == "edm":
        return []
    from sid.teacher import SAMPLERS
    from sid.teachers.latent.samplers import times_of

    return times_of(denoiser, steps, SAMPLERS[denoiser.process.kind][0], shape)


def settings_of(images: int, batch: int, **rest: Any) -> LoopSettings:
    """The loop's settings with a budget of whole batches; `rest` are further fields of `LoopSettings`."""
    if images < batch or batch < 1:
        raise Fault(f"--images {images} must be at least one --batch of {batch}")
    return LoopSettings(images=-(-images // batch) * batch, batch=batch, **rest)


def words(options: Mapping[str, Any]) -> list[str]:
    """Options as the NAME=VALUE words of the command line."""
    import json

    return [f"{name}={json.dumps(value)}" for name, value in options.items()]
