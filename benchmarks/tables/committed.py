"""The committed reference, `results/reference/<suite>.csv`, that runs of the miniature suites are compared with."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from benchmarks.tables import typeset
from benchmarks.tables.published import Cell
from benchmarks.tables.rows import HEADER, Row
from benchmarks.tables.verdict import FAILED, NO_TARGET, PASSED, Target
from sid import atomic
from sid.fault import Fault

REFERENCE_DIR = Path(__file__).parents[2] / "results" / "reference"
SEEDS = (100, 101, 102)  # used for no table and no tuning
WORD = "reference"  # in the verdict's column
COMPLETE = (NO_TARGET, PASSED, FAILED)  # cells with a value of every seed; a control's check needs no reference


def read(suite: str, folder: Path = REFERENCE_DIR) -> dict[Cell, Target]:
    """The committed values by (task, entry, metric); empty if the suite has none."""
    file = folder / f"{suite}.csv"
    if not file.is_file():
        return {}
    with open(file, newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    targets = {}
    for number, row in enumerate(rows, start=2):
        try:
            printed = row["reproduced"]
            target = Target(float(printed), len(printed.partition(".")[2]), own=True)
            targets[row["task"], row["method"], row["metric"]] = target
        except (KeyError, TypeError, ValueError):
            raise Fault(f"{file}: line {number} is not a row of a reference table") from None
    return targets


def write(suite: str, rows: Sequence[Row], folder: Path = REFERENCE_DIR) -> Path:
    """Writes the csv from complete runs of the reference seeds; refuses incomplete ones."""
    wrong = [
        f"{row.task.name}/{row.line.entry}: {row.judgement.text}" for row in rows if row.judgement.word not in COMPLETE
    ]
    if wrong:
        raise Fault([f"the reference of {suite} was not written: every cell must be complete", *dict.fromkeys(wrong)])
    file = folder / f"{suite}.csv"
    lines = [{**row.texts(), "verdict": WORD} for row in rows]
    atomic.write_text(file, typeset.csv_text([[line[name] for name in HEADER] for line in lines]))
    return file
