"""Method options from NAME=VALUE words of a command line, checked as a suite's are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from benchmarks.strict import faults, given, model_of
from sid.fault import Fault

if TYPE_CHECKING:
    from sid.method import Method


def parse(method: Method, data: str, words: Sequence[str]) -> Any:
    """The method's options for a data set with these words over its defaults; every fault at once."""
    told: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise Fault(f"--set takes NAME=VALUE (got '{word}')")
        told[name] = yaml.safe_load(value)
    try:
        return method.options("", data, given(method.Options, told))
    except ValidationError as error:
        found = faults(error, model_of(method.Options, partial=True))
        raise Fault([f"--set {'.'.join(map(str, at))}: {what}" for at, what in found]) from None
