"""One-step sampling against the published scripts' loop: `python -m benchmarks.speed.generation`. No test times it.

Both sides make the same number of images with the same network (DDPM++, 32 px, random weights), from one noise per seed
to bytes on the host. The straightforward side draws each image from a torch generator of its own seed, as those
scripts do.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.speed.machine import Clock, command, facts, limited_to, medians, timed
from sid import atomic

RECORDS = Path(__file__).parent / "records"
SIGMA = 2.5


def main() -> int:
    import torch

    from benchmarks.estimate.published_networks import CIFAR
    from benchmarks.speed.cases import CASES

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tiny", action="store_true", help="a small network: a rehearsal")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    if args.device == "cpu" and os.environ.get("OMP_NUM_THREADS") != str(args.threads):
        again = [sys.executable, "-m", "benchmarks.speed.generation", *sys.argv[1:]]
        os.execve(sys.executable, again, limited_to(args.threads))
    if args.device == "cpu":
        torch.set_num_threads(args.threads)
    record: dict[str, Any] = {"command": command("benchmarks.speed.generation"), **facts(args.threads)}
    record |= {"images": args.images, "batch": args.batch, "tiny": args.tiny}
    path = args.record or RECORDS / f"generation-{'tiny-' if args.tiny else ''}{args.device}.json"
    network = {**CIFAR, **(CASES["sid-ddpmpp-32"].tiny if args.tiny else {})}
    for measured in race(network, args.images, args.batch, args.rounds, args.device):  # written as it goes
        atomic.write_json(path, record | measured | {"load_after": os.getloadavg()})
    print(f"ratio: {measured['ratio']}\n{path}")
    return 0


def race(network: Mapping[str, Any], images: int, batch: int, rounds: int, device: str) -> Iterator[dict[str, Any]]:
    """All measurements so far, after each round. The sides alternate; the first round of each warms up."""
    import torch

    from benchmarks.suite.components import teachers
    from sid import sampling
    from sid.condition import Unconditional
    from sid.generator import Generator

    with torch.device(device):
        denoiser = teachers()["edm"].build(dict(network)).eval().requires_grad_(False)
    sampler = sampling.from_generator(Generator(denoiser))
    shape = (3, *[int(network["img_resolution"])] * 2)

    def ours() -> Any:
        return sampling.generate(sampler, Unconditional(), shape, range(images), 0, batch, device)

    @torch.no_grad()
    def straightforward() -> Any:
        batches = []
        sigma = torch.full((batch,), SIGMA, device=device)
        for first in range(0, images, batch):
            seeds = [torch.Generator(device).manual_seed(seed) for seed in range(first, first + batch)]
            z = torch.stack([torch.randn(shape, generator=seed, device=device) for seed in seeds])
            x = denoiser(SIGMA * z, sigma).image
            batches.append((x * 127.5 + 128).clip(0, 255).to(torch.uint8).cpu())
        return torch.cat(batches).numpy()

    taken: dict[str, list[Clock]] = {"ours": [], "straightforward": []}
    for number in range(rounds + 1):
        for name, run in (("ours", ours), ("straightforward", straightforward)):
            clock = timed(run)
            print(f"{name}: {clock['wall']:.2f} s", flush=True)
            taken[name] += [clock] if number else []
        if number:
            seconds = {name: medians(times) for name, times in taken.items()}
            ratio = {clock: seconds["ours"][clock] / seconds["straightforward"][clock] for clock in ("wall", "cpu")}
            unfinished = {"unfinished": True} if number < rounds else {}
            yield {"seconds": seconds, "all seconds": taken, "ratio": ratio, **unfinished}


if __name__ == "__main__":
    raise SystemExit(main())
