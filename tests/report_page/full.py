"""A made suite that has everything a page can show: fronts, prompts, photographs, printed numbers, an audit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.audit.attribute import AuditRow
from benchmarks.audit.tables import AuditTable
from benchmarks.audit.write import write as write_audit
from benchmarks.report import audit, page
from benchmarks.report.claims import ClaimSection
from benchmarks.tables import answers, runs
from benchmarks.tables import rows as table_rows
from benchmarks.tables.claims import papers
from benchmarks.tables.layout import Kind, Layout, Line, TableColumn, TableTask
from benchmarks.tables.published import Published
from tests import results_tree as tree

TASK = "made-t2i"
CAPTIONS = tuple(f"caption {number}: a <b>made</b> animal & its shadow" for number in range(12))
FID = TableColumn("fid", "fid-clean on inception-clean.pool3 against coco2014, val split; 30,000 samples", 2, 0.05)
CLIP = TableColumn("clip", "clip-score on clip-vit-g-14.image; 30,000 samples", 3, 0.02, higher=True)
SWEEP: tuple[tuple[str, str, Kind, str, float | None, float, float], ...] = (
    # entry, label, kind, series, at, fid, clip
    ("untrained", "untrained one-step teacher", "untrained", "", None, 190.0, 0.19),
    ("teacher-3", "teacher at 3", "teacher", "teacher, 50 steps", 3.0, 8.8, 0.304),
    ("lsg-4.5", "SiD-LSG at 4.5", "method", "SiD-LSG", 4.5, 16.6, 0.316),
    ("lsg-1.5", "SiD-LSG at 1.5", "method", "SiD-LSG", 1.5, 8.7, 0.303),
    ("lsg-2", "SiD-LSG at 2", "method", "SiD-LSG", 2.0, 9.6, 0.312),
    ("dmd2", "DMD2 <script>alert(2)</script>", "method", "", None, 9.9, 0.309),
    ("teacher-1.5", "teacher at 1.5", "teacher", "teacher, 50 steps", 1.5, 13.4, 0.288),
    ("teacher-7.5", "teacher at 7.5", "teacher", "teacher, 50 steps", 7.5, 13.9, 0.319),
)


def layout() -> Layout:
    """The miniature's two tasks, and one of text to image."""
    lines = tuple(
        Line(entry, label, kind, None, {seed: tree.digest(TASK, entry, seed) for seed in tree.SEEDS}, series, at)
        for entry, label, kind, series, at, _, _ in SWEEP
    )
    made = TableTask(TASK, "made text to image", (FID, CLIP), lines, ("clip", "fid"))
    return replace(tree.layout(), title="Everything a page can show, made", tasks=(*tree.layout().tasks, made))


def write(folder: Path) -> Path:
    """The runs and the audit; returns the suite's folder."""
    home = tree.write(folder)
    for entry, label, kind, _, _, fid, clip in SWEEP:
        for seed in tree.SEEDS:
            run = tree.write_run(home, TASK, entry, label, kind, 1, seed, fid)
            scores = json.loads((run / "scores.json").read_text())
            scores["metrics"] = {"fid": {"value": fid * (1 + 0.02 * (seed - 1))}, "clip": {"value": clip + 1e-3 * seed}}
            if entry == "dmd2":
                scores["metrics"]["fid"] |= {"random_weights": True, "warnings": ["random weights, seed 0"]}
            (run / "scores.json").write_text(json.dumps(scores))
            photographs(run, seed)
    compared = [
        AuditRow("inception-tf", 12.5, 0.0, verdict="ok", label="made images"),
        AuditRow("a <script>peer", 12.9, 0.4, {"resize": 0.39}, None, 0.01, "explained", "", "made images"),
    ]
    write_audit([AuditTable("FID", "squared distance", compared)], home / "audit")
    return home


def photographs(run: Path, seed: int) -> None:
    """Sixty-four noisy colour images of 96 pixels, with their captions."""
    drawn = np.random.Generator(np.random.Philox(key=[seed, 7]))
    images = drawn.integers(0, 256, (len(CAPTIONS), 3, 96, 96), dtype=np.uint8)
    np.savez_compressed(run / "samples.npz", images=images, captions=np.array(CAPTIONS))


def printed(entry: str, metric: str, value: float, decimals: int, role: str = "cell") -> Published:
    return Published.model_validate(
        {
            "role": role,
            "task": TASK,
            "entry": entry,
            "metric": metric,
            "value": value,
            "decimals": decimals,
            "method": "A method <i>printed</i>",
            "paper": "A paper",
            "table": "Table 1",
            "protocol": "30,000 captions",
            "source": "its text",
            "source_kind": "third_party_quote" if role == "line" else "primary_fulltext",
        }
    )


def rows(home: Path) -> list[table_rows.Row]:
    cells = (("lsg-1.5", 8.71, 0.302), ("lsg-4.5", 16.59, 0.317), ("dmd2", 9.9, 0.310))
    numbers = [
        printed(entry, name, value, 3) for entry, fid, clip in cells for name, value in (("fid", fid), ("clip", clip))
    ]
    published = {(TASK, number.entry, number.metric): number for number in numbers}
    return table_rows.build(layout(), runs.merge([home]), published, tree.reference())


def extras(home: Path) -> page.Extras:
    lines = [printed("other", "fid", 13.1, 1, "line"), printed("other", "clip", 0.305, 3, "line")]
    cells, known = rows(home), papers()
    claims = ClaimSection(answers.answers("mini", cells, known), answers.untried("mini", cells, known))
    return page.Extras(lines, audit.read(home), claims=claims)
