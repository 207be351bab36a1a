"""The papers' claims and what the runs answer, as the page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.tables import answers_typeset
from benchmarks.tables.answers import Answer
from benchmarks.tables.claims import Claim
from benchmarks.tables.evidence import RULE


@dataclass(frozen=True)
class ClaimSection:
    """The section's content."""

    answers: Sequence[Answer] = ()
    elsewhere: Sequence[tuple[Claim, tuple[str, ...]]] = ()  # claims that no task of the suite can try
    rule: str = RULE

    @property
    def tally(self) -> list[tuple[str, int]]:
        return answers_typeset.tally(self.answers)

    @property
    def chance(self) -> str:
        return answers_typeset.chance(self.answers)

    def steps(self, answer: Answer) -> list[tuple[str, ...]]:
        """The cells of each step; a single empty line for a claim that was not tried."""
        return [("",) * 5] if answer.why else [answers_typeset.shown(link) for link in answer.links]
