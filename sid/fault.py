"""A user's mistake: said in clear sentences, never shown as a traceback."""

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
    """One line for a person, apart from any progress bar."""
    tqdm.write(sentence, file=sys.stderr)
