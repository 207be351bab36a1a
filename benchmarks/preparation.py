"""References made ready once: their features part by part, so that a killed run goes on, and their statistics."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.features.extraction import extract
from benchmarks.features.store import Store, family, write_statistics
from benchmarks.frechet import moments
from benchmarks.images.geometry import Geometry
from benchmarks.images.reading import Folder, Images, Part, Tar, Zip
from sid import atomic

if TYPE_CHECKING:
    from benchmarks.features.base import Extractor

PART = 1000  # images: what a killed run loses at most


def features(
    images: Images,
    extractor: Extractor,
    output: str,
    geometry: Geometry,
    store: Store,
    batch: int = 32,
    done: Callable[[int], object] = lambda count: None,
) -> np.ndarray:
    """One output for all images, in the store afterwards; `done` hears of every part, read or computed."""
    remember(images, store)
    held = store.read(images.digest, geometry, extractor, [output])
    if held:
        done(len(images))
        return held[output]
    beside = Store(_parts(store, images, extractor, output, geometry))
    arrays, modes, sizes = [], Counter[str](), Counter[tuple[int, int]]()
    for first in range(0, len(images), PART):
        part = Part(images, range(first, min(first + PART, len(images))))
        found = extract(part, {extractor.name: [output]}, {extractor.name: extractor}, geometry, batch, store=beside)
        arrays.append(found.features[f"{extractor.name}.{output}"])
        modes += found.modes
        sizes += found.sizes
        done(len(part))
    whole = np.concatenate(arrays)
    store.write(images.digest, geometry, extractor, {output: whole})
    store.write_seen(images.digest, modes, sizes)
    shutil.rmtree(beside.folder)
    return whole


def statistics(
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
        "family": family(extractor),
        "output": output,
        "geometry": geometry.identity,
        "images": images.digest,
        "source": images.source,
    }


def remember(images: Images, store: Store) -> None:
    """The images' digest as it was while their files had this size and time: hashing val2014 reads six gigabytes."""
    key = _stamp(images)
    if key is None:
        return
    file = store.folder / f"digest-{key}.json"
    if not file.is_file():
        atomic.write_json(file, {"digest": images.digest, "source": images.source})
    images.digest = json.loads(file.read_text())["digest"]


def _stamp(images: Images) -> str | None:
    """Names, sizes and times of the files behind the images; None where no file is."""
    if isinstance(images, Folder):
        files = [images.path / name for name in images.names]
    elif isinstance(images, Zip | Tar):
        files = [Path(images.source)]
    else:
        return None
    total = hashlib.sha256(images.source.encode())
    for path in files:
        status = path.stat()
        total.update(f"{path.name}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return total.hexdigest()[:16]


def _parts(store: Store, images: Images, extractor: Extractor, output: str, geometry: Geometry) -> Path:
    key = "\n".join([images.digest, geometry.identity, family(extractor), output])
    return store.folder / f"parts-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
