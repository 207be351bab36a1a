"""The digest of every job of every shipped suite, as a committed list: no change moves a result unnoticed.

After a change that moves digests on purpose, `python -m tests.suites.shipped_digests` writes the list anew; its diff
says what will be made again, and belongs in the same commit as the bumped version. A line holds the digests of a row's
seeds, in their order, or those of all teachers, extractors, pairs or prompts of the suite. Tables and pages, which
take seconds and follow every printed number and claim, are left out.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.suite import files
from benchmarks.suite.plan import load_plan
from sid.atomic import write_json

LISTED = Path(__file__).with_name("shipped_digests.json")


def digests() -> dict[str, dict[str, str]]:
    """Suite -> job -> digest, as today's code plans them; a row's seeds and a kind's shared files are one job."""
    suites = {}
    for suite in files.names("suite"):
        jobs: dict[str, str] = {}
        for job in load_plan(suite).jobs:
            if job.kind in ("table", "report"):
                continue
            name = f"{job.params['task']}/{job.params['entry']}" if job.kind == "run" else job.kind
            jobs[name] = f"{jobs[name]} {job.digest}" if name in jobs else job.digest
        suites[suite] = jobs
    return suites


if __name__ == "__main__":
    write_json(LISTED, digests())
