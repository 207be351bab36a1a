"""The tables as csv, Markdown and LaTeX. Equal rows give equal bytes."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence

from benchmarks.tables import controls
from benchmarks.tables.across import Across
from benchmarks.tables.rows import EXACT, HEADER, Row, groups, table_notes
from benchmarks.tables.summary import summary
from benchmarks.tables.verdict import RULE, seeds_named

SHOWN = ("method", "steps", "published", "reference", "reproduced", "seeds", "deviation", "verdict", "digest")
PRINTED = tuple(name for name in SHOWN if name not in ("seeds", "digest"))  # in LaTeX, whose caption names the seeds
RIGHT = frozenset({"steps", "published", "reference", "reproduced", "deviation"})  # aligned to the right

# Their Unicode names, of which only lambda's is spelled otherwise than LaTeX's command.
GREEK = {sign: unicodedata.name(sign).split()[-1].lower() for sign in "αβγδεζηθικμνξπρστφχψω"} | {"λ": "lambda"}
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # at the start of a row, LaTeX reads it as an option of the row above
    "*": "{*}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "→": r"$\to$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "\N{MINUS SIGN}": "$-$",
    "…": r"\ldots{}",
    "†": r"$\dagger$",
    "✓": r"$\checkmark$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    **{sign: f"$\\{name}$" for sign, name in GREEK.items()},
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
SIGNED = re.compile(r"(?<![^ (])[+-]\d+(\.\d+)?")
MARKDOWN = re.compile(r"([\\`*_\[\]|])")


def csv_text(rows: Iterable[Sequence[str]], header: Sequence[str] = HEADER) -> str:
    """The csv with its header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def as_csv(rows: Iterable[Row]) -> str:
    """The rounded columns, then the same numbers in full precision."""
    lines = [[*(row.texts()[name] for name in HEADER), *row.exact()] for row in rows]
    return csv_text(lines, (*HEADER, *EXACT))


def _shown(row: Row) -> dict[str, str]:
    """The fields for a reader: the label instead of the entry's name, the spread beside the mean."""
    texts = row.texts() | {"method": row.line.label}
    if row.spread_shown:
        texts["reproduced"] += f" ± {row.spread_shown}"
    if row.random and texts["reproduced"]:
        texts["reproduced"] += " (random weights)"
    if row.percent:
        texts["deviation"] += f" ({row.percent})"
    return texts


def as_markdown(title: str, rows: Sequence[Row], over: Across | None = None) -> str:
    """One table per task and metric with its notes; columns of equal width, to be read in a terminal too.

    `over` is the suite's table over several tasks, which comes first.
    """
    parts = [f"# {markdown_safe(title)}", "", *_counted(rows), ""]
    if over is not None:
        lines = [["method", *(side.head for side in over.sides)], *([label, *cells] for label, cells in over.texts)]
        shown = [[markdown_safe(cell) for cell in line] for line in lines]
        parts += [f"## {markdown_safe(over.title)}", "", *_table(shown, [False] + [True] * len(over.sides)), ""]
    for task, column, group in groups(rows):
        parts += [
            f"## {markdown_safe(task.title)}: {markdown_safe(column.name)}",
            "",
            f"{markdown_safe(column.about)}; {column.better}.",
            "",
        ]
        names = [name for name in SHOWN if any(row.texts()[name] for row in group)]
        lines = [names, *([markdown_safe(_shown(row)[name]) for name in names] for row in group)]
        parts += [*_table(lines, [name in RIGHT for name in names]), ""]
        if notes := table_notes(group):
            parts += ["Notes:", "", *(f"- {markdown_safe(note)}" for note in notes), ""]
    return "\n".join([*parts, RULE, "", controls.RULE, ""])


def _table(lines: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """A Markdown table of escaped cells, the first line its head; `right` says which columns are aligned so."""
    widths = [max(len(line[place]) for line in lines) for place in range(len(right))]
    rule = ["-" * (width - 1) + ":" if end else "-" * width for end, width in zip(right, widths, strict=True)]
    made = []
    for line in (lines[0], rule, *lines[1:]):
        cells = [
            cell.rjust(width) if end else cell.ljust(width)
            for end, cell, width in zip(right, line, widths, strict=True)
        ]
        made.append(f"| {' | '.join(cells)} |")
    return made


def _counted(rows: Sequence[Row]) -> list[str]:
    """The cells of methods by their verdicts, the checks of controls apart from them, by how much, and who is best."""
    answer = summary(rows)
    names = (("cells of methods", answer.tally), ("checks of controls", answer.checks))
    lines = [
        f"{sum(number for _, number in words)} {name}: {', '.join(f'{number} {word}' for word, number in words)}."
        for name, words in names
        if words
    ]
    paragraphs = [
        " ".join(lines),
        markdown_safe(answer.distance),
        "\n".join(f"- {markdown_safe(said)}" for said in answer.leaders),
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph).split("\n")


def markdown_safe(text: str) -> str:
    """Escaped for Markdown: no markup, no HTML tag, no cell border."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return MARKDOWN.sub(r"\\\1", plain)


def as_latex(title: str, rows: Sequence[Row]) -> str:
    r"""One booktabs table per task, without columns that are empty in all rows."""
    parts = [r"% needs \usepackage{booktabs}"]
    for task in dict.fromkeys(row.task.name for row in rows):
        parts += _latex_table(title, [row for row in rows if row.task.name == task])
    return "\n".join([*parts, ""])


def _latex_table(title: str, rows: Sequence[Row]) -> list[str]:
    names = [name for name in PRINTED if any(row.texts()[name] for row in rows)]
    seeds = sorted({seed for row in rows for seed in row.values})
    over = f" Mean $\\pm$ sample standard deviation over {seeds_named(seeds)}." if seeds else ""
    parts = [
        r"\begin{table}",
        r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",  # seven columns must fit one page column
        rf"\caption{{{tex(title)}: {tex(rows[0].task.title)}.{over}}}",
        rf"\begin{{tabular}}{{{''.join('r' if name in RIGHT else 'l' for name in names)}}}",
        r"\toprule",
        " & ".join(name.capitalize() for name in names) + r" \\",
    ]
    for _, column, group in groups(rows):
        arrow = r"$\uparrow$" if column.higher else r"$\downarrow$"
        parts += [r"\midrule", rf"\multicolumn{{{len(names)}}}{{l}}{{\emph{{{tex(column.name)} {arrow}}}}} \\"]
        parts += [" & ".join(tex(_shown(row)[name]) for name in names) + r" \\" for row in group]
    return [*parts, r"\bottomrule", r"\end{tabular}", r"\end{table}"]


def tex(text: str) -> str:
    """Escaped for LaTeX; signs of numbers are set in math mode."""
    escaped = "".join(LATEX.get(sign, sign) for sign in " ".join(text.split()))
    return SIGNED.sub(r"$\g<0>$", escaped)
