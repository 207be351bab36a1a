"""The batches of a pass side by side, each on a core of its own.

Peers read photographs of many sizes one at a time. Threads that share one image mostly wait for each other, and where
other programs run they wait busily.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Batch = TypeVar("Batch")
Made = TypeVar("Made")


def side_by_side(run: Callable[[Batch], Made], batches: Sequence[Batch]) -> list[Made]:
    """What `run` makes of each batch, in their order; a single batch has all the threads."""
    import torch

    threads = torch.get_num_threads()
    if threads == 1 or len(batches) < 2:
        return [run(batch) for batch in batches]
    torch.set_num_threads(1)  # of the workers too, which ask when they begin
    try:
        with ThreadPoolExecutor(min(threads, len(batches))) as pool:
            return list(pool.map(run, batches))
    finally:
        torch.set_num_threads(threads)
