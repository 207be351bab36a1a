"""What a new user mistypes, over every verb: one sentence that names it, status 2, and nothing written."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from benchmarks import cli
from tests.made_images import folder, made

pytestmark = pytest.mark.usefixtures("bare")
REQUIRED = "the following arguments are required: "
MISTAKES = {
    # the command itself
    "scroe A": "unknown verb 'scroe'; did you mean 'score'?",
    "--result x list": "unknown option '--result'; did you mean '--results'?",
    "--results x": "a verb is missing after --results x",
    "--results file.txt plan smoke": "'file.txt' is a file, and a folder is needed",
    "list --wrong": "unknown option '--wrong' (try sidbench list --help)",
    "list methods more": "more arguments than it takes: more",
    # wrong suites
    "check minni": "unknown suite 'minni'; did you mean 'mini'?",
    "check file.txt": "'file.txt' is a file, but no suite file: the name of one ends with .yaml",
    "check ./A": "'./A' is a folder, and no suite file",
    "check none.yaml": "there is no suite file 'none.yaml'",
    "check empty.yaml": "must be a section of keys, and the file is empty",
    "check list.yaml": "must be a section of keys, not a list",
    "check key.yaml": "key.yaml: entires: unknown key 'entires'; did you mean 'entries'?",
    "check open.yaml": "open.yaml: is no valid YAML in line 2",
    "plan smoke --gpuu h100": "unknown option '--gpuu'; did you mean '--gpu'?",
    "plan smoke --gpu h1000": "unknown GPU 'h1000'; did you mean 'h100'?",
    "plan smoke --gpus 0": "--gpus must be at least 1 (got 0)",
    "plan smoke --only ''": "--only '': no task and no row",
    "plan smoke --only digits-cnd": "did you mean 'digits-cond'?",
    "plan smoke --json --jobs": "take one of them",
    "run smoke digits-cond/sdi/0": "did you mean 'digits-cond/sid/0'?",
    "run smoke digits-cond/sid/0 --gpus -1": "--gpus must not be negative (got -1)",
    "prepare smoke teacher": "did you mean 'teacher/",
    "reproduce": REQUIRED + "SUITE (try",
    "reproduce smoke --gpus -1 -n": "--gpus must be at least 1",
    "reproduce smoke --onyl sid": "has a flag '--onyl'; did you mean '--only'?",
    "reproduce smoke --images 100": "has a flag '--images'",
    "reproduce smoke mini -n": "one suite a call, and 'mini' is another",
    "reproduce smoke --cores many": "must be integer or 'all'",
    # looking
    "table smoke": "no finished run; `sidbench reproduce smoke` makes them",
    "table smoke --output x": "--output is the workflow's own",
    "report A": "A: holds no results",
    "claims nope": "unknown suite 'nope'",
    "compare A none": "A: holds no results",
    "reproduce smoke --config suite=mini": "--config suite=mini: reproduce says so itself",
    "recipe sd15/sid-lsg-1.6": "did you mean 'sd15/sid-lsg-1.5'?",
    "published --check none.yaml": "none.yaml: cannot be read",
    "released check sid-lsg-sd21-4.5 --code A --device gpu": "there is no device 'gpu' here: devices are called auto",
    "watch A --once": "log.jsonl",
    "clean smoke": "there is no folder 'results'",
    "doctor --profile none": "there is no folder 'none'",
    "data cifar": "did you mean 'cifar10'?",
    "weights fdi": "did you mean 'fid'?",
    "fetch fdi": "did you mean 'fid'?",
    # by hand
    "score A --reference none --metrics fid": "there are no images at none, which --reference names",
    "score none --reference A --metrics fid": "there are no images at none",
    "score bare --reference A --metrics fid": "bare",
    "score file.txt --reference A --metrics fid": "file.txt",
    "score A --reference A --metrics fdi": "did you mean 'fid'?",
    "score A --reference A --metrics fid --batch 0": "batch",
    "score A --reference A --metrics fid --side abc": "invalid int value: 'abc'",
    "statistics A": REQUIRED + "--output",
    "statistics none --output x.safetensors": "there are no images at none",
    "audit A --reference none": "there are no images at none",
    "train sid": REQUIRED + "--teacher, --out",
    "train sda --teacher A --out o": "did you mean 'sida'?",
    "train sid --teacher A --out o --images abc": "invalid int value: 'abc'",
    "train sid --teacher A --out o --images 0": "--images 0 must be at least one --batch of 256",
    "train sid --teacher A --out o": "holds no teacher.json and no model_index.json",
    "train sid --teacher none --out o": "none",
    "sample A --out x.zip": "A",
    "sample A --out x.zip --first -1": "must not be negative",
    "train sid --teacher A --out o --seed -1": "--seed must be at least 0 (got -1)",
    "train sid --teacher A --out o --micro-batch 0": "--micro-batch must be at least 1 (got 0)",
    "train sid --teacher A --out o --save-seconds nan": "--save-seconds must be at least 0 (got nan)",
    "train regression --teacher A --out o --pairs none": "none holds no pairs.safetensors",
    "sample none --out x.zip": "none",
    "sample none --out x.zip --count abc": "invalid int value: 'abc'",
    "export none --to e": "none",
    "import none.pkl": "none.pkl",
    "new methd x": "unknown kind 'methd'; did you mean 'method'?",
    "new method 'My Method'": "lower-case words and digits joined by hyphens",
    "calibrate --device gpu": "must be one of cpu, cuda (got 'gpu')",
}
FILES = {
    "file.txt": "hello\n",
    "empty.yaml": "",
    "list.yaml": "- a\n",
    "key.yaml": "name: key\nextends: smoke\nentires: {}\n",
    "open.yaml": "name: [\n",
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The working folder: images in A, none in `bare`, and the files above."""
    folder(tmp_path / "A", made(4, 16, 16))
    (tmp_path / "bare").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def files(place: Path) -> set[Path]:
    """Those of the folder, but for Snakemake's lock and the packages' caches."""
    others = {".snakemake", ".cache"}
    return {path for path in place.rglob("*") if path.is_file() and not others & {*path.parts}}


def test_every_verb_is_mistyped() -> None:
    assert {word for line in MISTAKES for word in shlex.split(line)} >= {*cli.names()}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_a_sentence(line: str, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = files(place)
    assert cli.main(shlex.split(line)) == 2
    shown, sentence = capfd.readouterr()
    assert sentence.startswith("sidbench: ") and MISTAKES[line] in sentence and "Traceback" not in shown + sentence
    assert len(sentence.splitlines()) <= 2
    assert files(place) == before
