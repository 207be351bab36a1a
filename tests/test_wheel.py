"""The wheel works: built, installed without the checkout, used from a folder that has none of the project's files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HIDDEN = "sklearn pyarrow snakemake psutil matplotlib diffusers accelerate peft open_clip torchvision cleanfid"
HIDDEN_PEERS = "torch_fidelity torchmetrics pytorch_fid transformers sentencepiece huggingface_hub"


def tracked() -> list[str]:
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the tracked files, so that nothing else can enter it."""
    copy, built = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        if (ROOT / name).exists() and not name.startswith("tests/"):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name, follow_symlinks=(ROOT / name).is_file())
    words = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*words, "-w", str(built), str(copy)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = built.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own over this one's packages, with the wheel in the place of the checkout."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    others = [path for path in sys.path if path.endswith("site-packages") and Path(path).is_dir()]
    (site / "over.pth").write_text("\n".join(others) + "\n")
    words = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "-q", "--no-index"]
    done = subprocess.run([*words, "--no-deps", "--ignore-installed", str(wheel)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


@pytest.fixture
def sidbench(installed: Path, tmp_path: Path):
    """The installed command, called in an empty folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SIDBENCH"))}

    def call(*words: str, status: int = 0, **more: str) -> str:
        command = [str(installed / words[0]), *words[1:]] if words[0] == "python" else [installed / "sidbench", *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment | more, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == status, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    return call


def test_it_holds_one_folder_and_every_file_that_the_code_reads(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"sidbench"}
    read = [name for name in tracked() if name.startswith(("sid/", "baselines/", "benchmarks/", "workflow/"))]
    read += ["Snakefile", "profiles/default/profile.yaml", "results/reference/mini.csv"]
    wanted = {f"sidbench/tree/{name}" for name in read if not name.endswith(".md") and (ROOT / name).is_file()}
    assert len(wanted) > 300 and not wanted - names, sorted(wanted - names)


def test_every_verb_that_needs_no_training_answers(sidbench, tmp_path: Path) -> None:
    from tests.made_images import folder, made

    assert "sid-lsg" in sidbench("list") and "mini-full" in sidbench("list", "suites")
    assert "no fault" in sidbench("check", "mini")
    assert "GPU" in sidbench("plan", "sd15", "--gpu", "h100") and "run" in sidbench("plan", "smoke", "--jobs")
    assert "SiD" in sidbench("published", "cifar10")
    assert sidbench("--version").startswith("sidbench ")
    for number, name in enumerate("ab"):
        folder(tmp_path / name, made(4, 16, 16, seed=number))
    scored = sidbench("score", "a", "--reference", "b", "--metrics", "fid", "--random-weights", "0")
    assert "fid" in scored and "random weights, seed 0" in scored


def test_from_python_and_beside_a_folder_of_the_same_name(sidbench, tmp_path: Path) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    code = "import sidbench, sys; assert 'torch' not in sys.modules; from benchmarks.suite.plan import load_plan; "
    assert "tree" in sidbench("python", "-c", code + "import benchmarks; print(benchmarks.__file__)")
    assert "no fault" in sidbench("check", "smoke")
    code = "import sys, types; sys.modules['sid'] = types.ModuleType('sid'); import sidbench"
    assert "is hidden by another one" in sidbench("python", "-c", code, status=1)


def test_a_suite_is_made_in_another_folder(sidbench, tmp_path: Path) -> None:
    made = sidbench("reproduce", "smoke", "--only", "sid", OMP_NUM_THREADS="1")
    assert "smoke: done in" in made
    assert (tmp_path / "results" / "smoke" / "report" / "index.html").is_file()
    assert "| not run " in made  # the suite's other rows
    record = next((tmp_path / "results" / "smoke" / "runs").rglob("record.json")).read_text()
    assert '"commit": "unknown"' in record


def test_a_plain_installation_scores_and_audits(sidbench, tmp_path: Path) -> None:
    """Everything that only an extra brings is hidden, and the verbs that need none of it work."""
    (tmp_path / "hide.py").write_text(
        "import sys\n\n\nclass Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {(HIDDEN + ' ' + HIDDEN_PEERS).split()}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n\n\n"
        "sys.meta_path.insert(0, Hide())\n"
        "from sidbench.__main__ import main\n\nsys.exit(main())\n"
    )
    from tests.made_images import folder, made

    for number, name in enumerate("ab"):
        folder(tmp_path / name, made(4, 16, 16, seed=number))
    scored = sidbench("python", "hide.py", "score", "a", "--reference", "b", "--random-weights", "0")
    assert "fid  " in scored and "unavailable" not in scored
    for verb in (["list"], ["check", "mini"], ["plan", "smoke", "--jobs"], ["published", "cifar10"]):
        sidbench("python", "hide.py", *verb)
    lacking = sidbench("python", "hide.py", "reproduce", "smoke", status=2)
    assert "pip install 'sidbench[workflow]'" in lacking and "Traceback" not in lacking
    # A whole audit takes minutes; its peers are opened here, and each absent one is a row with the reason.
    (tmp_path / "peers.py").write_text(
        (tmp_path / "hide.py").read_text().partition("from sidbench")[0]
        + "import sidbench\nfrom benchmarks.audit import subject, write\nfrom benchmarks.audit.run import calls\n"
        + "rows = []\nassert not calls(lambda peer: peer.distances(), rows, '')\n"
        + "print(*[f'{row.implementation}: {row.verdict}' for row in rows], sep=', ')\n"
    )
    absent = sidbench("python", "peers.py").strip()
    names = ("clean-fid", "pytorch-fid", "torch-fidelity", "torchmetrics")
    assert absent == ", ".join(f"{name}: unavailable" for name in names)
