"""Suite and protocol files: found by name, read safely, merged with what they extend; each key keeps its origin."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from benchmarks.suite.strict import Location, Strict, faults
from sid.discovery import UnknownName
from sid.fault import Fault

PACKAGE_DIR = Path(__file__).parents[1]
PAPERS_DIR = PACKAGE_DIR / "papers"
SHEETS = ("*/table-*.yaml", "*/context*.yaml")  # printed tables, and printed numbers that give context
MOST_BYTES = 2**18  # of a suite's file; the largest that is shipped has a tenth
MOST_VALUES = 20_000  # in it, aliases expanded
DEEPEST = 32  # sections in sections
WRONG_YAML = (yaml.YAMLError, ValueError, OverflowError, KeyError, TypeError, AttributeError)
Model = TypeVar("Model", bound=Strict)
_KINDS: dict[type, str] = {list: "a list", str: "a text"}
TOO_DEEP = f"sections are nested deeper than {DEEPEST}"


@dataclass
class SuiteFile:
    """The merged content of a file and, for every key from another file, that file."""

    file: Path
    content: dict[str, Any]
    origins: dict[Location, tuple[Path, int]] = field(default_factory=dict)  # path -> (file, leading parts to drop)

    def sentence(self, at: Location, what: str) -> str:
        """A fault with the file and the path of its key there."""
        file, drop = self.file, 0
        for length in range(len(at), 0, -1):
            if at[:length] in self.origins:
                file, drop = self.origins[at[:length]]
                break
        path = ".".join(at[drop:])
        return f"{shown(file)}: {path}: {what}" if path else f"{shown(file)}: {what}"

    def graft(self, at: Location, other: Path, content: dict[str, Any]) -> None:
        """Puts another file's content under a key of this one."""
        here = self.content
        for part in at[:-1]:
            here = here.setdefault(part, {})
        here[at[-1]] = content
        self.origins[at] = (other, len(at))


