"""Snakemake's output, told briefly."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.machine.snakemake import Feed, duration, follow
from benchmarks.suite.plan import load_plan
from tests import toys

BANNER = """Using workflow specific profile profiles/default for setting default command line arguments.
SNAKEMAKE
=========
  Date: 2026-11-21 06:57:25
  Command: snakemake

Building DAG of jobs...
Provided cores: 2
Job stats:
job           count
----------  -------
run               3
teacher           1
everything        1
total             5

Select jobs to execute...
Execute 2 jobs...

"""


def block(rule: str, jobid: int, wildcards: str) -> str:
    return (
        f"[Sat Nov 21 06:57:26 2026]\nlocalrule {rule}:\n    output: a, b\n    jobid: {jobid}\n"
        f"    reason: Missing output files: a\n    wildcards: {wildcards}\n"
    )


def finished(jobid: int, rule: str) -> str:
    return f"[Sat Nov 21 06:57:26 2026]\nFinished jobid: {jobid} (Rule: {rule})\n{jobid} of 5 steps (20%) done\n"


class Told:
    """A feed whose clock is set by hand."""

    def __init__(self, folder: Path):
        self.lines: list[str] = []
        self.now = 0.0
        self.feed = Feed(load_plan(str(toys.write(folder))), self.lines.append, lambda: self.now)

    def at(self, now: float, text: str) -> None:
        self.now = now
        follow(text.splitlines(keepends=True), self.feed)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Told:
    toys.install(monkeypatch)
    return Told(tmp_path)


def test_one_line_for_each_finished_job(told: Told) -> None:
    teacher = told.feed.plan.teacher("a", 1)
    told.at(0, BANNER)
    assert told.lines == ["4 jobs to do on 2 cores"]
    told.at(0, block("teacher", 3, f"digest={teacher.digest}"))
    told.at(30, finished(3, "teacher"))
    told.at(30, block("run", 4, "task=one, entry=soft, seed=0") + block("run", 5, "task=one, entry=soft, seed=1"))
    told.at(90, finished(4, "run"))
    told.at(95, finished(5, "run"))
    told.at(95, block("run", 6, "task=one, entry=hard, seed=0"))
    told.at(200, finished(6, "run"))
    told.at(200, finished(0, "everything") + "Complete log(s): x\nElapsed time: 0:00:08.9\n")
    assert [line.split()[:2] for line in told.lines[1:]] == [
        ["[1/4]", "teacher"],
        ["[2/4]", "one/soft/0"],
        ["[3/4]", "one/soft/1"],
        ["[4/4]", "one/hard/0"],
    ]
    assert "teacher a/1" in told.lines[1] and "30 s" in told.lines[1]
    assert all(line.endswith("left") for line in told.lines[1:4])
    assert "left" not in told.lines[4] and "2 min" in told.lines[4]


def test_the_remaining_time_follows_the_work(told: Told) -> None:
    told.at(0, BANNER)
    told.at(0, block("run", 4, "task=one, entry=soft, seed=0"))
    assert told.feed.remaining() is None, "nothing is known before the first job has ended"
    told.at(60, finished(4, "run"))
    remaining = told.feed.remaining()
    assert remaining is not None
    one = told.feed.plan.find("run", "one/soft/0").work
    runs = [job.work for job in told.feed.plan.of("run") if "method" in job.params and job.id != "one/soft/0"]
    teachers = [job.work for job in told.feed.plan.of("teacher")]
    work = 2 * sum(runs) / len(runs) + sum(teachers) / len(teachers)
    assert remaining == pytest.approx(60 / one * work / 2)


def test_errors_are_told_in_full(told: Told) -> None:
    told.at(0, BANNER)
    told.at(0, block("run", 4, "task=one, entry=soft, seed=0"))
    told.at(
        5,
        "RuleException:\nCalledProcessError in file \"train.smk\", line 18:\nCommand 'python' returned 2.\n"
        "[Sat Nov 21 06:57:26 2026]\nError in rule run:\n    message: None\n    jobid: 4\n    log: one.log\n"
        "Logfile one.log:\n======\nsidbench: the disk is full\n======\nsomething never seen before\n",
    )
    assert told.lines[1:] == [
        "failed: one/soft/0",
        "  one.log says:",
        "    sidbench: the disk is full",
        "something never seen before",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (3599, "60 min"), (7260, "2 h 1 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
