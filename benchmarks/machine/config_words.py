"""The words of `snakemake --config` as text, and a folder's name that Snakemake's patterns can hold."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sid.discovery import UnknownName
from sid.fault import Fault

DEFAULTS = {"suite": "mini", "results": "results", "rows": "", "gpus": ""}
NEEDED = ("suite", "results")
# Snakemake takes braces for patterns and a leading dash for an option, and blanks end a word in some of its logs.
PLAIN = re.compile(r"(?![-.]/|-)[\w./+@=,-]+")
ALIASES = Path(".snakemake") / "sidbench"


def texts(config: Mapping[str, Any], words: Sequence[str]) -> dict[str, str]:
    """The words as the user wrote them: Snakemake itself reads 2025_11_27 as the number 20251127.

    Args:
        config: As Snakemake understood it, with the keys of configuration files.
        words: KEY=VALUE after --config; without this option in the command line they are not the user's own.
    """
    unknown = [UnknownName("key of --config", key, DEFAULTS) for key in config if key not in DEFAULTS]
    wrong = [sentence for fault in unknown for sentence in fault.sentences]
    own = any(word.startswith(("--config=", "-C")) or word == "--config" for word in sys.argv)
    written = dict(word.split("=", 1) for word in words if own and "=" in word)
    texts_of = {}
    for key, default in DEFAULTS.items():
        text = written.get(key, config.get(key, default))
        if key == "gpus" and not (isinstance(text, int) or text.isdigit() or text == ""):
            wrong.append(f"--config gpus: {text!r} is no whole number")
        elif key != "gpus" and not isinstance(text, str):
            wrong.append(f"--config {key}: {text!r} is no text: put it in quotes")
        elif key in NEEDED and not text:
            wrong.append(f"--config {key}: is empty")
        else:
            texts_of[key] = str(text)
    if wrong:
        raise Fault(wrong)
    return texts_of


def nameable(results: str) -> str:
    """The folder under a name that Snakemake's patterns can hold: its own, or that of a link to it."""
    if PLAIN.fullmatch(results):
        return results
    link = ALIASES / hashlib.sha256(results.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    target = os.path.abspath(results)
    os.makedirs(target, exist_ok=True)
    if not link.is_symlink() or os.readlink(link) != target:
        ALIASES.mkdir(parents=True, exist_ok=True)
        beside = link.with_name(f".{link.name}.{os.getpid()}")
        beside.symlink_to(target)
        os.replace(beside, link)
    return str(link)
