"""MJHQ-30K (Playground): 30,000 pictures of Midjourney in ten categories of 3,000, each with its prompt."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from benchmarks.assets import DataFile
from benchmarks.data.base import FileDataset, open_cached
from benchmarks.images.reading import Subset
from sid.fault import Fault, parsed

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.images.reading import Images

SOURCE = "https://huggingface.co/datasets/playgroundai/MJHQ-30K"
TERMS = "Playground v2.5 Community License"
IMAGES = DataFile("the images, a folder a category", ("mjhq30k_imgs.zip", "mjhq30k_imgs"), TERMS, SOURCE)
METADATA = DataFile("the prompts and categories", ("meta_data.json",), TERMS, SOURCE)
CATEGORIES = ("animals", "art", "fashion", "food", "indoor", "landscape", "logo", "people", "plants", "vehicles")
EACH = 3000  # images of a category


class Mjhq30k(FileDataset):
    """The split `test` has all categories, and each category is a split of its own, in the same order."""

    name = "mjhq30k"
    version = 1
    paper = "Li et al., Playground v2.5, arXiv 2402.17245"
    verified = "layout"
    shape = (3, 1024, 1024)
    captioned = True
    splits = ("test", *CATEGORIES)
    files = (IMAGES, METADATA)

    def opened(self, split: str) -> Images:
        images = open_cached(self.locate(IMAGES))
        entries = read_metadata(self.locate(METADATA))
        listed = {PurePosixPath(name).stem for name in images.names}
        if lacking := sorted(set(entries) - listed):
            raise Fault(
                f"{images.source} lacks {len(lacking):,} of the images that {METADATA.names[0]} lists: {lacking[0]}"
            )
        wanted = [
            at
            for at, name in enumerate(images.names)
            if (entry := entries.get(PurePosixPath(name).stem)) and split in ("test", entry[0])
        ]
        return Subset(images, wanted)

    def images(self, split: str) -> np.ndarray:
        raise Fault(f"{self.name} has {len(CATEGORIES) * EACH:,} images of 1024 pixels: they are streamed")

    def captions(self, split: str) -> list[str]:
        entries = read_metadata(self.locate(METADATA))
        return [entries[PurePosixPath(name).stem][1] for name in self.source(split).names]


@lru_cache(maxsize=2)
def read_metadata(path: Path) -> dict[str, tuple[str, str]]:
    """Name of an image without its ending -> (category, prompt); ten categories of 3,000."""
    try:
        entries = {name: (entry["category"], entry["prompt"]) for name, entry in parsed(path.read_bytes()).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Fault(f"{path} is no table of MJHQ-30K's categories and prompts: {error}") from None
    counts = Counter(category for category, _ in entries.values())
    if counts != dict.fromkeys(CATEGORIES, EACH):
        shown = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
        raise Fault(
            f"{path} is not MJHQ-30K, which has {EACH:,} prompts in each of {len(CATEGORIES)} categories: {shown}"
        )
    return entries
