"""Screenshots of a page for the documentation, taken without a network:

python -m tests.report_page.shots results/mini/report/index.html docs
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image

from tests.report_page import chromium

WIDTH = 1180
VERDICTS = 'document.querySelector("#verdicts table")'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as profile, chromium.page(Path(profile)) as tab:
        tab.open(asked.page, "light", WIDTH)
        _write(asked.folder / "page.png", tab.shot(x=0, y=0, width=WIDTH, height=_below(tab, VERDICTS)))
        tab.open(asked.page, "dark", WIDTH)
        record = f"{VERDICTS}.querySelectorAll('td.record > details')[1]"
        tab.run(f"{record}.open = true")
        above, below = tab.run(f"{VERDICTS}.getBoundingClientRect().top + scrollY"), _below(tab, VERDICTS)
        _write(asked.folder / "page-record.png", tab.shot(x=0, y=above - 20, width=WIDTH, height=below - above + 20))
        tab.open(asked.page, "light", WIDTH)
        for name, element in (("samples", "table.samples"), ("front", "#fronts figure")):
            shown = f"document.querySelector('{element}')"
            if not tab.run(f"{shown} === null"):
                above = tab.run(f"{shown}.getBoundingClientRect().top + scrollY") - 20
                height = _below(tab, shown) - above
                _write(asked.folder / f"page-{name}.png", tab.shot(x=0, y=above, width=WIDTH, height=height))


def _below(tab: chromium.Page, element: str) -> float:
    return tab.run(f"{element}.getBoundingClientRect().bottom + scrollY + 20")


def _write(path: Path, png: bytes) -> None:
    """With few colours, which a page of text and lines has anyway."""
    picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
