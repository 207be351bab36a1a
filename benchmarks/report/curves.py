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
from matplotlib.ticker import LogLocator

from benchmarks.report import labels
from benchmarks.report.drawing import ABLATIONS, COLOURS, FAINT, INK, SETTINGS, SOFT, STYLES, plain
from benchmarks.tables.layout import Kind, TableColumn
from benchmarks.tables.rows import Row

Points = list[tuple[int, float]]
Range = tuple[float, float]


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
    def methods(self) -> list[Curve]:
        """The curves that the axes fit: a method with a player stopped would take most of them."""
        return [curve for curve in self.curves if curve.kind == "method"] or list(self.curves)

    @property
    def near(self) -> dict[str, tuple[str, float]]:
        """The lines that lie close enough to the methods to be drawn: a floor that is 0 but for rounding does not."""
        scores = [value for curve in self.methods for points in curve.seeds.values() for _, value in points]
        if not scores:
            return dict(self.lines)
        low, high = min(scores) / FAR, max(scores) * FAR
        return {kind: line for kind, line in self.lines.items() if low <= line[1] <= high}

    @property
    def extent(self) -> tuple[Range | None, Range | None]:
        """The ranges of training images and of scores that are drawn."""
        points = [point for curve in self.methods for seed in curve.seeds.values() for point in seed]
        scores = [value for _, value in points] + [value for _, value in self.near.values()]
        scores += [curve.published for curve in self.methods if curve.published is not None and curve.published > 0]
        images = [float(count) for count, _ in points]
        return (min(images), max(images)) if images else None, (min(scores), max(scores)) if scores else None

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
PANEL = (4.2, 3.1)  # inches, with the labels at the right
SMALL = (2.5, 2.0)
MARGINS = {"left": 0.52, "right": 1.22, "bottom": 0.48, "top": 0.3}  # inches round the axes
SMALL_MARGINS = {"left": 0.4, "right": 0.08, "bottom": 0.26, "top": 0.38}
LABEL, LINE_HEIGHT = 7.8, 10.0  # points: the size of the labels at the curves' ends, and their distance
FAR = 20.0  # a line of the teacher or the floor so many times below or above all methods is left out of the axes


