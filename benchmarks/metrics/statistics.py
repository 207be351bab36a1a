"""Statistics of a reference on disk: mean, covariance and its root, this project's files and other tools'."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.images import archives
from benchmarks.images.geometry import Geometry
from benchmarks.images.reading import Images
from benchmarks.metrics.frechet import UNKNOWN, Moments, moments
from sid import atomic
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.features.base import Extractor


ASYMMETRY = 1e-5  # of the largest entry: what float32 arithmetic leaves


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


def foreign_statistics(path: Path, declared: str | None) -> tuple[str, Moments]:
    """mu and sigma of another tool's npz; its family stands nowhere in it, so the user must declare it."""
    if missing := {"mu", "sigma"} - set(archives.array_names(path)):
        raise Fault(f"{path} lacks {' and '.join(sorted(missing))}: it is no file of statistics")
    given = archives.named_array(path, "mu"), archives.named_array(path, "sigma")
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


def statistics_file(
    images: Images,
    extractor: Extractor,
    output: str,
    geometry: Geometry,
    array: np.ndarray,
    folder: Path,
    ddof: int = 1,
) -> Path:
    """Mean and covariance of the features, as `sidbench score --reference` takes them."""
    made = described(images, extractor, output, geometry)
    key = "\n".join([made["family"], output, made["geometry"], made["images"], str(ddof)])
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    if not path.is_file():
        write_statistics(path, moments(array, ddof), made)
    return path


def described(images: Images, extractor: Extractor, output: str, geometry: Geometry) -> dict[str, str]:
    """What statistics are of: told in their file, and asked for when it is read."""
    return {
        "family": extractor.family,
        "output": output,
        "geometry": geometry.identity,
        "images": images.digest,
        "source": images.source,
    }


def read_file(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Header and arrays of a file this project wrote."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("sidbench", "{}"))
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise Fault(f"{path} can't be read: {error}") from error
