"""Recipe sheets as a reader sees them: a row's sheet, the table of all rows, and what stands beside a verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.suite.config import Suite
from benchmarks.suite.files import PACKAGE_DIR
from benchmarks.suite.recipes import (
    DEVIATES,
    IDLE,
    OURS,
    SOURCES,
    Recipe,
    RecipeSetting,
    planned_differences,
    recipe_of_row,
    shown,
)

# Origin -> words in a sentence, and the head of its column.
WORDS: Mapping[str, str] = {
    "paper": "of the paper's words",
    "code": "of the code",
    "others": "of others' words about it",
    OURS: "ours",
    IDLE: "without effect",
}
HEADS: Mapping[str, str] = {
    **{origin: origin for origin in (*SOURCES, OURS)},
    IDLE: "no effect",
    DEVIATES: "deviations",
}
INTRODUCTION = """# Recipes

Every setting of every paper's run, and whose it is: of the `paper`'s own text; of the authors' `code`, its scripts,
README and issues; of what `others` wrote about it; `ours`, a choice of this project with its reason; or of `no effect`
on the row. A deviation is a setting whose source is known and that runs differently here, or something of that kind
that no setting of a suite expresses.

`sidbench recipe SUITE/ROW` prints a row's values, sources and reasons. The sheets are
`benchmarks/papers/*/recipe-*.yaml`; a test compares them with what the suites resolve, key by key. What a setting can't
say, the form of a loss, is tested by formula. This page is made by `sidbench recipe --markdown`.
"""


@dataclass(frozen=True)
class Deviation:
    """One setting that does not run as its source says."""

    name: str
    says: str
    read: str
    runs: str
    why: str

    @property
    def sentence(self) -> str:
        return f"{self.name}: {self.runs} instead of {self.says} ({self.read}): {self.why}"


@dataclass(frozen=True)
class RecipeNote:
    """What stands beside the verdicts of a row."""

    row: str
    words: str
    deviations: tuple[Deviation, ...]
    differences: tuple[str, ...]  # between the sheet and what this suite resolves


def note(suite: Suite, task: str, entry: str) -> RecipeNote | None:
    """The note of a suite's row; None where no sheet states its recipe."""
    recipe = recipe_of_row(task, entry)
    if recipe is None or suite.entries_of(task)[entry].method is None:
        return None
    differing = tuple(planned_differences(suite, task, entry, recipe))
    return RecipeNote(recipe.row, words(recipe), tuple(deviations(recipe)), differing)


def notes(suite: Suite) -> dict[tuple[str, str], RecipeNote]:
    """The notes of a suite's rows by task and entry."""
    every = {(task, entry): note(suite, task, entry) for task, entry, _ in suite.rows}
    return {row: its for row, its in every.items() if its is not None}


def words(recipe: Recipe) -> str:
    """As "settings: 7 of the paper's words, 3 of the code, 4 ours; 1 deviates"."""
    counts = recipe.counts()
    parts = [f"{counts[origin]} {text}" for origin, text in WORDS.items() if counts[origin]]
    number = counts[DEVIATES]
    return f"settings: {', '.join(parts)}" + (f"; {number} deviate{'s' * (number == 1)}" if number else "")


def deviations(recipe: Recipe) -> Iterator[Deviation]:
    """The row's deviations, ready to print."""
    for name, setting in recipe.deviations.items():
        read = recipe.sheet.sources[setting.source or ""].read
        yield Deviation(name, shown(setting.value), read, shown(setting.runs), setting.why)


def sheet(recipe: Recipe) -> list[str]:
    """The lines of a row's sheet: each setting with the value that runs, whose it is, its source, and the remark."""
    rows = [("setting", "value", "whose", "source", "")]
    rows += [(name, shown(its.running), *_origin(recipe, its)) for name, its in recipe.settings.items()]
    lines = [recipe.row, f"{recipe.sheet.title}: {recipe.sheet.paper}", words(recipe), "", *_aligned(rows), ""]
    lines += [f"{name}: {source.read}" for name, source in recipe.sheet.sources.items()]
    if recipe.deviations:
        lines += ["", "deviations:", *(f"  {its.sentence}" for its in deviations(recipe))]
    return lines


def _origin(recipe: Recipe, setting: RecipeSetting) -> tuple[str, str, str]:
    """Whose a setting is, its source, and what is to be remarked."""
    if setting.deviates:
        return "deviation", setting.source or "", f"{shown(setting.value)} in the source"
    return HEADS[recipe.origin(setting)], setting.source or "", setting.idle or setting.why


def table(recipes: Sequence[Recipe]) -> list[str]:
    """Rows and how many of their settings have which origin; their sum last."""
    return _aligned([("row", "settings", *HEADS.values()), *map(_counted, recipes), _sum(recipes)])


def markdown(recipes: Sequence[Recipe]) -> str:
    """The page docs/recipes.md: the table, and every deviation once with its rows."""
    heads = ("row", "settings", *HEADS.values())
    lines = [INTRODUCTION, f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 1)}"]
    for recipe in recipes:
        row, *counts = _counted(recipe)
        lines.append(
            f"| [{row}](../benchmarks/{recipe.file.relative_to(PACKAGE_DIR).as_posix()}) | {' | '.join(counts)} |"
        )
    lines.append(f"| {' | '.join(_sum(recipes))} |")
    rows: dict[Deviation, list[str]] = {}
    for recipe in recipes:
        for deviation in deviations(recipe):
            rows.setdefault(deviation, []).append(recipe.row)
    lines += ["", "## Deviations", ""]
    lines += [f"* `{its.name}`, {', '.join(names)}: {_without_name(its)}." for its, names in rows.items()]
    return "\n".join(lines)


def _without_name(deviation: Deviation) -> str:
    return deviation.sentence.removeprefix(f"{deviation.name}: ")


def _counted(recipe: Recipe) -> tuple[str, ...]:
    counts = recipe.counts()
    return (recipe.row, str(len(recipe.settings)), *(str(counts[origin]) for origin in HEADS))


def _sum(recipes: Sequence[Recipe]) -> tuple[str, ...]:
    columns = zip(*(_counted(recipe)[1:] for recipe in recipes), strict=True)
    return (f"all {len(recipes)}", *(f"{sum(map(int, column)):,}" for column in columns))


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width, without blanks at the end of a line."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
