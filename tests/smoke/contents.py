"""Prints what a change of each kind of a user's file makes again. Run on demand: python -m tests.smoke.contents"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tests.suites import user_files


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.chdir(root)
        os.environ.update(HF_HUB_CACHE=str(root / "hub"), SIDBENCH_DATA="", SIDBENCH_WEIGHTS="")
        user_files.write(root)
        user_files.hub(root)
        changes = (*user_files.CHANGES, "move")
        print(f"made again by a change of a file of:\n| | {' | '.join(changes)} |\n|---|{'---|' * len(changes)}")
        for kind in user_files.KINDS:
            remade = [", ".join(sorted(user_files.changed(root, kind, change))) or "nothing" for change in changes]
            print(f"| {kind} | {' | '.join(remade)} |")


if __name__ == "__main__":
    main()
