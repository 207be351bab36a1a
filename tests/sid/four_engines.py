"""Trainings of four processes, started by torchrun: `python four_engines.py FOLDER`. Copies of sharded networks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.distributed.tensor import DTensor, Replicate, Shard

from sid.method import Player
from sid.parallel.settings import EngineSettings
from tests import toy
from tests.sid import families
from tests.sid.two_engines import CLIPPED, DMD2, DOUBLE, SID, interrupted, options, poisoned, seen_by

COPIES = EngineSettings("fsdp2", shard_over=2)
CASES = ("sd-dmd2", "sdxl-chain", "edm")


def placed(folder: Path) -> list[str]:
    """How the weights of all networks lie."""
    seen = set()

    def look(player: Player, nets: Any) -> None:
        for net in nets.values():
            for parameter in net.parameters():
                assert isinstance(parameter, DTensor)
                assert parameter.placements == (Replicate(), Shard(0))
                seen.add(str(tuple(parameter.device_mesh.shape)))

    toy.distil(seen_by(SID, look), options(SID), folder, engine=COPIES)
    return sorted(seen)


def main(folder: Path) -> None:
    settings = {**DOUBLE, "engine": COPIES}
    results: dict[Any, Any] = {"mesh": placed(folder / "placed")}
    results["whole"] = toy.weights(toy.distil(SID, options(SID), folder / "whole", **settings))
    interrupted(SID, folder / "cut", **settings)
    resumed = toy.distil(SID, options(SID), folder / "cut", save_seconds=0.0, **settings)
    results["resumed"] = toy.weights(resumed)
    interrupted(SID, folder / "cut-for-one", **settings)
    clipped = toy.distil(DMD2, options(DMD2, CLIPPED), folder / "clipped", log_images=8, **settings)
    results["clipped"] = toy.weights(clipped)
    results["poisoned"] = toy.weights(toy.distil(poisoned(SID), options(SID), folder / "poisoned", **settings))
    for case in CASES:
        results[case] = families.distil(case, folder, folder / "copies" / case, COPIES)
    with mock.patch("sid.parallel.overlap.BUCKET", 100):
        for name, given in (("ddp", {}), ("overlap", {"overlap": True})):
            engine = {**DOUBLE, "engine": EngineSettings("ddp", **given), "micro_batch": 1}
            results[name] = toy.weights(toy.distil(SID, options(SID), folder / name, **engine))
    torch.save(results, folder / f"results-{torch.distributed.get_rank()}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
