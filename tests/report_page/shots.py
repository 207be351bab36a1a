"""Screenshots of a page, taken without a network: its beginning at two widths, light and dark, and some of its parts.

python -m tests.report_page.shots results/mini/report/index.html docs/site
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from tests.report_page import chromium

DESK, PHONE = 1300, 390
SCREENS = {DESK: 1700, PHONE: 2800}  # pixels from the top, by width
PARTS = {  # name -> the part of the page that it shows
    "record": "#details table.verdicts",
    "front": "#fronts figure",
    "samples": "#samples table.samples",
}
RECORD = "td.record > details"
MARGIN = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", action="store_true", help="also a record, a front and samples")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as profile, chromium.page(Path(profile)) as tab:
        for name, png in shots(tab, asked.page, asked.parts):
            write(asked.folder / f"{name}.png", png)


def shots(tab: chromium.Page, page: Path, parts: bool = False) -> Iterator[tuple[str, bytes]]:
    """The screenshots by name; parts that the page lacks are left out."""
    for width, height in SCREENS.items():
        for scheme in ("light", "dark"):
            tab.open(page, scheme, width)
            shown = min(height, tab.run("document.documentElement.scrollHeight"))
            yield f"page-{width}-{scheme}", tab.shot(x=0, y=0, width=width, height=shown)
    tab.open(page, "light", DESK)
    for name, element in PARTS.items() if parts else ():
        part = f"document.querySelector('{element}')"
        if tab.run(f"{part} === null"):
            continue
        if name == "record":
            tab.run(f"{part}.querySelector('{RECORD}').open = true")
        above, below = tab.run(f"['top', 'bottom'].map((side) => {part}.getBoundingClientRect()[side] + scrollY)")
        yield f"page-{name}", tab.shot(x=0, y=above - MARGIN, width=DESK, height=below - above + 2 * MARGIN)


def write(path: Path, png: bytes) -> None:
    """With 256 colours, chosen by their range: the most frequent ones would make two methods' lines one."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    few = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
