"""Discovery of components: a file in a component folder is found without a registry.

A component file defines a class that derives from the base of its kind (Method, Metric, ...).
Discovery imports every file, so component files import no torch at module level (a test asserts it).
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import ClassVar, TypeVar

from sid.fault import Fault

VERIFIED = {  # how far a component was verified
    "weights": "checked on real files",
    "layout": "checked on files of the real layout with made weights",
    "update": "whole updates equal a plain loop written from the paper, to 1e-9 in float64 (tests/updates/)",
    "none": "not checked against published files",
}


ALIKE = 0.8  # of options, which all begin alike


class Component:
    """The facts that every component states."""

    name: ClassVar[str]
    version: ClassVar[int] = 1  # a bump re-runs what depends on it, and nothing else
    paper: ClassVar[str] = ""  # "Authors, Title, arXiv id", empty where there is none
    verified: ClassVar[str] = "none"  # a word of VERIFIED
    covers: ClassVar[str] = ""  # what the verification covers, where that is not all


C = TypeVar("C", bound=Component)


class UnknownName(Fault):
    """An unknown name, with the nearest known one."""

    def __init__(self, what: str, name: str, known: Iterable[str]):
        super().__init__(unknown(what, name, known))


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The sentence for an unknown name: it offers the nearest known one, or lists all."""
    known = sorted(known)
    near = nearest(name, known)
    hint = f"did you mean '{near}'?" if near else f"known: {', '.join(known) or 'none'}"
    return f"unknown {what} '{name}'; {hint}"


def nearest(name: str, known: Iterable[str], alike: float = 0.5) -> str | None:
    """The known name closest to a mistyped one, or None when nothing is so much `alike`."""
    matches = get_close_matches(str(name), list(known), n=1, cutoff=alike)
    return matches[0] if matches else None


def discover(base: type[C], packages: Iterable[str], entry_point: str | None = None) -> dict[str, C]:
    """Every component of kind `base` in the packages' files, and in other distributions' entry points."""
    instances: list[C] = []
    for package_name in packages:
        package = importlib.import_module(package_name)
        for file in pkgutil.iter_modules(package.__path__):
            if not file.ispkg:
                instances += components_of(importlib.import_module(f"{package_name}.{file.name}"), base)
    for entry in entry_points(group=entry_point) if entry_point else ():
        instances += _entered(entry, base)
    components: dict[str, C] = {}
    for component in instances:
        clash = components.setdefault(component.name, component)
        if type(clash) is not type(component):
            where = " and ".join(f"{type(each).__module__}.{type(each).__name__}" for each in (clash, component))
            raise Fault(f"two components are called '{component.name}': {where}")
    return dict(sorted(components.items()))


def _entered(entry: EntryPoint, base: type[C]) -> list[C]:
    """The components of an entry point; a Fault that names the package where it can't be loaded."""
    try:
        return components_of(entry.load(), base)
    except Exception as error:
        package = entry.dist.name if entry.dist else "unknown"
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        raise Fault(f"the package {package}: its entry point '{entry.name}' can't be loaded ({why})") from error


def components_of(module: object, base: type[C]) -> list[C]:
    """The components one module defines; an entry point may also name the class itself."""
    if inspect.isclass(module):
        return [module()] if issubclass(module, base) else []
    return [
        value()
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, base)
        and value.__module__ == getattr(module, "__name__", None)
        and "name" in vars(value)
    ]


def pick(what: str, components: dict[str, C], name: str) -> C:
    """The component of that name, or UnknownName with the nearest valid one."""
    if name not in components:
        raise UnknownName(what, name, components)
    return components[name]
