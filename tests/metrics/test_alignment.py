"""CLIP score, HPSv2, PickScore, ImageReward: bounds, the moved-captions control, truncation counted."""

import numpy as np
import pytest

from benchmarks.suite.components import metrics
from sid.fault import Fault

RNG = np.random.default_rng(0)
TEXT = RNG.standard_normal((30, 16))
IMAGE = TEXT + RNG.standard_normal((30, 16))
PAIR = {"clip-vit-b-32.image": IMAGE, "clip-vit-b-32.text": TEXT}


@pytest.mark.parametrize("name", ["clip-score", "hpsv2", "pickscore"])
def test_cosine_has_bounds_and_moving_the_captions_lowers_it(name):
    metric = metrics()[name]
    score = metric.compute(PAIR, scale=1.0)
    assert -1 <= score.details["captions_moved"] < score.value <= 1
    assert score.details["model"] == "clip-vit-b-32"
    assert metric.compute(PAIR, scale=100.0).value == pytest.approx(100 * score.value)
    same = {"c.image": TEXT, "c.text": 3 * TEXT}
    assert metric.compute(same, scale=1.0).value == pytest.approx(1)


def test_counts_must_pair_up_and_long_captions_are_counted():
    clip = metrics()["clip-score"]
    with pytest.raises(Fault, match="30 images but 29 captions"):
        clip.compute({**PAIR, "clip-vit-b-32.text": TEXT[:29]})
    cut = np.arange(30) < 4
    score = clip.compute({**PAIR, "clip-vit-b-32.truncated": cut})
    assert score.details["truncated"] == 4 and "4 of 30 captions" in score.warnings[0]
    assert score.details["template"] == "A photo depicts "


def test_image_reward_is_normalised_as_published():
    rewards = np.array([0.16717362830052426, 0.16717362830052426 + 1.0333394966054072])
    assert metrics()["image-reward"].compute({"image-reward.reward": rewards}).value == pytest.approx(0.5)
