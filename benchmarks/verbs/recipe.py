"""Verb `recipe`: prints a paper row's recipe sheet, or how many settings of a suite's rows are whose."""

from __future__ import annotations

import argparse

from sid.fault import Fault

HELP = "print every setting of a paper's row with its source, or count them for all rows"
EXAMPLE = "sidbench recipe sd15/sid-lsg-2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "row",
        nargs="?",
        metavar="SUITE/ROW",
        help="SUITE/ENTRY or SUITE/TASK/ENTRY: its sheet; a suite: the table of its rows (default: of all rows)",
    )
    parser.add_argument("--markdown", action="store_true", help="the table with all deviations, as docs/recipes.md")


def run(args: argparse.Namespace) -> int:
    from benchmarks.suite import recipes
    from benchmarks.tables.recipes import markdown, table

    if args.row is not None and "/" in args.row and not args.row.endswith((".yaml", ".yml")):
        return _print_sheet(args.row)
    chosen = list(recipes.recipes().values()) if args.row is None else recipes.of_suite(args.row)
    if not chosen:
        raise Fault(f"no row of the suite {args.row} has a recipe sheet")
    print(markdown(chosen) if args.markdown else "\n".join(table(chosen)))
    return 0


def _print_sheet(name: str) -> int:
    """The row's sheet; status 1 where its suite runs something else. One of several rows of that name is printed."""
    from benchmarks.suite.load import load_suite
    from benchmarks.suite.recipes import find, planned_differences
    from benchmarks.tables.recipes import sheet

    recipe, *others = find(name)
    print("\n".join(sheet(recipe)))
    suite, task, entry = recipe.row.split("/")
    differing = planned_differences(load_suite(suite), task, entry, recipe)
    if differing:
        print("\n".join(["", "not as the sheet says:", *(f"  {sentence}" for sentence in differing)]))
    if others:
        print(f"\nof other tasks: {', '.join(other.row for other in others)}")
    return 1 if differing else 0
