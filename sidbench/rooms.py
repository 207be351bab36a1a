"""Where the code lies: beside this package in a checkout, in its own folder `tree` in an installed wheel."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

ROOMS = ("sid", "baselines", "benchmarks")
HERE = Path(__file__).resolve().parent
TREE = HERE / "tree" if (HERE / "tree").is_dir() else HERE.parent


def enter() -> None:
    """Puts the rooms first on the path of imports, and refuses others of the same names that are imported already."""
    if str(TREE) not in sys.path:
        sys.path.insert(0, str(TREE))
    for name in ROOMS:
        module = sys.modules.get(name)
        spec = module.__spec__ if module is not None else importlib.util.find_spec(name)
        places = [Path(place).resolve() for place in (spec.submodule_search_locations or ())] if spec else []
        if places != [TREE / name]:
            other = spec.origin if spec else "nowhere"
            raise ImportError(
                f"sidbench's own package '{name}' is hidden by another one, {other}: import sidbench first"
            )


def share() -> None:
    """Lets the processes that this one starts find the rooms, and take no folder of the working folder for one."""
    paths = [str(TREE), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ |= {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONSAFEPATH": "1"}
