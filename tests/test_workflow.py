"""The workflow through Snakemake itself. The jobs are stand-ins that write their outputs and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]

# Python imports this module at its start: a `sidbench` line of a rule becomes a stand-in. An exception would be
# swallowed there and the real job run, so any failure ends the process.
STAND_IN = """
import os, sys, traceback

def stand_in(verb, results, job_id):
    import time
    from pathlib import Path
    from benchmarks.suite.job import LEVELS
    from benchmarks.suite.plan import load_plan
    output = words[words.index("--output") + 1]
    above = str(Path(output).parents[LEVELS["teacher" if verb == "prepare" else verb] - 1])
    assert above == results or os.environ.get("STORED"), (above, results)
    results = above
    plan = load_plan(os.environ["SUITE_FILE"], results)
    if verb in ("table", "report"):
        job = plan.of(verb)[0]
    elif verb == "run":
        job = plan.find("run", *job_id)
    else:
        job = plan.find(*job_id[0].split("/"))
    wrong = [path for path in job.inputs if not Path(path).exists()]
    if os.environ["OMP_NUM_THREADS"] != "1" or "hugetlb" not in os.environ.get("GLIBC_TUNABLES", ""):
        wrong.append("environment")
    assert not wrong, wrong
    if os.environ.get("SLOW") == job.id:
        Path("started").touch()
        time.sleep(60)
    for path in job.outputs:
        Path(path).write_text(job.digest)

words = sys.orig_argv[1:]
JOBS = ("run", "prepare", "table", "report")
if os.environ.get("BUMP"):
    import importlib
    module, name = os.environ["BUMP"].split(":")
    getattr(importlib.import_module(module), name).version += 1
if words[:2] == ["-m", "benchmarks"] and words[2].startswith("--results=") and words[3] in JOBS:
    try:
        stand_in(words[3], words[2].partition("=")[2], words[5:6])
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)
"""


class Place:
    """A folder where a suite is made."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "stand_in").mkdir(exist_ok=True)
        (folder / "stand_in" / "sitecustomize.py").write_text(STAND_IN)
        self.suite = folder / "suite.yaml"
        self.write()

    def write(self, **entries: object) -> None:
        """The smoke suite, with changed entries."""
        self.suite.write_text(yaml.safe_dump({"name": "own", "extends": "smoke", "entries": entries}))

    def environment(self, **more: str) -> dict[str, str]:
        path = os.pathsep.join([str(ROOT), "stand_in"])
        return os.environ | {"PYTHONPATH": path, "SUITE_FILE": "suite.yaml", "PYTHONDONTWRITEBYTECODE": "1"} | more

    def snakemake(self, *flags: str, **more: str) -> str:
        words = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *flags]
        words += ["--config", "suite=suite.yaml"]
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def to_do(self, **more: str) -> set[str]:
        """What a dry run would make: runs by their entry, the rest by its rule."""
        output = self.snakemake("-n", **more)
        blocks = re.findall(r"^rule (\w+):\n((?: .*\n)*)", output, flags=re.MULTILINE)
        named = {(rule, re.search(r"entry=([^,\s]+)", block)) for rule, block in blocks}
        return {entry[1] if entry else rule for rule, entry in named} - {"everything"}

    def reproduce(self, *flags: str, **more: str) -> list[str]:
        return [sys.executable, "-m", "benchmarks", "reproduce", "suite.yaml", *flags]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder where everything is made."""
    place = Place(tmp_path_factory.mktemp("made") / "here")
    done = subprocess.run(
        place.reproduce(), cwd=place.folder, env=place.environment(), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\[8/8\] report", done.stdout, flags=re.MULTILINE), done.stdout
    assert " left" in done.stdout and "page:   results/own/report/index.html" in done.stdout
    return place


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Place:
    """A copy of it with its own times, as a checkout that was moved."""
    shutil.copytree(made.folder, tmp_path / "moved")
    return Place(tmp_path / "moved")


def test_a_bare_call_plans_the_mini_suite(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "snakemake", "-n", "--directory", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert int(re.search(r"^total +(\d+)$", output, flags=re.MULTILINE)[1]) > 50  # type: ignore[index]
    assert "profiles/default" in output, "the profile is found without being named"
    assert "results/mini/report/index.html" in output


def test_no_timer_is_left_behind_by_a_finished_job(tmp_path: Path) -> None:
    """Snakemake's default limit on jobs a second keeps one for each; a limit that somebody asks for is obeyed."""
    counting = tmp_path / "Snakefile"
    counting.write_text(
        f"include: {str(ROOT / 'Snakefile')!r}\n"
        "onsuccess:\n"
        "    import threading\n"
        "    print('timers:', sum(isinstance(thread, threading.Timer) for thread in threading.enumerate()))\n"
    )
    words = ("--snakefile", str(counting), "everything", "--cores", "2")
    usual = Place(tmp_path / "usual").snakemake(*words)
    assert "timers: 0\n" in usual, usual
    asked = Place(tmp_path / "asked").snakemake(*words, "--max-jobs-per-timespan", "5/1s")
    assert re.search(r"timers: [1-9]", asked), asked


