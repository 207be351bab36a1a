"""One pass over the images for all extractors: decoded once in threads ahead of the network, batched, stored."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from benchmarks.features.store import Store
from benchmarks.images import reading
from benchmarks.images.geometry import AS_IS, Geometry
from benchmarks.images.reading import Array, Folder, Images, Subset, Tar, Zip, decode
from sid import atomic
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.features.base import Extractor
    from benchmarks.features.store import Store


@dataclass
class Extracted:
    """Feature arrays by "<extractor>.<output>", and what was seen of the images on the way."""

    features: dict[str, np.ndarray]
    names: list[str]
    digest: str
    modes: Counter = field(default_factory=Counter)  # how many came as grey, palette, with alpha, ...
    sizes: Counter = field(default_factory=Counter)  # (width, height), before the protocol's crop and resize
    stored: list[str] = field(default_factory=list)  # outputs that were read, not computed

    def warnings(self) -> list[str]:
        """What changes a score without being wrong."""
        said = []
        alpha = sum(count for mode, count in self.modes.items() if mode in ("RGBA", "LA", "PA", "RGBa", "La"))
        other = sum(self.modes.values()) - self.modes["RGB"] - alpha
        if alpha:
            said.append(f"the alpha channel of {alpha} images was dropped, not composited")
        if other:
            said.append(f"{other} images were converted to RGB from {', '.join(sorted(set(self.modes) - {'RGB'}))}")
        if len(self.sizes) > 1:
            said.append(f"images of {len(self.sizes)} sizes are mixed")
        return said


def extract(
    images: Images,
    wanted: Mapping[str, Collection[str]],
    extractors: Mapping[str, Extractor],
    geometry: Geometry = AS_IS,
    batch: int = 32,
    workers: int = 0,
    store: Store | None = None,
    captions: Sequence[str] | None = None,
    refused: dict[str, str] | None = None,
) -> Extracted:
    """The wanted outputs of each extractor; `workers` 0 takes the cores there are, `captions` feed those of pairs.

    An extractor that can't read these images is told in `refused`, and the others go on; without it, that is a Fault.
    """
    digest = _digest(images) if store else ""
    found = Extracted({}, images.names, digest)
    missing: dict[str, list[str]] = {}
    for name, outputs in wanted.items():
        storable = store if _storable(extractors[name]) else None
        kept = storable.read(digest, geometry, extractors[name], outputs) if storable else {}
        found.features |= {f"{name}.{output}": array for output, array in kept.items()}
        found.stored += [f"{name}.{output}" for output in kept]
        if lacking := [output for output in outputs if output not in kept]:
            missing[name] = lacking
    if not missing:
        if store:
            _look(images, geometry, batch, workers, store, found)
        return found
    arrays = _pass(_batches(images, geometry, batch, workers, found), images, missing, extractors, captions, refused)
    _refuse_infinite(arrays, images.names)
    found.features |= arrays
    if store:
        store.write_modes_and_sizes(digest, found.modes, found.sizes)
        for name, outputs in missing.items():
            if not _storable(extractors[name]):
                continue
            kept = {output: arrays[f"{name}.{output}"] for output in outputs}
            store.write(digest, geometry, extractors[name], kept)
    return found


def _pass(
    batches: Iterator[tuple[slice, list[np.ndarray]]],
    images: Images,
    missing: dict[str, list[str]],
    extractors: Mapping[str, Extractor],
    captions: Sequence[str] | None,
    refused: dict[str, str] | None,
) -> dict[str, np.ndarray]:
    """Every batch through every extractor; one that refuses an image leaves `missing`, and its arrays with it."""
    arrays: dict[str, np.ndarray] = {}
    with tqdm(total=len(images), desc=images.source, unit="img", leave=False, disable=None) as bar:
        for indices, pixels in batches:
            said = captions[indices] if captions is not None else None
            for name, outputs in list(missing.items()):
                try:
                    parts = _features(extractors[name], pixels, outputs, said)
                except Fault as fault:
                    if refused is None:
                        raise
                    refused[name] = " ".join(fault.sentences)
                    del missing[name]
                    arrays = {key: array for key, array in arrays.items() if key.rpartition(".")[0] != name}
                    continue
                for output, part in parts.items():
                    key = f"{name}.{output}"
                    if key not in arrays:
                        arrays[key] = np.empty((len(images), *part.shape[1:]), part.dtype)
                    arrays[key][indices] = part
            bar.update(len(pixels))
    return arrays


def _look(images: Images, geometry: Geometry, batch: int, workers: int, store: Store, found: Extracted) -> None:
    """What was seen of images whose features are all stored; they are decoded again where that was lost."""
    seen = store.read_modes_and_sizes(found.digest)
    if seen is not None:
        found.modes, found.sizes = seen
        return
    for _ in _batches(images, geometry, batch, workers, found):
        pass
    store.write_modes_and_sizes(found.digest, found.modes, found.sizes)


def _digest(images: Images) -> str:
    """Hashing reads every image before the pass does: where one fails, those that can't be decoded are told too."""
    try:
        return images.digest
    except Fault:
        reading.refuse_undecodable(images)
        raise


