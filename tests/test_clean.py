"""`sidbench clean`: what no suite needs is listed and, when asked, removed; nothing else is touched."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from benchmarks.cli import main
from benchmarks.machine import leftovers, snakemake
from benchmarks.suite.plan import load_plan
from sid.loop.lock import locked

OLD = "0123456789ab"


def put(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def own(alpha: float = 1.0) -> str:
    suite = {"name": "own", "extends": "smoke", "teachers": {"digits-cond": {"training": {"images": 7_000}}}}
    suite["entries"] = {"sid": {"options": {"alpha": alpha}}}
    Path("own.yaml").write_text(yaml.safe_dump(suite))
    return "own.yaml"


def made(suite: str) -> None:
    """The outputs of a suite's jobs, their states and their logs, as its runs leave them."""
    plan = load_plan(suite)
    for job in plan.jobs:
        verb = "run" if job.kind == "run" else "prepare"
        record = json.dumps({"digest": job.digest, "command": f"sidbench {verb} {suite} {job.kind}/{job.id}"})
        for output in job.outputs:
            put(Path(output), record if output.endswith("record.json") else "x" * 1000)
        if "state" in job.params:
            put(Path(job.params["state"]) / "state-1" / "networks.safetensors")
            put(Path(job.params["state"]).with_name(f"{job.digest}.lock"), "process 1 on here")
        home = Path("results", "_shared", "logs", job.kind) if job.kind != "run" else Path("results", plan.suite.name)
        put(home / f"{job.id}.log" if job.kind != "run" else home / "logs" / f"{job.id}.log")


def files() -> set[str]:
    return {str(path) for path in Path("results").rglob("*") if not path.is_dir()}