def test_planning_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from snakemake.cli import main\n"
        "try:\n"
        f"    main(['-n', '-q', '--snakefile', {str(ROOT / 'Snakefile')!r}])\n"
        "except SystemExit:\n"
        "    pass\n"
        "assert 'benchmarks.suite.plan' in sys.modules and 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_again_there_is_nothing_to_do(made: Place) -> None:
    done = _call(made, *made.reproduce())
    assert done.returncode == 0 and "nothing to do" in done.stdout, done.stdout + done.stderr


def test_a_moved_checkout_has_nothing_to_do(place: Place) -> None:
    assert place.to_do() == set()


def test_a_comment_in_the_suite_changes_nothing(place: Place) -> None:
    place.suite.write_text(f"# a comment\n{place.suite.read_text()}\n")
    assert place.to_do() == set()


def test_one_entrys_option_remakes_that_entry(place: Place) -> None:
    place.write(sid={"options": {"alpha": 1.1}})
    assert place.to_do() == {"sid", "table", "report"}


def test_a_label_remakes_the_tables_alone(place: Place) -> None:
    place.write(sid={"label": "SiD"})
    assert place.to_do() == {"table", "report"}


def test_a_new_entry_is_made_beside_the_old_ones(place: Place) -> None:
    place.write(other={"method": "sim"})
    assert place.to_do() == {"other", "table", "report"}


def test_a_bumped_version_remakes_what_depends_on_it(place: Place) -> None:
    assert place.to_do(BUMP="sid.methods.sid:Sid") == {"sid", "table", "report"}
    everything = {"teacher", "sid", "dmd", "untrained", "table", "report"}
    assert place.to_do(BUMP="sid.teachers.mlp:Mlp") == everything


def test_a_lost_file_is_made_again(place: Place) -> None:
    (place.folder / "results/own/runs/digits-cond/sid/0/scores.json").unlink()
    assert place.to_do() == {"sid", "table", "report"}


