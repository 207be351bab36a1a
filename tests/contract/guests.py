"""Methods that do not live in the repository: what `sidbench new` writes, and the documentation's example."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from benchmarks.verbs import new
from sid.discovery import components_of
from sid.method import Method

DOCUMENT = Path(__file__).parents[2] / "docs" / "adding-a-method.md"
WRITTEN, DOCUMENTED = "written-by-new", "fisher"


def documented(language: str) -> str:
    """The only block of that language in the document on adding a method."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    return block


def write(folder: Path) -> None:
    """Both as modules of the folder."""
    new.write(WRITTEN, folder)
    (folder / f"{DOCUMENTED}.py").write_text(documented("python"))


def method_in(module: ModuleType) -> Method:
    """The one method that a module defines."""
    (method,) = components_of(module, Method)
    return method