@rc_context(SETTINGS)
def overview(panels: Sequence[Panel]) -> Figure:
    """All methods of a task in one panel, the tasks side by side."""
    wide = min(2, len(panels))
    high = -(-len(panels) // wide)
    figure = Figure(figsize=(wide * PANEL[0], high * PANEL[1]))
    for place, panel in enumerate(panels):
        corner = (place % wide * PANEL[0], (high - 1 - place // wide) * PANEL[1])
        axis = _axes(figure, corner, PANEL, MARGINS)
        _whole(axis, panel)
        axis.set_title(panel.title, loc="left", fontsize=9.5, fontweight="bold")
    return figure


@rc_context(SETTINGS)
def alone(panel: Panel) -> Figure:
    """The same panel of one task, without its title, which stands above it on the page."""
    figure = Figure(figsize=(PANEL[0], PANEL[1] - 0.2))
    _whole(_axes(figure, (0, 0), (PANEL[0], PANEL[1] - 0.2), MARGINS | {"top": 0.1}), panel)
    return figure


@rc_context(SETTINGS)
def small(panel: Panel, chosen: Curve) -> Figure:
    """One entry, the methods faint behind it. An ablation that leaves the methods' axes says where it ends."""
    figure = Figure(figsize=SMALL)
    axis = _axes(figure, (0, 0), SMALL, SMALL_MARGINS)
    _frame(axis, panel, bare=True)
    for other in panel.methods:
        if other is not chosen:
            axis.plot(*_xy(other.median), color=FAINT, linewidth=0.9, zorder=1)
    _draw(axis, chosen, "")
    title = textwrap.fill(chosen.label, 30, max_lines=2, placeholder="…")
    axis.set_title(title, loc="left", fontsize=8.5, color=_style(chosen)[0], fontweight="bold")
    low, high = axis.get_ylim()
    if chosen.final is not None and not low <= chosen.final <= high:
        above = chosen.final > high
        text = f"{'↑' if above else '↓'} ends at {_short_number(chosen.final)}"
        where: dict[str, Any] = {"ha": "right", "va": "top" if above else "bottom", "fontsize": 7.5}
        axis.text(0.98, 0.97 if above else 0.03, text, transform=axis.transAxes, color=_style(chosen)[0], **where)
    return figure


def tips(panel: Panel) -> dict[str, str]:
    """What the mark at each curve's end says, by the mark's id."""
    name = panel.column.name.upper()
    said: dict[str, str] = {}
    for curve in panel.curves:
        if curve.median:
            images, value = curve.median[-1]
            seeds = ", ".join(f"{seed}: {_short_number(points[-1][1])}" for seed, points in curve.seeds.items())
            said[_mark(curve)] = (
                f"{curve.label}: median {name} {_short_number(value)} at {images:,} images; seeds {seeds}"
            )
    return said


def _mark(curve: Curve) -> str:
    return f"end-{curve.kind}-{curve.place}"


def _short_number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _axes(figure: Figure, corner: tuple[float, float], size: tuple[float, float], margins: Mapping[str, float]) -> Axes:
    """Axes in a rectangle of the figure, all in inches, so that places of labels are known before anything is drawn."""
    whole = figure.get_size_inches()
    width, height = size[0] - margins["left"] - margins["right"], size[1] - margins["bottom"] - margins["top"]
    left, bottom = corner[0] + margins["left"], corner[1] + margins["bottom"]
    return figure.add_axes((left / whole[0], bottom / whole[1], width / whole[0], height / whole[1]))


def _whole(axis: Axes, panel: Panel) -> None:
    _frame(axis, panel)
    for curve in panel.methods:
        _draw(axis, curve, _mark(curve))
    _label_ends(axis, panel)


def _label_ends(axis: Axes, panel: Panel) -> None:
    """Each curve's label at its end, moved apart where several end together, with a thin line to its curve."""
    ended = [curve for curve in panel.methods if curve.median]
    figure = axis.get_figure(root=True)
    assert figure is not None
    height = axis.get_position().height * figure.get_size_inches()[1] * 72
    low, high = (math.log(value) for value in axis.get_ylim())
    ends = [(math.log(curve.median[-1][1]) - low) / (high - low) * height for curve in ended]
    gap = min(LINE_HEIGHT, height / max(len(ended) - 1, 1))
    for curve, place in zip(ended, labels.apart(ends, gap, 0, height), strict=True):
        colour = _style(curve)[0]
        axis.annotate(
            _short(curve.label, 23),
            (curve.median[-1][0], curve.median[-1][1]),
            xytext=(1.05, place / height),
            textcoords="axes fraction",
            va="center",
            fontsize=min(LABEL, gap * 0.9),
            color=colour,
            fontweight="bold",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.6,
                "alpha": 0.7,
                "shrinkA": 1,
                "shrinkB": 3,
                "relpos": (0, 0.5),
            },
        )


def _frame(axis: Axes, panel: Panel, bare: bool = False) -> None:
    """Logarithmic axes that fit the methods, with plain numbers, and the lines of the teacher and the floor."""
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(True, which="major", color=FAINT, linewidth=0.5)
    axis.set_axisbelow(True)
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_formatter(lambda value, _: plain(value))
        scale.set_minor_formatter(lambda value, _: "")
    axis.tick_params(which="both", length=2.5, width=0.5, labelsize=7 if bare else 8)
    axis.tick_params(which="minor", length=1.5)
    if bare:  # a page of many panels would be mostly ticks
        axis.minorticks_off()
    else:
        axis.set_xlabel("training images")
        axis.set_ylabel(panel.column.name.upper())
    lines = panel.near
    images, scores = panel.extent
    for values, limit, below in ((images, axis.set_xlim, 0.05), (scores, axis.set_ylim, 0.12)):
        if values:
            ratio = max(values[1] / values[0], 1.5)
            limit(values[0] / ratio**below, values[1] * ratio**0.05)
    _ticks(axis, images, scores)
    for kind, dashes in (("teacher", (0, (6, 2))), ("heldout", (0, (1, 1.8)))):
        if kind in lines:
            label, value = lines[kind]
            axis.axhline(value, color=INK, linewidth=0.9, linestyle=dashes, zorder=2)
            if not bare:
                # Teacher and floor often lie close together: the lower one's label stands below its line.
                under = len(lines) > 1 and value == min(other for _, other in lines.values())
                axis.annotate(
                    label,
                    (0, value),
                    xycoords=("axes fraction", "data"),
                    xytext=(3, -2.5 if under else 2.5),
                    va="top" if under else "bottom",
                    textcoords="offset points",
                    fontsize=7.2,
                    color=SOFT,
                )


def _ticks(axis: Axes, images: Range | None, scores: Range | None) -> None:
    """Labels at decades; at 1, 2, 5 of each, or closer, if the axis spans little."""
    for scale, values in ((axis.xaxis, images), (axis.yaxis, scores)):
        ratio = values[1] / values[0] if values else 1.0
        subs = (1, 1.5, 2, 3, 5, 7) if ratio < 5 else (1, 2, 5) if ratio < 100 else (1,)
        scale.set_major_locator(LogLocator(subs=subs))


def _draw(axis: Axes, curve: Curve, mark: str) -> None:
    """All of one entry; `mark` is the id of the mark at its end."""
    colour, style = _style(curve)
    if curve.published is not None and curve.published > 0:
        axis.axhline(curve.published, color=colour, linewidth=0.9, linestyle=PRINTED, zorder=2)
    for points in curve.seeds.values():
        axis.plot(*_xy(points), color=colour, linewidth=0.7, alpha=0.45, zorder=3)
    axis.plot(*_xy(curve.median), color=colour, linewidth=1.9, linestyle=style, zorder=4, solid_capstyle="round")
    if curve.median:
        axis.plot(*_xy(curve.median[-1:]), "o", color=colour, markersize=4.2, zorder=5, gid=mark or None)


def _style(curve: Curve) -> tuple[str, Any]:
    if curve.kind == "ablation":
        return ABLATIONS[curve.place % len(ABLATIONS)], STYLES[1 + curve.place // len(ABLATIONS) % 2]
    return COLOURS[curve.place % len(COLOURS)], STYLES[curve.place // len(COLOURS) % len(STYLES)]


def _xy(points: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [images for images, _ in points], [value for _, value in points]


def _short(label: str, length: int = 34) -> str:
    return label if len(label) <= length else label[: length - 1].rstrip() + "…"
