"""What an audit compares: two folders that every peer can read, and the network's tensors."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from benchmarks.assets import find, tensors
from benchmarks.audit import synthetic
from benchmarks.audit.pipelines import Subject
from benchmarks.features.inception import WEIGHT
from benchmarks.features.networks.inception import random_state
from benchmarks.images.reading import Images, Subset, decode, open_images, refuse_undecodable
from benchmarks.suite import components
from sid.fault import Fault

SYNTHETIC = 48  # images a set


def subject_of(
    images: Path | None,
    reference: Path | None,
    folder: Path,
    *,
    samples: int | None = None,
    weights: Path | None = None,
    random_weights: int | None = None,
    seed: int = 0,
    tap: int = 2048,
    device: str = "cpu",
) -> Subject:
    """Folders for the peers, and a network; the label names the images and weights.

    Args:
        images: A folder or archive; None: synthetic images.
        reference: The other set; None: the second half of the images.
        folder: A temporary one, for copies.
        samples: The first so many images of each set; None: all.
        weights: The network's file; None: it is searched for.
        random_weights: The seed of random weights.
        seed: Of synthetic images.
        tap: Dimension of the features.
        device: Of this project's own network.
    """
    sources = []
    if images is None:
        if reference:
            raise Fault("audit: a reference without images; name both or neither")
        compared = synthetic.write(folder / "images", SYNTHETIC, seed, blur=0.15)
        against = synthetic.write(folder / "reference", SYNTHETIC, seed + 1, blur=0.0)
        sources.append("synthetic images")
    else:
        compared, against = _folders(images, reference, folder, samples)
        sources.append(str(images) + (f", the first {samples} images" if samples is not None else ""))
    state, network = _state(weights, random_weights)
    return Subject(compared, against, state, ", ".join([*sources, network]), sources[0], tap, device)


def _state(weights: Path | None, random_weights: int | None) -> tuple[dict, str]:
    """The network's tensors and their name for the label."""
    path = None if random_weights is not None else find(WEIGHT, weights)
    if path is not None:
        opened = components.extractors()["inception-tf"].open(path)  # refuses another network's file
        return tensors(path), f"weights {opened.identity[:12]}"
    seed = random_weights or 0
    reason = "" if random_weights is not None else " since no weights were found"
    return random_state(seed), f"random weights, seed {seed}{reason}"


def _folders(images: Path, reference: Path | None, folder: Path, samples: int | None) -> tuple[Path, Path]:
    """Two folders that the peers can read: folders as they are, archives as lossless copies, one set as two halves."""
    if samples is not None and samples < 4:
        raise Fault(f"--samples must be at least 4 (got {samples})")
    sets = [open_images(path) for path in (images, reference) if path is not None]
    if samples is not None:
        sets = [images_of.first(samples) for images_of in sets]
    as_it_is = [path is not None and path.is_dir() and samples is None for path in (images, reference)]
    if reference is None:
        as_it_is = [False]  # its halves are copied
    # Before the audit takes minutes. Other readers clip deep pixels: in folders that they read themselves they stay.
    refuse_undecodable(*sets, deep=not all(as_it_is))
    first = sets[0]
    if reference is None:
        if len(first) < 4:
            raise Fault(f"{images} holds {len(first)} images: two halves need at least 4")
        half = len(first) // 2
        halves = Subset(first, range(half)), Subset(first, range(half, len(first)))
        return _copied(halves[0], folder / "images"), _copied(halves[1], folder / "reference")
    second = sets[1]
    compared = images if as_it_is[0] else _copied(first, folder / "images")
    against = reference if as_it_is[1] else _copied(second, folder / "reference")
    return compared, against


def _copied(images: object, folder: Path) -> Path:
    """Writes the decoded pixels as PNG files, named in the images' order."""
    assert isinstance(images, Images)
    folder.mkdir()
    for index, name in enumerate(images.names):
        pixels, _ = decode(images.read(index), name)
        Image.fromarray(pixels.transpose(1, 2, 0).copy()).save(folder / f"{index:06d}.png")
    return folder
