"""Snakemake's output in brief: one line per finished job, the remaining time, errors in full."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.machine.snakemake import Feed, duration
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


class Shown:
    """A feed whose clock is set by hand."""

    def __init__(self, folder: Path):
        self.lines: list[str] = []
        self.now = 0.0
        self.feed = Feed(load_plan(str(toys.write(folder))), self.lines.append, lambda: self.now)

    def at(self, now: float, text: str) -> None:
        self.now = now
        for line in text.splitlines(keepends=True):
            self.feed.read(line)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shown:
    toys.install(monkeypatch)
    return Shown(tmp_path)


def test_one_line_for_each_finished_job(shown: Shown) -> None:
    teacher = shown.feed.plan.teacher("a", 1)
    shown.at(0, BANNER)
    assert shown.lines == ["4 jobs to do on 2 cores"]
    shown.at(0, block("teacher", 3, f"digest={teacher.digest}"))
    shown.at(30, finished(3, "teacher"))
    shown.at(30, block("run", 4, "task=one, entry=soft, seed=0") + block("run", 5, "task=one, entry=soft, seed=1"))
    shown.at(90, finished(4, "run"))
    shown.at(95, finished(5, "run"))
    shown.at(95, block("run", 6, "task=one, entry=hard, seed=0"))
    shown.at(200, finished(6, "run"))
    shown.at(200, finished(0, "everything") + "Complete log(s): x\nElapsed time: 0:00:08.9\n")
    assert [line.split()[:2] for line in shown.lines[1:]] == [
        ["[1/4]", "teacher"],
        ["[2/4]", "one/soft/0"],
        ["[3/4]", "one/soft/1"],
        ["[4/4]", "one/hard/0"],
    ]
    assert "teacher a/1" in shown.lines[1] and "30 s" in shown.lines[1]
    assert all(line.endswith("left") for line in shown.lines[1:4])
    assert "left" not in shown.lines[4] and "2 min" in shown.lines[4]


def test_the_remaining_time_follows_the_work(shown: Shown) -> None:
    shown.at(0, BANNER)
    shown.at(0, block("run", 4, "task=one, entry=soft, seed=0"))
    assert shown.feed.remaining() is None, "nothing is known before the first job has ended"
    shown.at(60, finished(4, "run"))
    remaining = shown.feed.remaining()
    assert remaining is not None
    first = shown.feed.plan.find("run", "one/soft/0").work
    runs = [job.work for job in shown.feed.plan.of("run") if "method" in job.params and job.id != "one/soft/0"]
    teachers = [job.work for job in shown.feed.plan.of("teacher")]
    work = 2 * sum(runs) / len(runs) + sum(teachers) / len(teachers)
    assert remaining == pytest.approx(60 / first * work / 2)


def test_errors_are_shown_in_full(shown: Shown) -> None:
    shown.at(0, BANNER)
    shown.at(0, block("run", 4, "task=one, entry=soft, seed=0"))
    shown.at(
        5,
        "RuleException:\nCalledProcessError in file \"train.smk\", line 18:\nCommand 'python' returned 2.\n"
        "[Sat Nov 21 06:57:26 2026]\nError in rule run:\n    message: None\n    jobid: 4\n    log: one.log\n"
        "Logfile one.log:\n======\nsidbench: the disk is full\n======\nsomething never seen before\n",
    )
    assert shown.lines[1:] == [
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
