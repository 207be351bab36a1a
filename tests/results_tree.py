"""A results tree as a suite's runs leave it, made of formulas: for tests of tables and pages, and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmarks.tables.layout import Layout, Line, TableColumn, TableTask, UsedComponent
from benchmarks.tables.verdict import Target

SEEDS = (0, 1, 2)
ENTRIES = (  # entry, label, kind, steps, final score at seed 1, spread between seeds
    ("teacher", "teacher, Heun 18 steps", "teacher", 18, 2.04, 0.05),
    ("sid-1.2", "SiD, alpha 1.2", "method", None, 2.41, 0.22),
    ("sid-1.0", "SiD, alpha 1.0", "method", None, 2.44, 0.10),
    ("sim", "SIM", "method", None, 2.75, 0.14),
    ("dmd", "DMD, distribution matching alone", "method", None, 2.56, 0.04),
    ("evil", "<script>alert(1)</script> & 100 % $x$ of_it | `b`", "method", None, 3.02, 0.09),
    ("untrained", "untrained one-step teacher", "untrained", 1, 14.3, 0.8),
    ("critic-frozen", "SiD, critic frozen at 5 %", "ablation", None, 14.6, 0.9),
    ("heldout", "held-out images", "heldout", None, 1.02, 0.0),
)
TASKS = {"digits-cond": ("digits, conditional", 1.0), "digits-uncond": ("digits, unconditional", 2.4)}
COLUMNS = (
    TableColumn("fd", "frechet on classifier.features against digits, train split; 5,000 samples", 2, 0.1),
    TableColumn("fd-heldout", "frechet on classifier.features against digits, heldout split; 5,000 samples", 2, 0.1),
)
PARTS = (
    UsedComponent("method", "sid", 1, "none", "Zhou et al., Score identity Distillation, arXiv 2404.04057"),
    UsedComponent("teacher", "mlp", 1, "none", ""),
    UsedComponent("data", "digits", 1, "weights", "Alpaydin & Kaynak, UCI 1998"),
    UsedComponent("metric", "frechet", 1, "layout", "Heusel et al., arXiv 1706.08500"),
)


def seeds_of(kind: str) -> tuple[int, ...]:
    return SEEDS[:1] if kind == "heldout" else SEEDS


def digest(task: str, entry: str, seed: int) -> str:
    """Looks like one; decides nothing."""
    import hashlib

    return hashlib.sha256(f"{task}/{entry}/{seed}".encode()).hexdigest()[:12]


def layout() -> Layout:
    tasks = []
    for name, (title, _) in TASKS.items():
        lines = tuple(
            Line(
                entry,
                label,
                kind,
                steps,
                {seed: digest(name, entry, seed) for seed in seeds_of(kind)},
                counterpart="sid-1.2" if kind == "ablation" else "",
            )
            for entry, label, kind, steps, _, _ in ENTRIES
        )
        tasks.append(TableTask(name, title, COLUMNS, lines))
    return Layout("mini", "The miniature suite", tuple(tasks), PARTS)


def reference() -> dict[tuple[str, str, str], Target]:
    """Near the tree's values for most rows; off for one, close for one, absent for one."""
    targets = {}
    for task, (_, factor) in TASKS.items():
        for entry, _, _, _, final, _ in ENTRIES:
            shift = {"dmd": 1.8, "sim": 1.3}.get(entry, 1.02)
            for column in COLUMNS:
                value = final * factor * shift * (1.3 if column.name == "fd-heldout" else 1.0)
                if entry != "evil":
                    targets[task, entry, column.name] = Target(round(value, 2), 2)
    return targets


def write(folder: Path) -> Path:
    """results/mini with every run of the layout; returns the suite's folder."""
    home = folder / "mini"
    for task, (_, factor) in TASKS.items():
        for entry, label, kind, steps, final, wide in ENTRIES:
            for seed in seeds_of(kind):
                write_run(home, task, entry, label, kind, steps or 1, seed, factor * (final + wide * (seed - 1)))
    return home


def write_run(home: Path, task: str, entry: str, label: str, kind: str, steps: int, seed: int, final: float) -> Path:
    """One run's files, as docs/architecture.md lists them."""
    run = home / "runs" / task / entry / str(seed)
    run.mkdir(parents=True)
    scores = {
        "suite": "mini",
        "task": task,
        "entry": entry,
        "label": label,
        "method": entry,
        "steps": steps,
        "seed": seed,
        "digest": digest(task, entry, seed),
        "images": 5000,
        "metrics": {"fd": {"value": final, "details": {}}, "fd-heldout": {"value": 1.3 * final, "details": {}}},
        "unavailable": {},
    }
    (run / "scores.json").write_text(json.dumps(scores))
    record = {
        "command": f"sidbench run mini {task}/{entry}/{seed}",
        "digest": scores["digest"],
        "recipe": {"method": entry, "options": {"alpha": 1.2}, "seed": seed},
        "versions": {"method:sid": 1, "loop": 1},
        "weights": {"teacher": f"{seed:064x}"},
        "seed": seed,
        "commit": "4f004e3" * 5,
        "dirty": seed == 2,
        "packages": {"python": "3.11.7", "torch": "2.15.0", "numpy": "2.3.4"},
        "threads": {"torch": 1, "environment": {"OMP_NUM_THREADS": "1"}},
        "device": "AMD EPYC",
        "seconds": 17.0 + seed,
        "device_hours": 0.0047,
        "peak_memory_bytes": 410_000_000 + seed,
    }
    if kind in ("method", "ablation"):
        points = [round(391 ** (k / 10)) * 256 for k in range(1, 11)]
        curve = [
            {"images": images, "fd": value, "fd-heldout": 1.3 * value}
            for images in points
            for value in [final * (1 + 60 * (points[0] / images) ** 1.4 * (1 - images / points[-1]))]
        ]
        (run / "curve.jsonl").write_text("".join(json.dumps(point) + "\n" for point in curve))
        record |= {"images": 100_096, "images_per_second": 6400.0 - seed, "network_passes": 1_300_000}
    (run / "record.json").write_text(json.dumps(record))
    drawn = np.random.Generator(np.random.Philox(key=[seed, len(label)])).integers(
        0, 256, (64, 1, 8, 8), dtype=np.uint8
    )
    np.savez_compressed(run / "samples.npz", images=drawn)
    return run