def shown(file: Path) -> str:
    """A path relative to the working folder, if it lies below it."""
    try:
        return str(file.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(file)


def names(kind: str) -> list[str]:
    """The shipped files of a kind: "suite" or "protocol"."""
    return sorted(file.stem for file in (PACKAGE_DIR / f"{kind}s").glob("*.yaml"))


def sheets(folder: Path = PAPERS_DIR) -> list[Path]:
    """The files of printed numbers, paper by paper."""
    return sorted(file for pattern in SHEETS for file in folder.glob(pattern))


def find(kind: str, name: str) -> Path:
    """The file of a shipped name, or the given path."""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        if not Path(name).is_file():
            lacking = f"'{name}' is a folder, and no {kind} file" if Path(name).is_dir() else ""
            raise Fault(lacking or f"there is no {kind} file '{name}'")
        return Path(name)
    if name not in names(kind):
        if Path(name).is_file():
            raise Fault(f"'{name}' is a file, but no {kind} file: the name of one ends with .yaml")
        raise UnknownName(kind, name, names(kind))
    return PACKAGE_DIR / f"{kind}s" / f"{name}.yaml"


def read(file: Path) -> dict[str, Any]:
    """One YAML file as a mapping. Nothing in it is ever executed."""
    try:
        if file.stat().st_size > MOST_BYTES:
            raise Fault(f"{shown(file)}: has more than {MOST_BYTES >> 10} KiB, and is no file that a person wrote")
        loader = _Loader(file.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        _count(file, node)
        content = None if node is None else loader.construct_document(node)
    except RecursionError:
        raise Fault(f"{shown(file)}: {TOO_DEEP}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Fault(f"{shown(file)}: is no valid YAML{where}: {error.problem}") from None
    except WRONG_YAML as error:
        raise Fault(f"{shown(file)}: is no valid YAML: {error}") from None
    except OSError as error:
        raise Fault(f"{shown(file)}: cannot be read: {error.strerror}") from None
    if not isinstance(content, dict):
        instead = "and the file is empty" if content is None else f"not {_KINDS.get(type(content), 'one value')}"
        raise Fault(f"{shown(file)}: must be a section of keys, {instead}")
    return content


def validated(model: type[Model], file: Path, content: Any) -> Model:
    """The content of a file as a model; a Fault with one sentence for each thing wrong in it."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise Fault([f"{shown(file)}: {'.'.join(at)}: {what}" for at, what in faults(error, model)]) from None


def _count(file: Path, node: yaml.Node | None) -> None:
    """Refuses what would expand without end: an anchor inside itself, deep nesting, aliases of aliases."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, above: tuple[int, ...]) -> int:
        if id(node) in above:
            mark = node.start_mark
            raise Fault(f"{shown(file)}: line {mark.line + 1}: an anchor stands inside itself")
        if isinstance(node, yaml.ScalarNode) and (surprise := _surprise(node)):
            mark = node.start_mark
            raise Fault(f"{shown(file)}: line {mark.line + 1}: {surprise}")
        if id(node) not in sizes:
            parts: list[yaml.Node] = []
            if isinstance(node, yaml.MappingNode):
                parts = [part for pair in node.value for part in pair]
            elif isinstance(node, yaml.SequenceNode):
                parts = node.value
            sizes[id(node)] = 1 + sum(size(part, (*above, id(node))) for part in parts)
            if sizes[id(node)] > MOST_VALUES:
                raise Fault(f"{shown(file)}: has more than {MOST_VALUES:,} values when its aliases are expanded")
        return sizes[id(node)]

    if node is not None:
        size(node, ())


def _surprise(node: yaml.ScalarNode) -> str:
    """What YAML 1.1 makes of a word that most people read otherwise; empty where it agrees with them."""
    word, number = str(node.value), node.tag == "tag:yaml.org,2002:int"
    if node.style is not None or (number and re.fullmatch(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)", word)):
        return ""
    if number or (node.tag == "tag:yaml.org,2002:float" and ":" in word):
        meaning = yaml.SafeLoader("").construct_object(node)
        return f"{word} is {meaning:,} in YAML: write that number, or '{word}' in quotes as text"
    if node.tag == "tag:yaml.org,2002:bool" and word.lower() not in ("true", "false"):
        meaning = str(yaml.SafeLoader.bool_values[word.lower()]).lower()
        return f"{word} is {meaning} in YAML: write that, or '{word}' in quotes as text"
    return ""


class _Loader(yaml.SafeLoader):
    """The safe loader, refusing a key that occurs twice, and deep nesting before it costs time."""

    def __init__(self, stream: Any):
        super().__init__(stream)
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise RecursionError
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key_node.value}' stands twice", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def resolve(kind: str, name: str) -> SuiteFile:
    """A file with all that it extends: sections are merged key by key, lists replaced, a null removes a key."""
    file = find(kind, name)
    merged = SuiteFile(file, {})
    for origin, content in _lineage(kind, file, ()):
        _merge(merged, merged.content, content, origin, ())
    return merged


def laid_over(base: SuiteFile, content: dict[str, Any], origin: Path) -> dict[str, Any]:
    """The content merged over the base, as if its file extended the base."""
    _merge(base, base.content, content, origin, ())
    return base.content


def _lineage(kind: str, file: Path, below: tuple[Path, ...]) -> list[tuple[Path, dict[str, Any]]]:
    """The files that one extends, itself last; a later parent overrides an earlier one."""
    if any(file.resolve() == seen.resolve() for seen in below):
        raise Fault(f"{shown(below[-1])}: extends: comes back to itself")
    content = read(file)
    extends = content.get("extends")
    parents = extends if isinstance(extends, list) else [] if extends is None else [extends]
    lineage: list[tuple[Path, dict[str, Any]]] = []
    for parent in parents:
        try:
            other = find(kind, _beside(file, str(parent)))
        except Fault as fault:
            raise Fault([f"{shown(file)}: extends: {sentence}" for sentence in fault.sentences]) from None
        lineage += _lineage(kind, other, (*below, file))
    return [*lineage, (file, content)]


def _beside(file: Path, parent: str) -> str:
    """A path in `extends` is relative to the file it stands in."""
    return str(file.parent / parent) if parent.endswith((".yaml", ".yml")) else parent


def _merge(merged: SuiteFile, into: dict[str, Any], content: dict[Any, Any], origin: Path, at: Location) -> None:
    """Merges a file's content into the section at `at`, and notes for each key which file it came from."""
    for key, value in content.items():
        here = (*at, str(key))
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(merged, into[key], value, origin, here)
            continue
        for inner in [inner for inner in merged.origins if inner[: len(here)] == here]:
            del merged.origins[inner]
        if value is None and key in into:
            del into[key]
            continue
        into[key] = value
        merged.origins[here] = (origin, 0)
