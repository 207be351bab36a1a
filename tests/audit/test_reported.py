"""Values that somebody might report: made by known factors, pairs, and things no factor is; none is named wrongly.

They are made here from files and arrays, by Pillow, the extractors and the metric, not by the audit's own recipes.
"""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from benchmarks.audit.attribute import explanation
from benchmarks.audit.bench import Bench
from benchmarks.audit.peer_recipe import PeerRecipe
from benchmarks.audit.pipelines import read_ours
from benchmarks.features.networks import resize as kernels
from benchmarks.metrics import frechet
from tests.photos import mixed, write

TAP = "64"
COUNT = 9  # no multiple of 8: a dropped last batch shows
FIRST = 5  # img5 to img13, unpadded: as text, img10 comes before img5


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("reported")
    return [
        write(root / name, mixed(COUNT, seed), names=natural(COUNT))
        for seed, name in enumerate(("images", "reference"))
    ]


def smaller(count, seed):
    """Crops of 90 to 380 pixels: kernels without antialiasing are other ones where an image shrinks."""
    return [image.resize((image.width * 3 // 5, image.height * 3 // 5)) for image in mixed(count, seed)]


@pytest.fixture(scope="module")
def bench(folders, network):
    return Bench(network, *(read_ours(folder)[0] for folder in folders), TAP)


def as_it_is(image):
    return image


def jpeg(quality):
    def store(image):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    return store


def reverse(image):
    return Image.merge("RGB", image.split()[::-1])


def grey(image):
    return image.convert("L").convert("RGB")


def shrunk(name):
    return lambda image: image.resize((299, 299), Image.Resampling[name])


def natural(count):
    return [f"img{index}" for index in range(FIRST, FIRST + count)]


def reported(network, folders, change=as_it_is, kernel="tensorflow", of_reference=None, levels=None, ddof=1, keep=None):
    """A Frechet distance as a short script would compute it."""
    sides = []
    for at, folder in enumerate(folders):
        names = keep(at) if keep else natural(COUNT)
        rows = []
        for name in names:
            pixels = torch.from_numpy(np.asarray(change(Image.open(folder / f"{name}.png"))).transpose(2, 0, 1).copy())[
                None
            ]
            resize = getattr(kernels, of_reference if at and of_reference else kernel)
            pixels = levels(resize(pixels)) if levels else (resize(pixels) - 128) / 128
            with torch.inference_mode():
                rows.append(network(pixels, (TAP,))[TAP].numpy())
        sides.append(frechet.moments(np.concatenate(rows), ddof))
    return frechet.distance(*sides).value


def half(at):
    return natural(COUNT) if at else natural(COUNT // 2)


def half_as_text(at):
    return sorted(natural(COUNT)) if at else sorted(natural(COUNT))[: COUNT // 2]


def eights(at):
    return natural(8)


def eights_as_text(at):
    return sorted(natural(COUNT))[:8]


def rounded(pixels):
    return (pixels.round() - 128) / 128


def wide(pixels):
    return pixels / 127.5 - 1


def unit(pixels):
    return pixels / 255


REPORTED = [
    ({"change": jpeg(95)}, "jpeg: 95"),
    ({"change": jpeg(90)}, "jpeg: 90"),
    ({"change": jpeg(75)}, "jpeg: 75"),
    ({"change": reverse}, "colour: channels reversed"),
    ({"change": grey}, "colour: grey"),
    ({"change": shrunk("LANCZOS")}, "resize: lanczos"),
    ({"change": shrunk("BOX")}, "resize: box"),
    ({"kernel": "clean"}, "resize: clean"),
    ({"kernel": "bilinear"}, "resize: bilinear"),
    ({"kernel": "antialiased"}, "resize: antialiased"),
    ({"levels": wide}, "normalisation: v/127.5-1"),
    ({"levels": unit}, "normalisation: v/255"),
    ({"levels": rounded}, "rounding: after resize"),
    ({"ddof": 0}, "ddof: 0"),
    ({"keep": half}, "samples: half"),
    ({"keep": eights}, "samples: batches of 8, the last dropped"),
    ({"of_reference": "clean"}, "reference: clean"),
    ({"keep": half_as_text}, "samples: half and order: lexicographic"),
    ({"keep": eights_as_text}, "samples: batches of 8, the last dropped and order: lexicographic"),
    ({"change": jpeg(75), "ddof": 0}, "jpeg: 75 and ddof: 0"),
    ({"kernel": "clean", "ddof": 0}, "resize: clean and ddof: 0"),
    ({"change": reverse, "keep": half}, "colour: channels reversed and samples: half"),
    ({"levels": wide, "kernel": "bilinear"}, "resize: bilinear and normalisation: v/127.5-1"),
    ({"change": jpeg(75), "kernel": "clean"}, "jpeg: 75 and resize: clean"),
    ({"change": grey, "kernel": "antialiased"}, "colour: grey and resize: antialiased"),
    # Things that no factor is: nothing may be named.
    ({"change": jpeg(60)}, None),
    ({"change": shrunk("HAMMING")}, None),
    ({"change": lambda image: image.filter(ImageFilter.GaussianBlur(1))}, None),
    ({"change": lambda image: image.point(lambda level: round(255 * (level / 255) ** 1.1))}, None),
    ({"keep": lambda at: natural(COUNT - 1 - at)}, None),
    ({"change": jpeg(85), "ddof": 0}, None),
    ({"change": jpeg(75), "kernel": "clean", "ddof": 0}, None),
]


@pytest.mark.parametrize(
    ("made", "cause"), REPORTED, ids=[cause or f"unknown {at}" for at, (_, cause) in enumerate(REPORTED)]
)
def test_a_reported_value_is_named_rightly_or_not_at_all(network, folders, bench, made, cause):
    value = reported(network, folders, **made)
    words = explanation(value, PeerRecipe(), bench, all_pairs=True)
    if cause is None:
        assert words.startswith("not explained"), words
    else:
        assert words.startswith(f"it behaves as if {cause} ("), words


def test_without_all_pairs_a_pair_of_pixel_changes_is_not_explained_and_costs_no_pass(network, folders):
    bench = Bench(network, *(read_ours(folder)[0] for folder in folders), TAP)
    value = reported(network, folders, jpeg(75), "clean")
    assert explanation(value, PeerRecipe(), bench).startswith("not explained")
    assert bench.passes(PeerRecipe(jpeg="75", resize="clean")) > COUNT


def test_a_value_of_few_digits_is_matched_within_them_and_what_it_can_not_tell_is_said(network, folders, bench):
    value = reported(network, folders, ddof=0)
    assert explanation(value, PeerRecipe(), bench, within=abs(value)).startswith("it is the value of the recipe itself")
    other = abs(value - bench.value(PeerRecipe()))
    words = explanation(value, PeerRecipe(), bench, within=0.9 * other)
    assert "not told apart" in words
