"""Memory and time of every metric on many features: `python -m benchmarks.speed.memory`. Never a timed test.

Each group runs in a process of its own, so that its peak memory is its own: what the features themselves take, and the
libraries, is in it. Metrics that share their work, or differ in the features they name alone, are one group.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.machine import facts, limited_to
from sid import atomic
from sid.fault import Fault

RECORD = Path(__file__).parent / "records" / "memory.json"
COUNT, DIMENSION = 50_000, 2048
LIMIT = 8 * 2**30  # bytes that a metric may take at its peak
WIDTHS = {"logits_unbiased": 1008, "reward": 1}  # of outputs that are no feature vectors
HEAD = 768  # of the embeddings that the aesthetic head reads


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", metavar="METRIC", help="these metrics; the others keep their last numbers")
    parser.add_argument("--measure", nargs="+", metavar="METRIC", help=argparse.SUPPRESS)
    parser.add_argument("--record", type=Path, default=RECORD)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure, args.count)))
        return 0
    found: dict[str, Any] = {"command": " ".join(["python -m benchmarks.speed.memory", *sys.argv[1:]])}
    found |= {**facts(args.threads), "count": args.count, "dimension": DIMENSION, "limit_bytes": LIMIT, "metrics": {}}
    if args.only and args.record.is_file():
        found["metrics"] = json.loads(args.record.read_text())["metrics"]
    for group in groups():
        if args.only and not set(group) & set(args.only):
            continue
        found["metrics"][", ".join(group)] = one = apart(group, args.count, args.threads)
        print(f"{', '.join(group)}: {one}", flush=True)
        atomic.write_json(args.record, found)
    over = [name for name, one in found["metrics"].items() if one.get("peak_bytes", 0) > LIMIT]
    print(args.record)
    return 1 if over else 0


def groups() -> list[list[str]]:
    """The metrics by the work they do: one class of Frechet distances, and neighbours that are asked for by four."""
    from benchmarks.metrics.frechet import Frechet
    from benchmarks.suite.components import metrics

    known = metrics()
    distances = [name for name, metric in known.items() if isinstance(metric, Frechet)]
    shared = [distances, ["precision", "recall"], ["density", "coverage"]]
    alone = [[name] for name in known if not any(name in group for group in shared)]
    return [*shared[:1], *alone, *shared[1:]]


def apart(group: list[str], count: int, threads: int) -> dict[str, Any]:
    """The group measured in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.speed.memory", "--count", str(count), "--measure", *group]
    done = subprocess.run(command, env=limited_to(threads), stdout=subprocess.PIPE, text=True, check=True)
    return {**json.loads(done.stdout.splitlines()[-1]), "command": " ".join(["python", *command[1:]])}


def measure(group: list[str], count: int) -> dict[str, Any]:
    """Seconds and peak memory of the group's first metric of a kind, or why it can't be computed here."""
    from benchmarks.metrics.frechet import Frechet
    from benchmarks.suite.components import metrics

    known, values = metrics(), dict[str, float]()
    computed = group[:1] if isinstance(known[group[0]], Frechet) else group
    given = _features(known[computed[0]], count)
    wall, processor = time.perf_counter(), time.process_time()
    for name in computed:
        try:
            values[name] = known[name].compute(*given).value
        except Fault as fault:
            return {"unavailable": " ".join(fault.sentences)}
    return {
        "values": values,
        "wall_seconds": round(time.perf_counter() - wall, 1),
        "cpu_seconds": round(time.process_time() - processor, 1),
        "peak_bytes": peak_bytes(),
    }


def peak_bytes() -> int:
    """Of this program: getrusage would count the parent's, from before this one took the process over."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def _features(metric: Any, count: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray] | None]:
    """Made features as Inception's are, none negative; the reference's are a little larger."""
    names = metric.features or ("any.features",)
    rng = np.random.default_rng(0)

    def made(name: str, scale: float) -> np.ndarray:
        width = HEAD if metric.name == "aesthetic" else WIDTHS.get(name.rpartition(".")[2], DIMENSION)
        return np.abs(rng.standard_normal((count, width), dtype=np.float32)) * np.float32(scale)

    images = {name: made(name, 1.0) for name in names}
    return images, {name: made(name, 1.1) for name in names} if metric.reference else None


if __name__ == "__main__":
    raise SystemExit(main())
