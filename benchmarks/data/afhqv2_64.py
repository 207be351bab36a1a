"""AFHQv2 at 64 pixels, as EDM's dataset_tool.py packs it: a zip of PNG files."""

from __future__ import annotations

from benchmarks.data.base import FileDataset
from benchmarks.datafile import DataFile


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
