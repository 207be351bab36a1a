"""Students leave as others expect them: a diffusers pipeline folder, or described safetensors for pixel models.

Every folder carries a model card whose snippet makes our sampler's image from the same noise.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sid import atomic
from sid import generator as generators
from sid.discovery import discover, pick
from sid.fault import Fault
from sid.generator import Generator
from sid.model_card import Card, render
from sid.teacher import Teacher

if TYPE_CHECKING:
    from sid.teachers.latent.family import LatentTeacher


def family_of(name: str) -> Teacher:
    """The component that knows this family."""
    return pick("family of teachers", discover(Teacher, ["sid.teachers"]), name)


def save_pretrained(
    generator: Generator, folder: Path | str, card: Card, source: Path | str | None = None, half: bool = False
) -> Path:
    """Writes the student as a folder that appears whole or not at all.

    `source` is the teacher's pipeline, whose other components the student keeps; absent, the one it was loaded from.
    `half` stores the network in float16.
    """
    from sid.teachers.latent.family import LatentTeacher

    folder = Path(folder)
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise Fault(f"{folder} is not empty: a student is exported into a new folder")
    family = family_of(generator.denoiser.family)
    if isinstance(family, LatentTeacher):
        return _pipeline(generator, family, folder, card, source, half)
    with atomic.folder(folder) as beside:
        generators.save(generator, beside, {"method": card.method, "digest": card.digest})
        lines = [
            "from sid.export import load_pretrained",
            "",
            f"generator = load_pretrained({folder.name!r})",
            "images = generator([noise])  # unit noise [B, C, H, W]",
        ]
        _write_card(beside, folder.name, card, family, "safetensors", generator, "\n".join(lines))
    return folder


def _pipeline(
    generator: Generator, family: LatentTeacher, folder: Path, card: Card, source: Path | str | None, half: bool
) -> Path:
    from sid.teachers.latent.pipeline import snippet, write_pipeline

    place = source if source is not None else (generator.denoiser.settings or {}).get("source")
    if place is None:
        raise Fault(
            "the teacher's pipeline folder is needed: its autoencoder and text encoders go with the student "
            "(a teacher that was trained on the spot, as the miniature's, has none)"
        )
    with atomic.folder(folder) as beside:
        call = write_pipeline(generator, family, Path(place), beside, half)
        _write_card(beside, folder.name, card, family, "diffusers", generator, snippet(call, folder.name))
    return folder


def _write_card(
    folder: Path, title: str, card: Card, family: Teacher, library: str, generator: Generator, snippet: str
) -> None:
    times = ", ".join(f"{time:g}" for time in generator.times)
    entered = "unit noise" if generator.chain.unit_input else "sigma z"
    entry = f"{generator.chain.steps} step(s) at {times}, entered with {entered}, renoised {generator.chain.renoise}"
    licence = card.licence or family.licence_of(generator.denoiser.settings or {})
    text = render(card, title, licence, library, entry, snippet)
    (folder / "README.md").write_text(text, encoding="utf-8")


def load_pretrained(folder: Path | str) -> Generator:
    """A student exported as safetensors (pixel families), ready to sample."""
    folder = Path(folder)
    try:
        described = generators.describe(folder)
    except (OSError, ValueError):
        raise Fault(f"{folder} holds no exported student: it has no readable generator.json") from None
    return generators.load(folder, family_of(described["family"]).build(described["settings"]))
