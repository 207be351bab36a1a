"""COCO-2014 (Lin et al.): val2014 as a reference, and the 10,000 images that DMD2 compares SDXL with.

Images are read one at a time: val has 40,504 photographs of many sizes. If the annotation is there, the images must be
those that it lists; without it only their number is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.assets import DataFile
from benchmarks.data.base import FileDataset, open_cached
from sid.fault import Fault, parsed

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.images.reading import Images

TERMS = "annotations CC BY 4.0, images under their owners' terms on Flickr"
SOURCE = "https://cocodataset.org"
IMAGES = DataFile("the images of val2014", ("val2014", "val2014.zip"), TERMS, SOURCE, splits=("val",))
CAPTIONS = DataFile(
    "the captions of val2014",
    ("annotations/captions_val2014.json", "captions_val2014.json", "annotations_trainval2014.zip"),
    TERMS,
    SOURCE,
    needed=False,
)
SUBSET = DataFile(
    "the 10,000 images of DMD2's comparison",
    ("coco10k", "coco10k.zip"),
    TERMS,
    "the DMD2 code's README",
    splits=("dmd2-10k",),
)
ZIP_MEMBER = "annotations/captions_val2014.json"  # in the published zip
IMAGE_PREFIX = "COCO_val2014_"
COUNTS = {"val": 40_504, "dmd2-10k": 10_000}


class Coco2014(FileDataset):
    name = "coco2014"
    version = 1
    paper = "Lin et al., Microsoft COCO, arXiv 1405.0312"
    verified = "layout"
    shape = (3, 256, 256)  # what the protocols resize to; the files have many sizes
    captioned = True
    splits = ("val", "dmd2-10k")
    files = (IMAGES, CAPTIONS, SUBSET)

    def opened(self, split: str) -> Images:
        file = IMAGES if split == "val" else SUBSET
        path = self.locate(file)
        images = open_cached(path)
        annotation = self._annotation() if split == "val" else None
        if annotation is not None:
            self._compare(images, annotation)
        elif len(images) != COUNTS[split]:
            raise Fault(f"{path} holds {len(images):,} images, the split {split} has {COUNTS[split]:,}")
        return images

    def images(self, split: str) -> np.ndarray:
        raise Fault(f"{self.name} has images of many sizes: they are streamed, never decoded into one array")

    def captions(self, split: str) -> list[str]:
        """The first caption of every image, in the order of the images."""
        annotation = self._annotation()
        if split != "val" or annotation is None:
            raise Fault(f"the captions of {self.name} are those of val, from {' or '.join(CAPTIONS.names)}")
        return [annotation.captions[Path(name).name][0] for name in self.source(split).names]

    def _annotation(self) -> Annotation | None:
        path = self.find(CAPTIONS)
        return None if path is None else read_annotation(path)

    def _compare(self, images: Images, annotation: Annotation) -> None:
        present, listed = {Path(name).name for name in images.names}, set(annotation.captions)
        if present != listed or len(images) != len(listed):
            lacking, foreign = sorted(listed - present), sorted(present - listed)
            named = [f"{len(lacking):,} are missing, the first is {lacking[0]}"] if lacking else []
            named += [f"{len(foreign):,} are not listed, the first is {foreign[0]}"] if foreign else []
            words = "; ".join(named) or "some are there twice"
            raise Fault(f"{images.source} holds {len(images):,} images, the annotation lists {len(listed):,}: {words}")


@dataclass(frozen=True)
class Annotation:
    """The captions of val2014."""

    captions: dict[str, tuple[str, ...]]  # file name -> captions in the order of their ids

    @property
    def all_captions(self) -> list[str]:
        return [caption for captions in self.captions.values() for caption in captions]


@lru_cache(maxsize=2)
def read_annotation(path: Path) -> Annotation:
    """captions_val2014.json, or the published zip that contains it."""
    from benchmarks.data.pairs import parse_coco
    from benchmarks.images.archives import read_zip_member

    content = read_zip_member(path, ZIP_MEMBER) if path.suffix == ".zip" else path.read_bytes()
    try:
        annotation = parsed(content)
    except ValueError:
        raise Fault(f"{path} is no valid JSON: it is truncated or no annotation file") from None
    captions = parse_coco(annotation, path)
    other = next((name for name in captions if not name.startswith(IMAGE_PREFIX)), None)
    if other is not None:
        raise Fault(
            f"{path} is of another year or split: it lists {other}, and the images of val2014 begin with {IMAGE_PREFIX}"
        )
    return Annotation(captions)
