"""Labels in figures: apart, in order, and covering nothing that they need not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from benchmarks.report.labels import Box, apart, beside


def test_labels_that_are_far_apart_stay() -> None:
    assert apart([50.0, 10.0, 90.0], 10, 0, 100) == [50.0, 10.0, 90.0]


def test_a_knot_is_spread_round_its_middle_in_its_order() -> None:
    assert apart([50.0, 50.2, 49.8], 10, 0, 100) == pytest.approx([50.0, 60.0, 40.0])


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_labels_keep_their_distance_their_order_and_the_bounds(count: int) -> None:
    draws = np.random.Generator(np.random.Philox(key=[count, 3]))
    for _ in range(50):
        wanted = list(draws.uniform(-20, 120, count))
        places = apart(wanted, 9.0, 0.0, 100.0)
        assert min(places) >= -1e-9 and max(places) <= 100 + 1e-9
        order = sorted(range(count), key=lambda place: wanted[place])
        gaps = [b - a for a, b in pairwise(places[place] for place in order)]
        assert all(gap >= min(9.0, 100 / max(count - 1, 1)) - 1e-9 for gap in gaps)


def test_nothing_to_place() -> None:
    assert apart([], 10, 0, 100) == []


def test_a_label_goes_where_nothing_stands() -> None:
    within = Box(0, 0, 200, 200)
    right = Box(100, 80, 200, 120)
    placed = beside([(100.0, 100.0)], "name", 8, [right], within)
    assert placed.covers(right) == 0 and placed.covers(within) == pytest.approx(
        (placed.right - placed.left) * (placed.top - placed.bottom)
    )


def test_a_label_stays_within_the_axes() -> None:
    placed = beside([(195.0, 5.0)], "a long name", 8, [], Box(0, 0, 200, 200))
    assert placed.right <= 200 and placed.bottom >= 0
