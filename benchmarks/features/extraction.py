"""One pass of images through all extractors: each image is decoded once, in threads ahead of the networks.

`extract` is that pass; with a `Store`, features that are stored are read instead. `extract_in_parts` stores the
features of every thousand images, so that a killed process resumes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from benchmarks.features.batches import Waiting, device_of, features_of_batch, uploaded
from benchmarks.features.store import Store
from benchmarks.hardware import cores
from benchmarks.images import reading
from benchmarks.images.geometry import AS_IS, Geometry
from benchmarks.images.reading import Array, Folder, Images, Subset, Tar, Zip, decode_whole
from benchmarks.images.selection import printable
from sid import atomic
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.features.base import Extractor

PART_SIZE = 1000  # images of `extract_in_parts` that a killed process loses at most
ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")


@dataclass
class Extracted:
    """Feature arrays by "<extractor>.<output>", and the colour modes and sizes of the images."""

    features: dict[str, np.ndarray]
    names: list[str]
    digest: str
    modes: Counter = field(default_factory=Counter)  # images by mode: RGB, grey, palette, with alpha, ...
    sizes: Counter = field(default_factory=Counter)  # images by (width, height), before the crop and resize
    unused: Counter = field(default_factory=Counter)  # images by what they state and no protocol uses
    notes: list[str] = field(default_factory=list)  # what networks did with images of some sizes
    stored: list[str] = field(default_factory=list)  # outputs that were read from the store
    waiting: Waiting = field(default_factory=Waiting)  # of the pass; no part of any result

    def warnings(self) -> list[str]:
        """What changes a score without being a fault."""
        warnings = []
        alpha = sum(count for mode, count in self.modes.items() if mode in ALPHA_MODES)
        other = sum(self.modes.values()) - self.modes["RGB"] - alpha
        if alpha:
            warnings.append(f"the alpha channel of {alpha} images was dropped, not composited")
        if other:
            warnings.append(f"{other} images were converted to RGB from {', '.join(sorted(set(self.modes) - {'RGB'}))}")
        for what, count in sorted(self.unused.items()):
            warnings.append(f"{what} of {count} image{'s' if count > 1 else ''} not used, as in the protocols' readers")
        if len(self.sizes) > 1:
            warnings.append(f"images of {len(self.sizes)} sizes are mixed")
        return [*warnings, *self.notes]


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
    """The wanted outputs of each extractor for all images.

    Args:
        images: read once, in their order.
        wanted: extractor -> outputs.
        extractors: opened, by name.
        geometry: the protocol's crop and resize.
        batch: images at a time.
        workers: threads that decode; 0 for as many as there are cores.
        store: of features; None computes all and stores nothing.
        captions: one per image, for extractors that read pairs.
        refused: collects the message of each extractor that can't read these images, and the others continue; without
            it, such a message is a Fault.
    """
    digest = _digest(images) if store else ""
    result = Extracted({}, images.names, digest)
    missing: dict[str, list[str]] = {}
    for name, outputs in wanted.items():
        storable = store if _storable(extractors[name]) else None
        stored = storable.read(digest, geometry, extractors[name], outputs) if storable else {}
        result.features |= {f"{name}.{output}": array for output, array in stored.items()}
        result.stored += [f"{name}.{output}" for output in stored]
        if lacking := [output for output in outputs if output not in stored]:
            missing[name] = lacking
    if not missing:
        if store:
            _fill_counts(images, geometry, batch, workers, store, result)
        result.notes = _notes(wanted, extractors, geometry, result.sizes)
        return result
    batches = _batches(images, geometry, batch, workers, result)
    arrays, result.waiting = _pass(batches, images, missing, extractors, captions, refused)
    _refuse_infinite(arrays, images.names)
    result.features |= arrays
    result.notes = _notes(wanted, extractors, geometry, result.sizes)
    if store:
        store.write_counts(digest, result.modes, result.sizes, result.unused)
        for name, outputs in missing.items():
            if not _storable(extractors[name]):
                continue
            computed = {output: arrays[f"{name}.{output}"] for output in outputs}
            store.write(digest, geometry, extractors[name], computed)
    return result


def _pass(
    batches: Iterator[tuple[slice, list[np.ndarray]]],
    images: Images,
    missing: dict[str, list[str]],
    extractors: Mapping[str, Extractor],
    captions: Sequence[str] | None,
    refused: dict[str, str] | None,
) -> tuple[dict[str, np.ndarray], Waiting]:
    """Every batch through every extractor; one that refuses an image is removed from `missing`, with its arrays."""
    arrays: dict[str, np.ndarray] = {}
    waiting, device = Waiting(), next((device_of(extractors[name]) for name in missing), "cpu")
    with tqdm(total=len(images), desc=images.source, unit="img", leave=False, disable=None) as bar:
        started = time.monotonic()
        for indices, groups in uploaded(batches, device):
            ready = time.monotonic()
            waiting.networks += ready - started
            batch_captions = captions[indices] if captions is not None else None
            for name, outputs in list(missing.items()):
                try:
                    parts = features_of_batch(extractors[name], groups, outputs, batch_captions)
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
            bar.update(indices.stop - indices.start)
            started = time.monotonic()
            waiting.decoders += started - ready
    return arrays, waiting


def _notes(
    wanted: Collection[str], extractors: Mapping[str, Extractor], geometry: Geometry, sizes: Counter
) -> list[str]:
    """What the networks note about the sizes that reach them."""
    reaching: Counter = Counter()
    for (width, height), count in sizes.items():
        reaching[geometry.size_of(width, height)] += count
    return [note for name in wanted for note in extractors[name].notes(reaching)]


def _fill_counts(images: Images, geometry: Geometry, batch: int, workers: int, store: Store, result: Extracted) -> None:
    """From the store; if they are not there, the images are decoded again."""
    stored = store.read_counts(result.digest)
    if stored is not None:
        result.modes, result.sizes, result.unused = stored
        return
    for _ in _batches(images, geometry, batch, workers, result):
        pass
    store.write_counts(result.digest, result.modes, result.sizes, result.unused)


def _digest(images: Images) -> str:
    """Hashing reads every image before the pass: if one can't be read, the undecodable ones are listed as well."""
    try:
        return images.digest
    except Fault:
        reading.refuse_undecodable(images)
        raise


