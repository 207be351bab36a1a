"""Exports students: a diffusers pipeline folder, or safetensors with generator.json for pixel models.

Every folder has a model card whose snippet makes our sampler's image from the same noise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sid import atomic
from sid import generator as generators
from sid.fault import Fault
from sid.generator import Generator
from sid.teacher import Teacher, family_of


def save_pretrained(
    generator: Generator, folder: Path | str, card: Card, source: Path | str | None = None, half: bool = False
) -> Path:
    """Writes the student into a new folder, which appears whole or not at all.

    Args:
        generator: The student.
        folder: Must be empty or absent.
        card: The facts of the model card.
        source: The teacher's pipeline, whose other components go with the student; None: the one it was loaded from.
        half: Stores the network in float16.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise Fault(f"{folder} is not empty: a student is exported into a new folder")
    family = family_of(generator.denoiser.family)
    with atomic.folder(folder) as beside:
        facts = {"method": card.method, "digest": card.digest}
        snippet = family.write_student(generator, beside, folder.name, facts, source, half)
        _write_card(beside, folder.name, card, family, generator, snippet)
    return folder


def _write_card(folder: Path, title: str, card: Card, family: Teacher, generator: Generator, snippet: str) -> None:
    times = ", ".join(f"{time:g}" for time in generator.times)
    entered = "unit noise" if generator.chain.unit_input else "sigma z"
    entry = f"{generator.chain.steps} step(s) at {times}, entered with {entered}, renoised {generator.chain.renoise}"
    licence = card.licence or family.licence_of(generator.denoiser.settings or {})
    text = render(card, title, licence, family.library, entry, snippet)
    (folder / "README.md").write_text(text, encoding="utf-8")


def load_pretrained(folder: Path | str) -> Generator:
    """A student exported as safetensors (pixel families), ready to sample."""
    folder = Path(folder)
    try:
        described = generators.describe(folder)
    except (OSError, ValueError):
        raise Fault(f"{folder} holds no exported student: it has no readable generator.json") from None
    return generators.load(folder, family_of(described["family"]).build(described["settings"]))


SHORT_LICENCES = {
    "CreativeML Open RAIL-M": "creativeml-openrail-m",
    "CreativeML Open RAIL++-M": "openrail++",
    "CC BY-NC-SA 4.0": "cc-by-nc-sa-4.0",
    "Apache-2.0": "apache-2.0",
}


@dataclass(frozen=True)
class Card:
    """The facts of a student for its model card."""

    method: str
    teacher: str  # a repository or a name
    digest: str = ""  # of the recipe
    licence: str = ""  # of the teacher, which binds the student; empty: that of the teacher's family
    scores: Mapping[str, float] = field(default_factory=dict)
    prompts: str = ""  # what it was trained on
    trained_for: str = ""


def render(card: Card, title: str, licence: str, library: str, entry: str, snippet: str) -> str:
    """README.md with the front matter that model hubs read."""
    repository = "/" in card.teacher and not card.teacher.startswith(("/", "."))
    front = {
        "library_name": library,
        "license": next((short for name, short in SHORT_LICENCES.items() if licence.startswith(name)), "other"),
        **({"pipeline_tag": "text-to-image"} if library == "diffusers" else {}),
        **({"base_model": card.teacher} if repository else {}),
        "tags": ["score-distillation", card.method],
    }
    # JSON values are YAML values, and nothing that a name holds can end its line.
    head = "\n".join(f"{key}: {json.dumps(value)}" for key, value in front.items())
    facts = {
        "Method": card.method,
        "Teacher": card.teacher,
        "Licence of the teacher": licence or "not stated",
        "Recipe digest": card.digest or "none",
        "Trained on": card.prompts or "not stated",
        "Trained for": card.trained_for or "not stated",
        "Entrance": entry,
    }
    rows = "\n".join(f"| {name} | {_cell(value)} |" for name, value in facts.items())
    scores = "\n".join(f"| {_cell(name)} | {value:g} |" for name, value in card.scores.items())
    measured = f"| metric | value |\n|---|---|\n{scores}" if scores else "No score was taken."
    return (
        f"---\n{head}\n---\n\n# {title}\n\nA student made by score distillation with SiDBench.\n\n"
        f"| | |\n|---|---|\n{rows}\n\n## Scores\n\n{measured}\n\n## Use\n\n```python\n{snippet}\n```\n"
    )


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")
