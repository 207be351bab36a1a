"""The single measurements of a GPU: `python -m benchmarks.speed.gpu.measure env|features|mini`.

env        the machine's ceilings, which the other numbers are compared with
features   Inception with random weights: images a second, and the difference between its features and the CPU's
mini       six runs of the miniature beside the CPU's scores of the same runs

Each writes its record again after every figure. As a plugin of pytest (`-p`) this module records the tests' outcomes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import lease
from benchmarks.speed.machine import command, facts, installed
from benchmarks.suite.job import SHARED
from sid import atomic

if TYPE_CHECKING:
    import numpy as np

MODULE = "benchmarks.speed.gpu.measure"
PACKAGES = ("triton", "transformers", "diffusers", "pydantic")
LAUNCHES, PASSES = 2000, 200
EXTRACTOR, OUTPUT = "inception-tf", "pool3"
COMPARED = 64  # images whose features the CPU computes too
BATCHES = (32, 256)
SUITE, TASK = "mini", "digits-cond"
RUNS = tuple(f"{entry}/{seed}" for seed in (0, 1, 2) for entry in ("sid-1.2", "dmd"))
RUNS_SECONDS = 110  # for all of them


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=MEASUREMENTS)
    parser.add_argument("--images", type=int, default=4096, help="of features")
    parser.add_argument("--shared", type=Path, default=Path("results"), help="of mini: results with `_shared`")
    parser.add_argument("--other", type=Path, default=Path("results"), help="of mini: results with the CPU's scores")
    parser.add_argument("--tiny", action="store_true", help="small sizes, on a CPU: a rehearsal")
    parser.add_argument("--record", type=Path, required=True)
    args = parser.parse_args()
    return MEASUREMENTS[args.what](args)


class Record:
    """A record that is written again after each figure."""

    def __init__(self, args: argparse.Namespace, threads: int, **head: Any):
        self.path = args.record
        self.content = {"command": command(MODULE), **facts(threads), "tiny": args.tiny, **head}

    def write(self, figures: dict[str, Any]) -> None:
        self.content |= figures
        print(figures, flush=True)
        atomic.write_json(self.path, self.content)


# env


def env(args: argparse.Namespace) -> int:
    import torch

    device = "cpu" if args.tiny else "cuda"
    record = Record(args, torch.get_num_threads(), python=platform.python_version(), **_card(device))
    record.content["versions"] |= {name: installed(name) for name in PACKAGES}
    for name, value in ceilings(device):
        record.write({name: value})
    return 0


def _card(device: str) -> dict[str, Any]:
    import torch

    if device == "cpu":
        return {}
    card = torch.cuda.get_device_properties(0)
    free, _ = torch.cuda.mem_get_info()
    return {"memory bytes": card.total_memory, "free bytes": free, "cudnn": torch.backends.cudnn.version()}


def ceilings(device: str) -> Iterator[tuple[str, float]]:
    """Name and value of each."""
    import torch

    from benchmarks.estimate.devices import TYPES, rate
    from benchmarks.features.base import full_precision
    from sid.draws import Draws, sent

    on_card = device == "cuda"
    side = 8192 if on_card else 256
    with full_precision():
        for kind, dtype in TYPES.items():
            yield f"{kind} TFLOP/s", rate(device, dtype, side, 2.0 if on_card else 0.1) / 1e12
    yield "copy GB/s", _copy_rate(2**32 if on_card else 2**22, device) / 1e9
    few = torch.zeros(64, device=device)

    def launches() -> None:
        for _ in range(LAUNCHES):
            few.add_(1)

    yield "launch us", seconds(launches, device) / LAUNCHES * 1e6
    linear, x = torch.nn.Linear(64, 64, device=device), torch.randn(64, 64, device=device)

    def passes() -> None:
        for _ in range(PASSES):
            with torch.autocast(device, torch.bfloat16):
                linear(x).sum().backward()

    yield "small layer under autocast, forward and backward, us", seconds(passes, device) / PASSES * 1e6
    host = torch.randn(2**22)
    yield "16 MiB through pinned memory, ms", seconds(lambda: sent(host, torch.device(device)), device) * 1e3
    begin = time.perf_counter()
    Draws(0, 0, range(1)).normal("x", (4, 128, 128), torch.empty(0))
    yield "one SDXL noise on the host, ms", (time.perf_counter() - begin) * 1e3


def _copy_rate(count: int, device: str) -> float:
    """Bytes a second that a copy reads and writes."""
    import torch

    data = torch.empty(count, dtype=torch.uint8, device=device)
    copy = torch.empty_like(data)
    return 2 * count / seconds(lambda: copy.copy_(data), device)


def seconds(run: Callable[[], Any], device: str, times: int = 3) -> float:
    """Median seconds of some calls, each until the device has ended; one call more warms up."""
    import torch

    taken = []
    for number in range(times + 1):
        begin = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        taken += [time.perf_counter() - begin] if number else []
    return statistics.median(taken)


# features


def features(args: argparse.Namespace) -> int:
    import numpy as np
    import torch

    pixels = np.random.default_rng(0).integers(0, 256, (args.images, 3, 32, 32), dtype=np.uint8)
    record = Record(args, torch.get_num_threads(), images=args.images)
    for figures in inception(pixels, "cpu" if args.tiny else "cuda"):
        record.write(figures)
    return 0


def inception(pixels: np.ndarray, device: str) -> Iterator[dict[str, Any]]:
    """Figures by name. The difference comes first: a fast wrong feature is worth nothing."""
    import numpy as np

    from benchmarks.features.extraction import extract
    from benchmarks.images.reading import Array
    from benchmarks.metrics import frechet
    from benchmarks.suite.components import extractors

    networks = {name: extractors()[EXTRACTOR].random(0, name) for name in dict.fromkeys((device, "cpu"))}

    def extracted(images: np.ndarray, place: str, batch: int) -> np.ndarray:
        network = {EXTRACTOR: networks[place]}
        return extract(Array(images), {EXTRACTOR: [OUTPUT]}, network, batch=batch).features[f"{EXTRACTOR}.{OUTPUT}"]

    there, here = (extracted(pixels[:COMPARED], place, BATCHES[0]) for place in (device, "cpu"))
    yield {"relative difference to the CPU's features": float(np.linalg.norm(there - here) / np.linalg.norm(here))}
    rates: dict[str, float] = {}
    for batch in BATCHES:
        begin = time.perf_counter()
        x = extracted(pixels, device, batch)
        rates[str(batch)] = len(pixels) / (time.perf_counter() - begin)
        yield {"images per second by batch": dict(rates)}
    half = len(x) // 2
    begin = time.perf_counter()
    distance = frechet.distance(frechet.moments(x[:half]), frechet.moments(x[half:])).value
    yield {"distance of the halves": distance, "seconds of one distance": time.perf_counter() - begin}


# mini


def mini(args: argparse.Namespace) -> int:
    """Runs with the teachers, extractors and pairs of a `make reproduce`. The same draws give the same runs: a score
    far from the CPU's would be a fault. Needs no Snakemake."""
    if not (args.shared / SHARED).is_dir():
        why = f"{args.shared / SHARED} is not there: `make reproduce` makes it, and it was not brought"
        atomic.write_json(args.record, {"command": command(MODULE), "suite": SUITE, "tiny": args.tiny, "skipped": why})
        print(why)
        return 0
    record = Record(args, 1, suite=SUITE, runs={})
    record.write({})
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        shutil.copytree(args.shared / SHARED, results / SHARED)
        return run_all(results, args.other, record, RUNS[:1] if args.tiny else RUNS, int(not args.tiny))


