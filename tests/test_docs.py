"""The documentation is true: commands parse, examples are sound suites, generated pages are what the code makes."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from benchmarks import cli
from benchmarks.cli import main
from benchmarks.suite import files, protocol_table
from tests.sid import gaussian_pictures

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md"), ROOT / "tests/README.md"]
)
BASH = re.compile(r"```(?:bash|sh|console)\n(.*?)```", re.DOTALL)
INLINE = re.compile(r"`((?:sidbench|make|python -m) [^`]+)`")
# In prose a command may stand for a family of them: SUITE, a path, an option alone.
STANDS_FOR_MANY = re.compile(r"[A-Z]{3,}|\.\.\.|…|<|\|")
INSTALL = re.compile(r"`((?:uv venv|pip install)[^`]*)`")
MAKE = re.compile(r"^([A-Za-z_-]+) ?:[^=]", re.MULTILINE)


def lines(page: Path) -> list[str]:
    """The commands of a page's blocks, continuation lines joined, without comments and environment variables."""
    text = page.read_text(encoding="utf-8")
    written = [line for block in BASH.findall(text) for line in re.sub(r"\\\n", " ", block).splitlines()]
    return [line.strip() for line in written if line.strip() and not line.strip().startswith("#")]


def said(page: Path) -> list[str]:
    """The commands within sentences."""
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [" ".join(command.split()) for command in INLINE.findall(prose)]


def words(line: str) -> list[str]:
    """The words of a command, after assignments before it and up to the next command."""
    split = shlex.split(line, comments=True)
    while split and re.fullmatch(r"[A-Z_]+=.*", split[0]):
        del split[0]
    ends = [place for place, word in enumerate(split) if word in ("&&", "|", ";", ">", "&")]
    return split[: ends[0]] if ends else split


