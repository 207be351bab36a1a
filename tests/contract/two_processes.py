"""Trains methods in this process, started by torchrun: `python two_processes.py FOLDER MODULE...`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import torch

from sid.method import Method
from tests.contract.guests import method_in
from tests.contract.trained import BATCH, all_splits


def main(folder: Path, modules: list[str]) -> None:
    for name in modules:
        method: Method = method_in(importlib.import_module(name))
        found = all_splits(method, folder / name, micro_batch=BATCH // 2)
        torch.save(found, folder / f"{name}-{torch.distributed.get_rank()}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
