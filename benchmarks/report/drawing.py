"""How all figures look, and how they are written: as svg and png files, and as parts of the page in its colours.

Equal figures are equal bytes: ids are salted by a constant, and no date is written.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from html import escape
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

# The colours of Okabe and Ito without their yellow, which colour-blind readers tell apart; after six, styles change.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b5579a", "#b8860b", "#4a9bd1")
STYLES = ("-", (0, (5, 1.5)), (0, (1, 1.2)))
ABLATIONS = ("#7a7f87", "#a5662e")
INK, SOFT, FAINT, PAPER = "#1f2430", "#5d6470", "#d5d8dd", "#fefefe"
SETTINGS: Any = {
    "svg.hashsalt": "sidbench",
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's own font
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "path.simplify": False,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
}
# On the page these follow the reader's light or dark scheme.
THEMED = {
    INK: "ink",
    SOFT: "soft",
    FAINT: "rule",
    PAPER: "card",
    **{colour: f"c{place}" for place, colour in enumerate(COLOURS)},
    **{colour: f"a{place}" for place, colour in enumerate(ABLATIONS)},
}
PIXELS = 106  # of the page for an inch of the figure


def plain(value: float) -> str:
    """1000 as 1k, 1000000 as 1M."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size * 0.9999:
            return f"{value / size:g}{sign}"
    return f"{value:g}"


def as_svg(figure: Figure) -> str:
    """A file of its own, on white."""
    return _save(figure, "svg", facecolor="white").decode()


def as_png(figure: Figure) -> bytes:
    return _save(figure, "png", facecolor="white", dpi=200)


def as_inline(figure: Figure, name: str, label: str, tips: Mapping[str, str] | None = None) -> str:
    """A part of the page.

    Args:
        figure: what is drawn.
        name: is unique on the page and prefixes the figure's ids.
        label: describes the figure to a reader who does not see it.
        tips: what a mark says when the pointer or the keyboard is on it, by the mark's `gid` in the figure.
    """
    text = _save(figure, "svg", transparent=True).decode()
    text = re.sub(r"\s+", " ", text[text.index("<svg") :]).replace("> <", "><")
    text = re.sub(r"<metadata>.*?</metadata>", "", text)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r"<style.*?</style>", "", text)  # it would apply to the whole page
    text = re.sub(r"font-family: [^;]*;? ?", "", text)
    for colour, variable in THEMED.items():
        text = text.replace(colour, f"var(--{variable})")
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for mark, words in (tips or {}).items():
        said = f'class="mark" tabindex="0" role="img" aria-label="{escape(words)}" data-tip="{escape(words)}"'
        text = text.replace(f'<g id="{name}-{mark}">', f'<g id="{name}-{mark}" {said}>')
    width, role = round(figure.get_figwidth() * PIXELS), "group" if tips else "img"
    attributes = f'style="max-width:{width}px" role="{role}" aria-label="{escape(label)}"'
    return re.sub(
        r'<svg[^>]*viewBox="([^"]*)"[^>]*>', lambda tag: f'<svg viewBox="{tag[1]}" {attributes}>', text, count=1
    )


@rc_context(SETTINGS)
def _save(figure: Figure, form: str, **options: Any) -> bytes:
    """Without a date or a program's name."""
    buffer = io.BytesIO()
    blank = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
    figure.savefig(buffer, format=form, metadata=blank, **options)
    return buffer.getvalue()
