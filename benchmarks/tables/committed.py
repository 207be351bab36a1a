"""The project's own committed runs, `results/reference/<suite>.csv`: what a miniature's runs are compared with."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from benchmarks.tables import typeset
from benchmarks.tables.rows import HEADER, Cell, Row
from benchmarks.tables.verdict import NO_TARGET, Target
from sid import atomic
from sid.fault import Fault

FOLDER = Path(__file__).parents[2] / "results" / "reference"
SEEDS = (100, 101, 102)  # never those of a table or of tuning
WORD = "reference"  # stands where the verdict would


def read(suite: str, folder: Path = FOLDER) -> dict[Cell, Target]:
    """The committed values by (task, entry, metric); empty where nothing is committed."""
    file = folder / f"{suite}.csv"
    if not file.is_file():
        return {}
    with open(file, newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    found = {}
    for number, row in enumerate(rows, start=2):
        try:
            printed = row["reproduced"]
            target = Target(float(printed), len(printed.partition(".")[2]), spread=float(row["spread"] or 0))
            found[row["task"], row["method"], row["metric"]] = target
        except (KeyError, TypeError, ValueError):
            raise Fault(f"{file}: line {number} is no row of a reference table") from None
    return found


def write(suite: str, rows: Sequence[Row], folder: Path = FOLDER) -> Path:
    """Commits complete runs of the reference seeds to the csv; anything less is refused."""
    wrong = [
        f"{row.task.name}/{row.line.entry}: {row.judgement.text}" for row in rows if row.judgement.word != NO_TARGET
    ]
    if wrong:
        raise Fault([f"no reference is made of {suite}: every cell must be complete", *dict.fromkeys(wrong)])
    file = folder / f"{suite}.csv"
    lines = [{**row.texts(), "verdict": WORD} for row in rows]
    atomic.write_text(file, typeset.csv_text([[line[name] for name in HEADER] for line in lines]))
    return file
