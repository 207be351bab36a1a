"""The name of a result: a digest of everything that decides it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any


def digest(section: Mapping[str, Any], versions: Mapping[str, int], inputs: Iterable[str] = ()) -> str:
    """The first 12 characters of the sha256 of the canonical JSON: equal meaning, equal digest."""
    content = {"section": section, "versions": versions, "inputs": sorted(inputs)}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
