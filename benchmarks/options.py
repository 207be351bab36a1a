"""Options from NAME=VALUE words of a command line, checked as a suite's are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from benchmarks.suite.strict import faults, given, model_of
from sid.fault import Fault
from sid.parallel.settings import EngineSettings

if TYPE_CHECKING:
    from sid.method import Method


def parse(method: Method, data: str, words: Sequence[str]) -> Any:
    """The method's options for a data set with these words over its defaults; every fault at once."""
    return method.options("", data, _read(method.Options, "--set", words))


def parse_engine(words: Sequence[str]) -> EngineSettings:
    """How training is executed: the paper-faithful preset with these words over it."""
    settings = EngineSettings(**_read(EngineSettings, "--engine", words))
    if told := settings.faults():
        raise Fault(told)
    return settings


def _read(cls: type, flag: str, words: Sequence[str]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise Fault(f"{flag} takes NAME=VALUE (got '{word}')")
        told[name] = yaml.safe_load(value)
    try:
        return given(cls, told)
    except ValidationError as error:
        found = faults(error, model_of(cls, partial=True))
        raise Fault([f"{flag} {'.'.join(map(str, at))}: {what}" for at, what in found]) from None
