"""Every kernel of some seconds of work: how many, how long the device was busy, and which took the most."""

from __future__ import annotations

from typing import Any

MOST = 16  # kinds of kernels that are named


class Kernels:
    """Counting from its making to `stopped`. On a CPU torch's operators stand for kernels."""

    def __init__(self, device: str):
        from torch.profiler import ProfilerActivity, profile

        self.on_host = device == "cpu"
        self.profiler = profile(activities=[ProfilerActivity.CPU if self.on_host else ProfilerActivity.CUDA])
        self.profiler.__enter__()

    def stopped(self) -> dict[str, Any]:
        """Milliseconds in all and by kind of kernel. Streams are added up: busy may exceed the wall's time."""
        import torch

        self.profiler.__exit__(None, None, None)
        events = [
            event
            for event in self.profiler.key_averages()
            if (event.device_type == torch.autograd.DeviceType.CPU) == self.on_host
        ]
        events.sort(key=self._microseconds, reverse=True)
        return {
            "busy ms": sum(map(self._microseconds, events)) / 1e3,
            "kernels": sum(event.count for event in events),
            "most": [
                {"kernel": event.key[:80], "count": event.count, "ms": round(self._microseconds(event) / 1e3, 3)}
                for event in events[:MOST]
            ],
        }

    def _microseconds(self, event: Any) -> float:
        return float(event.self_cpu_time_total if self.on_host else event.self_device_time_total)
