"""Strict configuration: nothing is guessed, no unknown key is ignored, every fault is reported with its path.

Sections of suite and protocol files are pydantic models derived from `Strict`; dataclasses of settings get one by
`model_of`. `faults` turns pydantic's errors into sentences.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from sid.discovery import unknown
from sid.fault import Fault
from sid.parallel.settings import EngineSettings

if TYPE_CHECKING:
    from sid.method import Method


Location = tuple[str, ...]  # the keys on the way to a value
NAME = r"^[a-z0-9][a-z0-9._-]*$"  # names become folders
SCIENTIFIC = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)[eE][+-]?\d+")
# pydantic's kinds of error -> what was expected
EXPECTED = {
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "text",
    "bool_type": "true or false",
    "dict_type": "a section of keys",
    "model_type": "a section of keys",
    "model_attributes_type": "a section of keys",
    "tuple_type": "a list",
    "list_type": "a list",
}


class Strict(BaseModel):
    """A section of a configuration file."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def _number(value: Any) -> Any:
    """PyYAML follows YAML 1.1, where 1e-5, having no dot, is text; it is read as a number."""
    return float(value) if isinstance(value, str) and SCIENTIFIC.fullmatch(value) else value


def _integer(value: Any) -> Any:
    """As `_number`; 1e6 is a whole number."""
    number = _number(value)
    return int(number) if isinstance(value, str) and isinstance(number, float) and number.is_integer() else value


# Each type has its bounds inside the validator that reads text, so that the schema shows them.
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1)]
MOST = 2**53  # above it, JSON's numbers are no longer whole in other tools
_Whole = Annotated[int, Field(ge=0, le=MOST)]
_Count = Annotated[int, Field(ge=1, le=MOST)]
_Points = Annotated[int, Field(ge=0, le=10_000)]
Number = Annotated[_Number, BeforeValidator(_number, json_schema_input_type=_Number)]
Positive = Annotated[_Positive, BeforeValidator(_number, json_schema_input_type=_Positive)]
Share = Annotated[_Share, BeforeValidator(_number, json_schema_input_type=_Share)]
Integer = Annotated[int, BeforeValidator(_integer, json_schema_input_type=int)]
Whole = Annotated[_Whole, BeforeValidator(_integer, json_schema_input_type=_Whole)]
Count = Annotated[_Count, BeforeValidator(_integer, json_schema_input_type=_Count)]
Points = Annotated[_Points, BeforeValidator(_integer, json_schema_input_type=_Points)]
Name = Annotated[str, Field(pattern=NAME)]
T = TypeVar("T")
Many = Annotated[tuple[T, ...], Field(strict=False)]  # YAML has lists only


def numbers(value: Any) -> Any:
    """The same tree with every text in scientific notation replaced by its number."""
    if isinstance(value, dict):
        return {key: numbers(item) for key, item in value.items()}
    return [numbers(item) for item in value] if isinstance(value, list) else _number(value)


@lru_cache
def model_of(cls: type, partial: bool = False) -> type[Strict]:
    """The strict model of a stdlib dataclass; `partial` requires no field."""
    hints = typing.get_type_hints(cls)
    model_fields: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        model_fields[field.name] = (_strict(hints[field.name]), ... if required and not partial else None)
    return create_model(cls.__name__, __base__=Strict, **model_fields)


