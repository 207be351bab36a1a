"""GenEval's rules by hand: objects, counts, colours and places; categories; the rounds that show the spread."""

import numpy as np
import pytest

from benchmarks.features import geneval as detector
from benchmarks.metrics import geneval
from benchmarks.suite.components import metrics
from sid.fault import Fault

DOG, CAT = 16, 15
RED, BLUE = 0, 4
NONE = [-1.0] * 4


def thing(kind, score=0.95, box=(0, 0, 10, 10), colour=RED):
    return [kind, score, *box, colour]


def image(*things):
    rows = np.full((100, geneval.WIDTH), -1.0)
    for at, row in enumerate(things):
        rows[at] = row
    return rows


def rule(category, first, second=None, unwanted=(-1, -1)):
    return np.array([geneval.CATEGORIES.index(category), *first, *(second or NONE), *unwanted], float)


def shows(rule_row, *things, threshold=0.3):
    return geneval.shows(image(*things), rule_row, threshold, 0.1)


def test_the_extractor_numbers_as_the_metric_does():
    assert (detector.CATEGORIES, detector.RELATIONS) == (geneval.CATEGORIES, geneval.RELATIONS)
    assert (detector.WIDTH, detector.MOST) == (geneval.WIDTH, geneval.MOST)
    assert detector.CLASSES[DOG] == "dog" and len(set(detector.CLASSES)) == 80


def test_an_object_counts_above_the_threshold_only():
    wanted = rule("single_object", [DOG, 1, -1, -1])
    assert shows(wanted, thing(DOG, 0.31))
    assert not shows(wanted, thing(DOG, 0.3)) and not shows(wanted, thing(CAT))


def test_both_of_two_objects_must_be_there():
    wanted = rule("two_object", [DOG, 1, -1, -1], [CAT, 1, -1, -1])
    assert shows(wanted, thing(CAT), thing(DOG)) and not shows(wanted, thing(DOG), thing(DOG))


def test_a_count_is_exact():
    wanted = rule("counting", [DOG, 2, -1, -1], unwanted=(DOG, 3))
    assert [shows(wanted, *[thing(DOG)] * count) for count in (1, 2, 3)] == [False, True, False]


def test_colour_is_that_of_the_objects_with_the_highest_scores():
    wanted = rule("colors", [DOG, 1, RED, -1])
    assert shows(wanted, thing(DOG, 0.5, colour=BLUE), thing(DOG, 0.9, colour=RED))
    assert not shows(wanted, thing(DOG, 0.9, colour=BLUE), thing(DOG, 0.5, colour=RED))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((20, 0, 30, 10), {"right of"}),
        ((-20, 0, -10, 10), {"left of"}),
        ((0, -20, 10, -10), {"above"}),
        ((0, 20, 10, 30), {"below"}),
        ((20, 20, 30, 30), {"right of", "below"}),  # 18 of 28.3 in each direction
        ((1, 1, 11, 11), set()),
        ((0, 0, 10, 10), set()),
    ],
)
def test_relations(box, expected):
    seen = geneval.relations(np.array(box, float), np.array([0, 0, 10, 10], float), 0.1)
    assert seen == expected


def test_a_place_is_relative_to_the_first_object():
    wanted = rule("position", [CAT, 1, -1, -1], [DOG, 1, -1, geneval.RELATIONS.index("right of")])
    assert shows(wanted, thing(CAT), thing(DOG, box=(50, 0, 60, 10)))
    assert not shows(wanted, thing(CAT), thing(DOG, box=(-50, 0, -40, 10)))
    assert not shows(wanted, thing(DOG, box=(50, 0, 60, 10)))


def test_the_score_is_the_mean_of_categories_and_has_a_spread_over_rounds():
    dog, two = rule("single_object", [DOG, 1, -1, -1]), rule("counting", [DOG, 2, -1, -1], unwanted=(DOG, 3))
    rules = np.stack([dog, two, dog, two])
    objects = np.stack([image(thing(DOG)), image(*[thing(DOG)] * 2), image(thing(DOG)), image(*[thing(DOG, 0.89)] * 2)])
    score = metrics()["geneval-meta"].compute({"geneval-meta.objects": objects, "geneval-meta.text": rules})
    assert score.value == pytest.approx((1.0 + 0.5) / 2), "counting asks for scores above 0.9"
    assert score.details["rounds"] == [1.0, 0.5]
    assert score.details["std_over_seeds"] == pytest.approx(np.std([1.0, 0.5], ddof=1))
    assert (score.details["single_object"], score.details["counting"]) == (1.0, 0.5)
    assert "2 of GenEval's 553 prompts" in score.warnings[0]


def test_rows_of_something_else_are_refused():
    with pytest.raises(Fault, match="rows of 11 numbers"):
        metrics()["geneval-meta"].compute({"a.objects": np.zeros((2, 100, 7)), "a.text": np.zeros((2, 5))})
