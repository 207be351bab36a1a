"""What goes wrong around a suite: each is told in a sentence by its one command, and the same command mends it.

Run on demand, as root (for the small disk): python tests/smoke/failures.py [full_disk read_only ...]

a full disk          a tmpfs of some MB: refused in a sentence; with room the same command ends as if nothing had been
read-only results    the same disk, mounted read-only: refused before anything is made
a flipped byte       in a generator that another run begins from: named, and mended by taking the file away
two runs at once     one of them makes the suite, the other says for whom it waits and finds nothing to do
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUITE = """
name: failing
title: Small, with a run that begins from another
extends: smoke
entries:
  dmd: null
  again: {label: "from SiD's generator", method: sid, init: sid, options: {alpha: 1.0}}
"""


class Shown(Exception):
    """Something was not as it should be."""


def call(folder: Path, results: str = "results") -> subprocess.CompletedProcess[str]:
    """The command, to its end."""
    return subprocess.run(**_call(folder, results), capture_output=True, text=True)


def _call(folder: Path, results: str) -> dict:
    words = [sys.executable, "-m", "benchmarks", "--results", results, "reproduce", "failing.yaml"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return {"args": words, "cwd": folder, "env": environment}


def expect(true: object, what: str, done: subprocess.CompletedProcess[str] | None = None) -> None:
    if not true:
        raise Shown(what + (f"\n{done.stdout}{done.stderr}" if done else ""))


def told(done: subprocess.CompletedProcess[str], logs: Path) -> str:
    """All that a user was told: by the command, and by the logs that it quotes."""
    quoted = [path.read_text() for path in logs.rglob("*.log")] if logs.is_dir() else []
    return "\n".join([done.stdout, done.stderr, *quoted])


def files(results: Path) -> dict[str, bytes]:
    wanted = ("verdict.csv", "curve.jsonl", "scores.json", "generator.safetensors")
    return {str(path.relative_to(results)): path.read_bytes() for path in results.rglob("*") if path.name in wanted}


@contextlib.contextmanager
def disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A disk of its own; what it yields mounts it again with other options."""

    def mount(*words: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", *words, "tmpfs", str(folder)], check=True)

    folder.mkdir()
    mount("-o", f"size={size}")
    try:
        yield lambda options: mount("-o", f"remount,{options}")
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def full_disk(folder: Path, whole: dict[str, bytes]) -> None:
    with disk(folder / "small", "3m") as remount:
        done = call(folder, "small/results")
        said = told(done, folder / "small")
        expect(done.returncode, "a full disk is no success", done)
        expect("No space left" in said, f"the full disk is not named: {said}")
        expect("Traceback" not in said, f"a traceback: {said}")
        remount("size=500m")
        done = call(folder, "small/results")
        expect(done.returncode == 0, "with room the same command ends", done)
        expect(files(folder / "small/results") == whole, "other results than an undisturbed run's")


def read_only(folder: Path, whole: dict[str, bytes]) -> None:
    with disk(folder / "sealed", "20m") as remount:
        remount("ro")
        done = call(folder, "sealed/results")
        expect(done.returncode == 2 and "cannot write into the folder" in done.stderr, "not refused", done)
        expect(done.stderr.count("\n") == 1 and "Traceback" not in done.stderr, "more than a sentence", done)


def flipped_byte(folder: Path, whole: dict[str, bytes]) -> None:
    expect(call(folder).returncode == 0, "the suite is not made")
    home = folder / "results/failing/runs/digits-cond"
    generator = home / "sid/0/generator.safetensors"
    was, bytes_ = generator.stat(), bytearray(generator.read_bytes())
    bytes_[-7] ^= 1
    generator.write_bytes(bytes_)
    os.utime(generator, ns=(was.st_atime_ns, was.st_mtime_ns))
    (home / "again/0/scores.json").unlink()
    for state in (folder / "results/failing/state/digits-cond/again").rglob("state-*"):
        subprocess.run(["rm", "-r", str(state)], check=True)
    done = call(folder)
    said = told(done, folder / "results/failing/logs")
    expect(done.returncode and "sha256" in said and "generator.safetensors" in said, f"not named: {said}", done)
    generator.unlink()
    done = call(folder)
    expect(done.returncode == 0, "taking the damaged file away mends it", done)
    expect(files(folder / "results") == whole, "other results than an undisturbed run's")


def two_at_once(folder: Path, whole: dict[str, bytes]) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(**_call(folder, "shared"), **pipes) for _ in range(2)]
    said = [process.communicate() for process in both]
    codes = [process.returncode for process in both]
    expect(codes == [0, 0], f"statuses {codes}: {said}")
    waited = [(out, wrong) for out, wrong in said if "waiting for process" in wrong]
    expect(len(waited) == 1, f"one of the two waits: {said}")
    (out, wrong) = waited[0]
    expect("which is at work in this folder" in wrong and "nothing to do" in out, f"{out}{wrong}")
    expect(files(folder / "shared") == whole, "other results than an undisturbed run's")


def main() -> int:
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "failing.yaml").write_text(SUITE)
        done = call(folder, "whole")
        if done.returncode:
            print(done.stdout + done.stderr)
            return 1
        whole = files(folder / "whole")
        trials = {trial.__name__: trial for trial in (two_at_once, full_disk, read_only, flipped_byte)}
        for trial in [trials[word] for word in sys.argv[1:]] or trials.values():
            if trial in (full_disk, read_only) and os.getuid():
                print(f"{trial.__name__}: skipped: mounting takes root")
                continue
            try:
                trial(folder, whole)
                print(f"{trial.__name__}: as it should be", flush=True)
            except Shown as wrong:
                failed += 1
                print(f"{trial.__name__}: {wrong}", flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