def run_all(results: Path, other: Path, record: Record, runs: tuple[str, ...], gpus: int) -> int:
    """Runs in parallel and records each run's scores when it ends; 1 where one of them failed.

    Args:
        results: the folder for the runs' results, with `_shared`.
        other: results with the CPU's scores of the same runs.
        record: takes the scores of each run.
        runs: ENTRY/SEED each.
        gpus: that each run asks for.
    """
    begin = time.perf_counter()
    running = {run: _started(results, run, gpus) for run in runs}
    rows: dict[str, dict[str, Any]] = {}
    failed = 0
    while running and time.perf_counter() - begin < RUNS_SECONDS:
        for run in [run for run, process in running.items() if process.poll() is not None]:
            code = running.pop(run).returncode
            failed |= code != 0
            row = compared(results, other, run) if code == 0 else {"status": code}
            rows[run] = {**row, "seconds": round(time.perf_counter() - begin, 1)}
            record.write({"runs": rows})
        time.sleep(0.2)
    for run, process in running.items():
        process.kill()
        rows[run] = {"status": f"not done in {RUNS_SECONDS} s"}
        record.write({"runs": rows})
    return int(failed or bool(running))


def _started(results: Path, run: str, gpus: int) -> subprocess.Popen[bytes]:
    """Each run leases the one card in a lease folder of its own: they share it, which jobs of a workflow never do."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", lease.LEASE_ENV: str(results.parent / "leases" / run)}
    environment.setdefault(lease.VISIBLE, "0")
    words = ["--results", str(results), "run", SUITE, f"{TASK}/{run}", f"--gpus={gpus}", "--quiet"]
    return subprocess.Popen([sys.executable, "-m", "benchmarks", *words], env=environment)


def compared(results: Path, other: Path, run: str) -> dict[str, Any]:
    """A run's metrics here and on the CPU, None where the CPU's scores are missing."""
    folder = Path(SUITE) / "runs" / TASK / run
    here, there = (_metrics(place / folder / "scores.json") for place in (results, other))
    record = json.loads((results / folder / "record.json").read_text())
    metrics = {name: {"here": value, "CPU": there.get(name)} for name, value in here.items()}
    return {"status": 0, "device": record["device"], "images per second": record.get("images_per_second"), **metrics}


def _metrics(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    return {name: metric["value"] for name, metric in json.loads(path.read_text())["metrics"].items()}


MEASUREMENTS = {"env": env, "features": features, "mini": mini}


# The plugin of pytest


def pytest_addoption(parser: Any) -> None:
    parser.addoption("--record", type=Path, help="where the outcomes are written as JSON")


def pytest_configure(config: Any) -> None:
    record = config.getoption("--record")
    if record is not None and not hasattr(config, "workerinput"):  # xdist's workers report to the one that writes
        config.pluginmanager.register(_Outcomes(record), "sidbench-outcomes")


class _Outcomes:
    """Writes every test's outcome when it is known, for a run that may be killed."""

    def __init__(self, record: Path):
        self.record = record
        self.tests: dict[str, dict[str, Any]] = {}
        self.head = {"command": command("pytest"), **facts(1)}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A test has three phases: its outcome is the worst one's, its seconds are their sum."""
        outcome = self.tests.setdefault(report.nodeid, {"outcome": "passed", "seconds": 0.0})
        outcome["seconds"] = round(outcome["seconds"] + report.duration, 2)
        if report.outcome != "passed":
            outcome["outcome"] = report.outcome
            outcome["why"] = str(report.longrepr).replace(f"{Path.cwd()}/", "")[-600:]
        self._write(unfinished=True)

    def pytest_sessionfinish(self) -> None:
        self._write(unfinished=False)

    def _write(self, unfinished: bool) -> None:
        counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
        for test in self.tests.values():
            counts[test["outcome"]] += 1
        record = {**self.head, "counts": counts, "tests": self.tests, **({"unfinished": True} if unfinished else {})}
        atomic.write_json(self.record, record)


if __name__ == "__main__":
    raise SystemExit(main())
