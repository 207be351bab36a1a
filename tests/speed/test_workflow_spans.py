"""Snakemake records a job once per output: it is one job all the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.speed.workflow import _spans


def test_a_job_of_several_outputs_counts_once(tmp_path: Path) -> None:
    noted = [("run", "a.log", 10.0, 15.0), ("run", "a.log", 10.1, 15.2), ("run", "b.log", 11.0, 12.0)]
    for number, (rule, log, begin, end) in enumerate(noted):
        entry = {"rule": rule, "log": [log], "starttime": begin, "endtime": end}
        (tmp_path / str(number)).write_text(json.dumps(entry))
    (tmp_path / "x").write_text(json.dumps({"rule": "run", "log": ["c.log"], "starttime": 1.0, "endtime": None}))
    assert sorted(_spans(tmp_path)) == pytest.approx([1.0, 5.2])
