"""Features and statistics on disk, keyed by everything that decides them; a mix of families is refused."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.images.geometry import Geometry
from sid import atomic

if TYPE_CHECKING:
    from benchmarks.features.base import Extractor


class Store:
    """One safetensors file per (image set, crop and resize, extractor, weights, output)."""

    def __init__(self, folder: Path):
        self.folder = folder

    def _path(self, digest: str, geometry: Geometry, extractor: Extractor, output: str) -> Path:
        key = "\n".join([digest, geometry.identity, extractor.family, str(extractor.version), output])
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"

    def read(
        self, digest: str, geometry: Geometry, extractor: Extractor, outputs: Collection[str]
    ) -> dict[str, np.ndarray]:
        """Those of the outputs that were stored; a damaged file is as none."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        found = {}
        for output in outputs:
            path = self._path(digest, geometry, extractor, output)
            if path.is_file():
                try:
                    found[output] = load_file(path)["features"]
                except (SafetensorError, KeyError):
                    continue
        return found

    def write(self, digest: str, geometry: Geometry, extractor: Extractor, features: Mapping[str, np.ndarray]) -> None:
        """Stores the outputs, each with what made it in its header."""
        from safetensors.numpy import save

        for output, array in features.items():
            made = {"images": digest, "geometry": geometry.identity, "family": extractor.family, "output": output}
            data = save({"features": np.ascontiguousarray(array)}, {"sidbench": json.dumps(made, sort_keys=True)})
            atomic.write_bytes(self._path(digest, geometry, extractor, output), data)

    def seen(self, digest: str) -> tuple[Counter, Counter] | None:
        """Modes and sizes of an image set whose features were stored: what they warn of is as true without a pass.

        None where nothing was kept; a damaged file is as none.
        """
        path = self.folder / f"{digest[:16]}.json"
        try:
            kept = json.loads(path.read_bytes())
            modes = Counter({str(mode): int(count) for mode, count in kept["modes"].items()})
            sizes = Counter({(int(width), int(height)): int(count) for width, height, count in kept["sizes"]})
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return (modes, sizes) if modes and sizes else None

    def write_seen(self, digest: str, modes: Counter, sizes: Counter) -> None:
        """Beside the features."""
        kept = {"modes": modes, "sizes": sorted((width, height, count) for (width, height), count in sizes.items())}
        atomic.write_json(self.folder / f"{digest[:16]}.json", kept)
