"""One printed number with its source. Only numbers that were read in a text.

"The authors" are those of the method: another group's measurement of it is not in the authors' own words, and follows
that group's protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from benchmarks.suite.strict import Count, Integer, Many, Name, Number, Strict

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
SourceKind = Literal[
    "primary_fulltext",
    "primary_abstract",
    "author_repo",
    "secondary_extraction",
    "secondary_note",
    "secondary_index",
    "third_party_quote",
    "third_party_eval",
]
Cell = tuple[str, str, str]  # task, entry, metric


class Published(Strict):
    """One printed number with its source."""

    role: Literal["cell", "line", "again", "also"] = Field(
        "cell",
        description="cell: a suite's cell of that name is compared with it; line: no entry of ours stands for it, "
        "it is shown beside the table; again: the number of a cell in another place, for the record; "
        "also: a line's number in another place, or another source of one number",
    )
    task: Name
    entry: Name = Field(description="of a suite; a line has a name of its own")
    same: Many[Name] = Field((), description="other entries of the task with the same number, as a released generator")
    metric: Name
    value: Number
    decimals: Integer = Field(ge=0, le=10, description="as printed: floats drop trailing zeros")
    method: str = Field(description="as printed")
    teacher: str | None = Field(None, description="as printed")
    guidance: str | None = Field(None, description="as printed")
    steps: Count | None = Field(None, description="as printed: sampling steps, or the network's passes")
    paper: str = Field(description="the one that prints the number")
    arxiv: str | None = Field(None, pattern=r"^\d{4}\.\d{4,5}$")
    table: str
    protocol: str = Field(description="how it was measured, as far as the text says")
    source: str = Field(description="where it was read")
    source_kind: SourceKind
    note: str = ""

    @model_validator(mode="after")
    def _as_printed(self) -> Published:
        if round(self.value, self.decimals) != self.value:
            raise ValueError(f"{self.value:g} has more than {self.decimals} decimals")
        if self.same and self.role not in ("cell", "also"):
            raise ValueError(f"a number of role '{self.role}' is compared with no entry, so with none of 'same'")
        return self

    @property
    def authors(self) -> bool:
        return self.source_kind in AUTHORS

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells that have this number."""
        return tuple((self.task, entry, self.metric) for entry in (self.entry, *self.same))

    @property
    def text(self) -> str:
        """The number as printed."""
        return f"{self.value:.{self.decimals}f}"

    @property
    def words(self) -> str:
        """The source as a sentence: paper, table, where it was read, and whose words those are."""
        paper = f"{self.paper} (arXiv {self.arxiv})" if self.arxiv else self.paper
        source = f"{paper}, {self.table}; read in {self.source} ({KINDS[self.source_kind]})"
        return f"{source}; {self.note}" if self.note else source
