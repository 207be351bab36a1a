"""Recipe sheets: `benchmarks/papers/*/recipe-*.yaml`, every setting of a paper's run with its value and its source.

A setting has one of four origins: a source's words; a source's words from which this project deviates (`runs`, with the
reason); this project's choice (with the reason); or it has no effect on the row at all. `differences` compares a sheet
with what a suite resolves (benchmarks/suite/settings.py), key by key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from benchmarks.suite import files
from benchmarks.suite.config import Suite
from benchmarks.suite.load import load_suite
from benchmarks.suite.settings import settings_of
from benchmarks.suite.strict import Many, Name, Strict, numbers
from sid.discovery import UnknownName, nearest, unknown
from sid.fault import Fault

OURS, IDLE, DEVIATES = "ours", "idle", "deviates"
SOURCES = ("paper", "code", "others")
OF_PLAYERS = ("players", "adam.")  # names that only the method's players know, which import torch
RowName = Annotated[str, Field(pattern=r"^[^/]+/[^/]+/[^/]+$")]  # suite/task/entry


class RecipeSource(Strict):
    """A text that a setting was read in."""

    whose: Literal["paper", "code", "others"] = Field(
        description="paper: its text; code: the authors' repository, its scripts, README and issues; others: someone's"
        " words about the paper"
    )
    read: str = Field(min_length=1, description="what was read and where")


class RecipeSetting(Strict):
    """One setting: what its source says, or what is chosen here and why."""

    value: Any = Field(description="as the source has it; without a source, as it runs here")
    source: Name | None = Field(None, description="a name under `sources`; absent: the value is this project's choice")
    runs: Any = Field(None, description="what runs here in the source's place: a deviation, which needs a reason")
    why: str = Field("", description="the reason of a choice or a deviation; beside a source, a remark")
    idle: str = Field("", description="why the value has no effect on the row")

    _numbers = field_validator("value", "runs")(numbers)

    @model_validator(mode="after")
    def _one_origin(self) -> RecipeSetting:
        if self.idle and (self.source or self.why or self.deviates):
            raise ValueError("a setting without effect has no source, no runs and no why")
        if self.deviates and self.source is None:
            raise ValueError("runs deviates from a source: name it, or state the value that runs")
        if not self.idle and not self.why and (self.deviates or self.source is None):
            raise ValueError(f"a {'deviation' if self.deviates else 'value without a source'} needs its reason: why")
        if self.deviates and same(self.value, self.runs):
            raise ValueError(f"runs what the source says ({self.value}): that is no deviation")
        return self

    @property
    def deviates(self) -> bool:
        return "runs" in self.model_fields_set

    @property
    def running(self) -> Any:
        """The value that the suite must have."""
        return self.runs if self.deviates else self.value


class RecipeException(Strict):
    """Settings of some rows in place of the sheet's."""

    rows: Many[RowName] = Field(min_length=1)
    settings: dict[str, RecipeSetting] = Field({})
    without: Many[str] = Field((), description="settings of the sheet that these rows do not have")


class RecipeSheet(Strict):
    """One file: the rows that share a run's settings, and what is particular to some of them."""

    title: str
    paper: str
    sources: dict[Name, RecipeSource]
    rows: Many[RowName] = Field(min_length=1, description="as suite/task/entry")
    settings: dict[str, RecipeSetting] = Field(min_length=1)
    beyond: dict[str, RecipeSetting] = Field({}, description="deviations in what no setting of a suite expresses")
    exceptions: Many[RecipeException] = ()


@dataclass(frozen=True)
class Recipe:
    """The sheet of one row."""

    row: str  # suite/task/entry
    file: Path
    sheet: RecipeSheet
    settings: Mapping[str, RecipeSetting]

    def origin(self, setting: RecipeSetting) -> str:
        """One of SOURCES, OURS, IDLE and DEVIATES."""
        if setting.deviates:
            return DEVIATES
        if setting.source is None:
            return IDLE if setting.idle else OURS
        return self.sheet.sources[setting.source].whose

    @property
    def deviations(self) -> Mapping[str, RecipeSetting]:
        """What does not run as its source says, the deviations that no setting expresses last."""
        return {name: its for name, its in self.settings.items() if its.deviates} | self.sheet.beyond

    def counts(self) -> dict[str, int]:
        """How many settings are of each origin."""
        origins = [self.origin(setting) for setting in self.settings.values()]
        counts = {origin: origins.count(origin) for origin in (*SOURCES, OURS, IDLE)}
        return counts | {DEVIATES: len(self.deviations)}


@lru_cache
def recipes(folder: Path = files.PAPERS_DIR) -> Mapping[str, Recipe]:
    """Every row's recipe by suite/task/entry; the faults of all files are raised together."""
    by_row: dict[str, Recipe] = {}
    wrong: list[str] = []
    for file in sorted(folder.glob("*/recipe-*.yaml")):
        sheet, faulty = read(file)
        wrong += faulty
        for recipe in rows_of(file, sheet) if sheet else ():
            if (other := by_row.setdefault(recipe.row, recipe)) is not recipe:
                wrong.append(f"{files.shown(file)}: rows: {recipe.row} stands in {files.shown(other.file)} too")
    if wrong:
        raise Fault(wrong)
    return by_row