def commands(program: str) -> list[tuple[Path, list[str]]]:
    """Every command of one program in the blocks of all pages."""
    commands = [(page, words(line)) for page in PAGES for line in lines(page)]
    return [(page, split) for page, split in commands if split and Path(split[0]).name == program]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_sidbench_command_of_a_block_parses(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for where, split in commands("sidbench"):
        if where != page or split[1:] in (["--version"], ["--help"]):  # those end the process
            continue
        verb = next(word for word in split[1:] if not word.startswith("-"))
        assert verb in cli.names(), f"{page}: {split}"
        try:
            assert cli.parser([verb]).parse_args(split[1:]).verb == verb
        except SystemExit:
            pytest.fail(f"{page.name}: {' '.join(split)}: {capsys.readouterr().err}")


def test_there_are_commands_to_parse() -> None:
    """Or the test above proves nothing."""
    assert len(commands("sidbench")) > 40


def test_every_sidbench_command_of_a_sentence_names_a_verb_and_its_options() -> None:
    wrong = []
    for page in PAGES:
        for text in said(page):
            split = words(text)
            if split[0] != "sidbench" or len(split) < 2 or split[1].startswith("-") or STANDS_FOR_MANY.search(split[1]):
                continue
            known = helped(split[1])
            lacking = [word for word in split[2:] if word.startswith("--") and word.partition("=")[0] not in known]
            if not known or lacking:
                wrong.append(f"{page.name}: {text}: {lacking or 'no such verb'}")
    assert not wrong, "\n".join(wrong)


def helped(verb: str) -> set[str]:
    """The options of a verb; empty if there is none of that name."""
    if verb not in cli.names():
        return set()
    top = cli.parser([verb])
    (verbs,) = (action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    return {option for action in verbs.choices[verb]._actions for option in action.option_strings}


def test_every_make_command_names_a_target() -> None:
    targets = set(MAKE.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    blocks = [(page, split) for page, split in commands("make")]
    sentences = [(page, words(text)) for page in PAGES for text in said(page) if text.startswith("make ")]
    assert len(blocks) > 5 and len(sentences) > 5
    wrong = [
        f"{page.name}: {' '.join(split)}"
        for page, split in blocks + sentences
        for word in split[1:2]
        if word not in targets
    ]
    assert not wrong, "\n".join(wrong)


def test_every_module_that_a_page_runs_exists() -> None:
    for page in PAGES:
        for line in lines(page) + said(page):
            for module in re.findall(r"python3? -m ([\w.]+)", line):
                if module.partition(".")[0] in ("benchmarks", "sid", "sidbench", "tests", "baselines"):
                    assert importlib.util.find_spec(module) is not None, f"{page.name}: {line}"


def test_every_snakemake_command_parses() -> None:
    from benchmarks.machine.snakemake import check_flags

    blocks = commands("snakemake")
    assert len(blocks) >= 3
    for _, split in blocks:
        at = split.index("--config")
        check_flags([*split[1:at], *split[at + 2 :]], [])  # a Fault names the flag
        assert split[at + 1] == "suite=smoke"


def test_every_command_that_others_start_parses() -> None:
    """torchrun's and docker's own words end where ours begin."""
    from torch.distributed.run import get_args_parser

    launched = [split for _, split in commands("torchrun")]
    assert len(launched) >= 2
    for split in launched:
        asked = get_args_parser().parse_args(split[1:])
        assert asked.module and asked.training_script == "benchmarks"
        verb, *rest = asked.training_script_args
        assert cli.parser([verb]).parse_args([verb, *rest]).verb == verb
    (contained,) = [split for _, split in commands("docker") if split[1] == "run"]
    image = contained.index("sidbench")
    assert contained[image + 1] == "sidbench"
    assert cli.parser(["reproduce"]).parse_args(contained[image + 2 :]).suite == "smoke"


def test_every_installation_names_extras_and_files_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    written = [text for page in PAGES for text in INSTALL.findall(page.read_text(encoding="utf-8"))]
    assert len(written) >= 4
    for command in (part for text in written for part in " ".join(text.split()).split("&&")):
        named = re.findall(r"\[(\w+)\]", command)
        assert {*named} <= project["optional-dependencies"].keys(), command
        for file in re.findall(r"-r (\S+)", command):
            assert "--hash=sha256:" in (ROOT / file).read_text(encoding="utf-8"), command


def test_every_other_program_is_one_that_a_test_knows() -> None:
    """A page that shows another program needs a test of it first."""
    programs = {split[0] for page in PAGES for split in map(words, lines(page)) if split}
    parsed = {"sidbench", "make", "snakemake", "torchrun", "docker"}
    shells = {"source", "export"}  # tests/test_first_hour.py
    assert programs - parsed - shells == {".ci/run", ".venv/bin/pre-commit", "apptainer"}
    assert (ROOT / ".pre-commit-config.yaml").is_file() and os.access(ROOT / ".ci/run", os.X_OK)
    scripts = re.findall(r"`python (\S+\.py)", "".join(page.read_text(encoding="utf-8") for page in PAGES))
    assert len(scripts) >= 3 and all((ROOT / script).is_file() for script in scripts)


@pytest.mark.parametrize("page", ["adding-a-suite.md", "first-hour.md"])
def test_every_suite_of_a_page_is_sound(
    page: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    suites = [text for text in blocks if text.startswith("name:")]
    assert suites
    monkeypatch.chdir(tmp_path)
    for text in suites:
        text = re.sub(
            r"method: my-method, options: \{.*?\}", "method: sid", text
        )  # the page's method is a file to be written
        (tmp_path / "suite.yaml").write_text(text)
        assert main(["check", "suite.yaml"]) == 0, capsys.readouterr().err
    assert "no fault" in capsys.readouterr().out


def test_nulls_remove_what_the_page_says_they_remove(tmp_path: Path) -> None:
    from benchmarks.suite.load import load_suite

    blocks = re.findall(
        r"```yaml\n(.*?)```", (ROOT / "docs/adding-a-suite.md").read_text(encoding="utf-8"), flags=re.DOTALL
    )
    digits, cifar10 = tmp_path / "digits.yaml", tmp_path / "cifar10.yaml"
    digits.write_text(blocks[0])
    cifar10.write_text(blocks[1])
    suite = load_suite(str(digits))
    assert list(suite.tasks) == ["digits-cond"] and "dmd" not in suite.entries and "my-row" in suite.entries
    protocol = load_suite(str(cifar10)).protocols["fid10k"]
    assert (protocol.samples, list(protocol.metrics)) == (10_000, ["fid", "is"])


def test_the_page_of_protocols_is_made_from_their_files() -> None:
    assert protocol_table.PAGE.read_text(encoding="utf-8") == protocol_table.page(), (
        "python -m benchmarks.suite.protocol_table writes it anew"
    )
    for name in files.names("protocol"):
        assert f"| `{name}` |" in protocol_table.page()


def test_every_page_stands_in_the_sites_contents() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = set(re.findall(r"[\w-]+\.md", str(settings["nav"])))
    assert named == {page.name for page in (ROOT / "docs").glob("*.md")}
    assert settings["strict"] is True and settings["theme"]["font"] is False, "no font of another host"


def test_all_losses_lead_to_the_teacher_in_the_pictures() -> None:
    """What docs/why-it-works.md says of its picture; a wrong sign would lead away."""
    for name, gradient in gaussian_pictures.METHODS.items():
        for start in gaussian_pictures.STARTS:
            mean, deviation = gaussian_pictures.path(gradient, start)[-1]
            assert abs(mean - gaussian_pictures.MU) < 0.05 and abs(deviation - 1) < 0.05, f"{name} from {start}"


def test_the_hosted_checks_run_the_same_script() -> None:
    text = (ROOT / ".github/workflows/checks.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    ran = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert ran == {"checks": [".ci/run"], "wheel": ['make test ARGS="tests/test_wheel.py"'], "docs": ["make docs"]}
    machines = jobs["checks"]["strategy"]["matrix"]["include"]
    assert {its["python"] for its in machines} == {"3.11", "3.12", "3.13"} and any(
        "macos" in its["os"] for its in machines
    )
    assert "Untried" in text.splitlines()[0]
    script = ROOT / ".ci/run"
    assert script.stat().st_mode & 0o111 and "make --no-print-directory docs" in script.read_text(encoding="utf-8")
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
