"""FFHQ at 64 pixels, as EDM's dataset_tool.py packs it: a zip of PNG files."""

from __future__ import annotations

from benchmarks.data.base import FileDataset
from benchmarks.datafile import DataFile


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
