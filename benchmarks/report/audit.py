"""The tables that `sidbench audit` wrote beside the results, as the page shows them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

SHOWN = ("implementation", "value", "deviation", "causes", "residue", "verdict", "note", "on")


@dataclass(frozen=True)
class Audit:
    """One metric's table."""

    title: str
    rows: tuple[tuple[str, ...], ...]  # as SHOWN


def files(home: Path) -> list[Path]:
    """The audits in a suite's folder, else those in the folder of all results."""
    return sorted((home / "audit").glob("*.csv")) or sorted((home.parent / "audit").glob("*.csv"))


def read(home: Path) -> list[Audit]:
    """Every table; csv files without an audit's columns are skipped."""
    tables: dict[tuple[Path, str], list[tuple[str, ...]]] = {}
    for file in files(home):
        with open(file, newline="", encoding="utf-8", errors="replace") as lines:
            reader = csv.DictReader(lines)
            if not {"table", *SHOWN} <= set(reader.fieldnames or ()):
                continue
            for row in reader:
                tables.setdefault((file, row["table"]), []).append(tuple(row[name] or "" for name in SHOWN))
    return [Audit(title, tuple(rows)) for (_, title), rows in tables.items()]
