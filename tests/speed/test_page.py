"""docs/speed.md says what the records say."""

from __future__ import annotations

from benchmarks.speed.page import PAGE, page


def test_the_page_is_made_from_the_records() -> None:
    assert PAGE.read_text() == page(), "make it anew: python -m benchmarks.speed.page"
