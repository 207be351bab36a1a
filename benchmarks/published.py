"""What the papers print, cell by cell: `benchmarks/published/*.yaml`, read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from benchmarks import source
from benchmarks.strict import Integer, Many, Name, Number, Strict, faults
from sid.fault import Fault

FOLDER = Path(__file__).parent / "published"
AUTHORS = ("primary_fulltext", "primary_abstract", "author_repo")  # the authors' own words
KINDS: Mapping[str, str] = {
    "primary_fulltext": "the paper's text",
    "primary_abstract": "the paper's abstract",
    "author_repo": "the authors' repository",
    "secondary_extraction": "someone's copy of the paper's number",
    "secondary_note": "someone's note of the paper's number",
    "secondary_index": "an index of papers",
    "third_party_quote": "quoted by another paper",
    "third_party_eval": "measured by another group",
}


class Published(Strict):
    """One printed number and where it was read."""

    task: Name
    entry: Name
    metric: Name
    value: Number
    decimals: Integer = Field(ge=0, le=10, description="as printed: floats drop trailing zeros")
    paper: str
    table: str
    source: str
    source_kind: Literal[
        "primary_fulltext",
        "primary_abstract",
        "author_repo",
        "secondary_extraction",
        "secondary_note",
        "secondary_index",
        "third_party_quote",
        "third_party_eval",
    ]

    @property
    def authors(self) -> bool:
        return self.source_kind in AUTHORS

    @property
    def words(self) -> str:
        """For a reader: what is printed where, and who says so."""
        return f"{self.paper}, {self.table}; read in {self.source} ({KINDS[self.source_kind]})"


class _File(Strict):
    rows: Many[Published] = ()


@lru_cache
def published(folder: Path = FOLDER) -> Mapping[tuple[str, str, str], Published]:
    """Every printed number by (task, entry, metric)."""
    found: dict[tuple[str, str, str], Published] = {}
    wrong = []
    for file in sorted(folder.glob("*.yaml")):
        try:
            rows = _File.model_validate(source.read(file)).rows
        except ValidationError as error:
            wrong += [f"{source.shown(file)}: {'.'.join(at)}: {what}" for at, what in faults(error, _File)]
            continue
        for row in rows:
            key = (row.task, row.entry, row.metric)
            if key in found:
                wrong.append(f"{source.shown(file)}: {'/'.join(key)} is given twice")
            found[key] = row
    if wrong:
        raise Fault(wrong)
    return found
