"""A caption file of COCO: the images it lists and what people said of each. Another year is told by its names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.images.archives import read_member
from sid.fault import Fault

MEMBER = "annotations/captions_val2014.json"
YEAR = "val2014"


@dataclass(frozen=True)
class Annotation:
    """Captions by image, those of one image in the order of their ids."""

    captions: dict[str, tuple[str, ...]]  # file name -> captions, as written: outer blanks are part of them

    @property
    def every(self) -> list[str]:
        return [caption for said in self.captions.values() for caption in said]


@lru_cache(maxsize=2)
def read_annotation(path: Path, year: str = YEAR) -> Annotation:
    """captions_val2014.json, or the published zip that holds it."""
    content = read_member(path, MEMBER) if path.suffix == ".zip" else path.read_bytes()
    try:
        told = json.loads(content)
    except ValueError:
        raise Fault(f"{path} is no valid JSON: it is truncated or no annotation file") from None
    said = images_with_captions(told, path)
    prefix = f"COCO_{year}_"
    other = next((name for name in said if not name.startswith(prefix)), None)
    if other is not None:
        raise Fault(
            f"{path} is of another year or split: it lists {other}, and the images of {year} begin with {prefix}"
        )
    return Annotation(said)


def images_with_captions(told: Any, path: Path) -> dict[str, tuple[str, ...]]:
    """File name -> captions of any file in COCO's form, whatever its year."""
    try:
        images = {int(image["id"]): str(image["file_name"]) for image in told["images"]}
        rows = sorted(told["annotations"], key=lambda row: int(row["id"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Fault(f"{path} is no annotation file of COCO: it has no readable images and annotations") from None
    if any("caption" not in row for row in rows):
        raise Fault(f"{path} holds annotations without captions: captions_{YEAR}.json is the one with captions")
    said: dict[str, list[str]] = {name: [] for _, name in sorted(images.items())}
    for row in rows:
        image = row.get("image_id")
        if image not in images:
            raise Fault(f"{path} is damaged: caption {row['id']} is of image {image}, which it does not list")
        said[images[image]].append(str(row["caption"]))
    silent = [name for name, captions in said.items() if not captions]
    if silent:
        raise Fault(f"{path} is damaged: {len(silent)} images have no caption, the first is {silent[0]}")
    return {name: tuple(captions) for name, captions in said.items()}