def read(file: Path) -> tuple[RecipeSheet | None, list[str]]:
    """The sheet of a file, and one sentence for each of its faults."""
    try:
        sheet = files.validated(RecipeSheet, file, files.read(file))
    except Fault as fault:
        return None, fault.sentences
    return sheet, [f"{files.shown(file)}: {sentence}" for sentence in _sheet_faults(sheet)]


def _sheet_faults(sheet: RecipeSheet) -> Iterator[str]:
    """Names that stand for nothing in the sheet."""
    places = [("settings", sheet.settings), ("beyond", sheet.beyond)]
    for number, exception in enumerate(sheet.exceptions):
        places.append((f"exceptions.{number}.settings", exception.settings))
        for row in exception.rows:
            if row not in sheet.rows:
                yield f"exceptions.{number}.rows: {unknown('row', row, sheet.rows)}"
        for name in exception.without:
            if name not in sheet.settings:
                yield f"exceptions.{number}.without: {unknown('setting', name, sheet.settings)}"
    for place, settings in places:
        for name, setting in settings.items():
            if setting.source is not None and setting.source not in sheet.sources:
                yield f"{place}.{name}.source: {unknown('source', setting.source, sheet.sources)}"
    for name, setting in sheet.beyond.items():
        if not setting.deviates:
            yield f"beyond.{name}: needs runs: only deviations stand here"
    used = {setting.source for _, settings in places for setting in settings.values()}
    for name in sheet.sources:
        if name not in used:
            yield f"sources.{name}: no setting names it"


def rows_of(file: Path, sheet: RecipeSheet) -> Iterator[Recipe]:
    """The recipe of each row: the sheet's settings with the row's exceptions over them, the later over the earlier."""
    for row in sheet.rows:
        settings = dict(sheet.settings)
        for exception in sheet.exceptions:
            if row in exception.rows:
                settings |= exception.settings
                settings = {name: setting for name, setting in settings.items() if name not in exception.without}
        yield Recipe(row, file, sheet, settings)


def same(one: Any, other: Any) -> bool:
    """Equal values; 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def differences(recipe: Recipe, resolved: Mapping[str, Any]) -> list[str]:
    """How what a suite resolves is not what the sheet says, a sentence for each setting; empty where they agree."""
    wrong = []
    for name, value in resolved.items():
        if name not in recipe.settings:
            wrong.append(f"{name}: {shown(value)} runs, and the sheet does not name it")
        elif not same(recipe.settings[name].running, value):
            wrong.append(f"{name}: {shown(value)} runs, where the sheet has {shown(recipe.settings[name].running)}")
    for name in recipe.settings:
        if name not in resolved:
            near = nearest(name, resolved)
            wrong.append(f"{name}: the row has no such setting" + (f"; did you mean '{near}'?" if near else ""))
    return wrong


def planned_differences(suite: Suite, task: str, entry: str, recipe: Recipe) -> list[str]:
    """As `differences`, in what a plan knows: without the settings of the players, which need torch."""
    stated = {name: its for name, its in recipe.settings.items() if not name.startswith(OF_PLAYERS)}
    return differences(replace(recipe, settings=stated), settings_of(suite, task, entry))


def recipe_of_row(task: str, entry: str) -> Recipe | None:
    """The sheet of a row by its task and entry, whose names are the same in every suite that takes it over."""
    return next((its for row, its in recipes().items() if row.split("/")[1:] == [task, entry]), None)


def of_suite(name: str) -> list[Recipe]:
    """The recipes of a suite's rows, in the suite's order."""
    stated = (recipe_of_row(task, entry) for task, entry, _ in load_suite(name).rows)
    return [recipe for recipe in stated if recipe is not None]


def find(name: str) -> list[Recipe]:
    """The recipes of the rows named SUITE/TASK/ENTRY or SUITE/ENTRY, of every task; a Fault with the nearest name."""
    known = recipes()
    suites = {row.partition("/")[0] for row in known}
    if (suite := name.partition("/")[0]) not in suites:
        raise UnknownName("suite of recipe sheets", suite, suites)
    if named := [recipe for row, recipe in known.items() if name in (row, _short(row))]:
        return named
    whole = name.count("/") > 1
    raise UnknownName("row", name, {row if whole else _short(row) for row in known if row.startswith(f"{suite}/")})


def _short(row: str) -> str:
    """SUITE/ENTRY."""
    suite, _, entry = row.split("/")
    return f"{suite}/{entry}"


def shown(value: Any) -> str:
    """A value as a reader knows it: null, true, 1e-05, 500,000."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return f"{int(value):,}"
    return f"{value:g}" if isinstance(value, float) else str(value)
