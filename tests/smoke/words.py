"""Makes the smoke suite, trainings included, below results of every awkward name, and compares each with a plain one.

Run on demand: python -m tests.smoke.words [NAME ...]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.test_words import AWKWARD

ROOT = Path(__file__).parents[2]
COMPARED = ("verdict.md", "verdict.csv", "curve.jsonl", "scores.json", "generator.safetensors")


def made(folder: Path, name: str) -> dict[str, bytes]:
    """Runs the suite; its files by their place."""
    words = [sys.executable, "-m", "benchmarks", f"--results={name}", "reproduce", "smoke"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout + done.stderr)
    home = folder / name
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.name in COMPARED}


def main() -> int:
    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        plain = made(Path(place), "plain")
        for name in sys.argv[1:] or AWKWARD:
            same = bool(plain) and made(Path(place), name) == plain
            print(f"{name!r:<32} {len(plain)} files {'identical' if same else 'DIFFERENT'}", flush=True)
            wrong += not same
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
