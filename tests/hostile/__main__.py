"""Prints what became of every hostile input, its seconds and the memory. Run on demand: python -m tests.hostile"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.images.reading import open_checked, refuse_undecodable
from benchmarks.suite.plan import load_plan
from sid.fault import Fault
from tests.hostile import folders, images, pickles, suites
from tests.hostile.test_corpus import GIGABYTES, described, opened


def inputs(place: Path) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """(kind, name, call)"""
    for number, (name, file, content) in enumerate(pickles.corpus()):
        path = place / f"pickle-{number}" / file
        path.parent.mkdir()
        path.write_bytes(content)
        yield "pickles", name, lambda path=path: opened(path, path.parent / "out")  # type: ignore[misc]
    for name, content in suites.corpus():
        (place / "own.yaml").write_bytes(content)
        yield "suites", name, lambda: load_plan("own.yaml")
    for name, path in images.make(place):
        yield "images", name, lambda path=path: refuse_undecodable(open_checked(path))  # type: ignore[misc]
    for name, kind, path in folders.make(place):
        yield "folders", name, lambda kind=kind, path=path: described(kind, path)  # type: ignore[misc]


def main() -> int:
    count: dict[str, Counter[str]] = {}
    slowest: dict[str, tuple[float, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for kind, name, call in inputs(Path(folder)):
            if sys.argv[1:] and kind not in sys.argv[1:]:
                continue
            begin = time.monotonic()
            try:
                call()
                answer = "accepted"
            except Fault:
                answer = "refused"
            except BaseException as error:
                answer = f"traceback ({type(error).__name__})"
                print(f"{kind}: {name}: {traceback.format_exc(limit=-3)}"[-1500:])
            seconds = time.monotonic() - begin
            if answer == "accepted" or seconds > 3:
                print(f"{kind}: {name}: {answer}, {seconds:.1f} s", flush=True)
            count.setdefault(kind, Counter())[answer] += 1
            slowest[kind] = max(slowest.get(kind, (0.0, "")), (seconds, name))
        executed = [path.name for path in Path(folder).rglob(pickles.MARK)]
    for kind, answers in count.items():
        print(f"{kind}: {dict(answers)}, slowest {slowest[kind][0]:.1f} s ({slowest[kind][1]})")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"executed: {len(executed)}; memory: {memory:.2f} GiB")
    tracebacks = any(answer.startswith("traceback") for answers in count.values() for answer in answers)
    return int(tracebacks or bool(executed) or memory > GIGABYTES)


if __name__ == "__main__":
    sys.exit(main())
