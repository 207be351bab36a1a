"""SiDBench from Python: `train`, `generate`, `score`, `audit`, `load_student`. All else is the command `sidbench`.

The code lies in the folders `sid`, `baselines` and `benchmarks`: beside this one in a checkout, in `sidbench/tree` in
an installed wheel, so that no folder of so general a name lies in anybody's site-packages. `import sidbench` puts them
on the path of imports and imports no torch; each function opens its rooms when it is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidbench import rooms

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.audit.run import AuditTable
    from benchmarks.scoring.score import Result
    from sid.generator import Generator
    from sid.loop.trainer import Trained


rooms.enter()


def train(
    method: str,
    teacher: str | Path,
    out: str | Path,
    *,
    images: int = 100_000,
    batch: int = 256,
    options: Mapping[str, Any] | None = None,
    prompts: str | Path | None = None,
    data: str | None = None,
    seed: int = 0,
    ema_halflife: float = 20_000.0,
    device: str = "auto",
    results: str | Path = "results",
    quiet: bool = False,
) -> Trained:
    """Distils a teacher with one method; the same call goes on from a state that is there.

    Args:
        method: Of `sidbench list methods`.
        teacher: A folder that sidbench made, the name of a suite's teacher, a diffusers pipeline, or a published .pkl.
        out: Gets generator.safetensors and generator.json, and the state.
        images: The budget, rounded up to whole batches.
        batch: Images an iteration.
        options: The method's, over its defaults.
        prompts: A file of prompts, one a line, for teachers that read text.
        data: A data set's name, for a published teacher and a method that needs real images.
        seed: Of all draws.
        ema_halflife: Of the averaged generator, in images.
        device: auto, cpu or cuda.
        results: The folder in which the teachers of suites lie.
        quiet: Shows no progress.
    """
    from benchmarks.run import by_hand, teachers

    folder = teachers.folder_of(str(teacher), Path(out), str(results), seed, data)
    return by_hand.distil(
        by_hand.Distillation(
            method,
            folder,
            Path(out),
            by_hand.settings_of(images, batch, seed=seed, ema_halflife=ema_halflife),
            by_hand.words(options or {}),
            Path(prompts) if prompts is not None else None,
            device=device,
            quiet=quiet,
        )
    )


def generate(
    folder: str | Path,
    count: int = 64,
    *,
    first: int = 0,
    seed: int = 0,
    steps: int | None = None,
    kappa: float = 1.0,
    prompts: str | Path | None = None,
    batch: int = 1000,
    device: str = "auto",
) -> np.ndarray:
    """Images of a student or a teacher, uint8 [count, C, H, W]; an image depends on the seed and its index alone.

    Args:
        folder: A run's, an exported student's or a teacher's.
        count: Of the images.
        first: The first sample index.
        seed: Of the noise.
        steps: Of a student's chain (default: all), or of a teacher's sampler (default: 18).
        kappa: Guidance of a teacher.
        prompts: A file of prompts, one a line, for models that read text.
        batch: Images at a time; changes no image.
        device: auto, cpu or cuda.
    """
    import numpy as np

    from benchmarks.run import by_hand

    samples = by_hand.samples_of(Path(folder), steps, kappa, Path(prompts) if prompts is not None else None, device)
    return np.concatenate(list(samples.portions(range(first, first + count), seed, batch)))


def score(
    images: str | Path,
    reference: str | Path | None = None,
    metrics: Sequence[str] = ("fid",),
    *,
    captions: Sequence[str] | None = None,
    random_weights: int | None = None,
    device: str = "auto",
) -> Result:
    """Scores of a folder, zip, tar or npz of images: `.scores[name].value`, and `.unavailable` with reasons.

    Args:
        images: What is scored.
        reference: Images, or a file of statistics, for metrics that compare.
        metrics: Of `sidbench list metrics`.
        captions: One an image, for metrics that read them.
        random_weights: The seed of random networks: a rehearsal, whose numbers compare nothing but themselves.
        device: auto, cpu or cuda.
    """
    from benchmarks.hardware import chosen_device
    from benchmarks.images.reading import open_images
    from benchmarks.scoring.requests import request_variant
    from benchmarks.scoring.score import ScoreSettings
    from benchmarks.scoring.score import score as scored

    settings = ScoreSettings(device=chosen_device(device), random_weights=random_weights)
    requests = {name: request_variant(name, "") for name in metrics}
    where = Path(reference) if reference is not None else None
    return scored(open_images(Path(images)), requests, where, captions, settings)


def audit(
    images: str | Path,
    reference: str | Path | None = None,
    *,
    random_weights: int | None = None,
    device: str = "auto",
) -> list[AuditTable]:
    """The same images through every installed implementation of FID, and what makes their values differ.

    Args:
        images: A folder, zip, tar or npz.
        reference: Another one; None: the second half of the images.
        random_weights: The seed of a random network; None: the published one, or a random one where it is missing.
        device: auto, cpu or cuda, of this project's own passes; the others run on the CPU.
    """
    import tempfile

    from benchmarks.audit.run import audit as audited
    from benchmarks.audit.subject import subject_of
    from benchmarks.hardware import chosen_device

    with tempfile.TemporaryDirectory() as folder:
        where = Path(reference) if reference is not None else None
        own = chosen_device(device)
        return audited(subject_of(Path(images), where, Path(folder), random_weights=random_weights, device=own))


def load_student(folder: str | Path) -> Generator:
    """A distilled generator: of a run, of `train`, or of an exported folder. It maps unit noise to images.

    Args:
        folder: With generator.json and generator.safetensors.
    """
    from sid.export import load_pretrained

    return load_pretrained(folder)
