"""The answers to the papers' claims as csv and Markdown. Equal answers give equal bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from benchmarks.tables.answers import WORDS, Answer, Link
from benchmarks.tables.claims import Claim
from benchmarks.tables.evidence import LEVEL, RULE, Evidence
from benchmarks.tables.typeset import markdown_safe

HEADER = (
    "paper",
    "claim",
    "task",
    "answer",
    "step",
    "change",
    "seeds",
    "for",
    "p",
    "smallest_p",
    "decide_t",
    "decide_sign",
    "why",
)
STEPS = ("step", "change [95 %]", "seeds for it", "sign test", "would decide")


def tally(answers: Sequence[Answer]) -> list[tuple[str, int]]:
    """How many answers of each word, those over several tasks left out."""
    words = [answer.word for answer in answers if not answer.joined]
    return [(word, words.count(word)) for word in WORDS if word in words]


def chance(answers: Sequence[Answer]) -> str:
    """What a reader of many answers must know."""
    tried = sum(not answer.why and not answer.joined for answer in answers)
    return (
        f"{tried} answers were tried at a level of {LEVEL:g} each: without any effect at all, "
        f"about {LEVEL * tried:.1g} of them would be decided by chance."
    )


def as_csv(answers: Sequence[Answer]) -> str:
    """One line a step of a claim."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for answer in answers:
        for link in answer.links:
            writer.writerow(
                [
                    answer.paper.arxiv,
                    answer.claim.name,
                    answer.task,
                    answer.word,
                    link.text,
                    *_fields(link),
                    answer.remark,
                ]
            )
    return out.getvalue()


def _fields(link: Link) -> list[str]:
    if link.evidence is None:
        return [""] * 6
    evidence = link.evidence
    needed = ["" if count is None else str(count) for count in evidence.needed]
    p = f"{evidence.p:.3g}", f"{evidence.smallest_p:.3g}"
    return [link.change, " ".join(map(str, link.seeds)), str(evidence.positive), *p, *needed]


def as_markdown(title: str, answers: Sequence[Answer], elsewhere: Sequence[tuple[Claim, tuple[str, ...]]]) -> str:
    """Each claim with its steps, to be read in a terminal too; then the claims that this suite has no task for."""
    counted = ", ".join(f"{number} {word}" for word, number in tally(answers)) or "no claim has a task here"
    parts = [f"# {markdown_safe(title)}: what the papers claim", "", f"{counted}. {chance(answers)}", ""]
    claim = None
    for answer in answers:
        if answer.claim is not claim:
            claim = answer.claim
            where = f"{answer.paper.title}, {claim.section} ({claim.confidence})"
            parts += [f"## {claim.name}", "", markdown_safe(f"{claim.statement} {where}."), ""]
        remark = f": {answer.remark}" if answer.remark else ""
        parts += [f"{markdown_safe(answer.task)}: **{answer.word}**{markdown_safe(remark)}", ""]
        if not answer.why:
            parts += [*_table([STEPS, *(shown(link) for link in answer.links)]), ""]
    if elsewhere:
        parts += ["## No task here", ""]
        parts += [f"- {claim.name}: {', '.join(f'`{place}`' for place in places)}" for claim, places in elsewhere]
        parts.append("")
    return "\n".join([*parts, RULE, ""])


def shown(link: Link) -> tuple[str, ...]:
    """The cells of a step, for a reader."""
    evidence = link.evidence
    if evidence is None:
        return link.text, "", "", "", ""
    p = f"p {evidence.p:.2g}" + (" (cannot be less)" if evidence.p == evidence.smallest_p else "")
    return link.text, link.change, f"{evidence.positive} of {len(evidence.differences)}", p, _decided_by(evidence)


def _decided_by(evidence: Evidence) -> str:
    """The seeds that would decide, by either test."""
    if len(evidence.differences) < 2:
        return "unknown"
    by_t, by_sign = ("over 1000" if count is None else str(count) for count in evidence.needed)
    return f"{by_t} seeds ({by_sign} by signs)"


def _table(lines: Sequence[Sequence[str]]) -> list[str]:
    """A table whose columns have equal widths."""
    cells = [[markdown_safe(cell) for cell in line] for line in lines]
    widths = [max(len(line[place]) for line in cells) for place in range(len(cells[0]))]
    texts = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in cells]
    return [texts[0], f"| {' | '.join('-' * width for width in widths)} |", *texts[1:]]
