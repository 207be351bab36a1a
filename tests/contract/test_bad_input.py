"""What can't work is said in one sentence before any training starts, from the suite file or from the method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.suite.components import methods
from benchmarks.suite.load import load_suite
from sid.fault import Fault
from sid.method import TeacherFacts

ABLE = TeacherFacts("able", "edm", conditional=True, guidance=True, features=True, real=True)
UNCONDITIONAL = TeacherFacts("plain", "edm", features=True, real=True)
WITHOUT_REAL = TeacherFacts("alone", "edm", conditional=True, guidance=True, features=True)
WITHOUT_FEATURES = TeacherFacts("closed", "edm", conditional=True, guidance=True, real=True)
ON_VP = TeacherFacts("stepwise", "vp", conditional=True, guidance=True, features=True, real=True)

MISTAKES: list[tuple[str, dict[str, Any], TeacherFacts, str]] = [
    ("sid-lsg", {"guidance": "lsg", "kappa": 2.0}, UNCONDITIONAL, "needs an unconditional branch"),
    ("sid-few-step", {"guidance": "zero-cfg"}, UNCONDITIONAL, "needs an unconditional branch"),
    ("sid-few-step", {"guidance": "zero-cgf"}, ABLE, "unknown guidance 'zero-cgf'; did you mean 'zero-cfg'?"),
    ("sid-few-step", {"steps": 0}, ABLE, "steps must be at least 1 (got 0)"),
    ("sid-few-step", {"renoise": "frsh"}, ABLE, "renoise must be one of fresh, fixed, ddim (got 'frsh')"),
    ("sid-few-step", {"weight": "1/sgima"}, ABLE, "unknown weight '1/sgima'; did you mean '1/sigma'?"),
    ("sid-few-step", {"adversarial": True}, WITHOUT_REAL, "needs real images"),
    ("sid-few-step", {"adversarial": True, "pooling": "spacial"}, ABLE, "pooling must be one of"),
    ("sida", {}, WITHOUT_REAL, "needs real images"),
    ("sida", {}, WITHOUT_FEATURES, "encoder features"),
    ("dmd2", {}, WITHOUT_REAL, "needs real images"),
    ("dmd2", {"kappa": 2.0}, UNCONDITIONAL, "needs an unconditional branch"),
    ("f-distill", {}, WITHOUT_REAL, "needs real images"),
    ("f-distill", {"divergence": "forward-lk"}, ABLE, "unknown divergence 'forward-lk'; did you mean 'forward-kl'?"),
    ("f-distill", {"gan_critic": 0.0}, ABLE, "gan_critic must be above 0"),
    ("uni-instruct", {"divergence": "jensen-shannon"}, ABLE, "unknown divergence 'jensen-shannon'"),
    ("realuid", {"alpha": 0.0}, ABLE, "alpha must be in (0, 1] (got 0.0)"),
    ("realuid", {}, WITHOUT_REAL, "real images are needed unless alpha and beta are 1"),
    ("realuid", {"space": "flwo"}, ABLE, "space must be flow or x0 (got 'flwo')"),
    ("consistency", {}, WITHOUT_REAL, "real images"),
    ("sim", {"c": -0.1}, ABLE, "c must not be negative (got -0.1)"),
    ("sim", {"distance": "pseudo-hubber"}, ABLE, "unknown distance 'pseudo-hubber'; did you mean 'pseudo-huber'?"),
    ("sim", {"distance": "huber", "c": 0.0}, ABLE, "huber needs c above 0"),
    ("sim", {"power": 0.5, "distance": "power"}, ABLE, "power must be at least 1 (got 0.5)"),
    ("regression", {"distance": "lp"}, ABLE, "unknown distance 'lp'"),
    ("vsd", {"rank": 0}, ABLE, "rank must be above 0 (got 0)"),
    ("vsd", {"t_init": 999.0}, ABLE, "t_init must be at most 160 on the edm process (got 999.0)"),
    ("sid", {"t_init": 1000.0}, ON_VP, "t_init must be at most 999 on the vp process (got 1000.0)"),
]


@pytest.mark.parametrize(("name", "given", "teacher", "sentence"), MISTAKES)
def test_a_mistake_is_one_sentence(name: str, given: dict[str, Any], teacher: TeacherFacts, sentence: str) -> None:
    method = methods()[name]
    told = method.faults(method.options("toy", "digits", given), teacher)
    assert len(told) == 1 and sentence in told[0], told
    assert method.faults(method.options("toy", "digits"), ABLE) == []


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"method": "sid-lsg", "options": {"guidance": "lsg", "kappa": 2}}, "needs an unconditional branch"),
        ({"method": "sid-few-step", "options": {"steps": 0}}, "steps must be at least 1 (got 0)"),
        ({"method": "sim", "options": {"c": -1}}, "c must not be negative"),
        ({"method": "sim", "options": {"distance": "hubber"}}, "did you mean 'huber'?"),
        ({"method": "sid", "options": {"alhpa": 1}}, "unknown option of sid 'alhpa'; did you mean 'alpha'?"),
        ({"method": "regression"}, "regression needs the teacher's pairs"),
        ({"method": "sid_few_step"}, "unknown method 'sid_few_step'; did you mean 'sid-few-step'?"),
    ],
)
def test_the_suite_says_so_with_its_place(entry: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    """The smoke suite's teacher is trained without condition dropout, and its task has no pairs."""
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"name": "mine", "extends": "smoke", "entries": {"mine": entry}}))
    with pytest.raises(Fault) as caught:
        load_suite(str(file))
    (told,) = caught.value.sentences
    assert sentence in told and "entries.mine" in told
