"""The papers' suites from the first job to the page, on stand-ins of everything they read, through the real rules.

One run per pair of teacher kind and loader: what else the suites hold is checked in the plan. Only budgets, machines,
samples and lists of prompts differ from what is shipped; every number is made by random weights and says so.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import yaml

from benchmarks.suite import files
from benchmarks.suite.load import load_suite
from tests.suites import standins

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
COUNT = 8
SHORT = {"images": 8, "batch": 4, "micro_batch": 2, "observe": 1}
BUDGET = {"images": 8, "micro_batch": 2}
TEACHER = {"steps": 2}
KEPT: dict[str, dict[str, dict[str, Any]]] = {
    "cifar10-cond": {
        "teacher": TEACHER,  # an EDM pickle
        "sid-1.2": {"budget": BUDGET},
        "sida-1.0": {"budget": BUDGET, "options": {"generator_from": 0, "adversarial_from": 4}},  # real images
        "dmd": {"budget": {**BUDGET, "batch": 4}, "options": {"distance": "l2"}},  # the teacher's pairs
        "sid-cifar10-cond": {},  # a published pickle
    },
    "sd15-coco": {
        "teacher": TEACHER,
        "sid-lsg-1.5": {"budget": BUDGET},
        "adversarial-4": {"options": {"generator_from": 0, "adversarial_from": 4}},  # real latents
        "vsd": {"budget": {**BUDGET, "batch": 4}},  # a critic of adapters
        "sid-lsg-sd15-1.5": {},  # a pickled U-Net over a base
        "lcm-lora-sd15-4step": {},  # adapters over a base
        "lcm-dreamshaper-4step": {},  # a whole pipeline
    },
    "sdxl-10k": {
        "teacher": TEACHER,
        "dmd2": {"budget": BUDGET, "options": {"ratio": 1}},  # real latents, a head on the critic
        "sdxl-turbo-1step": {},  # a whole pipeline
        "sdxl-lightning-4step": {},  # a network's tensors over a base
        "dmd2-sdxl-4step-lora": {},  # adapters over a base
    },
    "pixart-sim": {
        "teacher": TEACHER,
        "sim-dit": {},
        "untrained": {},
        "sim-dit-released": {},  # a network's tensors under the original names
    },
}
NEEDS_FILES = {"aesthetic", "image-reward"}  # metrics whose published parts have no form with made weights


def rehearsal(captions: Path) -> dict[str, Any]:
    """The paper suite with few rows, images and samples."""
    whole = load_suite("paper")
    tasks: dict[str, Any] = {name: None for name in whole.tasks if name not in KEPT}
    for name, kept in KEPT.items():
        left_out = {entry: None for entry in whole.entries_of(name) if entry not in kept}
        tasks[name] = {"entries": {**left_out, **kept}, "budget": SHORT, "machine": {"gpus": 0}}
        if whole.tasks[name].pairs is not None:
            tasks[name]["pairs"] = {"count": 16, "steps": 2}
    used = {whole.tasks[name].teacher for name in KEPT}
    protocols = {}
    for name in dict.fromkeys(whole.tasks[task].protocol for task in KEPT):
        content = files.resolve("protocol", name).content
        few = {"samples": COUNT, "batch": 4}
        if "selection" in content:
            few["selection"] = {"trials": 2, "rule": "mean"}
            few["alternatives"] = {"one-trial": {"trials": 1, "rule": "single"}}
            content["metrics"]["is"]["options"]["splits"] = 2
        if "prompts" in content:
            few["prompts"] = {"file": str(captions), "count": COUNT}
        for column in content["metrics"].values():
            if column.get("reference", {}).get("split") == "dmd2-10k":
                column["reference"]["split"] = "val"
        protocols[name] = {**content, **few}
        protocols[name].pop("extends", None)
    return {
        "name": "rehearsal",
        "title": "Rehearsal",
        "extends": "paper",
        "random_weights": 0,
        "teachers": {name: None for name in whole.teachers if name not in used},
        "tasks": tasks,
        "protocols": protocols,
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the rehearsal was run."""
    here = tmp_path_factory.mktemp("rehearsal")
    standins.models(here / "hub", here / "weights")
    captions = standins.data(here / "files", COUNT)
    (here / "captions.txt").write_text("".join(f"{caption}\n" for caption in captions))
    standins.pairs(here / "data" / "laion-aesthetic-5.5", COUNT)
    (here / "stand_in").mkdir()
    (here / "stand_in" / "sitecustomize.py").write_text(standins.TOWERS)
    (here / "rehearsal.yaml").write_text(yaml.safe_dump(rehearsal(Path("captions.txt")), sort_keys=False))
    done = snakemake(here, "--cores", "2", "--quiet", "rules")
    logs = "\n".join(f"{log}:\n{log.read_text()[-1500:]}" for log in sorted(here.rglob("logs/**/*.log")))
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{logs[-12000:]}"
    return here


