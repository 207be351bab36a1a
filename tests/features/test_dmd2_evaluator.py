"""DMD2's evaluator on 20 photographs of mixed sizes: what reaches the networks equals the steps done by hand.

By hand: PIL for files and Lanczos, torchvision for centre crops, clean-fid's own resizer for what has no patch.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from cleanfid.resize import build_resizer
from PIL import Image
from torchvision.transforms import functional

from benchmarks.features.extraction import extract
from benchmarks.images.geometry import Geometry
from benchmarks.images.reading import decode, open_images
from benchmarks.scoring.protocol import read, request_column
from benchmarks.suite.components import extractors
from tests.photos import mixed, write

SMALL = 299


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("photos") / "mixed", mixed(20), "jpg", quality=95)


def by_hand(path, side):
    image = Image.open(path).convert("RGB")
    image = functional.center_crop(image, min(image.size))
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS)).transpose(2, 0, 1)


COLUMNS = [(name, column) for name in ("gigagan-coco30k", "dmd2-sdxl-10k", "sdxl-10k") for column in ("fid", "clip")]


@pytest.mark.parametrize(("protocol", "column"), COLUMNS)
def test_crop_and_lanczos_give_the_bytes_of_pil_and_torchvision(folder, protocol, column):
    geometry = request_column(read(protocol).metrics[column]).geometry
    images = open_images(folder)
    assert len(images) == 20 and len({decode(images.read(i), "")[0].shape for i in range(20)}) > 15
    for index, name in enumerate(images.names):
        pixels = decode(images.read(index), name)[0]
        assert np.array_equal(geometry(pixels), by_hand(folder / name, geometry.side)), name


def test_the_other_rounding_is_another_crop():
    image = np.asarray(mixed(1)[0]).transpose(2, 0, 1)
    assert image.shape == (3, 425, 640)
    floor, even = Geometry("centre"), Geometry("centre", rounding="half-even")
    assert np.array_equal(even(image)[:, :, :-1], floor(image)[:, :, 1:])
    assert floor.identity == "crop-centre/as-is" and even.identity == "crop-centre-half-even/as-is"
    theirs = functional.center_crop(torch.from_numpy(image.copy()), [425, 425])
    assert np.array_equal(even(image), theirs.numpy())


def test_patches_and_images_that_are_too_small_for_one(folder):
    """The small ones are neither cropped nor refused: clean-fid's resize makes them 299 pixels."""
    images, patch = open_images(folder), extractors()["inception-patch"]
    small = 0
    for index, name in enumerate(images.names):
        image = Image.open(folder / name).convert("RGB")
        reaching = patch.prepare(torch.from_numpy(decode(images.read(index), name)[0].copy())[None])[0].numpy()
        if min(image.size) >= SMALL:
            assert np.array_equal(reaching, np.asarray(functional.center_crop(image, SMALL)).transpose(2, 0, 1)), name
        else:
            small += 1
            theirs = build_resizer("clean")(np.asarray(image)).transpose(2, 0, 1)
            assert np.abs(reaching - theirs).max() < 5e-3, name  # float32 positions, at edges of 250 grey levels
    assert small >= 3


def test_small_images_are_counted_and_named(folder, monkeypatch):
    opened = extractors()["inception-patch"].random(0)
    monkeypatch.setattr(
        type(opened), "extract", lambda self, prepared, outputs: {"pool3": prepared.mean((2, 3)).numpy()}
    )
    extracted = extract(open_images(folder), {"inception-patch": ["pool3"]}, {"inception-patch": opened})
    sizes = [Image.open(file).size for file in Path(folder).iterdir()]
    small = sum(min(size) < SMALL for size in sizes)
    (note,) = [line for line in extracted.warnings() if line.startswith("inception-patch")]
    assert f"{small} of 20 images have a side under 299 pixels: resized whole" in note


def test_the_clip_template_is_that_of_the_evaluator():
    for protocol in ("gigagan-coco30k", "dmd2-sdxl-10k"):
        column = read(protocol).metrics["clip"]
        assert column.options == {"template": "A photo depicts ", "scale": 1.0}
        assert column.geometry.side == 256
