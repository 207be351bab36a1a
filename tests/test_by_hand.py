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
from typing import ClassVar

import numpy as np
import pytest

from benchmarks.cli import main
from benchmarks.data.open import datasets
from benchmarks.run.prepare import prepare
from sid.fault import Fault

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


class Hub:
    """In the place of huggingface_hub's client."""

    calls: ClassVar[list] = []
    error: Exception | None = None

    def create_repo(self, name, exist_ok):
        self.calls.append(("create", name, exist_ok))

    def upload_folder(self, repo_id, folder_path, commit_message):
        if self.error is not None:
            raise self.error
        self.calls.append(("upload", repo_id, sorted(path.name for path in Path(folder_path).iterdir())))
        return f"https://hub.example/{repo_id}"


def test_an_export_is_pushed_on_request_alone(teacher, tmp_path, capsys, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(Hub, "calls", [])
    assert train(teacher, tmp_path / "run") == 0
    assert main(["export", str(tmp_path / "run"), "--to", str(tmp_path / "plain")]) == 0
    assert Hub.calls == []
    assert main(["export", str(tmp_path / "run"), "--to", str(tmp_path / "a"), "--push", "me/student"]) == 0
    assert "https://hub.example/me/student" in capsys.readouterr().out
    files = ["README.md", "generator.json", "generator.safetensors"]
    assert Hub.calls == [("create", "me/student", True), ("upload", "me/student", files)]
    assert main(["export", str(tmp_path / "run"), "--to", str(tmp_path / "b"), "--push", "student"]) == 2
    assert "--push takes owner/name (got 'student')" in capsys.readouterr().err and not (tmp_path / "b").exists()
    monkeypatch.setattr(Hub, "error", OSError("no network"))
    assert main(["export", str(tmp_path / "run"), "--to", str(tmp_path / "c"), "--push", "me/student"]) == 2
    assert "is written, and not uploaded to me/student: no network" in capsys.readouterr().err
    assert (tmp_path / "c" / "generator.safetensors").is_file()


def test_the_functions_of_import_sidbench(teacher, tmp_path, capsys):
    import sidbench

    trained = sidbench.train("sid", teacher, tmp_path / "run", images=512, options={"alpha": 1.0}, quiet=True)
    assert trained.images == 512
    images = sidbench.generate(tmp_path / "run", 5, batch=2)
    assert images.shape == (5, 1, 8, 8) and np.array_equal(images[3:], sidbench.generate(tmp_path / "run", 2, first=3))
    student = sidbench.load_student(tmp_path / "run")
    assert student.chain.steps == 1
    np.savez(tmp_path / "a.npz", images=images)
    scored = sidbench.score(tmp_path / "a.npz", tmp_path / "a.npz", ["fid"], random_weights=0)
    assert abs(scored.scores["fid"].value) < 1e-3 and scored.images == 5


@pytest.mark.parametrize("form", ["pickle", "imported", "pipeline"])
def test_other_peoples_teachers(form, tmp_path, monkeypatch):
    """What is noted about a pickle, an imported folder and a pipeline; a training reads no more than that."""
    from benchmarks.run import teachers
    from benchmarks.run.artefacts import Origin
    from tests.sid.teachers import tiny_pipelines

    out = tmp_path / "run"
    if form == "pipeline":
        named = tiny_pipelines.save("stable-diffusion", tmp_path)
        origin = Origin.of(teachers.folder_of(str(named), out, "results"))
        assert (origin.family, origin.text) == ("stable-diffusion", True) and origin.resolution
        assert origin.place == named.resolve()
        return

    def imported(source, folder):
        folder.mkdir(parents=True)
        described = {"family": "edm", "class": "EDMPrecond", "settings": {"label_dim": 10}, "source": {"file": "x"}}
        (folder / "teacher.json").write_text(json.dumps(described))

    monkeypatch.setattr("sid.teachers.pickles.edm_pickle.import_file", imported)
    named = tmp_path / ("a.pkl" if form == "pickle" else "a")
    if form == "pickle":
        named.write_bytes(b"")
    else:
        imported(None, named)
    origin = Origin.of(teachers.folder_of(str(named), out, "results", data="cifar10"))
    assert (origin.family, origin.conditional, origin.data) == ("edm", True, "cifar10")
    assert origin.place is not None and (origin.place / "teacher.json").is_file()


def test_a_pipeline_that_is_not_in_the_hubs_cache_says_how_to_get_it(tmp_path, capsys, bare):
    assert train("owner/name", tmp_path / "run") == 2
    assert "hf download owner/name" in capsys.readouterr().err


def test_a_folder_that_is_no_teacher_is_refused(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    assert train(tmp_path / "photos", tmp_path / "run") == 2
    assert "holds no teacher.json and no model_index.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more,sentence",
    [
        (["--set", "alpa=1"], "did you mean 'alpha'"),
        (["--set", "alpha=abc"], "alpha"),
        (["--set", "alpha"], "NAME=VALUE"),
        (["--set", "lr=-1"], "lr must be above 0"),
        (["--images", "10"], "at least one --batch"),
        (["--teacher", "nowhere"], "there is no path 'nowhere', and no suite's teacher of that name"),
        (["--device", "cudda"], "there is no device 'cudda' here"),
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


def test_a_larger_budget_goes_on_and_equals_one_that_was_larger_from_the_start(teacher, tmp_path, capsys):
    assert train(teacher, tmp_path / "grown") == 0
    assert train(teacher, tmp_path / "grown", "--images", "2048") == 0
    assert "going on from 1024 of 2048 images" in capsys.readouterr().err
    assert train(teacher, tmp_path / "whole", "--images", "2048") == 0
    first, second = ((tmp_path / name / "generator.safetensors").read_bytes() for name in ("grown", "whole"))
    assert first == second


@pytest.mark.parametrize(
    "more,changed",
    [
        (["--images", "512"], "recipe.images was 1024 and is 512"),
        (["--images", "2048", "--seed", "3"], "recipe.images was 1024 and is 2048, recipe.seed was 0 and is 3"),
        (["--set", "alpha=0.5"], "options.alpha was 1.2 and is 0.5"),
    ],
)
def test_a_refused_state_says_which_field_changed(teacher, tmp_path, capsys, more, changed):
    assert train(teacher, tmp_path) == 0
    assert train(teacher, tmp_path, *more) == 2
    assert f"another recipe (changed: {changed})" in capsys.readouterr().err


def test_a_decaying_rate_refuses_a_larger_budget(teacher, tmp_path):
    """The rate's decay ends with the budget: a larger one would have been another training from the start."""
    from sid.loop.changes import FieldChange
    from sid.loop.state import TrainState

    class Alone:
        together = staticmethod(lambda call: call())

    for extendable in (False, True):
        folder = tmp_path / str(extendable)
        for images in (10, 20):
            state = TrainState(folder, {"recipe": {"images": images}}, None, (), Alone(), extendable)
            if images == 20 and not extendable:
                with pytest.raises(Fault, match=r"recipe.images was 10 and is 20"):
                    state.check_recipe()
            else:
                state.check_recipe()
    assert FieldChange("recipe.images", 20, 10).grows("recipe.images") is False


def test_a_suites_teacher_is_named_by_its_name(teacher, tmp_path, capsys):
    results = str(teacher.parents[2])
    words = ["--results", results, "train", "sid", "--images", "256", "--out", str(tmp_path / "run")]
    assert main([*words, "--teacher", "digits-cond"]) == 0
    assert main([*words, "--teacher", "digit-cond"]) == 2
    assert "did you mean 'digits-cond'?" in capsys.readouterr().err


def test_a_student_without_a_null_condition_is_not_guided(teacher, tmp_path, capsys):
    assert train(teacher, tmp_path / "run") == 0
    assert main(["sample", str(tmp_path / "run"), "--kappa", "2", "--out", str(tmp_path / "a.npz")]) == 2
    assert "--kappa 2.0" in (error := capsys.readouterr().err) and "has no null condition to guide with" in error


def test_samples_overwrite_nothing_and_come_in_portions(teacher, tmp_path, capsys):
    words = ["sample", str(teacher), "--steps", "2", "--count", "5"]
    for name in ("a.zip", "a.npz", "a"):
        whole, parts = tmp_path / "whole" / name, tmp_path / "parts" / name
        assert main([*words, "--out", str(whole)]) == main([*words, "--batch", "2", "--out", str(parts)]) == 0
        if name == "a":
            assert len(list(parts.glob("*.png"))) == 5
        else:
            assert whole.read_bytes() == parts.read_bytes()
        assert main([*words, "--out", str(parts)]) == 2
        assert "exists already: nothing is overwritten" in capsys.readouterr().err


def test_the_data_set_behind_the_teacher_is_known(teacher):
    assert json.loads((teacher / "teacher.json").read_text())["data"] in datasets()
