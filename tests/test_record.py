"""What a record says of the machine, and that it decides no digest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.run.record import record
from benchmarks.suite.plan import load_plan


@pytest.mark.parametrize("count", [1, 2])
def test_the_threads_stand_in_the_record_and_in_no_digest(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = [job.digest for job in load_plan("smoke", str(tmp_path)).jobs]
    monkeypatch.setenv("OMP_NUM_THREADS", str(count))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count)
        plan = load_plan("smoke", str(tmp_path))
        written = record(plan.of("run")[0], "sidbench run", 1.0, 0)
    finally:
        torch.set_num_threads(before)
    assert written["threads"]["torch"] == count
    assert written["threads"]["environment"]["OMP_NUM_THREADS"] == str(count)
    assert [job.digest for job in plan.jobs] == usual
