"""What every extractor says of itself: names, outputs, the id of its pixels, and where its weights come from."""

import re

import pytest

from benchmarks.suite.components import extractors
from benchmarks.suite.strict import NAME

ALL = [pytest.param(extractor, id=name) for name, extractor in extractors().items()]


@pytest.mark.parametrize("extractor", ALL)
def test_it_says_what_it_is(extractor):
    assert re.fullmatch(NAME, extractor.name)
    assert isinstance(extractor.version, int) and extractor.version >= 1
    assert extractor.verified in ("weights", "layout", "none")
    assert extractor.outputs and all(re.fullmatch(r"[a-z0-9_]+", output) for output in extractor.outputs)
    assert extractor.preprocess
    assert extractor.identity == "", "only an opened network has one"


@pytest.mark.parametrize("extractor", ALL)
def test_its_network_is_published_or_trained_here(extractor):
    """Never both and never neither: a network that nobody can name is no measure."""
    assert bool(extractor.weights) != extractor.trained_here
    assert bool(extractor.data) == extractor.trained_here


def test_equal_pixels_have_one_id_and_different_ones_have_two():
    """Families of one network are told apart by the id of the pixels alone."""
    families = [extractor for extractor in extractors().values() if extractor.name.startswith("inception-")]
    assert len({extractor.preprocess for extractor in families}) == len(families) == 5
    assert len({extractor.weights for extractor in families}) == 1


def test_the_networks_of_the_protocols_are_there():
    towers = {f"clip-vit-{size}" for size in ("b-32", "l-14", "l-14-336", "h-14", "g-14")}
    assert {"inception-tf", "inception-clean", "dinov2", "image-reward", "digits-classifier", *towers} <= set(
        extractors()
    )
