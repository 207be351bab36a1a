"""Versions of packages as tuples of numbers, in which 2.9 is older than 2.11."""

from __future__ import annotations

import re


def numbers(text: str) -> tuple[int, ...]:
    """A version's leading numbers: 2.11.0+cu130 -> (2, 11, 0)."""
    return tuple(map(int, re.findall(r"\d+", re.split(r"[^\d.]", text, maxsplit=1)[0])))
