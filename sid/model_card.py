"""The card that travels with an exported student: what it is, where it comes from, how it scores, how it is called."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

SHORT_LICENCES = {
    "CreativeML Open RAIL-M": "creativeml-openrail-m",
    "CreativeML Open RAIL++-M": "openrail++",
    "CC BY-NC-SA 4.0": "cc-by-nc-sa-4.0",
    "Apache-2.0": "apache-2.0",
}


@dataclass(frozen=True)
class Card:
    """What is known of a student beside its weights."""

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