def _features(
    extractor: Extractor, pixels: Sequence[np.ndarray], outputs: Collection[str], captions: Sequence[str] | None
) -> dict[str, np.ndarray]:
    """Images of one size are resized together; the network sees the whole batch."""
    import torch

    groups: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(pixels):
        groups.setdefault(image.shape, []).append(index)
    with torch.inference_mode():
        parts = [
            extractor.prepare(torch.from_numpy(np.stack([pixels[index] for index in members])))
            for members in groups.values()
        ]
        prepared = torch.cat(parts) if len(parts) > 1 else parts[0]
        places = [index for members in groups.values() for index in members]
        if extractor.pairs and captions is not None:
            found = extractor.extract_pairs(prepared, [captions[index] for index in places], outputs)
        else:
            found = extractor.extract(prepared, outputs)
    if places == sorted(places):
        return found
    order = np.argsort(places)
    return {output: array[order] for output, array in found.items()}


def _batches(
    images: Images, geometry: Geometry, batch: int, workers: int, found: Extracted
) -> Iterator[tuple[slice, list[np.ndarray]]]:
    """Decoded batches in order; after the first unreadable image the rest is only checked, then all are told."""
    if isinstance(images, Array) and geometry == AS_IS:  # nothing to decode: no threads, no copies
        found.modes["L" if images.pixels.shape[1] == 1 else "RGB"] = len(images)
        found.sizes[images.pixels.shape[:1:-1]] = len(images)
        for first in range(0, len(images), batch):
            part = images.pixels[first : first + batch]
            yield slice(first, first + len(part)), list(part)
        return
    faults: list[str] = []
    pixels: list[np.ndarray] = []
    for index, decoded in enumerate(_ahead(images, geometry, batch, workers)):
        try:
            image, mode, size = decoded.result()
        except Fault as fault:
            faults += fault.sentences
            continue
        found.modes[mode] += 1
        found.sizes[size] += 1
        if faults:
            continue
        pixels.append(image)
        if len(pixels) == batch or index == len(images) - 1:
            yield slice(index + 1 - len(pixels), index + 1), pixels
            pixels = []
    if faults:
        raise Fault(reading.shorten_faults(faults, images.source))


def _ahead(images: Images, geometry: Geometry, batch: int, workers: int) -> Iterator[Future]:
    """Futures of decoded images, at most two batches ahead of the reader."""

    def one(index: int) -> tuple[np.ndarray, str, tuple[int, int]]:
        pixels, mode = decode(images.content(index), images.names[index])
        return geometry(pixels), mode, (pixels.shape[2], pixels.shape[1])

    threads = workers or len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future] = deque()
        for index in range(len(images)):
            waiting.append(pool.submit(one, index))
            if len(waiting) >= 2 * batch:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()


