"""Inception on a GPU, with made weights: images a second, and how far its features are from the CPU's.

python -m benchmarks.speed.gpu.features
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.machine import command, facts
from sid import atomic

EXTRACTOR, TAP = "inception-tf", "pool3"
COMPARED = 64  # images whose features the CPU makes too
BATCHES = (32, 256)


def main() -> int:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--tiny", action="store_true", help="on a CPU")
    parser.add_argument("--record", type=Path, required=True)
    args = parser.parse_args()
    record: dict[str, Any] = {"command": command("benchmarks.speed.gpu.features")}
    record |= {**facts(torch.get_num_threads()), "tiny": args.tiny, "images": args.images}

    def write(**measured: Any) -> None:
        record.update(measured)
        print(measured, flush=True)
        atomic.write_json(args.record, record)

    pixels = np.random.default_rng(0).integers(0, 256, (args.images, 3, 32, 32), dtype=np.uint8)
    measure(pixels, "cpu" if args.tiny else "cuda", write)
    return 0


def measure(pixels: np.ndarray, device: str, write: Any) -> None:
    """The difference first: a fast wrong feature is worth nothing. `write` takes each figure by its name."""
    from benchmarks.features.extraction import extract
    from benchmarks.images.reading import Array
    from benchmarks.metrics import frechet
    from benchmarks.suite.components import extractors

    networks = {name: extractors()[EXTRACTOR].random(0, name) for name in dict.fromkeys((device, "cpu"))}

    def features(images: np.ndarray, place: str, batch: int) -> np.ndarray:
        network = {EXTRACTOR: networks[place]}
        return extract(Array(images), {EXTRACTOR: [TAP]}, network, batch=batch).features[f"{EXTRACTOR}.{TAP}"]

    few = pixels[:COMPARED]
    there, here = (features(few, place, BATCHES[0]) for place in (device, "cpu"))
    write(**{"relative difference to the CPU's features": float(np.linalg.norm(there - here) / np.linalg.norm(here))})
    rates: dict[str, float] = {}
    for batch in BATCHES:
        begin = time.perf_counter()
        made = features(pixels, device, batch)
        rates[str(batch)] = len(pixels) / (time.perf_counter() - begin)
        write(**{"images per second by batch": dict(rates)})
    half = len(made) // 2
    begin = time.perf_counter()
    distance = frechet.distance(frechet.moments(made[:half]), frechet.moments(made[half:])).value
    write(**{"distance of the halves": distance, "seconds of one distance": time.perf_counter() - begin})


if __name__ == "__main__":
    raise SystemExit(main())
