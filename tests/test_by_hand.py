"""train, sample and watch without a workflow: what a user types by hand."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cli import main
from benchmarks.data.open import datasets
from benchmarks.run.prepare import prepare

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A barely trained teacher of the smoke suite."""
    from benchmarks.suite.plan import load_plan

    results = tmp_path_factory.mktemp("results")
    job = load_plan("smoke", str(results)).of("teacher")[0]
    prepare(job, "made by a test", quiet=True)
    return job.folder


def train(teacher, out, *more):
    return main(["train", "sid", "--teacher", str(teacher), "--images", "1024", "--out", str(out), *more])


def test_train_then_sample_then_watch(teacher, tmp_path, capsys):
    assert train(teacher, tmp_path / "run", "--set", "alpha=1.0", "--set", "lr=1e-3") == 0
    for out in ("a.zip", "a.npz", "a"):
        assert main(["sample", str(tmp_path / "run"), "--count", "9", "--out", str(tmp_path / out)]) == 0
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert len([name for name in archive.namelist() if name.endswith(".png")]) == 9
        assert json.loads(archive.read("images.json"))["seed"] == 0
    images = np.load(tmp_path / "a.npz")["images"]
    assert images.shape == (9, 1, 8, 8) and images.dtype == np.uint8
    assert (
        main(["sample", str(tmp_path / "run"), "--first", "4", "--count", "5", "--out", str(tmp_path / "b.npz")]) == 0
    )
    assert np.array_equal(np.load(tmp_path / "b.npz")["images"], images[4:])  # seeds belong to sample indices
    assert main(["sample", str(teacher), "--count", "2", "--steps", "3", "--out", str(tmp_path / "t.npz")]) == 0
    capsys.readouterr()


def test_a_run_is_exported(teacher, tmp_path, capsys):
    from sid.export import load_pretrained

    assert train(teacher, tmp_path / "run") == 0
    assert main(["export", str(tmp_path / "run"), "--to", str(tmp_path / "student")]) == 0
    assert load_pretrained(tmp_path / "student").chain.steps == 1
    assert "| Method | sid |" in (tmp_path / "student" / "README.md").read_text()
    for folder, to, sentence in (("run", "student", "is not empty"), ("nowhere", "other", "holds no generator.json")):
        capsys.readouterr()
        assert main(["export", str(tmp_path / folder), "--to", str(tmp_path / to)]) == 2
        assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    "more,sentence",
    [
        (["--set", "alpa=1"], "did you mean 'alpha'"),
        (["--set", "alpha=abc"], "alpha"),
        (["--set", "alpha"], "NAME=VALUE"),
        (["--set", "lr=-1"], "lr must be above 0"),
        (["--images", "10"], "at least one --batch"),
        (["--teacher", "nowhere"], "holds no teacher.json"),
    ],
)
def test_mistakes_get_a_sentence(teacher, tmp_path, capsys, more, sentence):
    assert train(teacher, tmp_path / "run", *more) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_mistyped_method_is_told_its_neighbour(teacher, tmp_path, capsys):
    assert main(["train", "sidd", "--teacher", str(teacher), "--out", str(tmp_path)]) == 2
    assert "did you mean 'sid'" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_leaves_in_a_sentence(teacher, tmp_path, number):
    command = [sys.executable, "-m", "benchmarks", "train", "sid", "--teacher", str(teacher)]
    command += ["--images", "10000000", "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE)
    log = tmp_path / "run" / "state" / "log.jsonl"
    deadline = time.monotonic() + 90
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(number)
    error = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 128 + number and "Traceback" not in error and "goes on from it" in error
    assert 1 <= len(list((tmp_path / "run" / "state").glob("state-*"))) <= 2, "the last two are stored"
    assert main(["watch", str(tmp_path / "run"), "--once"]) == 0


def test_a_kill_costs_seconds_and_changes_no_byte(teacher, tmp_path):
    """kill -9 of the process group in the middle of training, then the same command."""
    more = ["--images", "50000", "--save-seconds", "0.5"]
    assert train(teacher, tmp_path / "whole", *more) == 0
    command = [sys.executable, "-m", "benchmarks", "train", "sid", "--teacher", str(teacher), *more]
    command += ["--out", str(tmp_path / "cut")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 90
    while not list((tmp_path / "cut").glob("state/state-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cut" / "generator.safetensors").exists()
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0 and "going on from" in again.stderr
    for name in ("generator.safetensors", "generator.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


def test_a_teacher_is_known_by_its_weights_and_not_by_its_path(teacher, tmp_path, capsys):
    """The same weights at another path resume a state; other weights at the same path are refused, with both sha256."""
    from safetensors.numpy import load_file, save_file

    place, moved = tmp_path / "teacher", tmp_path / "moved"
    shutil.copytree(teacher, place)
    assert train(place, tmp_path / "run") == 0
    shutil.copytree(place, moved)
    assert train(moved, tmp_path / "run") == 0
    first = hashlib.sha256((place / "network.safetensors").read_bytes()).hexdigest()
    tensors = load_file(place / "network.safetensors")
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, place / "network.safetensors")
    second = hashlib.sha256((place / "network.safetensors").read_bytes()).hexdigest()
    before = (tmp_path / "run" / "generator.safetensors").read_bytes()
    capsys.readouterr()
    assert train(place, tmp_path / "run") == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and all(part in message for part in (str(place), first, second, "--out"))
    assert (tmp_path / "run" / "generator.safetensors").read_bytes() == before


def test_the_data_set_behind_the_teacher_is_known(teacher):
    assert json.loads((teacher / "teacher.json").read_text())["data"] in datasets()