def test_a_killed_call_needs_no_unlocking(place: Place) -> None:
    place.write(sid={"options": {"alpha": 1.1}})
    slow = place.environment(SLOW="digits-cond/sid/0")
    with subprocess.Popen(place.reproduce(), cwd=place.folder, env=slow, start_new_session=True) as first:
        try:
            _wait_for(place.folder / "started")
            waiting = subprocess.Popen(
                place.reproduce(),
                cwd=place.folder,
                env=place.environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert waiting.stderr is not None
            said = waiting.stderr.readline()
            words = "(sidbench reproduce suite.yaml), which is at work in this folder"
            assert said.startswith(f"waiting for process {first.pid} on ") and words in said, said
            waiting.kill()
            waiting.communicate()
        finally:
            os.killpg(first.pid, signal.SIGKILL)
    assert any((place.folder / ".snakemake" / "locks").iterdir()), "the kill has left the folder locked"
    done = _call(place, *place.reproduce())
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\[3/3\] report", done.stdout, flags=re.MULTILINE), done.stdout
    assert place.to_do() == set()


def test_two_suites_from_one_checkout_follow_each_other(tmp_path: Path) -> None:
    """They share a teacher and an extractor: those are made once, and both suites end."""
    place = Place(tmp_path / "here")
    (place.folder / "other.yaml").write_text(yaml.safe_dump({"name": "other", "extends": "smoke"}))
    calls = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks", "reproduce", name],
            cwd=place.folder,
            env=place.environment(SUITE_FILE=name),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("suite.yaml", "other.yaml")
    ]
    said = [call.communicate(timeout=240) for call in calls]
    assert [call.returncode for call in calls] == [0, 0], said
    (second,) = [index for index, (_, wrong) in enumerate(said) if "waiting for process" in wrong]
    first = ("suite.yaml", "other.yaml")[1 - second]
    assert f"process {calls[1 - second].pid} on " in said[second][1]
    assert f"(sidbench reproduce {first}), which is at work in this folder" in said[second][1]
    assert [("teacher digits-cond" in out, "extractor" in out) for out, _ in said].count((True, True)) == 1, said
    for name in ("own", "other"):
        assert (place.folder / "results" / name / "report" / "index.html").is_file()


def test_an_interrupt_is_one_sentence(place: Place) -> None:
    place.write(sid={"options": {"alpha": 1.1}})
    slow = place.environment(SLOW="digits-cond/sid/0")
    words = place.reproduce()
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, cwd=place.folder, env=slow, start_new_session=True, stdout=pipe, stderr=pipe, text=True
    ) as call:
        _wait_for(place.folder / "started")
        os.killpg(call.pid, signal.SIGINT)
        _, output = call.communicate(timeout=30)
    assert call.returncode == 130
    assert output == "sidbench: interrupted; the same command goes on from here\n"
    assert not (place.folder / "results/own/runs/digits-cond/sid/0/scores.json").exists()
    assert not list((place.folder / ".snakemake").glob("locks/*")), "an interrupt leaves nothing locked"


def test_a_fault_of_the_suite_is_reported_before_anything_runs(tmp_path: Path) -> None:
    place = Place(tmp_path / "faulty")
    place.write(sid={"method": "sidd"})
    done = _call(place, *place.reproduce())
    assert done.returncode == 2
    assert done.stderr == "sidbench: suite.yaml: entries.sid.method: unknown method 'sidd'; did you mean 'sid'?\n"
    assert not (place.folder / "results").exists()


@pytest.mark.parametrize("tool", [["snakefmt", "--check", "Snakefile", "workflow"], ["snakemake", "--lint"]])
def test_the_workflow_is_clean(tool: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *tool], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def _call(place: Place, *words: str) -> subprocess.CompletedProcess[str]:
    environment = place.environment()
    return subprocess.run(words, cwd=place.folder, env=environment, capture_output=True, text=True, timeout=120)


def _wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until, f"{path} has not appeared"
        time.sleep(0.1)


def test_snakemakes_own_report_embeds_the_page(place: Place) -> None:
    place.snakemake("--report", "report.zip")
    with zipfile.ZipFile(place.folder / "report.zip") as archive:
        (page,) = [name for name in archive.namelist() if name.endswith("/index.html")]
        assert archive.read(page) == (place.folder / "results" / "own" / "report" / "index.html").read_bytes()


def test_a_new_audit_remakes_the_page_alone(place: Place) -> None:
    assert place.to_do() == set()
    (place.folder / "results" / "audit").mkdir()
    (place.folder / "results" / "audit" / "audit.csv").write_text("table\n")
    assert place.to_do() == {"report"}
