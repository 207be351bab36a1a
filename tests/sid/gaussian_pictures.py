"""The pictures of docs/why-it-works.md, drawn from the closed forms that the losses are tested against:

python -m tests.sid.gaussian_pictures docs/site
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.report.drawing import COLOURS, FAINT, INK, SETTINGS, SOFT, as_svg
from sid import atomic
from tests.sid import gaussian

MU, V = 0.0, 1.0
STARTS = ((-2.4, 0.35), (2.4, 0.35), (-1.6, 2.4), (2.0, 2.0))  # mean and deviation
NOISE = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
STEP, STEPS = 0.02, 1500
Gradient = Callable[[Tensor, Tensor, float], Tensor]
METHODS: dict[str, Gradient] = {
    "Diff-Instruct, DMD: KL": lambda m, ln_s, sigma: gaussian.matching(m, ln_s, MU, V, sigma),
    "SIM, squared distance": lambda m, ln_s, sigma: gaussian.sim(m, ln_s, MU, V, sigma),
    "SiD, alpha 1": lambda m, ln_s, sigma: gaussian.sid(m, ln_s, MU, V, sigma, 1.0),
    "SiD, alpha 1/2: Fisher": lambda m, ln_s, sigma: gaussian.sid(m, ln_s, MU, V, sigma, 0.5),
}


def path(gradient: Gradient, start: tuple[float, float]) -> list[tuple[float, float]]:
    """Mean and deviation of the student along steps of one length down the gradient summed over noise levels."""
    m, ln_s = torch.tensor(start[0], dtype=torch.float64), torch.tensor(math.log(start[1]), dtype=torch.float64)
    passed = [start]
    for _ in range(STEPS):
        slope = sum((gradient(m, ln_s, sigma) for sigma in NOISE), torch.zeros(2, dtype=torch.float64))
        length = float(slope.norm())
        if length < 1e-12 or math.hypot(float(m) - MU, float(ln_s) - 0.5 * math.log(V)) < STEP:
            break
        m, ln_s = m - STEP * slope[0] / length, ln_s - STEP * slope[1] / length
        passed.append((float(m), float(ln_s.exp())))
    return passed


@rc_context(SETTINGS)
def paths() -> Figure:
    """Where each loss leads four students."""
    figure = Figure(figsize=(8.6, 2.7), layout="constrained")
    for axis, (colour, (name, gradient)) in zip(
        figure.subplots(1, len(METHODS), sharex=True, sharey=True),
        zip(COLOURS, METHODS.items(), strict=False),
        strict=True,
    ):
        for start in STARTS:
            passed = path(gradient, start)
            axis.plot(*zip(*passed, strict=True), color=colour, linewidth=1.5)
            axis.plot(*start, "o", color=colour, markersize=4)
        axis.plot(MU, math.sqrt(V), "*", color=INK, markersize=11, zorder=5)
        axis.set_title(name, loc="left", fontsize=8.5, color=colour, fontweight="bold")
        axis.set_xlabel("mean of the student")
        axis.grid(True, color=FAINT, linewidth=0.5)
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("its deviation")
    return figure


@rc_context(SETTINGS)
def alphas(sigma: float = 0.2, v: float = 0.05, m: float = -0.9, mu: float = 0.3) -> Figure:
    """The gradient of the mean by the student's width: where alpha above 1 turns it round."""
    figure = Figure(figsize=(6.4, 3.0), layout="constrained")
    axis = figure.subplots()
    widths = torch.linspace(0.05, 1.2, 120, dtype=torch.float64)
    for colour, alpha in zip(COLOURS, (0.5, 1.0, 1.2), strict=False):
        slope = [float(gaussian.sid(m, width.log(), mu, v, sigma, alpha)[0]) for width in widths]
        axis.plot(widths, slope, color=colour, linewidth=1.7)
        axis.annotate(
            f"alpha {alpha:g}", (1.2, slope[-1]), xytext=(5, 0), textcoords="offset points", va="center", color=colour,
            fontweight="bold", fontsize=8.5, annotation_clip=False,
        )  # fmt: skip
    axis.axhline(0, color=SOFT, linewidth=0.8)
    axis.set_xlabel(f"deviation of the student (the teacher's is {math.sqrt(v):.2f})")
    axis.set_ylabel("slope of the loss along the mean")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(True, color=FAINT, linewidth=0.5)
    return figure


def main(folder: Path) -> None:
    for name, figure in (("gaussian-paths", paths()), ("gaussian-alpha", alphas())):
        atomic.write_text(folder / f"{name}.svg", as_svg(figure))
        print(folder / f"{name}.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
