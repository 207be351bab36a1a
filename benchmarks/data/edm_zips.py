"""ImageNet at 64 pixels, as EDM's dataset_tool.py packs it: a zip of PNG files and dataset.json with the labels."""

from __future__ import annotations

from benchmarks.data.base import FileDataset
from benchmarks.datafile import DataFile


class ImageNet64(FileDataset):
    name = "imagenet64"
    version = 1
    paper = "Deng et al., ImageNet, CVPR 2009"
    verified = "layout"
    shape = (3, 64, 64)
    classes = 1000
    splits = ("train",)
    files = (
        DataFile(
            "the images as EDM's zip",
            ("imagenet-64x64.zip",),
            "ImageNet's terms of access, research only",
            "EDM's README tells how to make it",
        ),
    )
