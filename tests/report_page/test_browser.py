"""The page in a browser that has no network: nothing is asked for, nothing fails, all of it can be used."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.report import page
from tests.report_page import chromium, full, shots

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium.program() is None, reason="no Chromium on this machine"),
]
AXE = "axe-core@4.14.1"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = full.write(tmp_path_factory.mktemp("results"))
    return page.write(full.layout(), full.rows(home), home / "report", full.extras(home))


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    with chromium.page(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The checker's source: from npm, or skipped where npm is missing or reaches nobody."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm to fetch axe-core with")
    folder = tmp_path_factory.mktemp("axe")
    words = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", AXE]
    done = subprocess.run(words, capture_output=True, text=True, timeout=180)
    if done.returncode:
        pytest.skip(f"npm cannot fetch {AXE}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_asked_for_and_nothing_fails(tab: chromium.Page, written: Path, scheme: str) -> None:
    tab.open(written, scheme)
    assert tab.run("document.title").startswith("Everything a page can show")
    assert tab.errors() == []
    background = tab.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) > 382) is (scheme == "light")
    assert tab.run("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")


def test_the_browser_would_tell_a_fault(tab: chromium.Page, tmp_path: Path) -> None:
    """Or the test above proves nothing."""
    broken = tmp_path / "broken.html"
    broken.write_text('<img src="missing.png"><img src="https://example.org/a.png"><script>nobody()</script>')
    tab.open(broken)
    errors = " ".join(tab.errors())
    assert "failed" in errors and "asked for https://example.org/a.png" in errors and "exception" in errors


def test_a_table_is_sorted_by_its_head(tab: chromium.Page, written: Path) -> None:
    tab.open(written)
    numbers = """[...document.querySelector("table.verdicts").tBodies[0].rows]
        .map((row) => Number.parseFloat(row.querySelector("td.value").dataset.value))"""
    declared = tab.run(numbers)
    button = 'document.querySelector("table.verdicts thead th:nth-child(4) button")'
    assert "reproduced" in tab.run(f"{button}.textContent")
    tab.run(f"{button}.focus()")
    tab.press("Enter", 13)
    assert tab.run(numbers) == sorted(declared) != declared
    assert tab.run(f"{button}.closest('th').ariaSort") == "ascending"
    tab.press("Enter", 13)
    assert tab.run(numbers) == sorted(declared, reverse=True)
    tab.press("Enter", 13)
    assert tab.run(numbers) == declared


def test_rows_are_found_by_their_words(tab: chromium.Page, written: Path) -> None:
    tab.open(written)
    tab.run('document.querySelector("#filter").focus()')
    tab.ask("Input.insertText", text="sid-lsg 4.5")
    shown = '[...document.querySelectorAll("table.verdicts tbody > tr")].filter((row) => row.checkVisibility()).length'
    assert tab.run(shown) == 2  # one a metric
    assert tab.run('document.querySelector("#matches").textContent').startswith("2 of ")
    assert (
        tab.run('[...document.querySelectorAll("table.verdicts")].filter((one) => one.checkVisibility()).length') == 2
    )


def test_provenance_opens_by_keyboard_and_closes_by_escape(tab: chromium.Page, written: Path) -> None:
    tab.open(written)
    details = 'document.querySelector("td.record details")'
    tab.run(f'{details}.querySelector("summary").focus()')
    assert not tab.run(f'{details}.querySelector(".card").checkVisibility()')
    tab.press("Enter", 13)
    assert tab.run(f'{details}.querySelector(".card").checkVisibility()')
    said = tab.run(f"{details}.innerText")
    for word in ("sidbench run mini digits-cond/teacher/0", "weights (sha256)", "4f004e34f004", "versions", "verified"):
        assert word in said
    tab.press("Escape", 27)
    assert not tab.run(f"{details}.open")
    assert tab.errors() == []


def test_a_link_to_a_recipe_opens_it(tab: chromium.Page, written: Path) -> None:
    tab.open(written)
    tab.run("document.querySelector('td.record > details').open = true")
    tab.run("document.querySelector('td.record a[href^=\"#recipe-\"]').click()")
    tab.run("new Promise((done) => setTimeout(done, 100))")
    shown = "document.querySelector(location.hash + ' pre')"
    assert tab.run(f"{shown}.checkVisibility()") and "alpha" in tab.run(f"{shown}.textContent")


def test_a_method_named_script_is_shown_and_not_run(tab: chromium.Page, written: Path) -> None:
    tab.open(written)
    said = tab.run("document.body.innerText")
    assert "<script>alert(1)</script>" in said and "DMD2 <script>alert(2)</script>" in said
    assert "a <script>peer" in said and "a <b>made</b> animal" in said
    assert tab.run("document.scripts.length") == 1
    assert tab.errors() == []


def test_page_reads_the_same_without_javascript(tab: chromium.Page, written: Path) -> None:
    tab.open(written)
    words = '[...document.querySelectorAll("main td, main th, main p")].map((one) => one.textContent.trim()).join()'
    with_script = tab.run(words)
    tab.ask("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(written)
    found = tab.run(words)
    tools = tab.run('document.querySelector(".tools").checkVisibility()')
    tab.ask("Emulation.setScriptExecutionDisabled", value=False)
    assert found == with_script and not tools  # no control that would do nothing


def test_a_narrow_window_scrolls_tables_and_not_the_page(tab: chromium.Page, written: Path) -> None:
    tab.open(written, width=390, height=800)
    assert tab.run("document.documentElement.scrollWidth") <= 390


def test_on_a_phone_every_verdict_is_seen_without_scrolling_sideways(tab: chromium.Page, written: Path) -> None:
    tab.open(written, width=390, height=800)
    ends = """[...document.querySelectorAll("table.matrix .pill, table.matrix .value")]
        .map((one) => { const place = one.getBoundingClientRect(); return [place.left, place.right]; })"""
    places = tab.run(ends)
    assert len(places) > 40 and all(0 <= left < right <= 390 for left, right in places)


def test_a_value_says_its_seeds_on_hover_and_on_focus(tab: chromium.Page, written: Path) -> None:
    tab.open(written)
    value = 'document.querySelector("table.matrix .methods .value")'
    tip = 'document.querySelector("#tip")'
    assert tab.run(f"{tip}.hidden")
    tab.run(f"{value}.focus()")
    assert tab.soon(f"!{tip}.hidden") and "seeds 0:" in tab.run(f"{tip}.textContent")
    tab.press("Escape", 27)
    assert tab.run(f"{tip}.hidden")
    tab.run(f"{value}.blur(); {value}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    place = tab.run(f"(() => {{ const p = {value}.getBoundingClientRect(); return [p.x + 4, p.y + 4]; }})()")
    tab.ask("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])
    assert tab.soon(f"!{tip}.hidden") and "seeds 0:" in tab.run(f"{tip}.textContent")
    assert tab.errors() == []


def test_it_prints(tab: chromium.Page, written: Path) -> None:
    sheet = 718  # pixels of A4 between its margins
    tab.open(written, width=sheet)
    tab.ask("Emulation.setEmulatedMedia", media="print")
    wide = tab.run('[...document.querySelectorAll("table.verdicts")].map((one) => one.scrollWidth)')
    hidden = tab.run('[...document.querySelectorAll("nav, .tools")].every((one) => !one.checkVisibility())')
    tab.ask("Emulation.setEmulatedMedia", media="")
    assert max(wide) <= sheet and hidden
    assert base64.b64decode(tab.ask("Page.printToPDF")["data"]).startswith(b"%PDF")


def test_every_screenshot_shows_its_part(tab: chromium.Page, written: Path, tmp_path: Path) -> None:
    widths = {}
    for name, png in shots.shots(tab, written, parts=True):
        shots.write(tmp_path / f"{name}.png", png)
        with Image.open(tmp_path / f"{name}.png") as picture:
            widths[name], height, colours = picture.width, picture.height, picture.convert("RGB").getcolors(1 << 20)
        assert height > 100 and colours is not None and len(colours) > 20, f"{name} shows nothing"
    desk, phone = shots.DESK, shots.PHONE
    screens = {f"page-{width}-{scheme}": width for width in (desk, phone) for scheme in ("light", "dark")}
    assert widths == screens | {f"page-{part}": desk for part in shots.PARTS}


@pytest.mark.parametrize("width", shots.SCREENS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault(tab: chromium.Page, written: Path, axe: str, scheme: str, width: int) -> None:
    tab.open(written, scheme, width)
    tab.run('document.querySelectorAll("details").forEach((one) => (one.open = true))')
    tab.run(axe + ";0")
    found = json.loads(tab.run("axe.run().then((result) => JSON.stringify([result.passes.length, result.violations]))"))
    passes, violations = found
    impacts = {one["id"]: (one["impact"], [node["html"][:160] for node in one["nodes"][:3]]) for one in violations}
    assert passes > 20
    assert not {name: its for name, its in impacts.items() if its[0] in ("serious", "critical")}, impacts
