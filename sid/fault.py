"""A user's mistake, reported in sentences and without a traceback."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tqdm import tqdm


class Fault(Exception):
    """One sentence per thing that is wrong; the command line prints them and leaves with status 2."""

    def __init__(self, sentences: str | Sequence[str]):
        self.sentences = [sentences] if isinstance(sentences, str) else list(sentences)
        super().__init__("\n".join(self.sentences))


def report(sentence: str) -> None:
    """Prints a line to stderr without breaking a progress bar."""
    tqdm.write(sentence, file=sys.stderr)
