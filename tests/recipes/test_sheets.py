"""The papers' recipe sheets against what their suites resolve, key by key, and the faults of sheets."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cli import main
from benchmarks.suite import recipes
from benchmarks.suite.checks import options_of
from benchmarks.suite.components import methods
from benchmarks.suite.config import Suite
from benchmarks.suite.load import load_suite
from benchmarks.suite.recipes import Recipe, differences, find, planned_differences
from benchmarks.suite.settings import player_settings, settings_of
from benchmarks.tables.recipes import deviations, markdown, notes, words
from sid.discovery import UnknownName
from sid.fault import Fault
from sid.method import Optimiser
from tests.test_cli import reported

ROOT = Path(__file__).parents[2]
SUITES = ("cifar10", "edm64", "sd15", "sdxl", "pixart", "sid-dit")


shipped = lru_cache(load_suite)


def trained(suite: Suite) -> list[tuple[str, str]]:
    return [(task, entry) for task, entry, row in suite.rows if row.method]


def resolved(suite: Suite, task: str, entry: str) -> dict[str, Any]:
    """All that the trainer gets: what a plan knows, and what the method's players know."""
    method = methods()[suite.entries_of(task)[entry].method or ""]
    return settings_of(suite, task, entry) | player_settings(method, options_of(suite, task, entry))


@pytest.mark.parametrize("name", SUITES)
def test_every_setting_of_every_row_is_on_its_sheet(name: str) -> None:
    suite = shipped(name)
    rows = trained(suite)
    assert rows
    wrong = [
        f"{name}/{task}/{entry}: {sentence}"
        for task, entry in rows
        for sentence in differences(recipes.recipes()[f"{name}/{task}/{entry}"], resolved(suite, task, entry))
    ]
    assert not wrong, "\n".join(wrong)


def test_every_sheet_is_of_rows_that_are_trained() -> None:
    rows = {f"{name}/{task}/{entry}" for name in SUITES for task, entry in trained(shipped(name))}
    assert set(recipes.recipes()) == rows


def test_no_setting_is_without_source_or_reason() -> None:
    for recipe in recipes.recipes().values():
        counts = recipe.counts()
        beyond = len(recipe.sheet.beyond)
        assert sum(counts.values()) == len(recipe.settings) + beyond
        for setting in recipe.settings.values():
            assert setting.source or setting.why or setting.idle
        assert all(setting.why for setting in recipe.deviations.values())


# What a change in a suite, in a method's defaults or in its code does to a row that it reaches.


def sheet(row: str) -> Recipe:
    return recipes.recipes()[row]


def written(folder: Path, change: str) -> Suite:
    """A suite that extends sd15 by these lines."""
    (folder / "mine.yaml").write_text(f"name: mine\nextends: sd15\n{change}")
    return load_suite(str(folder / "mine.yaml"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("budget: {batch: 256}", "budget.batch: 256 runs, where the sheet has 512"),
        ("budget: {images: 1000}", "budget.images: 1,000 runs, where the sheet has 8,806,000"),
        ("budget: {clip_norm: 1.0}", "budget.clip_norm: 1 runs, where the sheet has null"),
        ("budget: {engine: {precision: bf16}}", "engine.precision: bf16 runs, where the sheet has fp32"),
        ("budget: {engine: {eight_bit: true}}", "engine.eight_bit: true runs, and the sheet does not name it"),
        ("options: {loss_scale: 100.0}", "options.loss_scale: 100 runs, where the sheet has 1"),
        ("options: {kappa: 2.0}", "scales.k3: 2 runs, where the sheet has 1.5"),
        ("init: sid-lsg-2", "init: sid-lsg-2 runs, where the sheet has null"),
        ("stop_players: {critic: 0.5}", "stop_players.critic: 0.5 runs, and the sheet does not name it"),
    ],
)
def test_a_changed_suite_is_noticed(tmp_path: Path, change: str, sentence: str) -> None:
    suite = written(tmp_path, f"tasks: {{sd15-coco: {{entries: {{sid-lsg-1.5: {{{change}}}}}}}}}\n")
    wrong = planned_differences(suite, "sd15-coco", "sid-lsg-1.5", sheet("sd15/sd15-coco/sid-lsg-1.5"))
    assert sentence in wrong
    assert notes(suite)["sd15-coco", "sid-lsg-1.5"].differences == tuple(wrong)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("prompts: {dtype: float32}", "prompts.dtype: float32 runs, where the sheet has float16"),
        (
            "teacher: sd21-base",
            "teacher.source: stabilityai/stable-diffusion-2-1-base runs, where the sheet has stable",
        ),
        ("real: {pairs: data/others}", "real.pairs: data/others runs, where the sheet has data/laion-aesthetic-5.5"),
    ],
)
def test_changed_data_and_teachers_are_noticed(tmp_path: Path, change: str, sentence: str) -> None:
    suite = written(tmp_path, f"tasks: {{sd15-coco: {{{change}}}}}\n")
    wrong = planned_differences(suite, "sd15-coco", "adversarial-4", sheet("sd15/sd15-coco/adversarial-4"))
    assert any(text.startswith(sentence) for text in wrong), wrong


