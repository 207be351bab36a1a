"""Lists components with version, paper and extent of verification; published generators, suites and protocols."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.data.open import datasets
from benchmarks.suite import components as registry
from benchmarks.suite import files
from sid.discovery import VERIFIED, UnknownName

HELP = "list methods, teachers, data sets, extractors, metrics, published generators, suites, protocols"
EXAMPLE = "sidbench list methods"

COMPONENTS: dict[str, Callable[[], Mapping[str, Any]]] = {
    "methods": registry.methods,
    "teachers": registry.teachers,
    "datasets": datasets,
    "extractors": registry.extractors,
    "metrics": registry.metrics,
}
KINDS = (*COMPONENTS, "released", "suites", "protocols")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", nargs="?", metavar="KIND", help=", ".join(KINDS) + " (default: all)")


def run(args: argparse.Namespace) -> int:
    if args.kind is not None and args.kind not in KINDS:
        raise UnknownName("kind", args.kind, KINDS)
    explained = False
    for kind in KINDS if args.kind is None else (args.kind,):
        if kind in COMPONENTS:
            rows = _components(COMPONENTS[kind]())
        else:
            rows = _released() if kind == "released" else _files(kind)
        print(_table(kind, rows))
        explained |= "verified" in rows[0]
    if explained:
        print(_legend())
    return 0


def _legend() -> str:
    """What the words of the column `verified` mean."""
    width = max(map(len, VERIFIED))
    return "\n".join(["verified:", *(f"  {word:<{width}}  {meaning}" for word, meaning in VERIFIED.items())])


def _verified(component: Any) -> str:
    """How far a component was verified, and what that covers."""
    return f"{component.verified}: {component.covers}" if component.covers else str(component.verified)


def _components(components: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Rows of name, version, verified, tasks, paper; for teachers the licence of the published weights."""
    if components and all(hasattr(component, "licence") for component in components.values()):
        return [
            ("name", "version", "verified", "licence", "paper"),
            *((name, str(x.version), _verified(x), x.licence, x.paper) for name, x in components.items()),
        ]
    rows: list[tuple[str, ...]] = [("name", "version", "verified", "tasks", "paper")]
    for name, component in components.items():
        tasks = ", ".join(getattr(component, "defaults", ())) or "any"
        rows.append((name, str(component.version), _verified(component), tasks, component.paper))
    if components and not hasattr(next(iter(components.values())), "defaults"):
        return [(*row[:3], row[4]) for row in rows]
    return rows


def _released() -> list[tuple[str, ...]]:
    from benchmarks.suite.released import released

    rows: list[tuple[str, ...]] = [("name", "steps", "verified", "licence", "paper")]
    rows += [(name, str(x.steps), x.verified, x.licence, x.paper) for name, x in released().items()]
    return rows


def _files(kind: str) -> list[tuple[str, ...]]:
    singular = kind.removesuffix("s")
    rows: list[tuple[str, ...]] = [("name", "title")]
    for name in files.names(singular):
        content = files.resolve(singular, name).content
        rows.append((name, str(content.get("title", ""))))
    return rows


def _table(kind: str, rows: list[tuple[str, ...]]) -> str:
    """The rows as a table of aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = [
        "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
    return "\n".join([f"{kind}:", *(f"  {line.rstrip()}" for line in lines), ""])
