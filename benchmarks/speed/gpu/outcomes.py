"""A plugin of pytest: every test's outcome is written when it is known, for a run that may be killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.speed.machine import command, facts
from sid import atomic


def pytest_addoption(parser: Any) -> None:
    parser.addoption("--record", type=Path, help="where the outcomes are written as JSON")


def pytest_configure(config: Any) -> None:
    record = config.getoption("--record")
    if record is not None and not hasattr(config, "workerinput"):  # xdist's workers report to the one that writes
        config.pluginmanager.register(_Outcomes(record), "sidbench-outcomes")


class _Outcomes:
    def __init__(self, record: Path):
        self.record = record
        self.tests: dict[str, dict[str, Any]] = {}
        self.head = {"command": command("pytest"), **facts(1)}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A test has three phases: the worst one counts, and its call tells the seconds."""
        outcome = self.tests.setdefault(report.nodeid, {"outcome": "passed", "seconds": 0.0})
        outcome["seconds"] = round(outcome["seconds"] + report.duration, 2)
        if report.outcome != "passed":
            outcome["outcome"] = report.outcome
            outcome["why"] = str(report.longrepr).replace(f"{Path.cwd()}/", "")[-600:]
        self._write(unfinished=True)

    def pytest_sessionfinish(self) -> None:
        self._write(unfinished=False)

    def _write(self, unfinished: bool) -> None:
        counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
        for test in self.tests.values():
            counts[test["outcome"]] += 1
        record = {**self.head, "counts": counts, "tests": self.tests, **({"unfinished": True} if unfinished else {})}
        atomic.write_json(self.record, record)