def _batches(
    images: Images, geometry: Geometry, batch: int, workers: int, result: Extracted
) -> Iterator[tuple[slice, list[np.ndarray]]]:
    """Decoded batches in order, counted in `result`; after an unreadable image the rest is only checked for others."""
    if isinstance(images, Array) and geometry == AS_IS:  # nothing to decode: no threads, no copies
        result.modes["L" if images.pixels.shape[1] == 1 else "RGB"] = len(images)
        result.sizes[images.pixels.shape[:1:-1]] = len(images)
        for first in range(0, len(images), batch):
            part = images.pixels[first : first + batch]
            yield slice(first, first + len(part)), list(part)
        return
    faults: list[str] = []
    pixels: list[np.ndarray] = []
    for index, decoded in enumerate(_ahead(images, geometry, batch, workers)):
        try:
            image, mode, size, unused = decoded.result()
        except Fault as fault:
            faults += fault.sentences
            continue
        result.modes[mode] += 1
        result.sizes[size] += 1
        result.unused.update(unused)
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

    def decoded(index: int) -> tuple[np.ndarray, str, tuple[int, int], tuple[str, ...]]:
        image = decode_whole(images.content(index), images.names[index])
        return geometry(image.pixels), image.mode, (image.pixels.shape[2], image.pixels.shape[1]), image.unused

    threads = workers or cores()
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future] = deque()
        for index in range(len(images)):
            waiting.append(pool.submit(decoded, index))
            if len(waiting) >= 2 * batch:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()


