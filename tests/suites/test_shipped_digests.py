"""A digest of a shipped suite moves only on purpose: with a new list in the same commit."""

import json

from tests.suites.shipped_digests import LISTED, digests


def test_no_shipped_digest_moved_unnoticed() -> None:
    listed, planned = json.loads(LISTED.read_text()), digests()
    assert set(listed) == set(planned), "a suite came or went: python -m tests.suites.shipped_digests"
    moved = [
        f"{suite}: {job}"
        for suite, jobs in planned.items()
        for job in sorted(jobs.keys() | listed[suite].keys())
        if jobs.get(job) != listed[suite].get(job)
    ]
    assert not moved, f"{len(moved)} moved; on purpose? python -m tests.suites.shipped_digests\n" + "\n".join(moved)
