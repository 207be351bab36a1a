"""Suite files: strict, all faults at once, each with its path and the nearest valid name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.suite.checks import options_of
from benchmarks.suite.files import names
from benchmarks.suite.load import load_suite
from sid.fault import Fault
from tests import toys


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    toys.install(monkeypatch)
    monkeypatch.chdir(tmp_path)


def faults(change: dict[str, Any]) -> list[str]:
    """The sentences about the toy suite with one change."""
    with pytest.raises(Fault) as caught:
        load_suite(str(toys.write(Path(), change)))
    return caught.value.sentences


def test_the_toy_suite_is_read(tmp_path: Path) -> None:
    suite = load_suite(str(toys.write(tmp_path)))
    assert suite.seeds == (0, 1)
    assert suite.teachers["a"].denoising.lr == 1e-3
    assert suite.teachers["a"].budget.images == 1000, "1e3 is text to PyYAML"
    assert list(suite.entries_of("two")) == ["teacher", "soft", "hard", "floor"]
    assert suite.budget("one", "hard").images == 500, "the entry's budget goes before the task's"
    assert suite.budget("one", "hard").batch == 100


@pytest.mark.parametrize(
    ("written", "meant"),
    [("1e-5", 1e-5), ("2.5E3", 2500.0), ("1e+2", 100.0), ("-1e-3", -1e-3), (".5e1", 5.0), ("3", 3.0), ("0.25", 0.25)],
)
def test_numbers_that_pyyaml_reads_as_text(tmp_path: Path, written: str, meant: float) -> None:
    content = toys.SUITE.replace("rounds: 2", "").replace("options: {alpha: 1.0}", f"options: {{t_init: {written}}}")
    file = tmp_path / "toys.yaml"
    file.write_text(content)
    options = options_of(load_suite(str(file)), "one", "soft")
    assert options.t_init == meant and isinstance(options.t_init, float)


def test_options_become_the_methods_dataclass(tmp_path: Path) -> None:
    change = {"entries": {"soft": {"options": {"chain": {"steps": 4, "times": [1, "5e-1"]}}}}}
    suite = load_suite(str(toys.write(tmp_path, change)))
    assert options_of(suite, "one", "soft") == toys.ToyOptions(1.0, rounds=2, chain=toys.Chain(4, (1.0, 0.5)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sedes": [1]}, "toys.yaml: sedes: unknown key 'sedes'; did you mean 'seeds'?"),
        ({"name": None}, "toys.yaml: name: is missing"),
        ({"name": "../up"}, "toys.yaml: name: must be a name of lower-case letters"),
        ({"seeds": []}, "toys.yaml: seeds: must not be empty"),
        ({"seeds": [0, 0]}, "toys.yaml: seeds: must all be different (got [0, 0])"),
        ({"seeds": [0.5]}, "toys.yaml: seeds.0: must be a whole number (got 0.5)"),
        (
            {"teachers": {"a": {"family": "lime"}}},
            "teachers.a.family: unknown teacher family 'lime'; did you mean 'line'?",
        ),
        ({"teachers": {"a": {"data": "dotts"}}}, "teachers.a.data: unknown data set 'dotts'; did you mean 'dots'?"),
        ({"teachers": {"a": {"data": "plain"}}}, "teachers.a.conditional: the data set plain has no classes"),
        ({"teachers": {"a": {"training": {"lr": "fast"}}}}, "teachers.a.training.lr: must be a number (got 'fast')"),
        (
            {"teachers": {"a": {"training": {"images": -5}}}},
            "training.images: must be greater than or equal to 1 (got -5)",
        ),
        ({"tasks": {"one": {"teacher": "aa"}}}, "tasks.one.teacher: unknown teacher 'aa'; did you mean 'a'?"),
        ({"tasks": {"one": {"teacher": None}}}, "tasks.one.teacher: is missing"),
        (
            {"tasks": {"one": {"protocol": "digit"}}},
            "tasks.one.protocol: unknown protocol 'digit'; did you mean 'digits'?",
        ),
        (
            {"tasks": {"one": {"budget": {"bach": 3}}}},
            "tasks.one.budget.bach: unknown key 'bach'; did you mean 'batch'?",
        ),
        (
            {"tasks": {"one": {"budget": {"dtype": "flot32"}}}},
            "budget.dtype: unknown value 'flot32'; did you mean 'float32'?",
        ),
        ({"tasks": {"one": "a"}}, "tasks.one: must be a section of keys (got 'a')"),
        ({"tasks": {"Bad Name": {"teacher": "a", "protocol": "p"}}}, "tasks.Bad Name: must be a name of lower-case"),
        ({"entries": {"soft": {"method": "toi"}}}, "entries.soft.method: unknown method 'toi'; did you mean 'toy'?"),
        (
            {"entries": {"soft": {"options": {"alpha": "abc"}}}},
            "entries.soft.options.alpha: must be a number (got 'abc')",
        ),
        (
            {"entries": {"soft": {"options": {"alpha": True}}}},
            "entries.soft.options.alpha: must be a number (got True)",
        ),
        ({"entries": {"soft": {"options": {"alpha": "1.0"}}}}, "options.alpha: must be a number (got '1.0')"),
        ({"entries": {"soft": {"options": {"rounds": 1.5}}}}, "options.rounds: must be a whole number (got 1.5)"),
        ({"entries": {"soft": {"options": {"centred": 1}}}}, "options.centred: must be true or false (got 1)"),
        (
            {"entries": {"soft": {"kappa": 2.0, "tasks": ["one"]}}},
            "on one: its teacher has no unconditional branch to guide with",
        ),
        ({"entries": {"theirs": {"released": "sid-lsg", "kappa": 2.0}}}, "sampled as published: it has no kappa"),
        (
            {"entries": {"soft": {"options": {"alhpa": 1}}}},
            "entries.soft.options.alhpa: unknown option of toy 'alhpa'; did you mean 'alpha'?",
        ),
        (
            {"entries": {"soft": {"options": {"chain": {"step": 1}}}}},
            "entries.soft.options.chain.step: unknown key 'step'; did you mean 'steps'?",
        ),
        (
            {"entries": {"soft": {"options": {"alpha": -1}}}},
            "toys.yaml: entries.soft: alpha must be above 0 (got -1.0)",
        ),
        (
            {"entries": {"soft": {"options": {"alpha": 3}}}},
            "entries.soft: on two: alpha above 2 needs a conditional teacher",
        ),
        (
            {"entries": {"soft": {"control": "teacher"}}},
            "entries.soft: must name exactly one of method, control and released",
        ),
        ({"entries": {"teacher": {"steps": None}}}, "entries.teacher: the control 'teacher' needs steps"),
        ({"entries": {"floor": {"options": {"a": 1}}}}, "entries.floor: a control has no options"),
        ({"entries": {"floor": {"control": "helpout"}}}, "unknown value 'helpout'; did you mean 'heldout'?"),
        (
            {"entries": {"hard": {"stop_players": {"critic": 2}}}},
            "stop_players.critic: must be less than or equal to 1",
        ),
        (
            {"entries": {"hard": {"budget": {"images": 50}}}},
            "hard: its budget of 50 images is less than one batch of 100",
        ),
        ({"entries": {"paired": {"tasks": ["tow"]}}}, "entries.paired.tasks: unknown task 'tow'; did you mean 'two'?"),
        (
            {"entries": {"paired": {"tasks": ["two"]}}},
            "pairwise needs the teacher's pairs: give the task a section pairs",
        ),
        ({"protocols": {"p": {"name": "q"}}}, "protocols.p.name: must be 'p' (got 'q')"),
        (
            {"protocols": {"p": {"metrics": {"d": {"metric": "distanse"}}}}},
            "protocols.p.metrics.d.metric: unknown metric 'distanse'; did you mean 'distance'?",
        ),
        (
            {"protocols": {"p": {"metrics": {"d": {"features": "tiny.feature"}}}}},
            "metrics.d.features: unknown output of tiny 'feature'; did you mean 'features'?",
        ),
        (
            {"protocols": {"p": {"metrics": {"d": {"reference": {"data": "dots", "split": "test"}}}}}},
            "metrics.d.reference.split: unknown split 'test'; known: heldout, train",
        ),
        (
            {"protocols": {"p": {"metrics": {"d": {"options": {"block": 1}}}}}},
            "metrics.d.options.block: unknown option of distance 'block'; did you mean 'blocks'?",
        ),
        ({"protocols": {"p": {"metrics": {"d": {"reference": None}}}}}, "distance compares with a reference"),
    ],
)
def test_one_fault_is_one_sentence(change: dict[str, Any], sentence: str) -> None:
    sentences = faults(change)
    assert len(sentences) == 1, sentences
    assert sentences[0].startswith("toys.yaml: ")
    assert sentence in sentences[0]


def test_all_faults_at_once() -> None:
    sentences = faults({"entries": {"soft": {"method": "toi"}, "hard": {"options": {"alpha": "abc", "round": 1}}}})
    assert len(sentences) == 3, sentences
    sentences = faults({"sedes": [1], "seeds": ["x"], "tasks": {"one": {"teacher": 3, "protocol": "nowhere"}}})
    assert len(sentences) == 4, sentences
    sentences = faults(
        {"sedes": [1], "tasks": {"one": {"budget": {"images": "x"}}}, "entries": {"soft": {"method": "toi"}}}
    )
    assert len(sentences) == 3, sentences
    sentences = faults(
        {"entries": {"soft": {"lable": "a", "method": "toi"}, "paired": {"tasks": 3}, "hard": {"budget": 1}}}
    )
    assert len(sentences) == 4, sentences


def test_a_suite_extends_another(tmp_path: Path) -> None:
    toys.write(tmp_path)
    child = {"name": "more", "extends": "toys.yaml", "seeds": [7], "entries": {"hard": None, "soft": {"label": "Soft"}}}
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(child))
    suite = load_suite("./more.yaml")
    assert suite.name == "more" and suite.seeds == (7,)
    assert "hard" not in suite.entries
    assert suite.entries["soft"].label == "Soft" and suite.entries["soft"].options == {"alpha": 1.0}


def test_a_fault_names_the_file_that_says_it(tmp_path: Path) -> None:
    toys.write(tmp_path, {"entries": {"soft": {"method": "toi"}}})
    child = {"name": "more", "extends": "toys.yaml", "entries": {"hard": {"options": {"alpha": "abc"}}}}
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(child))
    with pytest.raises(Fault) as caught:
        load_suite("more.yaml")
    assert sorted(sentence.split(": ")[0] for sentence in caught.value.sentences) == ["more.yaml", "toys.yaml"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("extends: round.yaml", "round.yaml: extends: comes back to itself"),
        ("extends: nowhere", "round.yaml: extends: unknown suite 'nowhere'"),
        ("name: a\nname: b", "round.yaml: is no valid YAML in line 2, column 1: the key 'name' stands twice"),
        ("a: [", "round.yaml: is no valid YAML in line 1"),
        ("- a", "round.yaml: must be a section of keys, not a list"),
        ("a: !!python/object/apply:os.system [ls]", "round.yaml: is no valid YAML in line 1"),
    ],
)
def test_files_that_are_no_suites(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "round.yaml").write_text(text)
    with pytest.raises(Fault, match=r"round\.yaml") as caught:
        load_suite("round.yaml")
    assert caught.value.sentences[0].startswith(sentence)


def test_an_unknown_suite_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(Fault, match=r"unknown suite 'minni'; did you mean 'mini'\?"):
        load_suite("minni")
    with pytest.raises(Fault, match=r"there is no suite file 'gone.yaml'"):
        load_suite("gone.yaml")
    assert {"mini", "smoke"} <= set(names("suite"))


@pytest.mark.parametrize(
    ("entry", "init", "sentence"),
    [
        ("hard", "sofd", "unknown entry 'sofd'; did you mean 'soft'?"),
        ("hard", "teacher", "teacher is a control: it trains no generator"),
        ("soft", "soft", "begins from itself: soft <- soft"),
        ("teacher", "soft", "a control has no init"),
    ],
)
def test_an_entry_begins_from_one_that_trains(entry: str, init: str, sentence: str) -> None:
    assert any(shown.endswith(sentence) for shown in faults({"entries": {entry: {"init": init}}}))
