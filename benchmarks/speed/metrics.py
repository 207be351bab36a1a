"""Speed and memory of the metrics: `python -m benchmarks.speed.metrics`, and `... metrics memory`. No test times them.

Speed is a ratio to the peers in one run. Arithmetic: one Frechet distance at d = 2048 against scipy's sqrtm route.
Extraction: what FID, KID, Inception Score, precision and recall need from one image set, here and in clean-fid,
torch-fidelity and torchmetrics, on the same image files with the same random network: as a share of each peer's time
alone, and of the three in turn. A peer's time is that of its own calls, without arithmetic.

Memory is every metric's peak on many features, those features and the libraries included. Each group of metrics runs in
a process of its own; metrics that share their work, or differ only in the features they name, are one group.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.machine import Clock, command, facts, limited_to, medians, timed
from sid import atomic
from sid.fault import Fault

RECORDS = Path(__file__).parent / "records"
DIMENSION, COUNT = 2048, 6000

MANY = 50_000  # features whose memory is measured
MEMORY_LIMIT = 8 * 2**30  # bytes that a metric may take at its peak
WIDTHS = {"logits_unbiased": 1008, "reward": 1}  # of outputs that are no feature vectors
AESTHETIC_WIDTH = 768  # of the embeddings that the aesthetic head reads


def main() -> int:
    return memory(sys.argv[2:]) if sys.argv[1:2] == ["memory"] else speed()


def speed() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=("arithmetic", "extraction"))
    args = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != str(args.threads):  # the libraries read it when they are loaded
        again = [sys.executable, "-m", "benchmarks.speed.metrics", *sys.argv[1:]]
        os.execve(sys.executable, again, limited_to(args.threads))
    import torch

    torch.set_num_threads(args.threads)
    record: dict[str, Any] = {"command": "python -m benchmarks.speed.metrics " + " ".join(sys.argv[1:])}
    record |= facts(args.threads)
    if args.only != "extraction":
        record["arithmetic"] = arithmetic(args.repeats)
        record["arithmetic of all metrics"] = all_metrics(args.images)
    if args.only != "arithmetic":
        record["extraction"] = extraction(args.images)
    record["load_after"] = os.getloadavg()
    path = RECORDS / f"metrics{f'-{args.only}' if args.only else ''}.json"
    atomic.write_json(path, record)
    print(path)
    return 0


def arithmetic(repeats: int) -> dict[str, Any]:
    """Repeats alternate, so that other load on the machine meets all; the ratios are of the medians."""
    from cleanfid.fid import frechet_distance

    from benchmarks.audit.peer import sqrtm_as_before
    from benchmarks.metrics import frechet

    rng = np.random.default_rng(0)
    sides = [frechet.moments(rng.standard_normal((COUNT, DIMENSION)) * scale) for scale in (1.0, 1.1)]
    rooted = frechet.Moments(sides[1].mean, sides[1].covariance, COUNT)
    rooted.cholesky()

    def fresh() -> float:
        second = frechet.Moments(sides[1].mean, sides[1].covariance, COUNT)
        return frechet.distance(sides[0], second).value

    def sqrtm() -> float:
        arguments = [part for side in sides for part in (side.mean, side.covariance)]
        with sqrtm_as_before():
            return float(frechet_distance(*arguments))

    runs = {"ours": fresh, "ours, root kept": lambda: frechet.distance(sides[0], rooted).value, "sqrtm": sqrtm}
    fresh()  # threads and libraries are started
    times: dict[str, list[Clock]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            times[name].append(timed(run))
            print(f"{name}: {times[name][-1]['wall']:.2f} s", flush=True)
    middle = {name: medians(clocks) for name, clocks in times.items()}
    ratios = {clock: {name: middle["sqrtm"][clock] / middle[name][clock] for name in runs} for clock in ("wall", "cpu")}
    error = abs(fresh() / sqrtm() - 1)
    return {"dimension": DIMENSION, "count": COUNT, "times": times, "times faster": ratios, "relative error": error}


def all_metrics(count: int) -> dict[str, Any]:
    """Seconds for FID, KID (100 subsets of 250), Inception Score, precision and recall, by implementation."""
    from benchmarks.audit.peer import peers
    from benchmarks.suite.components import metrics

    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((count, DIMENSION), dtype=np.float32) * scale for scale in (1.0, 1.1))
    logits = rng.standard_normal((count, 1008), dtype=np.float32)
    pair = ({"a.b": x}, {"a.b": y})

    def ours() -> None:
        metrics()["fid"].compute(*pair)
        metrics()["kid"].compute(*pair, subsets=100, subset_size=250)
        metrics()["inception-score"].compute({"a.b": logits})
        for name in ("precision", "recall"):
            metrics()[name].compute(*pair)

    def theirs(peer: Any) -> Callable[[], None]:
        calls = [*peer.distances().values(), *peer.kernels(250).values(), *peer.neighbours().values()]
        scores = peer.scores().values()

        def run() -> None:
            for call in calls:
                call.run(x, y)
            for call in scores:
                call.run(logits)

        return run

    names = ("clean-fid", "torch-fidelity", "torchmetrics")
    times = {"ours": timed(ours), **{name: timed(theirs(peers()[name])) for name in names}}
    for name, clock in times.items():
        print(f"all metrics, {name}: {clock['wall']:.1f} s", flush=True)
    return {"count": count, "times": times}


def extraction(count: int) -> dict[str, Any]:
    """Seconds for the features of one set of image files, by implementation."""
    from benchmarks.audit import synthetic
    from benchmarks.features.networks.inception import random_state

    with tempfile.TemporaryDirectory() as name:
        folder = synthetic.write(Path(name) / "images", count, seed=0, blur=0.1, sizes=(256,))
        state = random_state(0)
        runs = {"ours": _ours(folder), **_peers(folder, state, Path(name))}
        times = {}
        for label, run in runs.items():
            times[label] = timed(run)
            print(f"{label}: {times[label]['wall']:.1f} s, cpu {times[label]['cpu']:.1f} s", flush=True)
    alone, together = shares(times)
    return {
        "images": count,
        "side": 256,
        "times": times,
        "ours over each peer alone": alone,
        "ours over the sum of the peers": together,
    }


def shares(times: Mapping[str, Clock]) -> tuple[dict[str, Clock], Clock]:
    """Our time as a share of each peer's alone, and of the peers' one after another."""
    ours, others = times["ours"], {name: clock for name, clock in times.items() if name != "ours"}
    alone = {name: {clock: ours[clock] / theirs[clock] for clock in ours} for name, theirs in others.items()}
    return alone, {clock: ours[clock] / sum(theirs[clock] for theirs in others.values()) for clock in ours}


def _ours(folder: Path) -> Callable[[], Any]:
    """One pass for FID, KID, Inception Score, precision and recall."""
    from benchmarks.features.extraction import extract
    from benchmarks.images.reading import open_images
    from benchmarks.suite.components import extractors

    network = extractors()["inception-tf"].random(0)
    outputs = ["pool3", "logits_unbiased"]
    return lambda: extract(open_images(folder), {"inception-tf": outputs}, {"inception-tf": network})


def _peers(folder: Path, state: dict, place: Path) -> dict[str, Callable[[], Any]]:
    """The passes that each peer makes for its metrics, through its own loaders."""
    import torch
    from cleanfid.fid import get_folder_features
    from torch_fidelity.utils import extract_featuresdict_from_input_id_cached
    from torchmetrics.image.fid import NoTrainInceptionV3

    from benchmarks.audit.networks import clean_fid_models, fidelity_model
    from benchmarks.audit.peer import image_batches

    torch.save(state, place / "network.pth")
    clean = clean_fid_models(state)["clean"]
    fidelity = fidelity_model(str(place / "network.pth"), ["2048", "logits_unbiased"])
    metrics = {
        tap: NoTrainInceptionV3("given", [tap], str(place / "network.pth")) for tap in ("2048", "logits_unbiased")
    }

    def clean_fid() -> None:
        for _ in ("fid", "kid"):  # compute_fid and compute_kid both extract
            get_folder_features(
                str(folder),
                clean,
                num_workers=0,
                batch_size=32,
                device=torch.device("cpu"),
                mode="clean",
                verbose=False,
            )

    def torch_fidelity() -> None:  # one pass feeds its four metrics
        options = {"input1": str(folder), "cuda": False, "batch_size": 32, "save_cpu_ram": True, "cache": False}
        extract_featuresdict_from_input_id_cached(1, fidelity, **options, verbose=False)

    def torchmetrics() -> None:  # FID, KID and Inception Score are separate metrics, each with its network
        with torch.inference_mode():
            for batch in image_batches(folder, 32):
                for tap in ("2048", "2048", "logits_unbiased"):
                    metrics[tap](batch)

    return {"clean-fid": clean_fid, "torch-fidelity": torch_fidelity, "torchmetrics": torchmetrics}


def memory(words: list[str]) -> int:
    """Measures each group of metrics in a process of its own; 1 where a metric is over the limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.metrics memory", description=__doc__)
    parser.add_argument("--count", type=int, default=MANY)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", metavar="METRIC", help="these metrics; the others keep their last numbers")
    parser.add_argument("--measure", nargs="+", metavar="METRIC", help=argparse.SUPPRESS)
    parser.add_argument("--record", type=Path, default=RECORDS / "memory.json")
    args = parser.parse_args(words)
    if args.measure:
        print(json.dumps(memory_of(args.measure, args.count)))
        return 0
    record: dict[str, Any] = {"command": command("benchmarks.speed.metrics"), **facts(args.threads)}
    record |= {"count": args.count, "dimension": DIMENSION, "limit_bytes": MEMORY_LIMIT, "metrics": {}}
    if args.only and args.record.is_file():
        record["metrics"] = json.loads(args.record.read_text())["metrics"]
    for group in groups():
        if args.only and not set(group) & set(args.only):
            continue
        result = in_own_process(group, args.count, args.threads)
        record["metrics"][", ".join(group)] = result
        print(f"{', '.join(group)}: {result}", flush=True)
        atomic.write_json(args.record, record)
    print(args.record)
    return int(any(result.get("peak_bytes", 0) > MEMORY_LIMIT for result in record["metrics"].values()))


