"""What a job costs, in forward passes of one image: for the order of jobs and the remaining time, not for claims."""

from __future__ import annotations

BACKWARD = 2  # a backward pass costs about two forward passes
START = 500_000.0  # the start of a process, in passes of a miniature's network
EXTRACTOR = START + 600 * 128 * (1 + BACKWARD)  # a network of the miniature's size
PAGE = START
TRANSFORMER = 28.0  # the miniature's text-to-image network, in passes of the digits' one


def teacher(images: int, price: float = 1.0) -> float:
    """Denoising: one network, forward and backward."""
    return START + price * images * (1 + BACKWARD)


def distilled(images: int) -> float:
    """Critic's step: generator, critic and back; generator's step: three networks and back through them."""
    return images * (1 + (1 + BACKWARD) + 3 * (1 + BACKWARD))


def samples(count: int, passes: int) -> float:
    """Generation and its features."""
    return count * (passes + 1)


def resources(work: float) -> dict[str, int]:
    """What the scheduler is told; the miniatures fit one core and little memory."""
    return {"mem_mb": 3000, "runtime": max(30, int(work / 1e6))}
