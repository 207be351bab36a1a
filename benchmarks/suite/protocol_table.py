"""The shipped protocols side by side: `python -m benchmarks.suite.protocol_table` writes docs/protocols.md anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.suite import files
from benchmarks.suite.protocol import Column, PromptSource, Protocol, Selection
from sid import atomic

PAGE = Path(__file__).parents[2] / "docs" / "protocols.md"
HEAD = """# Protocols side by side

What must be equal for two numbers to be comparable, as the files of `benchmarks/protocols/` state it. This page is made
from them by `python -m benchmarks.suite.protocol_table`, and a test compares it.

Two FIDs of one generator differ by the number of images, by the resize before the network, by the network's file, by
the reference, and by which of several trials is printed. Each column below is one of these.
"""
MADE = (
    "protocol",
    "images",
    "pixels",
    "noise drawn per",
    "to uint8",
    "stored as",
    "prompts",
    "number of trials",
    "also reported",
)
SCORED = ("protocol", "column", "metric", "features", "against", "crop, size, filter", "options", "tolerance")


def page() -> str:
    """The text of docs/protocols.md."""
    protocols = [_read(name) for name in files.names("protocol")]
    parts = [
        HEAD,
        "## What each one is\n",
        table(
            ("protocol", "title", "rules stated in"), ((_code(its.name), its.title, its.source) for its in protocols)
        ),
        "\n## How the images are made\n",
        table(MADE, (_made(its) for its in protocols)),
        "\n## How they are scored\n",
        table(SCORED, (_scored(its, name, column) for its in protocols for name, column in its.metrics.items())),
        "\n## Notes of columns\n",
        *(
            f"* {_code(its.name)}, {_code(name)}: {column.note}"
            for its in protocols
            for name, column in its.metrics.items()
            if column.note
        ),
    ]
    return "\n".join(parts) + "\n"


def _read(name: str) -> Protocol:
    """A shipped protocol with what it extends."""
    resolved = files.resolve("protocol", name)
    return files.validated(Protocol, resolved.file, resolved.content)


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def _made(protocol: Protocol) -> tuple[str, ...]:
    rules = protocol.rules
    also = ", ".join(f"{name}: {_trials(its)}" for name, its in protocol.alternatives.items())
    return (
        _code(protocol.name),
        f"{protocol.samples:,}",
        str(rules.size or "the task's"),
        rules.seeding,
        rules.quantiser,
        rules.file,
        f"{protocol.prompts.count:,} of {_source(protocol.prompts)}" if protocol.prompts else "none",
        _trials(protocol.selection),
        also or "nothing",
    )


def _source(prompts: PromptSource) -> str:
    return prompts.name or prompts.file or f"{prompts.data}, {prompts.split}"


def _trials(selection: Selection) -> str:
    return "1" if selection.trials == 1 else f"{selection.rule} of {selection.trials}"


def _scored(protocol: Protocol, name: str, column: Column) -> tuple[str, ...]:
    its = column.geometry
    crop = f"{its.crop} ({its.rounding})" if its.crop != "none" else ""
    size = f"{its.side}, {its.filter}" if its.side else ""
    only = f" (images of {_source(column.only)} alone)" if column.only else ""
    return (
        _code(protocol.name),
        _code(name) + only,
        column.metric,
        column.features,
        f"{column.reference.data}, {column.reference.split}" if column.reference else "nothing",
        ", ".join(filter(None, (crop, size))) or "as it is",
        ", ".join(f"{key} {value}" for key, value in column.options.items()) or "none",
        f"{100 * column.tolerance:g} %" if column.tolerance else "none",
    )


def _code(text: str) -> str:
    return f"`{text}`"


if __name__ == "__main__":
    atomic.write_text(PAGE, page())
