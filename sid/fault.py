"""A user's mistake, reported in sentences and without a traceback."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

LONGEST = 2000  # letters of a printed sentence
MOST_SENTENCES = 200  # of one Fault that are printed


class Fault(Exception):
    """One sentence per thing that is wrong; the command line prints them and leaves with status 2."""

    def __init__(self, sentences: str | Sequence[str]):
        self.sentences = [sentences] if isinstance(sentences, str) else list(sentences)
        super().__init__("\n".join(self.sentences))

    @property
    def lines(self) -> list[str]:
        """The sentences as they are printed: each on a line, and not without end."""
        more = len(self.sentences) - MOST_SENTENCES
        lines = [readable(sentence) for sentence in self.sentences[:MOST_SENTENCES]]
        return [*lines, f"and {more:,} more"] if more > 0 else lines


def readable(sentence: str) -> str:
    """The sentence on one line of bounded length: a name that a file holds can neither flood nor forge the output."""
    shown = sentence if len(sentence) <= LONGEST else f"{sentence[:LONGEST]} ... ({len(sentence):,} letters)"
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in shown)


def report(sentence: str) -> None:
    """Prints a line to stderr without breaking a progress bar."""
    tqdm.write(readable(sentence), file=sys.stderr)


def parsed(text: str | bytes) -> Any:
    """The content of JSON; a ValueError for whatever is none, also where sections are nested too deep for Python."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its sections are nested too deep") from None
