"""The tables of an audit, and the calls of all peers: one that is missing or broken is a row with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.audit.attribute import AuditRow
from benchmarks.audit.peer import Outcome, Peer, guarded, peers


@dataclass
class AuditTable:
    """Rows whose values have the same unit."""

    title: str
    unit: str
    rows: list[AuditRow] = field(default_factory=list)


def calls(kind: Callable[[Peer], dict[str, Any]], broken: list[AuditRow], label: str) -> dict[str, Any]:
    """The calls of all peers by "<peer> <version> <call>"; appends a row to `broken` for each peer without calls."""
    available: dict[str, Any] = {}
    for name, peer in peers().items():
        version = guarded(peer.version_of)
        outcome = version if version.broken else guarded(kind, peer)
        if outcome.broken:
            broken.append(unavailable(name, outcome, label))
            continue
        available |= {f"{name} {version.value} {way}": call for way, call in outcome.value.items()}
    return available


def unavailable(name: str, outcome: Outcome, label: str) -> AuditRow:
    return AuditRow(name, None, verdict="unavailable", note=outcome.broken, label=label)
