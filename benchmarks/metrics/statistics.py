"""Files with the mean and covariance of a reference: this project's and other tools'."""

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
from benchmarks.metrics.frechet import UNKNOWN_COUNT, Moments, moments
from sid import atomic
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.features.base import Extractor


ASYMMETRY = 1e-5  # of the largest entry: float32 arithmetic stays below


def write_statistics(path: Path, moments: Moments, header: Mapping[str, str]) -> None:
    """Writes mean, covariance and its root of one output; `header` is what `statistics_header` returns."""
    from safetensors.numpy import save

    arrays = {"mean": moments.mean, "covariance": moments.covariance}
    root = moments.cholesky()
    if root is not None:
        arrays["root"] = np.ascontiguousarray(root)
    if moments.features is not None and moments.rank_deficient:
        arrays["features"] = np.ascontiguousarray(moments.features)
    stored = {**header, "count": str(moments.count), "ddof": str(moments.ddof), "kind": "statistics"}
    atomic.write_bytes(path, save(arrays, {"sidbench": json.dumps(stored, sort_keys=True)}))


def read_statistics(path: Path, expected: Mapping[str, str]) -> Moments:
    """Statistics for a comparison; refused unless the header has the images' family, output and geometry."""
    header, arrays = read_header_and_arrays(path)
    if header.get("kind") != "statistics":
        raise Fault(f"{path} holds no statistics of this project")
    for name, value in expected.items():
        if header.get(name) != value:
            raise Fault(f"{path} has {name} '{header.get(name)}', the images '{value}': their distance means nothing")
    mean, covariance = _checked(path, arrays["mean"], arrays["covariance"])
    moments = Moments(mean, covariance, int(header["count"]), int(header["ddof"]), arrays.get("features"))
    moments._cholesky = arrays.get("root")
    return moments


def read_foreign_statistics(path: Path, declared: str | None) -> tuple[str, Moments]:
    """mu and sigma of another tool's npz. The file does not state the features' family: the user must declare it."""
    if missing := {"mu", "sigma"} - set(archives.npz_names(path)):
        raise Fault(f"{path} lacks {' and '.join(sorted(missing))}: it is no file of statistics")
    mean, covariance = archives.read_npz(path, "mu"), archives.read_npz(path, "sigma")
    if not declared:
        raise Fault(
            f"{path} does not say by which resize it was made: declare it with --reference-family, "
            "for example inception-tf for EDM's files or inception-clean for clean-fid's"
        )
    # Nor does it state N; the published sets have more images than dimensions.
    return declared, Moments(*_checked(path, mean, covariance), UNKNOWN_COUNT)


def _checked(path: Path, mean: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in float64; refuses anything but a finite mean and a finite symmetric matrix of its size."""
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


def ensure_statistics(
    images: Images,
    extractor: Extractor,
    output: str,
    geometry: Geometry,
    array: np.ndarray,
    folder: Path,
    ddof: int = 1,
) -> Path:
    """The file with mean and covariance of the features, written if it is not there; `score --reference` reads it.

    Args:
        images: the reference.
        extractor: opened.
        output: of the extractor.
        geometry: the protocol's crop and resize.
        array: the features [N, d].
        folder: of the statistics files.
        ddof: 1 for the unbiased covariance, 0 for the biased one.
    """
    header = statistics_header(images, extractor, output, geometry)
    key = "\n".join([header["family"], output, header["geometry"], header["images"], str(ddof)])
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    if not path.is_file():
        write_statistics(path, moments(array, ddof), header)
    return path


def statistics_header(images: Images, extractor: Extractor, output: str, geometry: Geometry) -> dict[str, str]:
    """What statistics were made of: stored in their file, and compared when it is read."""
    return {
        "family": extractor.family,
        "output": output,
        "geometry": geometry.identity,
        "images": images.digest,
        "source": images.source,
    }


def read_header_and_arrays(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Header and arrays of a file that this project wrote."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("sidbench", "{}"))
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise Fault(f"{path} can't be read: {error}") from error