ROWS_OF_METHODS = {its.settings["method"].value: row for row, its in recipes.recipes().items()}
DEFAULTS = [
    (row, entry.name)
    for method, row in ROWS_OF_METHODS.items()
    for entry in fields(methods()[method].Options)
    if entry.name not in shipped(row.split("/")[0]).entries_of(row.split("/")[1])[row.split("/")[2]].options
]


@pytest.mark.parametrize(("row", "option"), DEFAULTS)
def test_every_changed_default_of_a_method_is_noticed(monkeypatch: pytest.MonkeyPatch, row: str, option: str) -> None:
    """The defaults of the data or task are changed, which stand over those of the class."""
    suite_name, task, entry = row.split("/")
    suite = shipped(suite_name)
    method = methods()[suite.entries_of(task)[entry].method or ""]
    before = getattr(options_of(suite, task, entry), option)
    other = {bool: not before, str: "none", tuple: ("another",)}.get(type(before), 0.123)
    monkeypatch.setattr(type(method), "defaults", {task: {**method.defaults.get(task, {}), option: other}})
    assert any(text.startswith(f"options.{option}: ") for text in planned_differences(suite, task, entry, sheet(row)))


def test_a_changed_player_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no option says: Adam's betas, a warm-up, a limit, and the order of playing."""
    suite, method = shipped("cifar10"), methods()["sid"]
    row = sheet("cifar10/cifar10-cond/sid-1.2")
    players = method.players(options_of(suite, "cifar10-cond", "sid-1.2"))

    @dataclass(frozen=True)
    class Changed(Optimiser):
        warmup: int = 10
        clip_norm: float | None = 3.0

    critic, generator = players
    rate = critic.optimiser.lr
    others = (generator, replace(critic, optimiser=Changed(rate, betas=(0.0, 0.99))))
    monkeypatch.setattr(type(method), "players", lambda self, options: others)
    wrong = differences(row, resolved(suite, "cifar10-cond", "sid-1.2"))
    assert "players: [generator, critic] runs, where the sheet has [critic, generator]" in wrong
    assert {text.partition(":")[0] for text in wrong} == {
        "players",
        *(f"adam.{player}.{name}" for player in ("critic", "generator") for name in ("betas", "clip_norm", "warmup")),
        *(f"adam.{name}" for name in ("betas", "clip_norm", "warmup", "warmup_calls")),
    }


def test_a_setting_that_is_gone_is_noticed() -> None:
    suite, row = shipped("cifar10"), sheet("cifar10/cifar10-cond/sid-1.2")
    settings = {("options.alfa" if name == "options.alpha" else name): its for name, its in row.settings.items()}
    assert differences(replace(row, settings=settings), resolved(suite, "cifar10-cond", "sid-1.2")) == [
        "options.alpha: 1.2 runs, and the sheet does not name it",
        "options.alfa: the row has no such setting; did you mean 'options.alpha'?",
    ]


# The faults of a sheet.

SHEET = """
title: Made
paper: Nobody, Nothing
sources:
  code: {whose: code, read: "a file"}
  idle: {whose: paper, read: "a page"}
rows: [cifar10/cifar10-cond/sid-1.2]
settings:
  options.alpha: {value: 1.2, source: code}
  options.lr: {value: 1e-5, source: cde}
exceptions:
  - rows: [cifar10/cifar10-cond/sid-1.0]
    settings: {options.lr: {value: 1e-6, source: code}}
    without: [options.alfa]
beyond:
  a rounded constant: {value: 0.0047, source: code}
"""


def refused(folder: Path, *sheets: str) -> list[str]:
    (folder / "made").mkdir()
    for number, text in enumerate(sheets):
        (folder / "made" / f"recipe-{number}.yaml").write_text(text)
    with pytest.raises(Fault) as fault:
        recipes.recipes(folder)
    return [sentence.partition(".yaml: ")[2] for sentence in fault.value.sentences]


