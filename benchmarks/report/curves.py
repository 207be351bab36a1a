"""Scores against training images on logarithmic axes: every seed thin, medians thick, with the teacher and the floor.

The figure of the SiD paper (Zhou et al., arXiv 2404.04057: FID against training images) in miniature.
"""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from benchmarks.report.drawing import ABLATIONS, COLOURS, FAINT, INK, LEGEND, SETTINGS, SOFT, STYLES, plain
from benchmarks.tables.layout import Kind, TableColumn
from benchmarks.tables.rows import Row

Points = list[tuple[int, float]]


@dataclass(frozen=True)
class Curve:
    """One entry's scores along its training."""

    entry: str
    label: str
    kind: Kind
    place: int  # among the suite's trained entries of its kind: decides its colour in every panel
    seeds: Mapping[int, Points]
    published: float | None = None  # the printed final score

    @property
    def median(self) -> Points:
        """Over the seeds, at the images at which all of them were observed."""
        columns = [dict(points) for points in self.seeds.values()]
        common = sorted(set.intersection(*(set(column) for column in columns))) if columns else []
        return [(images, statistics.median(column[images] for column in columns)) for images in common]

    @property
    def final(self) -> float | None:
        return self.median[-1][1] if self.median else None


@dataclass(frozen=True)
class Panel:
    """One task and metric."""

    title: str
    column: TableColumn
    curves: tuple[Curve, ...]
    lines: Mapping[str, tuple[str, float]]  # kind of control -> its label and median

    @property
    def medians(self) -> dict[int, list[float | None]]:
        """Images -> each curve's median there."""
        columns = [dict(curve.median) for curve in self.curves]
        return {images: [column.get(images) for column in columns] for images in sorted(set().union(*columns))}


def panel(rows: Sequence[Row], places: Mapping[str, int]) -> Panel:
    """The panel of one task and metric; `places` are those of all the suite's trained entries."""
    column = rows[0].column
    curves: list[Curve] = []
    lines: dict[str, tuple[str, float]] = {}
    for row in rows:
        if row.line.trains:
            seeds = {run.seed: _points(run.curve(), column.name) for run in row.runs}
            seeds = {seed: points for seed, points in seeds.items() if points}
            if seeds:
                line, printed = row.line, row.published.value if row.published else None
                curves.append(Curve(line.entry, line.label, line.kind, places[line.entry], seeds, printed))
        elif row.line.kind in ("teacher", "heldout"):
            finite = [value for value in row.values.values() if math.isfinite(value) and value > 0]
            if finite:
                lines[row.line.kind] = (row.line.label, statistics.median(finite))
    return Panel(rows[0].task.title, column, tuple(curves), lines)


def _points(curve: Sequence[Mapping[str, float]], metric: str) -> Points:
    """The points that logarithmic axes can show."""
    shown = [(int(point["images"]), float(point[metric])) for point in curve if point.get(metric) is not None]
    return [(images, value) for images, value in shown if images > 0 and value > 0 and math.isfinite(value)]


def places(rows: Sequence[Row]) -> dict[str, int]:
    """Each trained entry's place among those of its kind, in the suite's order."""
    place: dict[str, int] = {}
    count = {"method": 0, "ablation": 0}
    for row in rows:
        if row.line.trains and row.line.entry not in place:
            place[row.line.entry] = count[row.line.kind]
            count[row.line.kind] += 1
    return place


def images_to(points: Points, higher: bool, factor: float = 1.1) -> int | None:
    """Training images at the first observed point within `factor` of the final score."""
    if not points:
        return None
    final = points[-1][1]
    for images, value in points:
        if value >= final / factor if higher else value <= final * factor:
            return images
    return None


PRINTED = (0, (5, 1.5, 1, 1.5))  # dash and dot, in the entry's colour
PANEL = (4.6, 3.4)  # inches


