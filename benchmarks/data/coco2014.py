"""COCO-2014 (Lin et al.): val2014 as a reference, and the 10,000 images that DMD2 compares SDXL with.

Images are streamed: the split holds 40,504 photographs of many sizes. Where the annotation is there, the images must be
those that it lists; without it their number alone is checked.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.assets import DataFile
from benchmarks.data.base import FileDataset, opened
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.data.pairs import Annotation
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
        images = opened(path)
        annotation = self._annotation() if split == "val" else None
        if annotation is not None:
            self._compare(images, annotation)
        elif len(images) != COUNTS[split]:
            raise Fault(f"{path} holds {len(images):,} images, the split {split} has {COUNTS[split]:,}")
        return images

    def images(self, split: str) -> np.ndarray:
        raise Fault(f"{self.name} has images of many sizes: they are streamed, never held as one array")

    def captions(self, split: str) -> list[str]:
        """The first caption of every image, in the images' order."""
        annotation = self._annotation()
        if split != "val" or annotation is None:
            raise Fault(f"the captions of {self.name} are those of val, from {' or '.join(CAPTIONS.names)}")
        return [annotation.captions[Path(name).name][0] for name in self.source(split).names]

    def _annotation(self) -> Annotation | None:
        from benchmarks.data.pairs import read_annotation

        path = self.find(CAPTIONS)
        return None if path is None else read_annotation(path)

    def _compare(self, images: Images, annotation: Annotation) -> None:
        found, listed = {Path(name).name for name in images.names}, set(annotation.captions)
        if found != listed or len(images) != len(listed):
            lacking, foreign = sorted(listed - found), sorted(found - listed)
            named = [f"{len(lacking):,} are missing, the first is {lacking[0]}"] if lacking else []
            named += [f"{len(foreign):,} are not listed, the first is {foreign[0]}"] if foreign else []
            told = "; ".join(named) or "some stand there twice"
            raise Fault(f"{images.source} holds {len(images):,} images, the annotation lists {len(listed):,}: {told}")