def test_all_faults_of_a_sheet_at_once(tmp_path: Path) -> None:
    assert refused(tmp_path, SHEET) == [
        "exceptions.0.rows: unknown row 'cifar10/cifar10-cond/sid-1.0'; did you mean 'cifar10/cifar10-cond/sid-1.2'?",
        "exceptions.0.without: unknown setting 'options.alfa'; did you mean 'options.alpha'?",
        "settings.options.lr.source: unknown source 'cde'; did you mean 'code'?",
        "beyond.a rounded constant: needs runs: only deviations stand here",
        "sources.idle: no setting names it",
    ]


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("{value: 1}", "a value without a source needs its reason: why"),
        ("{value: 1, source: code, runs: 2}", "a deviation needs its reason: why"),
        ("{value: 1, runs: 2, why: so}", "runs deviates from a source: name it, or state the value that runs"),
        ("{value: 1, source: code, runs: 1.0, why: so}", "runs what the source says (1): that is no deviation"),
        ("{value: 1, idle: so, source: code}", "a setting without effect has no source, no runs and no why"),
        ("{value: 1, sorce: code}", "unknown key 'sorce'; did you mean 'source'?"),
    ],
)
def test_a_setting_has_one_origin(tmp_path: Path, setting: str, sentence: str) -> None:
    text = SHEET.partition("exceptions:")[0].replace("{value: 1e-5, source: cde}", setting)
    (wrong,) = refused(tmp_path, text)
    assert wrong.startswith("settings.options.lr") and wrong.endswith(sentence)


def test_a_row_has_one_sheet(tmp_path: Path) -> None:
    good = SHEET.partition("exceptions:")[0].replace("cde", "idle")
    (wrong,) = refused(tmp_path, good, good)
    assert "rows: cifar10/cifar10-cond/sid-1.2 stands in " in wrong


# What a reader sees.


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def test_the_sheet_of_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "recipe", "sd15/sid-lsg-1.5")
    assert text.startswith("sd15/sd15-coco/sid-lsg-1.5\nSiD-LSG on Stable Diffusion 1.5 and 2.1-base: Zhou et al.")
    assert "\nsettings: 31 of the code, 2 without effect; 2 deviate\n" in text
    assert "of other tasks: sd15/sd21-coco/sid-lsg-1.5" in text
    (line,) = [line for line in text.splitlines() if line.startswith("budget.batch")]
    assert line.split() == ["budget.batch", "512", "code", "run"]
    assert "  prompts.dtype: float16 instead of float32 (mingyuanzhou/SiD-LSG" in text
    assert "not as the sheet says" not in text


def test_the_table_of_a_suite(capsys: pytest.CaptureFixture[str]) -> None:
    head, *rows = printed(capsys, "recipe", "pixart").splitlines()
    assert rows.pop().split() == ["all", "1", "34", "3", "4", "0", "25", "2", "0"]
    assert head.split() == ["row", "settings", "paper", "code", "others", "ours", "no", "effect", "deviations"]
    assert [row.split() for row in rows] == [["pixart/pixart-sim/sim-dit", "34", "3", "4", "0", "25", "2", "0"]]
    assert len(printed(capsys, "recipe", "paper").splitlines()) == 2 + len(recipes.recipes())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("sd15/sid-lg-1.5", "unknown row 'sd15/sid-lg-1.5'; did you mean 'sd15/sid-lsg-1.5'?"),
        ("sd15/sd15-coco/zerocfg-4", "did you mean 'sd15/sd15-coco/zero-cfg-4'?"),
        ("cifr10/sid-1.2", "unknown suite of recipe sheets 'cifr10'; did you mean 'cifar10'?"),
        ("sdx", "unknown suite 'sdx'; did you mean 'sdxl'?"),
        ("mini", "no row of the suite mini has a recipe sheet"),
    ],
)
def test_a_wrong_name(capsys: pytest.CaptureFixture[str], name: str, sentence: str) -> None:
    assert sentence in reported(capsys, "recipe", name)


def test_counts_are_those_of_the_settings() -> None:
    recipe = find("sdxl/sdxl-10k/dmd2-1")[0]
    counts = recipe.counts()
    assert counts == {"paper": 10, "code": 20, "others": 0, "ours": 2, "idle": 3, "deviates": 3}
    assert words(recipe) == "settings: 10 of the paper's words, 20 of the code, 2 ours, 3 without effect; 3 deviate"
    assert [its.name for its in deviations(recipe)][-1] == "TF32 in matrix products and convolutions"


def test_a_row_is_found_by_its_nearest_name() -> None:
    with pytest.raises(UnknownName, match="did you mean 'edm64/imagenet64/dmd2-longer'"):
        find("edm64/imagenet64/dmd2-long")


def test_the_page_of_the_documentation_is_up_to_date() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert page == markdown(list(recipes.recipes().values())) + "\n", (
        "run: sidbench recipe --markdown > docs/recipes.md"
    )


def test_a_sheet_is_printed_without_torch() -> None:
    code = (
        "import sys; from benchmarks.cli import main; main(['recipe', 'sd15/vsd']); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
