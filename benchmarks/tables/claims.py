"""What papers claim in words: `benchmarks/papers/*/claims.yaml`, read strictly, and the contrasts that try them."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from benchmarks.suite import files
from benchmarks.suite.strict import Many, Name, Number, Strict, numbers
from sid.fault import Fault


class Contrast(Strict):
    """One sentence about a metric: how it changes from row to row, at equal images unless stated otherwise."""

    metric: Name
    relation: Literal["falls", "rises", "keeps", "equals", "log-linear"] = Field(
        description="falls, rises: from each row to the next; keeps: it gets no worse than `within`; equals: it "
        "differs by no more than that; log-linear: its logarithm falls in a straight line with that of the images"
    )
    rows: Many[Name] = Field(min_length=1, description="entries of the task, in order")
    at: Literal["images", "passes", "end"] = Field(
        "images", description="compared at equal training images, at equal passes of networks, or as they end"
    )
    within: Number | None = Field(None, description="of keeps and equals: a share of a distance, else in its own unit")

    @model_validator(mode="after")
    def _whole(self) -> Contrast:
        wanted = {"log-linear": 1, "keeps": 2, "equals": 2}.get(self.relation)
        if len(self.rows) < 2 if wanted is None else len(self.rows) != wanted:
            raise ValueError(f"{self.relation} takes {wanted or 'two or more'} rows (got {len(self.rows)})")
        if (self.within is not None) != (self.relation in ("keeps", "equals")):
            raise ValueError(f"{self.relation} {'has no' if self.within is not None else 'needs'} within")
        if self.within is not None and self.within <= 0:
            raise ValueError(f"within must be above 0 (got {self.within})")
        return self


class Trial(Strict):
    """Where a claim can be tried, and by which rows."""

    tasks: Many[str] = Field(min_length=1, description="suite/task, `*` for any letters")
    contrasts: Many[Contrast] = Field(min_length=1, description="all of them must hold")
    lacks: str = Field("", description="why no shipped suite has its rows; absent if one has")
    note: str = Field("", description="how the trial differs from the paper's")


class Claim(Strict):
    """A statement of a paper in this project's words, with the trials that it stands or falls by."""

    name: Name
    statement: str
    section: str = Field(description="where the paper states it, as far as that was read")
    read: str = Field(description="where the statement was read")
    confidence: Literal["read", "second-hand", "inferred"] = Field(
        description="read: in the authors' own words; second-hand: in another's; inferred: from figures or code"
    )
    trials: Many[Trial] = Field(min_length=1)

    def trial(self, suite: str, task: str) -> Trial | None:
        """The first trial for a suite's task, if any."""
        place = f"{suite}/{task}"
        return next((its for its in self.trials if any(fnmatchcase(place, pattern) for pattern in its.tasks)), None)


class Paper(Strict):
    """The claims of one paper."""

    title: str
    arxiv: str = Field(pattern=r"^\d{4}\.\d{4,5}$")
    claims: Many[Claim] = Field(min_length=1)


@lru_cache
def papers(folder: Path = files.PAPERS_DIR) -> Mapping[str, Paper]:
    """Every paper with claims, by the name of its folder; the faults of all files are raised together."""
    known: dict[str, Paper] = {}
    places: dict[str, Path] = {}
    wrong: list[str] = []
    for file in sorted(folder.glob("*/claims.yaml")):
        try:
            paper = files.validated(Paper, file, numbers(files.read(file)))
        except Fault as fault:
            wrong += fault.sentences
            continue
        for claim in paper.claims:
            if claim.name in places:
                wrong.append(
                    f"{files.shown(file)}: the claim '{claim.name}' stands in {files.shown(places[claim.name])} too"
                )
            places[claim.name] = file
        known[file.parent.name] = paper
    if wrong:
        raise Fault(wrong)
    return known