def _strict(hint: Any) -> Any:
    """The strict form of a dataclass field's type."""
    if hint is float:
        return Number
    if hint is int:
        return Integer
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return model_of(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return Union[tuple(_strict(argument) for argument in arguments)]  # noqa: UP007 - a union built at run time
    if origin is tuple:
        inner = tuple(argument if argument is ... else _strict(argument) for argument in arguments)
        return Annotated[types.GenericAlias(tuple, inner), Field(strict=False)]
    if origin in (list, dict):
        return types.GenericAlias(origin, tuple(_strict(argument) for argument in arguments))
    return hint


def given(cls: type, values: Any) -> dict[str, Any]:
    """The given fields of a dataclass, checked and converted; a ValidationError holds all that is wrong."""
    model = model_of(cls, partial=True).model_validate(values)
    return {name: _plain(getattr(model, name), hint) for name, hint in _hints(cls) if name in model.model_fields_set}


def _hints(cls: type) -> list[tuple[str, Any]]:
    return list(typing.get_type_hints(cls).items())


def _plain(value: Any, hint: Any) -> Any:
    """A strict model back to the dataclass it was made from."""
    if isinstance(value, Strict):
        classes = [cls for cls in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(cls)]
        cls = next(cls for cls in classes if isinstance(cls, type) and isinstance(value, model_of(cls)))
        return cls(
            **{name: _plain(getattr(value, name), own) for name, own in _hints(cls) if name in value.model_fields_set}
        )
    if isinstance(value, tuple):
        inner = typing.get_args(hint)[0] if typing.get_args(hint) else None
        return tuple(_plain(item, inner) for item in value)
    return value


def faults(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[Location, str]]:
    """Every fault as (path, sentence); those of a union's branches are joined into one."""
    sentences: dict[Location, list[str]] = {}
    details = error.errors(include_url=False)
    for detail in details:
        at = tuple(str(part) for part in detail["loc"])
        if detail["type"] == "too_short" and any(
            other["loc"][: len(at)] == detail["loc"] != other["loc"] for other in details
        ):
            continue  # it has items, and those are wrong
        known, where = _walk(model, at)
        sentence = _sentence(dict(detail), at, known)
        if detail["type"] in ("missing", "extra_forbidden"):
            where = at
        sentences.setdefault(where, [])
        if sentence not in sentences[where]:
            sentences[where].append(sentence)
    for where, alternatives in sentences.items():
        yield where, " or ".join(alternatives)


def _walk(model: type[BaseModel], at: Location) -> tuple[list[str], Location]:
    """The keys of the last section on the path, and the path without pydantic's own marks."""
    here: Any = model
    known: list[str] = []
    for depth, part in enumerate(at):
        here = _unwrap(here)
        if isinstance(here, type) and issubclass(here, BaseModel):
            known = list(here.model_fields)
            if part not in here.model_fields:
                return known, at[:depth]
            here = here.model_fields[part].annotation
        elif typing.get_origin(here) is dict:
            here = typing.get_args(here)[1]
        elif typing.get_origin(here) in (tuple, list):
            here = typing.get_args(here)[0]
        else:
            return known, at[:depth]
    return known, tuple(part for part in at if part != "[key]")


def _unwrap(hint: Any) -> Any:
    """The section or container inside Annotated and Optional."""
    while True:
        origin = typing.get_origin(hint)
        if origin is Annotated:
            hint = typing.get_args(hint)[0]
        elif origin in (Union, types.UnionType):
            inner = [argument for argument in typing.get_args(hint) if argument is not type(None)]
            if len(inner) != 1:
                return hint
            hint = inner[0]
        else:
            return hint


def _sentence(detail: dict[str, Any], at: Location, known: list[str]) -> str:
    kind, got = detail["type"], detail.get("input")
    if kind == "extra_forbidden":
        return unknown("key", at[-1], known)
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind in EXPECTED:
        return f"must be {EXPECTED[kind]} (got {_shown(got)})"
    if kind == "string_pattern_mismatch":
        return f"must be a name of lower-case letters, digits, '.', '_' and '-' (got {_shown(got)})"
    if kind == "too_short":
        return "must not be empty"
    if kind == "literal_error":
        return unknown("value", str(got), re.findall(r"'([^']*)'", detail["ctx"]["expected"]))
    return f"{detail['msg'].replace('Input should', 'must', 1)} (got {_shown(got)})"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def parse_options(method: Method, data: str, words: Sequence[str]) -> Any:
    """The method's options for a data set: these NAME=VALUE words over its defaults. Every fault is raised at once."""
    return method.options("", data, _read(method.Options, "--set", words))


def parse_engine(words: Sequence[str]) -> EngineSettings:
    """How training is executed: these NAME=VALUE words over the paper-faithful preset."""
    settings = EngineSettings(**_read(EngineSettings, "--engine", words))
    if wrong := settings.faults():
        raise Fault(wrong)
    return settings


def _read(cls: type, flag: str, words: Sequence[str]) -> dict[str, Any]:
    """The dataclass's fields that the words set, checked; `flag` is the option they were given with."""
    values: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise Fault(f"{flag} takes NAME=VALUE (got '{word}')")
        values[name] = yaml.safe_load(value)
    try:
        return given(cls, values)
    except ValidationError as error:
        wrong = faults(error, model_of(cls, partial=True))
        raise Fault([f"{flag} {'.'.join(map(str, at))}: {what}" for at, what in wrong]) from None
