"""Features and statistics on disk, keyed by everything that decides them; a mix of families is refused."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import arrayfile
from benchmarks.frechet import UNKNOWN, Moments
from benchmarks.images.geometry import Geometry
from sid import atomic
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.features.base import Extractor


ASYMMETRY = 1e-5  # of the largest entry: what float32 arithmetic leaves


class Store:
    """One safetensors file per (image set, crop and resize, extractor, weights, output)."""

    def __init__(self, folder: Path):
        self.folder = folder

    def _path(self, digest: str, geometry: Geometry, extractor: Extractor, output: str) -> Path:
        key = "\n".join([digest, geometry.identity, family(extractor), str(extractor.version), output])
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
            made = {"images": digest, "geometry": geometry.identity, "family": family(extractor), "output": output}
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


def family(extractor: Extractor) -> str:
    """Features of one family may be compared: same extractor, same pixels, same weights."""
    return f"{extractor.name}|{extractor.preprocess}|{extractor.identity}"


def write_statistics(path: Path, moments: Moments, made: Mapping[str, str]) -> None:
    """Mean, covariance and its root for one output; `made` names family, output, geometry and images."""
    from safetensors.numpy import save

    arrays = {"mean": moments.mean, "covariance": moments.covariance}
    root = moments.cholesky()
    if root is not None:
        arrays["root"] = np.ascontiguousarray(root)
    if moments.features is not None and moments.rank_deficient:
        arrays["features"] = np.ascontiguousarray(moments.features)
    header = {**made, "count": str(moments.count), "ddof": str(moments.ddof), "kind": "statistics"}
    atomic.write_bytes(path, save(arrays, {"sidbench": json.dumps(header, sort_keys=True)}))


def read_statistics(path: Path, expected: Mapping[str, str]) -> Moments:
    """Statistics for a comparison; refused where family, output or geometry are not the images'."""
    header, arrays = read_file(path)
    if header.get("kind") != "statistics":
        raise Fault(f"{path} holds no statistics of this project")
    for name, value in expected.items():
        if header.get(name) != value:
            raise Fault(f"{path} has {name} '{header.get(name)}', the images '{value}': their distance means nothing")
    mean, covariance = _checked(path, arrays["mean"], arrays["covariance"])
    moments = Moments(mean, covariance, int(header["count"]), int(header["ddof"]), arrays.get("features"))
    moments._cholesky = arrays.get("root")
    return moments


def read_file(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Header and arrays of a file this project wrote."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("sidbench", "{}"))
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise Fault(f"{path} can't be read: {error}") from error


def foreign_statistics(path: Path, declared: str | None) -> tuple[str, Moments]:
    """mu and sigma of another tool's npz; its family stands nowhere in it, so the user must declare it."""
    if missing := {"mu", "sigma"} - set(arrayfile.names(path)):
        raise Fault(f"{path} lacks {' and '.join(sorted(missing))}: it is no file of statistics")
    given = arrayfile.array(path, "mu"), arrayfile.array(path, "sigma")
    if not declared:
        raise Fault(
            f"{path} does not say by which resize it was made: declare it with --reference-family, "
            "for example inception-tf for EDM's files or inception-clean for clean-fid's"
        )
    # Its N stands nowhere either; the published sets have more images than dimensions.
    return declared, Moments(*_checked(path, *given), UNKNOWN)


def _checked(path: Path, mean: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A finite mean and a finite symmetric matrix of its size, in float64; a distance to anything else is no number."""
    shapes = f"a mean of shape {list(mean.shape)} and a covariance of {list(covariance.shape)}"
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)) or not len(mean):
        raise Fault(f"{path}: {shapes} don't belong together")
    if mean.dtype.kind not in "fiu" or covariance.dtype.kind not in "fiu":
        raise Fault(f"{path} holds {mean.dtype} and {covariance.dtype}, not the numbers of statistics")
    mean, covariance = mean.astype(np.float64), covariance.astype(np.float64)
    for name, part in (("mean", mean), ("covariance", covariance)):
        if not np.isfinite(part).all():
            raise Fault(f"{path}: the {name} has NaN or infinity")
    skew = float(np.abs(covariance - covariance.T).max())
    if skew > ASYMMETRY * float(np.abs(covariance).max()):
        raise Fault(f"{path}: the covariance is not symmetric, S and its transpose differ by {skew:.3g}")
    return mean, covariance
