"""What a method says of itself, checked without torch: names, options, defaults, faults. Imports no torch."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from benchmarks.suite.strict import NAME, given
from sid.discovery import VERIFIED, UnknownName
from sid.method import Method, TeacherFacts


def facts(process: str, able: bool, **told: bool) -> TeacherFacts:
    """A teacher that can do everything a method may ask for, or nothing, but for what is told."""
    abilities = [field.name for field in dataclasses.fields(TeacherFacts) if field.type in ("bool", bool)]
    return TeacherFacts("any", process, **{**dict.fromkeys(abilities, able), **told})


TOY = facts("edm", True, text=False)
TEACHERS = [
    facts(process, able, text=text)
    for process in ("edm", "vp", "flow")
    for able in (True, False)
    for text in (True, False)
]


def tasks_of(method: Method) -> list[str]:
    """The tasks and data sets it declares defaults for, and one it has never heard of."""
    return [*method.defaults, "unheard-of"]


def it_says_what_it_is(method: Method) -> None:
    assert re.fullmatch(NAME, method.name)
    assert isinstance(method.version, int) and method.version >= 1
    assert method.paper.strip() and "\n" not in method.paper
    assert method.verified in VERIFIED
    assert method.needs <= {"real", "pairs", "prompts"}
    assert isinstance(method.split_matters, str)
    assert dataclasses.is_dataclass(method.Options) and method.Options.__dataclass_params__.frozen  # type: ignore[attr-defined]


def its_options_survive_the_round_trip(method: Method) -> None:
    """Options -> plain dict -> JSON -> the suite's strict reader -> options."""
    for task in tasks_of(method):
        options = method.options(task)
        plain = json.loads(json.dumps(dataclasses.asdict(options)))
        assert method.options(task, given=given(method.Options, plain)) == options


def its_defaults_are_valid(method: Method) -> None:
    """Every declared key is a known option of the right type, and some teacher takes the whole without a fault.

    Asked as on a machine that has every weight file: a missing one is no fault of the defaults.
    """
    for task in tasks_of(method):
        given(method.Options, json.loads(json.dumps(dict(method.defaults.get(task, {})))))
        options = method.options(task)
        with mock.patch.object(Path, "exists", return_value=True):
            told = [method.faults(options, teacher) for teacher in TEACHERS]
        assert [] in told, f"no teacher can be distilled with the defaults for {task}: {min(told, key=len)}"
    assert method.faults(method.options("toy", "digits"), TOY) == []


def an_unknown_option_is_refused_with_the_nearest_one(method: Method) -> None:
    for field in dataclasses.fields(method.Options):
        mistyped = field.name + field.name[-1]
        with pytest.raises(UnknownName, match=f"'{mistyped}'; did you mean '{field.name}'"):
            method.options("", "", {mistyped: 1})


def its_faults_are_sentences(method: Method) -> None:
    """Whatever single option is wrong and whatever the teacher, `faults` answers in sentences and never raises."""
    for options in [method.options("toy", "digits"), *_wrong_options(method)]:
        for teacher in TEACHERS:
            for sentence in method.faults(options, teacher):
                assert isinstance(sentence, str) and len(sentence.split()) > 2 and "\n" not in sentence, sentence


def _wrong_options(method: Method) -> Iterator[Any]:
    """The toy's options with one field at a time set to something extreme of its own type."""
    options = method.options("toy", "digits")
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if isinstance(value, bool):
            extremes: tuple[Any, ...] = (not value,)
        elif isinstance(value, int):
            extremes = (0, -1)
        elif isinstance(value, float):
            extremes = (0.0, -1.0, math.inf, math.nan)
        elif isinstance(value, str):
            extremes = ("no such thing",)
        else:
            continue
        yield from (dataclasses.replace(options, **{field.name: extreme}) for extreme in extremes)


CHECKS = (
    it_says_what_it_is,
    its_options_survive_the_round_trip,
    its_defaults_are_valid,
    an_unknown_option_is_refused_with_the_nearest_one,
    its_faults_are_sentences,
)