def _refuse_infinite(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> None:
    """NaN or infinity, with the image and the layer."""
    for key, array in arrays.items():
        finite = np.isfinite(array.reshape(len(array), -1)).all(axis=1)
        if not finite.all():
            bad = np.flatnonzero(~finite)
            told = ", ".join(names[index] for index in bad[:3]) + (" ..." if len(bad) > 3 else "")
            raise Fault(f"{key} has NaN or infinity for {len(bad)} images: {told}")


PART_SIZE = 1000  # images: what a killed run loses at most


def extract_in_parts(
    images: Images,
    wanted: Mapping[str, Collection[str]],
    extractors: Mapping[str, Extractor],
    geometry: Geometry,
    store: Store,
    batch: int = 32,
    workers: int = 0,
    refused: dict[str, str] | None = None,
    done: Callable[[int], object] = lambda count: None,
) -> Extracted:
    """As `extract` with a store, in parts that are stored one by one: a killed process resumes at the first missing.

    `done` is called with the number of images of every part, and of all where nothing is missing.
    """
    use_cached_digest(images, store)
    missing: dict[str, list[str]] = {}
    for name, outputs in wanted.items():
        if _storable(extractors[name]):
            stored = store.read(images.digest, geometry, extractors[name], outputs)
            if lacking := [output for output in outputs if output not in stored]:
                missing[name] = lacking
    if not missing:
        done(len(images))
    else:
        _extract_parts(images, missing, extractors, geometry, store, batch, workers, refused, done)
    readable = {name: outputs for name, outputs in wanted.items() if name not in (refused or {})}
    return extract(images, readable, extractors, geometry, batch, workers, store, refused=refused)


def _extract_parts(
    images: Images,
    missing: Mapping[str, Collection[str]],
    extractors: Mapping[str, Extractor],
    geometry: Geometry,
    store: Store,
    batch: int,
    workers: int,
    refused: dict[str, str] | None,
    done: Callable[[int], object],
) -> None:
    """The missing outputs into the store, through a store of parts beside it."""
    beside = Store(_parts_folder(store, images, missing, extractors, geometry))
    parts: dict[str, dict[str, list[np.ndarray]]] = {}
    modes, sizes = Counter[str](), Counter[tuple[int, int]]()
    for first in range(0, len(images), PART_SIZE):
        part = Subset(images, range(first, min(first + PART_SIZE, len(images))))
        readable = {name: outputs for name, outputs in missing.items() if name not in (refused or {})}
        extracted = extract(part, readable, extractors, geometry, batch, workers, beside, refused=refused)
        for key, array in extracted.features.items():
            name, _, output = key.rpartition(".")
            parts.setdefault(name, {}).setdefault(output, []).append(array)
        modes += extracted.modes
        sizes += extracted.sizes
        done(len(part))
    for name, arrays in parts.items():
        if name not in (refused or {}):
            whole = {output: np.concatenate(pieces) for output, pieces in arrays.items()}
            store.write(images.digest, geometry, extractors[name], whole)
    store.write_modes_and_sizes(images.digest, modes, sizes)
    shutil.rmtree(beside.folder)


def _storable(extractor: Extractor) -> bool:
    """A pair is more than its image, and a network that is trained here has no sha256 that names it."""
    return not (extractor.pairs or extractor.trained_here)


def use_cached_digest(images: Images, store: Store) -> None:
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


def _parts_folder(
    store: Store,
    images: Images,
    missing: Mapping[str, Collection[str]],
    extractors: Mapping[str, Extractor],
    geometry: Geometry,
) -> Path:
    features = [line for name, outputs in missing.items() for line in (extractors[name].family, *outputs)]
    key = "\n".join([images.digest, geometry.identity, *features])
    return store.folder / f"parts-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
