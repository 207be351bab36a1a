"""Looks at the source text that a published .pkl carries. It is parsed, never run.

Since nothing runs it, this protects nobody; but a text that starts programs is the mark of a forged file, whose
weights deserve no more trust than its text.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from functools import cache

from sid.fault import Fault

LONGEST = 2_000_000  # characters; published modules have some ten thousand
# fmt: off
NO_NETWORK_IMPORTS = frozenset((
    "subprocess", "socket", "ctypes", "shutil", "importlib", "pty", "marshal", "urllib", "http", "requests",
    "builtins", "runpy", "asyncio", "posix", "nt", "ftplib", "smtplib", "telnetlib",
))
# fmt: on
NO_NETWORK_NAMES = frozenset(["eval", "exec", "__import__"])
NO_NETWORK_CALLS = frozenset(["open", "compile", "breakpoint"])
HARMLESS_OF_OS = frozenset(["path", "environ", "getenv", "sep"])


def check(source: str, class_name: str) -> None:
    """A Fault where the text does what no network does, naming it."""
    if len(source) > LONGEST:
        raise Fault(f"the source embedded for {class_name} has {len(source)} characters, more than any network's")
    if deed := _first_deed(source):
        raise Fault(f"the source embedded for {class_name} {deed}, which no published network does: the file is forged")


@cache
def _first_deed(source: str) -> str | None:
    """Looked for once: every object of a file carries the same text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the text's own style
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # no Python at all: nobody could have run it either
    return next(_deeds(tree), None)


def _deeds(tree: ast.AST) -> Iterator[str]:
    names_of_os = {"os"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names_of_os |= {alias.asname for alias in node.names if alias.name == "os" and alias.asname}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in NO_NETWORK_IMPORTS:
                    yield f"imports {alias.name}"
        elif isinstance(node, ast.ImportFrom):
            root = (node.module or "").split(".")[0]
            if root in NO_NETWORK_IMPORTS:
                yield f"imports {node.module}"
            if node.module == "os":
                yield from (f"imports os.{alias.name}" for alias in node.names if alias.name not in HARMLESS_OF_OS)
        elif isinstance(node, ast.Name) and node.id in NO_NETWORK_NAMES:
            yield f"uses {node.id}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NO_NETWORK_CALLS:
            yield f"calls {node.func.id}"
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in names_of_os
            and node.attr not in HARMLESS_OF_OS
        ):
            yield f"uses os.{node.attr}"
