"""Places of labels in a figure, so that no label covers another one or a mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Place = tuple[float, float]
BOLD = 0.62  # width of a letter as a share of the font's size, on the average, rounded up


@dataclass(frozen=True)
class Box:
    """A rectangle in points."""

    left: float
    bottom: float
    right: float
    top: float

    def covers(self, other: Box) -> float:
        """The common area."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(wide, 0.0) * max(high, 0.0)


def apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places within the bounds that are at least `gap` apart, keep the order, and lie closest to the wanted ones.

    Too many labels for the range get a smaller gap. Least squares under an order: neighbours that collide are pooled.

    Args:
        wanted: where each label would stand if it were alone.
        gap: the smallest distance of two labels.
        low: the lower end of the range.
        high: its upper end.
    """
    if not wanted:
        return []
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    pools: list[tuple[float, int]] = []  # sum of the wanted places less the gaps below, and how many
    for rank, place in enumerate(order):
        pools.append((wanted[place] - rank * gap, 1))
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] >= pools[-1][0] / pools[-1][1]:
            total, count = pools.pop()
            pools[-1] = (pools[-1][0] + total, pools[-1][1] + count)
    level = [total / count for total, count in pools for _ in range(count)]
    room = high - (len(wanted) - 1) * gap
    places = [0.0] * len(wanted)
    for rank, place in enumerate(order):
        places[place] = min(max(level[rank], low), max(room, low)) + rank * gap
    return places


def text_box(text: str, left: float, middle: float, size: float) -> Box:
    """The box of one line of bold text that begins at `left`."""
    return Box(left, middle - 0.6 * size, left + BOLD * size * len(text), middle + 0.6 * size)


def beside(marks: Sequence[Place], text: str, size: float, taken: Sequence[Box], within: Box) -> Box:
    """The box for a label beside one of its marks that covers the least of what is taken, near before far.

    Args:
        marks: the marks that the label may stand beside, the preferred one first.
        text: the label.
        size: of its font, in points.
        taken: boxes of marks, lines and labels that stand already.
        within: the axes; leaving them costs as much as covering something.
    """
    width = BOLD * size * len(text)
    best, least = text_box(text, *marks[0], size), float("inf")
    for rank, (x, y) in enumerate(marks):
        for far in (7.0, 13.0, 20.0):
            for shift_x, shift_y in ((1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1)):
                left = x + far if shift_x > 0 else x - far - width if shift_x < 0 else x - width / 2
                box = text_box(text, left, y + shift_y * (far + 0.3 * size), size)
                outside = (box.right - box.left) * (box.top - box.bottom) - box.covers(within)
                cost = sum(box.covers(other) for other in taken) + 4 * outside + far + 3 * rank
                if cost < least:
                    best, least = box, cost
    return best