def snakemake(here: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    words = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), *flags]
    return called(here, *words, "--config", "suite=rehearsal.yaml")


def called(here: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A module of Python in that folder, with the stand-ins."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), "stand_in"]),
        "HF_HUB_CACHE": str(here / "hub"),
        "HF_HUB_OFFLINE": "1",
        "SIDBENCH_DATA": str(here / "files"),
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("SIDBENCH_WEIGHTS", None)
    pipe, told = subprocess.PIPE, [sys.executable, "-m", *words]
    return subprocess.run(
        told, cwd=here, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True, timeout=2400
    )


@pytest.mark.parametrize(
    "run, steps, licence",
    [("sd15-coco/sid-lsg-1.5", 1, "not stated"), ("sdxl-10k/dmd2", 4, "Open RAIL++")],  # a stand-in is no SD 1.5
)
def test_a_run_leaves_as_a_pipeline_with_its_card(
    run: str, steps: int, licence: str, made: Path, tmp_path: Path
) -> None:
    done = called(made, "benchmarks", "export", f"results/rehearsal/runs/{run}/0", "--to", str(tmp_path / "student"))
    assert done.returncode == 0 and f"{steps} step(s)" in done.stdout, done.stdout
    described = json.loads((made / f"results/rehearsal/runs/{run}/0/generator.json").read_text())
    card = (tmp_path / "student" / "README.md").read_text()
    for fact in (described["method"], described["digest"], licence, "| fid | ", "8 images"):
        assert fact in card, fact
    diffusers.DiffusionPipeline.from_pretrained(tmp_path / "student", local_files_only=True)


def test_every_declared_row_is_in_the_tables_and_marked(made: Path) -> None:
    with open(made / "results/rehearsal/tables/verdict.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    protocols = rehearsal(Path("captions.txt"))["protocols"]
    whole = load_suite("paper")
    declared = {
        (task, entry, column)
        for task, entries in KEPT.items()
        for entry in entries
        for column in protocols[whole.tasks[task].protocol]["metrics"]
    }
    assert {(row["task"], row["method"], row["metric"]) for row in rows} == declared and len(rows) == len(declared)
    shown = (made / "results/rehearsal/tables/verdict.md").read_text()
    for row in rows:
        if row["metric"] in NEEDS_FILES:
            assert row["verdict"].startswith("unavailable") and not row["reproduced"], row
        else:
            assert row["verdict"].startswith("random weights") and np.isfinite(float(row["reproduced"])), row
    assert shown.count("(random weights)") == sum(bool(row["reproduced"]) for row in rows)
    assert "Made by random weights" in (made / "results/rehearsal/report/index.html").read_text()


def test_every_run_says_what_made_it(made: Path) -> None:
    sizes = {"cifar10-cond": 32, "sd15-coco": 512, "sdxl-10k": 1024, "pixart-sim": 512}
    for task, entries in KEPT.items():
        for entry in entries:
            folder = made / "results/rehearsal/runs" / task / entry / "0"
            scores, record = (json.loads((folder / f"{name}.json").read_text()) for name in ("scores", "record"))
            assert scores["random_weights"] == 0 and set(scores["unavailable"]) <= NEEDS_FILES, scores
            assert set(record["weights"].values()) & {"random-0"} and record["digest"] == scores["digest"]
            with np.load(folder / "samples.npz") as held:
                side = {"sdxl-turbo-1step": 512, "lcm-dreamshaper-4step": 768}.get(entry, sizes[task])
                assert held["images"].shape == (COUNT, 3, side, side)
                assert ("captions" in held.files) == (task != "cifar10-cond")
            if (folder / "generator.json").is_file():
                assert (folder / "curve.jsonl").read_text().count("\n") == 1
    note = json.loads((made / "results/rehearsal/runs/sdxl-10k/sdxl-turbo-1step/0/record.json").read_text())["notes"]
    assert len(note) == 2 and "per batch of 4" in note[0] and "pictures of 512 pixels" in note[1]


def test_references_and_real_images_were_read_once(made: Path) -> None:
    shared = made / "results/_shared"
    assert len(list((shared / "latents").glob("*/latents.json"))) == 2, "one for SD 1.5, one for SDXL"
    kept = list((shared / "features").glob("*.safetensors"))
    assert len(kept) == 4, "CIFAR-10 once; COCO at 256 and at 512 pixels and in patches"


def test_a_second_call_has_nothing_to_do(made: Path) -> None:
    assert "Nothing to be done" in snakemake(made, "-n").stdout