def _refuse_infinite(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> None:
    """Refuses NaN and infinity, with the names of the images and the output."""
    for key, array in arrays.items():
        finite = np.isfinite(array.reshape(len(array), -1)).all(axis=1)
        if not finite.all():
            bad = np.flatnonzero(~finite)
            listed = ", ".join(printable(names[index]) for index in bad[:3]) + (" ..." if len(bad) > 3 else "")
            raise Fault(f"{key} has NaN or infinity for {len(bad)} images: {listed}")


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
    """As `extract`, but stores the features of every PART_SIZE images, so that a killed process resumes.

    Args:
        images, wanted, extractors, geometry, batch, workers, refused: as for `extract`.
        store: of features; the parts are in a folder of it and deleted at the end.
        done: called with the number of images after every part, or once if nothing is missing.
    """
    use_cached_digest(images, store)
    missing: dict[str, list[str]] = {}
    for name, outputs in wanted.items():
        if _storable(extractors[name]):
            stored = store.read(images.digest, geometry, extractors[name], outputs)
            if lacking := [output for output in outputs if output not in stored]:
                missing[name] = lacking
    waiting = Waiting()
    if not missing:
        done(len(images))
    else:
        waiting = _extract_parts(images, missing, extractors, geometry, store, batch, workers, refused, done)
    readable = {name: outputs for name, outputs in wanted.items() if name not in (refused or {})}
    whole = extract(images, readable, extractors, geometry, batch, workers, store, refused=refused)
    whole.waiting += waiting
    return whole


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
) -> Waiting:
    """The missing outputs into the store, through a store of parts beside it; which side waited for how long."""
    waiting = Waiting()
    beside = Store(_parts_folder(store, images, missing, extractors, geometry))
    parts: dict[str, dict[str, list[np.ndarray]]] = {}
    modes, sizes, unused = Counter[str](), Counter[tuple[int, int]](), Counter[str]()
    for first in range(0, len(images), PART_SIZE):
        part = Subset(images, range(first, min(first + PART_SIZE, len(images))))
        readable = {name: outputs for name, outputs in missing.items() if name not in (refused or {})}
        extracted = extract(part, readable, extractors, geometry, batch, workers, beside, refused=refused)
        for key, array in extracted.features.items():
            name, _, output = key.rpartition(".")
            parts.setdefault(name, {}).setdefault(output, []).append(array)
        modes += extracted.modes
        sizes += extracted.sizes
        unused += extracted.unused
        waiting += extracted.waiting
        done(len(part))
    for name, arrays in parts.items():
        if name not in (refused or {}):
            whole = {output: np.concatenate(pieces) for output, pieces in arrays.items()}
            store.write(images.digest, geometry, extractors[name], whole)
    store.write_counts(images.digest, modes, sizes, unused)
    shutil.rmtree(beside.folder)
    return waiting


def _storable(extractor: Extractor) -> bool:
    """Whether the store's key says it all: it names neither captions nor the weights of a network trained here."""
    return not (extractor.pairs or extractor.trained_here)


def use_cached_digest(images: Images, store: Store) -> None:
    """Takes the images' digest from the store if their files are unchanged: hashing val2014 reads six gigabytes."""
    key = _stamp(images)
    if key is None:
        return
    file = store.folder / f"digest-{key}.json"
    if not file.is_file():
        atomic.write_json(file, {"digest": images.digest, "source": images.source})
    images.digest = json.loads(file.read_text())["digest"]


def _stamp(images: Images) -> str | None:
    """A hash of the names, sizes and times of the images' files; None for arrays."""
    if isinstance(images, Folder):
        files = [images.path / name for name in images.names]
    elif isinstance(images, Zip | Tar):
        files = [Path(images.source)]
    else:
        return None
    total = hashlib.sha256(images.source.encode())
    for path in files:
        status = path.stat()
        total.update(
            f"{path.name}|{status.st_size}|{status.st_mtime_ns}|{status.st_ctime_ns}|{status.st_ino}\n".encode()
        )
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
