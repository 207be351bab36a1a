"""Figures as parts of the page: in its colours, with ids of their own, and small."""

from __future__ import annotations

import re
from html import escape

from matplotlib.figure import Figure

from benchmarks.report.figure import ABLATIONS, COLOURS, FAINT, INK, PAPER, SOFT, save

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


def as_inline(figure: Figure, name: str, label: str) -> str:
    """`name` is given to no other figure of the page."""
    text = save(figure, "svg", transparent=True).decode()
    text = re.sub(r"\s+", " ", text[text.index("<svg") :]).replace("> <", "><")
    text = re.sub(r"<metadata>.*?</metadata>", "", text)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r"<style.*?</style>", "", text)  # it would reach the whole page
    text = re.sub(r"font-family: [^;]*;? ?", "", text)
    for colour, variable in THEMED.items():
        text = text.replace(colour, f"var(--{variable})")
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = _classed(_slim(text), name)
    width = round(figure.get_figwidth() * PIXELS)
    attributes = f'style="max-width:{width}px" role="img" aria-label="{escape(label)}"'
    return re.sub(
        r'<svg[^>]*viewBox="([^"]*)"[^>]*>', lambda found: f'<svg viewBox="{found[1]}" {attributes}>', text, count=1
    )


def _slim(text: str) -> str:
    """The same drawing without ids that nothing points at, turns by nothing, and digits that nobody sees."""
    pointed = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in pointed else "", text)
    text = re.sub(r' transform="rotate\(-?0 [^"]*"', "", text)
    text = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0]), text)
    text = re.sub(r' (d|x|y)="([^"]*)"', lambda found: f' {found[1]}="{_short(found[2])}"', text)
    return re.sub(r"<g>((?:<(?:path|use)[^>]*/>)*)</g>", r"\1", text)


def _short(path: str) -> str:
    """One decimal of a unit that is less than a pixel; after M, what follows is joined by lines anyway."""
    path = re.sub(r"(\d\.\d)\d", r"\1", path)
    return path.replace(" L ", " ").strip() if not re.search("[A-KN-Za-z]", path) else path


def _classed(text: str, name: str) -> str:
    """Equal styles once, as classes that carry the figure's name."""
    found: dict[str, str] = {}

    def named(attributes: re.Match[str]) -> str:
        clip, style = attributes[1] or "", attributes[2]
        rule = f"{style};clip-path:{clip}" if clip else style
        return f' class="{found.setdefault(rule, f"{name}-{len(found)}")}"'

    text = re.sub(r'(?: clip-path="([^"]*)")? style="([^"]*)"', named, text)
    rules = "".join(f".{one}{{{rule}}}" for rule, one in found.items())
    return re.sub(r"(<svg[^>]*>)", rf"\1<style>{rules}</style>", text, count=1)