@rc_context(SETTINGS)
def overview(panels: Sequence[Panel]) -> Figure:
    """All entries of a task in one panel, the tasks side by side."""
    wide = min(2, len(panels))
    high = -(-len(panels) // wide)
    figure, axes = _grid(wide, high, *PANEL, legend=_legend_rows(panels))
    for axis, panel in zip(axes, panels, strict=False):
        _frame(axis, panel)
        for curve in panel.curves:
            _draw(axis, curve)
        axis.set_title(panel.title, loc="left", fontsize=10, fontweight="bold")
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    _legend(figure, panels)
    return figure


@rc_context(SETTINGS)
def multiples(panel: Panel) -> Figure:
    """One entry a panel, all others faint behind it."""
    wide = min(4, len(panel.curves))
    figure, axes = _grid(wide, -(-len(panel.curves) // wide), 2.35, 2.05)
    for place, (axis, chosen) in enumerate(zip(axes, panel.curves, strict=False)):
        _frame(axis, panel, bare=True, left=place % wide == 0, bottom=place >= len(panel.curves) - wide)
        for other in panel.curves:
            if other is not chosen:
                axis.plot(*_xy(other.median), color=FAINT, linewidth=0.9, zorder=1)
        _draw(axis, chosen)
        title = textwrap.fill(chosen.label, 27, max_lines=2, placeholder="…")
        axis.set_title(title, loc="left", fontsize=8.5, color=_style(chosen)[0], fontweight="bold")
    for axis in axes[len(panel.curves) :]:
        axis.set_visible(False)
    return figure


def _grid(wide: int, high: int, width: float, height: float, legend: int = 0) -> tuple[Figure, list[Axes]]:
    below = 0.22 * legend
    share = below / (high * height + below)
    layout = ConstrainedLayoutEngine(rect=(0, share, 1, 1 - share))
    figure = Figure(figsize=(wide * width, high * height + below), layout=layout)
    return figure, list(figure.subplots(high, wide, squeeze=False, sharex=True, sharey=True).flat)


def _frame(axis: Axes, panel: Panel, bare: bool = False, left: bool = True, bottom: bool = True) -> None:
    """Logarithmic axes with plain numbers, and the lines of the teacher and the floor."""
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(True, which="major", color=FAINT, linewidth=0.5)
    axis.set_axisbelow(True)
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_formatter(lambda value, _: plain(value))
        scale.set_minor_formatter(lambda value, _: "")
    axis.tick_params(which="both", length=2.5, width=0.5, labelsize=8, labelleft=left, labelbottom=bottom)
    axis.tick_params(which="minor", length=1.5)
    if bare:  # a page of many panels would be mostly ticks
        axis.minorticks_off()
    else:
        axis.set_xlabel("training images")
    if left and not bare:
        axis.set_ylabel(panel.column.name.upper())
    _ticks(axis, panel)
    for kind, dashes in (("teacher", (0, (6, 2))), ("heldout", (0, (1, 1.8)))):
        if kind in panel.lines:
            label, value = panel.lines[kind]
            axis.axhline(value, color=INK, linewidth=0.9, linestyle=dashes, zorder=2)
            if not bare:
                # Teacher and floor often lie close together: the lower one's label stands below its line.
                under = len(panel.lines) > 1 and value == min(other for _, other in panel.lines.values())
                axis.annotate(
                    label,
                    (0, value),
                    xycoords=("axes fraction", "data"),
                    xytext=(3, -2.5 if under else 2.5),
                    va="top" if under else "bottom",
                    textcoords="offset points",
                    fontsize=7.5,
                    color=SOFT,
                )


def _ticks(axis: Axes, panel: Panel) -> None:
    """Labels at decades; at 1, 2, 5 of each, or closer, if the axis spans little."""
    points = [point for curve in panel.curves for seed in curve.seeds.values() for point in seed]
    scores = [value for _, value in points] + [value for _, value in panel.lines.values()]
    scores += [curve.published for curve in panel.curves if curve.published is not None and curve.published > 0]
    for scale, values in ((axis.xaxis, [images for images, _ in points]), (axis.yaxis, scores)):
        ratio = max(values) / min(values) if values else 1.0
        subs = (1, 1.5, 2, 3, 5, 7) if ratio < 5 else (1, 2, 5) if ratio < 100 else (1,)
        scale.set_major_locator(LogLocator(subs=subs))


def _draw(axis: Axes, curve: Curve) -> None:
    colour, style = _style(curve)
    if curve.published is not None and curve.published > 0:
        axis.axhline(curve.published, color=colour, linewidth=0.9, linestyle=PRINTED, zorder=2)
    for points in curve.seeds.values():
        axis.plot(*_xy(points), color=colour, linewidth=0.7, alpha=0.45, zorder=3)
    axis.plot(*_xy(curve.median), color=colour, linewidth=1.9, linestyle=style, zorder=4, solid_capstyle="round")
    if curve.median:
        axis.plot(*_xy(curve.median[-1:]), "o", color=colour, markersize=3.6, zorder=5)


def _style(curve: Curve) -> tuple[str, Any]:
    if curve.kind == "ablation":
        return ABLATIONS[curve.place % len(ABLATIONS)], STYLES[1 + curve.place // len(ABLATIONS) % 2]
    return COLOURS[curve.place % len(COLOURS)], STYLES[curve.place // len(COLOURS) % len(STYLES)]


def _xy(points: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [images for images, _ in points], [value for _, value in points]


def _entries(panels: Sequence[Panel]) -> list[Curve]:
    """Each trained entry once: methods, then ablations."""
    curves = {curve.entry: curve for panel in panels for curve in panel.curves}
    return sorted(curves.values(), key=lambda curve: (curve.kind == "ablation", curve.place))


def _legend_rows(panels: Sequence[Panel]) -> int:
    return math.ceil(len(_entries(panels)) / _legend_columns(panels))


def _legend_columns(panels: Sequence[Panel]) -> int:
    """As many columns as fit the figure's width with the longest label."""
    longest = max((len(_short(curve.label)) for curve in _entries(panels)), default=1)
    points = 72 * PANEL[0] * min(2, len(panels))
    return max(1, min(4, int(points / (40 + 4.9 * longest))))


def _short(label: str, length: int = 34) -> str:
    return label if len(label) <= length else label[: length - 1].rstrip() + "…"


def _legend(figure: Figure, panels: Sequence[Panel]) -> None:
    curves = _entries(panels)
    handles = [Line2D([], [], color=_style(curve)[0], linestyle=_style(curve)[1], linewidth=1.9) for curve in curves]
    labels = [_short(curve.label) for curve in curves]
    figure.legend(handles, labels, ncols=_legend_columns(panels), **LEGEND)
