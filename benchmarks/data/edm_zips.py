"""The data sets that EDM's dataset_tool.py packs as zips of PNG files: ImageNet, AFHQv2 and FFHQ at 64 pixels."""

from __future__ import annotations

from benchmarks.assets import DataFile
from benchmarks.data.base import FileDataset


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


class AFHQv264(FileDataset):
    name = "afhqv2-64"
    version = 1
    paper = "Choi et al., StarGAN v2, arXiv 1912.01865"
    verified = "layout"
    shape = (3, 64, 64)
    splits = ("train",)
    files = (
        DataFile("the images as EDM's zip", ("afhqv2-64x64.zip",), "CC BY-NC 4.0", "EDM's README tells how to make it"),
    )


class FFHQ64(FileDataset):
    name = "ffhq64"
    version = 1
    paper = "Karras et al., A Style-Based Generator Architecture for GANs, arXiv 1812.04948"
    verified = "layout"
    shape = (3, 64, 64)
    splits = ("train",)
    files = (
        DataFile(
            "the images as EDM's zip", ("ffhq-64x64.zip",), "CC BY-NC-SA 4.0", "EDM's README tells how to make it"
        ),
    )
