"""Implementations that are not installed, by the conventions of their code: computed by us, or named as unlike.

They are rows of an audit beside the installed peers. Each was read in its code; none of its functions is called.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.audit.attribute import AuditRow, attribute
from benchmarks.audit.bench import Bench
from benchmarks.audit.peer_recipe import PeerRecipe


@dataclass(frozen=True)
class Convention:
    """What an implementation does, as a recipe of ours where it reads the same network."""

    recipe: PeerRecipe | None
    note: str


DESCRIBED = {
    "SiD's sid_metrics.py": Convention(
        PeerRecipe(ddof=0), "Its generated side; with a file of statistics as the reference it mixes ddof 0 with 1."
    ),
    "dgm-eval": Convention(PeerRecipe(resize="bicubic"), "Without --clean_resize, which keeps floats."),
    "torcheval": Convention(
        None,
        "another network: torchvision's Inception with its ImageNet weights, on bilinear resizes of [0, 1], summed in "
        "float32; its values can't be compared with any other",
    ),
    "piq": Convention(
        None, "its own loader of features, and a Newton-Schulz root that stops at an error of 1e-5 of the product"
    ),
}


def described(bench: Bench, start: PeerRecipe, label: str) -> list[AuditRow]:
    """A row for each convention; those of another network have no value.

    Args:
        bench: our pipeline on the images.
        start: the recipe that deviations are measured from.
        label: of the rows.
    """
    rows = []
    for name, convention in DESCRIBED.items():
        title = f"described: {name}"
        if convention.recipe is None:
            rows.append(AuditRow(title, None, verdict="unavailable", note=convention.note, label=label))
            continue
        row = attribute(title, bench.value(convention.recipe), convention.recipe, bench, start, label)
        row.note = f"Computed here by its convention. {convention.note}"
        rows.append(row)
    return rows
