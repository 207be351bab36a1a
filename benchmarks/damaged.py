"""Images that can't be read or decoded: all of them are told, not the first."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.images.reading import Images, decode
from sid.fault import Fault

SHOWN = 20  # that are told one by one


def refuse(*sets: Images) -> None:
    """Reads and decodes every image of the sets; returns where nothing is wrong with any."""
    told: list[str] = []
    for images in sets:
        told += shown([sentence for index in range(len(images)) for sentence in _faults(images, index)], images.source)
    if told:
        raise Fault(told)


def shown(faults: Sequence[str], source: str) -> list[str]:
    """The first of them, and how many more there are."""
    more = [f"and {len(faults) - SHOWN} more images of {source}"] if len(faults) > SHOWN else []
    return [*faults[:SHOWN], *more]


def _faults(images: Images, index: int) -> list[str]:
    try:
        decode(images.content(index), images.names[index])
    except Fault as fault:
        return fault.sentences
    return []
