"""Features on disk, keyed by everything that decides them."""

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
    """One safetensors file per image set, geometry, extractor with its weights, and output."""

    def __init__(self, folder: Path):
        self.folder = folder

    def _path(self, digest: str, geometry: Geometry, extractor: Extractor, output: str) -> Path:
        key = "\n".join([digest, geometry.identity, extractor.family, str(extractor.version), output])
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"

    def read(
        self, digest: str, geometry: Geometry, extractor: Extractor, outputs: Collection[str]
    ) -> dict[str, np.ndarray]:
        """The outputs that are stored; a damaged file counts as missing."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        features = {}
        for output in outputs:
            path = self._path(digest, geometry, extractor, output)
            if path.is_file():
                try:
                    features[output] = load_file(path)["features"]
                except (SafetensorError, KeyError):
                    continue
        return features

    def write(self, digest: str, geometry: Geometry, extractor: Extractor, features: Mapping[str, np.ndarray]) -> None:
        """Stores the outputs; each file's header states what it was made of."""
        from safetensors.numpy import save

        for output, array in features.items():
            header = {"images": digest, "geometry": geometry.identity, "family": extractor.family, "output": output}
            data = save({"features": np.ascontiguousarray(array)}, {"sidbench": json.dumps(header, sort_keys=True)})
            atomic.write_bytes(self._path(digest, geometry, extractor, output), data)

    def read_counts(self, digest: str) -> tuple[Counter, Counter, Counter] | None:
        """How many images of a set have each colour mode, each size, and state what no protocol uses.

        Their warnings hold without a new pass, too.

        None if they are not stored; a damaged file counts as missing.
        """
        path = self.folder / f"{digest[:16]}.json"
        try:
            counts = json.loads(path.read_bytes())
            modes = Counter({str(mode): int(count) for mode, count in counts["modes"].items()})
            unused = Counter({str(what): int(count) for what, count in counts["unused"].items()})
            sizes = Counter({(int(width), int(height)): int(count) for width, height, count in counts["sizes"]})
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return (modes, sizes, unused) if modes and sizes else None

    def write_counts(self, digest: str, modes: Counter, sizes: Counter, unused: Counter) -> None:
        """In a file beside the features."""
        listed = sorted((width, height, count) for (width, height), count in sizes.items())
        counts = {"modes": modes, "sizes": listed, "unused": unused}
        atomic.write_json(self.folder / f"{digest[:16]}.json", counts)