@pytest.fixture(autouse=True)
def here(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three suites instead of all that ship: the plans of the papers' suites take seconds."""
    shipped = leftovers.files.names
    monkeypatch.setattr(
        leftovers.files, "names", lambda kind: ["mini", "smoke", "tuning"] if kind == "suite" else shipped(kind)
    )
    made("smoke")


def clean(*words: str) -> int:
    return main(["clean", *words])


def test_what_a_shipped_suite_needs_stays(capsys: pytest.CaptureFixture[str]) -> None:
    put(Path("results/README.md"))
    before = files()
    assert clean("--remove") == 0
    assert files() - {"results/_shared/contents.json"} == before
    assert "nothing that no suite needs" in capsys.readouterr().out


def test_what_none_needs_is_listed_with_its_size_and_removed_when_told(capsys: pytest.CaptureFixture[str]) -> None:
    before = files()
    stale = {
        f"results/_shared/teacher/{OLD}": "network.safetensors",
        f"results/_shared/state/teacher/{OLD}": "state-3/networks.safetensors",
        f"results/_shared/logs/teacher/{OLD}.log": "",
        f"results/smoke/state/digits-cond/sid/0/{OLD}": "run-0.lock",
        f"results/smoke/state/digits-cond/sid/0/{OLD}.lock": "",
        "results/smoke/runs/digits-cond/gone/0": "scores.json",
        "results/smoke/logs/digits-cond/gone/0.log": "",
        "results/smoke/runs/digits-cond/sid/0/.scores.json.77.tmp": "",
    }
    for path, inner in stale.items():
        put(Path(path, inner) if inner else Path(path), "x" * 2**20)
    assert clean() == 0
    said = capsys.readouterr().out
    assert all(f"{1.0:10.1f} MiB  {path}  (" in said for path in stale), said
    assert f"8.0 MiB in {len(stale)} places to remove" in said and files() > before
    assert clean("--remove") == 0
    assert f"{len(stale)} places removed" in capsys.readouterr().out
    assert files() - {"results/_shared/contents.json"} == before
    assert not Path("results/smoke/runs/digits-cond/gone").exists(), "no empty folder is left"


def test_a_run_of_an_old_digest_is_named_with_both(capsys: pytest.CaptureFixture[str]) -> None:
    (job,) = [job for job in load_plan("smoke").of("run") if job.id == "digits-cond/sid/0"]
    put(job.folder / "record.json", json.dumps({"digest": OLD}))
    assert clean() == 0
    said = capsys.readouterr().out
    assert f"{job.folder}  (run of the digest {OLD}, which is {job.digest} now)" in said


def test_a_suite_of_ones_own_keeps_everything_shared_until_it_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    made(own())
    put(Path(f"results/_shared/teacher/{OLD}/network.safetensors"))
    before = files()
    assert clean("--remove") == 0
    assert files() - {"results/_shared/contents.json"} == before
    assert "left alone: results/own neither ships nor was named" in capsys.readouterr().err
    assert clean("own.yaml", "--remove") == 0
    assert before - files() == {f"results/_shared/teacher/{OLD}/network.safetensors"}


def test_a_named_suite_that_has_changed_loses_its_old_results() -> None:
    made(own())
    (old,) = [job for job in load_plan("own.yaml").of("run") if job.id == "digits-cond/sid/0"]
    assert clean(own(alpha=1.2), "--remove") == 0
    assert not old.folder.exists() and not Path(old.params["state"]).exists()
    assert Path(load_plan("own.yaml").of("teacher")[0].outputs[0]).exists()


def test_a_teacher_of_a_suite_without_runs_yet_is_known_by_its_record(capsys: pytest.CaptureFixture[str]) -> None:
    record = {"command": "sidbench prepare lost.yaml teacher/x", "digest": OLD}
    kept_file = put(Path(f"results/_shared/teacher/{OLD}/record.json"), json.dumps(record))
    assert clean("--remove") == 0
    assert kept_file.exists() and "the suite lost.yaml, which made" in capsys.readouterr().err


def test_links_and_what_they_lead_to_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outside = put(tmp_path / "elsewhere" / "precious.txt")
    Path("results/_shared/teacher").mkdir(parents=True, exist_ok=True)
    os.symlink(outside.parent, f"results/_shared/teacher/{OLD}")
    Path("results/smoke/runs/digits-cond/gone").mkdir()
    os.symlink(outside.parent, "results/smoke/runs/digits-cond/gone/0")
    inner = put(Path(f"results/smoke/state/digits-cond/sid/0/{OLD}/log.jsonl"))
    os.symlink(outside.parent, inner.parent / "out")
    os.symlink(outside.parent, "results/tuning")
    assert clean("--remove") == 0
    assert outside.exists() and Path(f"results/_shared/teacher/{OLD}").is_symlink()
    assert not inner.exists(), "a folder goes with the link in it, not with what the link leads to"
    assert "results/tuning is a link" in capsys.readouterr().err


def test_what_is_not_the_projects_own_stays() -> None:
    mine = [
        put(Path("results/notes.txt")),
        put(Path("results/_shared/teacher/my-own/network.safetensors")),
        put(Path("results/smoke/paper-draft/figure.pdf")),
        put(Path("results/smoke/logs/notes.log")),
        put(Path("results/smoke/runs/digits-cond/sid/notes.txt")),
        put(Path("results/smoke/runs/digits-cond/mine/draft/figure.pdf")),
        put(Path("results/smoke/state/digits-cond/sid/0/notes.txt")),
        put(Path("results/_reference/smoke/runs/a/b/0/scores.json")),
        put(Path("results/_shared/features/a.safetensors")),
    ]
    assert clean("--remove") == 0
    assert all(path.exists() for path in mine)


@pytest.mark.parametrize("place", ["state", "shared", "folder"])
def test_nothing_is_removed_while_somebody_works(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    old = put(Path(f"results/_shared/teacher/{OLD}/network.safetensors"))
    path = {
        "state": Path("results/smoke/state/digits-cond/sid/0/abcdefabcdef/run-0.lock"),
        "shared": Path("results/_shared/state/teacher/abcdefabcdef.lock"),
        "folder": snakemake.OWN_LOCK,
    }[place]
    with locked(path):
        assert clean("--remove") == 2
        assert f"process {os.getpid()} on" in (said := capsys.readouterr().err) and str(path) in said
        assert old.exists()
        assert clean() == 0, "a list harms nobody"
    assert clean("--remove") == 0 and not old.exists()


def test_a_mistyped_suite_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert clean("smoek", "--remove") == 2
    assert "did you mean 'smoke'?" in capsys.readouterr().err
    assert main(["--results", "nowhere", "clean"]) == 2
    assert "there is no folder 'nowhere'" in capsys.readouterr().err