def groups() -> list[list[str]]:
    """The metrics by their work: the Frechet distances, the two pairs of nearest-neighbour metrics, each other one."""
    from benchmarks.metrics.frechet import Frechet
    from benchmarks.suite.components import metrics

    known = metrics()
    distances = [name for name, metric in known.items() if isinstance(metric, Frechet)]
    shared = [distances, ["precision", "recall"], ["density", "coverage"]]
    alone = [[name] for name in known if not any(name in group for group in shared)]
    return [*shared[:1], *alone, *shared[1:]]


def in_own_process(group: list[str], count: int, threads: int) -> dict[str, Any]:
    words = ["-m", "benchmarks.speed.metrics", "memory", "--count", str(count), "--measure", *group]
    done = subprocess.run(
        [sys.executable, *words], env=limited_to(threads), stdout=subprocess.PIPE, text=True, check=True
    )
    return {**json.loads(done.stdout.splitlines()[-1]), "command": " ".join(["python", *words])}


def memory_of(group: list[str], count: int) -> dict[str, Any]:
    """Seconds and peak memory of a group, or why it is unavailable here. One Frechet distance stands for all."""
    from benchmarks.metrics.frechet import Frechet
    from benchmarks.suite.components import metrics

    known, values = metrics(), dict[str, float]()
    computed = group[:1] if isinstance(known[group[0]], Frechet) else group
    features = _features(known[computed[0]], count)
    wall, processor = time.perf_counter(), time.process_time()
    for name in computed:
        try:
            values[name] = known[name].compute(*features).value
        except Fault as fault:
            return {"unavailable": " ".join(fault.sentences)}
    return {
        "values": values,
        "wall_seconds": round(time.perf_counter() - wall, 1),
        "cpu_seconds": round(time.process_time() - processor, 1),
        "peak_bytes": peak_bytes(),
    }


def peak_bytes() -> int:
    """Of this program. On Linux from /proc: getrusage would also count its parent's, from before the exec."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        import torch

        from sid.loop.memory import peak_memory

        return peak_memory(torch.device("cpu"))
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def _features(metric: Any, count: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray] | None]:
    """Random features, none negative, as Inception's; the reference's are a little larger."""
    names = metric.features or ("any.features",)
    rng = np.random.default_rng(0)

    def random(name: str, scale: float) -> np.ndarray:
        width = AESTHETIC_WIDTH if metric.name == "aesthetic" else WIDTHS.get(name.rpartition(".")[2], DIMENSION)
        return np.abs(rng.standard_normal((count, width), dtype=np.float32)) * np.float32(scale)

    images = {name: random(name, 1.0) for name in names}
    return images, {name: random(name, 1.1) for name in names} if metric.reference else None


if __name__ == "__main__":
    raise SystemExit(main())
