"""GenEval's rules on detected objects: which images show what their prompt asks for, by category and by seed.

An object is (class, score, x0, y0, x1, y1, colour), a prompt (category, two wanted objects, one unwanted): rows of
numbers that the extractor makes, with -1 where there is nothing. A prompt's k-th image is of round k: with a seed a
round, the scores of the rounds are the spread over seeds, which a printed GenEval lacks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from benchmarks.metrics import text_image
from benchmarks.metrics.base import Metric, Score
from sid.fault import Fault

CATEGORIES = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
RELATIONS = ("left of", "right of", "above", "below")
CLASS, SCORE, BOX, COLOUR, WIDTH = 0, 1, slice(2, 6), 6, 7  # of an object's row
WANTED = 4  # numbers of a wanted object: class, count, colour, relation to the first; -1 where nothing is asked
RULE_WIDTH = 1 + 2 * WANTED + 2
PROMPTS = 553
MOST = 16  # objects of a class
SAME_PLACE = 1e-3  # pixels between centres that are no direction


class Geneval(Metric):
    """The mean over the six categories of the share of right images, by the rules of GenEval's evaluation.

    The detector is Meta's own checkpoint of the network that GenEval names. GenEval's numbers come from another
    training of it (mmdetection's), so this is not the printed GenEval: compare rows of one table.
    """

    name = "geneval-meta"
    version = 1
    paper = "Ghosh et al., GenEval, arXiv 2310.11513"
    verified = "layout"
    direction = "higher"
    features = ("geneval-meta.objects", "geneval-meta.text")
    of_family = True
    reference = False
    variants: ClassVar = {"paper": {}}

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        threshold: float = 0.3,
        counting_threshold: float = 0.9,
        margin: float = 0.1,
    ) -> Score:
        """Scores above `threshold` count as objects; `margin` of both sizes must lie between the centres of two."""
        model, objects = text_image.embeddings_named(features, "objects", self.name)
        _, rules = text_image.embeddings_named(features, "text", self.name)
        text_image.refuse_unpaired(objects, rules, self.name)
        if not len(rules) or rules.shape[1] != RULE_WIDTH:
            raise Fault(f"{self.name}: prompts must be rows of {RULE_WIDTH} numbers, got shape {list(rules.shape)}")
        right = np.array(
            [
                shows(
                    part,
                    rule,
                    counting_threshold if int(rule[0]) == CATEGORIES.index("counting") else threshold,
                    margin,
                )
                for part, rule in zip(objects, rules, strict=True)
            ]
        )
        category, rounds = rules[:, 0].astype(int), _rounds(rules)
        by_category = {
            name: float(right[category == at].mean()) for at, name in enumerate(CATEGORIES) if (category == at).any()
        }
        by_round = [_mean_of_categories(right[rounds == at], category[rounds == at]) for at in range(rounds.max() + 1)]
        prompts = int((rounds == 0).sum())
        details: dict[str, Any] = {
            "model": model,
            **by_category,
            "rounds": by_round,
            "std_over_seeds": float(np.std(by_round, ddof=1)) if len(by_round) > 1 else None,
            "right_images": float(right.mean()),
            "prompts": prompts,
            "count": len(right),
        }
        warnings = []
        if prompts != PROMPTS:
            warnings.append(f"{prompts} of GenEval's {PROMPTS} prompts: no score of the benchmark")
        if len(by_round) < 2:
            warnings.append("one image a prompt: the spread over seeds is unknown")
        return Score(float(np.mean(list(by_category.values()))), details, tuple(warnings))


def _mean_of_categories(right: np.ndarray, category: np.ndarray) -> float:
    return float(np.mean([right[category == at].mean() for at in np.unique(category)]))


def _rounds(rules: np.ndarray) -> np.ndarray:
    """How many images of the same prompt come before each image."""
    seen: Counter[bytes] = Counter()
    before = []
    for rule in np.ascontiguousarray(rules):
        before.append(seen[rule.tobytes()])
        seen[rule.tobytes()] += 1
    return np.array(before)


def shows(objects: np.ndarray, rule: np.ndarray, threshold: float, margin: float) -> bool:
    """Whether an image's objects are what its prompt asks for.

    Args:
        objects: rows of `WIDTH` numbers.
        rule: the prompt's row of `RULE_WIDTH` numbers.
        threshold: the score above which an object counts.
        margin: see `relations`.
    """
    counted = objects[(objects[:, CLASS] >= 0) & (objects[:, SCORE] > threshold)]
    counted = counted[np.argsort(-counted[:, SCORE], kind="stable")]
    right, groups = True, list[np.ndarray | None]()
    for first in (1, 1 + WANTED):
        kind, count, colour, relation = (int(number) for number in rule[first : first + WANTED])
        if kind < 0:
            continue
        best = of_class(counted, kind)[:count]  # colour and place are those of the objects with the highest scores
        matched = len(best) == count
        if matched and colour >= 0:
            matched = bool((best[:, COLOUR] == colour).sum() >= count)
        if matched and relation >= 0:
            target = groups[0]
            matched = target is not None and all(
                RELATIONS[relation] in relations(one_box, other[BOX], margin)
                for one_box in best[:, BOX]
                for other in target
            )
        groups.append(best if matched else None)
        right = right and matched
    unwanted, count = (int(number) for number in rule[-2:])
    return right and not (unwanted >= 0 and len(of_class(counted, unwanted)) >= count)


def of_class(counted: np.ndarray, kind: int) -> np.ndarray:
    """The objects of a class, those with the highest scores first, as many as are kept of one."""
    return counted[counted[:, CLASS] == kind][:MOST]


def relations(box: np.ndarray, other: np.ndarray, margin: float) -> set[str]:
    """Where a box lies, seen from another: the directions in which its centre is clearly away from the other's.

    In each direction `margin` of both sizes is taken off the distance of the centres; what is left must be more than
    half of that distance.
    """
    corners = np.stack([box, other]).reshape(2, 2, 2)
    (centre, centre_of_other), sizes = corners.mean(axis=1), np.abs(corners[:, 1] - corners[:, 0]).sum(axis=0)
    offset = centre - centre_of_other
    clear = np.sign(offset) * np.maximum(np.abs(offset) - margin * sizes, 0)
    if (np.abs(clear) < SAME_PLACE).all():
        return set()
    across, down = clear / np.linalg.norm(offset)
    sides = {"left of": across < -0.5, "right of": across > 0.5, "above": down < -0.5, "below": down > 0.5}
    return {name for name, holds in sides.items() if holds}
