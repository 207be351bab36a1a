"""The machine's ceilings, which every other number is held against: `python -m benchmarks.speed.gpu.env`."""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.speed.machine import command, facts, installed
from sid import atomic

PACKAGES = ("triton", "transformers", "diffusers", "pydantic")
LAUNCHES, PASSES = 2000, 200


def main() -> int:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="small sizes, on a CPU")
    parser.add_argument("--record", type=Path, required=True)
    args = parser.parse_args()
    device = "cpu" if args.tiny else "cuda"
    record: dict[str, Any] = {"command": command("benchmarks.speed.gpu.env"), **facts(torch.get_num_threads())}
    record |= {"tiny": args.tiny, "python": platform.python_version()}
    record["versions"] |= {name: installed(name) for name in PACKAGES}
    record |= _card(device)
    for name, value in ceilings(device):
        record[name] = value
        print(f"{name}: {value:.4g}", flush=True)
        atomic.write_json(args.record, record)
    return 0


def _card(device: str) -> dict[str, Any]:
    import torch

    if device == "cpu":
        return {}
    card = torch.cuda.get_device_properties(0)
    free, _ = torch.cuda.mem_get_info()
    return {"memory bytes": card.total_memory, "free bytes": free, "cudnn": torch.backends.cudnn.version()}


def ceilings(device: str) -> Iterator[tuple[str, float]]:
    """One after the other, by name."""
    import torch

    from benchmarks.estimate.devices import TYPES, rate
    from benchmarks.features.base import full_precision
    from sid.draws import Draws, sent

    on_card = device == "cuda"
    side = 8192 if on_card else 256
    with full_precision():
        for kind, dtype in TYPES.items():
            yield f"{kind} TFLOP/s", rate(device, dtype, side, 2.0 if on_card else 0.1) / 1e12
    yield "copy GB/s", _copied(2**32 if on_card else 2**22, device) / 1e9
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


def _copied(count: int, device: str) -> float:
    """Bytes a second that a copy reads and writes."""
    import torch

    data = torch.empty(count, dtype=torch.uint8, device=device)
    copy = torch.empty_like(data)
    return 2 * count / seconds(lambda: copy.copy_(data), device)


def seconds(run: Callable[[], Any], device: str, times: int = 3) -> float:
    """The median of some calls, until the device has ended; the first one warms up."""
    import torch

    taken = []
    for number in range(times + 1):
        begin = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        taken += [time.perf_counter() - begin] if number else []
    return statistics.median(taken)


if __name__ == "__main__":
    raise SystemExit(main())
