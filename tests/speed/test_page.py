"""docs/speed.md says what the records say."""

from __future__ import annotations

import pytest

from benchmarks.speed.metrics import shares
from benchmarks.speed.page import PAGE, page


def test_the_page_is_made_from_the_records() -> None:
    assert PAGE.read_text() == page(), "make it anew: python -m benchmarks.speed.page"


def test_a_pass_is_compared_with_each_peer_alone_and_with_all_in_turn() -> None:
    times = {"ours": {"wall": 2.0, "cpu": 3.0}, "one": {"wall": 4.0, "cpu": 4.0}, "two": {"wall": 16.0, "cpu": 2.0}}
    alone, together = shares(times)
    assert alone == {"one": {"wall": 0.5, "cpu": 0.75}, "two": {"wall": 0.125, "cpu": 1.5}}
    assert together == {"wall": pytest.approx(0.1), "cpu": pytest.approx(0.5)}
