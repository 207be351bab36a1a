"""Speed of the metrics against the peers, in one run: `python -m benchmarks.speed.metrics`. Ratios, never a timed test.

Arithmetic: one Frechet distance at d = 2048 against scipy's sqrtm route. Extraction: what FID, KID, Inception Score,
precision and recall need from one image set, here and in clean-fid, torch-fidelity and torchmetrics one after another,
on the same image files with the same random network. A peer's time is what its own calls take, arithmetic left out.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.machine import facts, limited_to
from sid import atomic

RECORD = Path(__file__).parent / "records" / "metrics.json"
DIMENSION, COUNT = 2048, 6000


def main() -> int:
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
    found: dict[str, Any] = {"command": "python -m benchmarks.speed.metrics " + " ".join(sys.argv[1:])}
    found |= facts(args.threads)
    if args.only != "extraction":
        found["arithmetic"] = arithmetic(args.repeats)
        found["arithmetic of all metrics"] = all_metrics(args.images)
    if args.only != "arithmetic":
        found["extraction"] = extraction(args.images)
    found["load_after"] = os.getloadavg()
    path = RECORD if args.only is None else RECORD.with_name(f"metrics-{args.only}.json")
    atomic.write_json(path, found)
    print(path)
    return 0


def seconds(run: Callable[[], Any]) -> dict[str, float]:
    """Wall and processor time of one call."""
    wall, processor = time.perf_counter(), time.process_time()
    run()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - processor}


def arithmetic(repeats: int) -> dict[str, Any]:
    """Interleaved repeats, so that a neighbour's load hits all; the ratios are of the medians."""
    from cleanfid.fid import frechet_distance

    from benchmarks.audit.peer import sqrtm_as_before
    from benchmarks.metrics import frechet

    rng = np.random.default_rng(0)
    sides = [frechet.moments(rng.standard_normal((COUNT, DIMENSION)) * scale) for scale in (1.0, 1.1)]
    kept = frechet.Moments(sides[1].mean, sides[1].covariance, COUNT)
    kept.cholesky()

    def fresh() -> float:
        second = frechet.Moments(sides[1].mean, sides[1].covariance, COUNT)
        return frechet.distance(sides[0], second).value

    def sqrtm() -> float:
        arguments = [part for side in sides for part in (side.mean, side.covariance)]
        with sqrtm_as_before():
            return float(frechet_distance(*arguments))

    runs = {"ours": fresh, "ours, root kept": lambda: frechet.distance(sides[0], kept).value, "sqrtm": sqrtm}
    fresh()  # threads and libraries are started
    times: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            times[name].append(seconds(run))
            print(f"{name}: {times[name][-1]['wall']:.2f} s", flush=True)
    middle = {
        clock: {name: statistics.median(one[clock] for one in found) for name, found in times.items()}
        for clock in ("wall", "cpu")
    }
    ratios = {clock: {name: middle[clock]["sqrtm"] / middle[clock][name] for name in runs} for clock in middle}
    error = abs(fresh() / sqrtm() - 1)
    return {"dimension": DIMENSION, "count": COUNT, "times": times, "times faster": ratios, "relative error": error}


def all_metrics(count: int) -> dict[str, Any]:
    """FID, KID with 100 subsets of 250, Inception Score, precision and recall of given features, per implementation."""
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
    times = {"ours": seconds(ours), **{name: seconds(theirs(peers()[name])) for name in names}}
    for name, found in times.items():
        print(f"all metrics, {name}: {found['wall']:.1f} s", flush=True)
    return {"count": count, "times": times}


def extraction(count: int) -> dict[str, Any]:
    """Seconds per implementation for the features of one set of image files."""
    from benchmarks.audit import synthetic
    from benchmarks.features.networks.inception import random_state

    with tempfile.TemporaryDirectory() as name:
        folder = synthetic.write(Path(name) / "images", count, seed=0, blur=0.1, sizes=(256,))
        state = random_state(0)
        runs = {"ours": _ours(folder), **_peers(folder, state, Path(name))}
        times = {}
        for label, run in runs.items():
            times[label] = seconds(run)
            print(f"{label}: {times[label]['wall']:.1f} s, cpu {times[label]['cpu']:.1f} s", flush=True)
    others = [name for name in runs if name != "ours"]
    ratios = {clock: times["ours"][clock] / sum(times[name][clock] for name in others) for clock in ("wall", "cpu")}
    return {"images": count, "side": 256, "times": times, "ours over the sum of the peers": ratios}


def _ours(folder: Path) -> Callable[[], Any]:
    """One pass for FID, KID, Inception Score, precision and recall."""
    from benchmarks.features.extraction import extract
    from benchmarks.images.reading import open_images
    from benchmarks.suite.components import extractors

    network = extractors()["inception-tf"].random(0)
    outputs = ["pool3", "logits_unbiased"]
    return lambda: extract(open_images(folder), {"inception-tf": outputs}, {"inception-tf": network})


def _peers(folder: Path, state: dict, place: Path) -> dict[str, Callable[[], Any]]:
    """The passes that each peer itself makes for the metrics it has, through its own loaders."""
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
        for _ in ("fid", "kid"):  # compute_fid and compute_kid each extract again
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

    def torchmetrics() -> None:  # FID, KID and Inception Score are metrics of their own, each with its network
        with torch.inference_mode():
            for batch in image_batches(folder, 32):
                for tap in ("2048", "2048", "logits_unbiased"):
                    metrics[tap](batch)

    return {"clean-fid": clean_fid, "torch-fidelity": torch_fidelity, "torchmetrics": torchmetrics}


if __name__ == "__main__":
    raise SystemExit(main())
