"""Trains methods in this process, started by torchrun: `python two_processes.py FOLDER MODULE...`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import torch

from sid.method import Method
from sid.parallel.engine import SHARDS
from sid.parallel.settings import EngineSettings
from tests.contract.guests import method_in
from tests.contract.trained import BATCH, all_splits

STRATEGIES = ("ddp", "fsdp2") if SHARDS else ("ddp",)


def main(folder: Path, modules: list[str]) -> None:
    for name in modules:
        method: Method = method_in(importlib.import_module(name))
        for strategy in STRATEGIES:
            # Shards are summed in the last of two rounds, where the method bears being split into rounds.
            rounds = 2 if strategy == "fsdp2" and not method.split_matters else 1
            place = folder / name / strategy
            found = all_splits(method, place, BATCH // 2 // rounds, EngineSettings(strategy=strategy))
            torch.save(found, folder / f"{name}-{strategy}-{torch.distributed.get_rank()}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
