"""GenEval's list, drawn again by the rule that its project states: numpy's generator, seed 43, 100 draws a category.

The list is not shipped here; the result has the published file's sha256, which shows that both are the same.
"""

import json

import numpy as np

from benchmarks.features.geneval import CLASSES, COLOURS, RELATIONS

NUMBERS = {2: "two", 3: "three", 4: "four"}
DRAWS, MOST = 100, 4


def lines():
    """The file evaluation_metadata.jsonl, a prompt a line; prompts that were drawn twice stand once."""
    rng, drawn = np.random.default_rng(43), list[dict]()
    for at in rng.choice(len(CLASSES), size=len(CLASSES), replace=False):
        drawn.append(prompt("single_object", [wanted(at)], article(CLASSES[at])))
    for _ in range(DRAWS):
        pair = rng.choice(len(CLASSES), size=2, replace=False)
        drawn.append(prompt("two_object", [wanted(at) for at in pair], both(CLASSES[at] for at in pair)))
    for _ in range(DRAWS):
        at = rng.choice(len(CLASSES))
        count = int(rng.integers(2, MOST, endpoint=True))
        name = CLASSES[at]
        words = f"{NUMBERS[count]} {name}{'es' if name.endswith('s') else 's'}"
        drawn.append(prompt("counting", [wanted(at, count)], words, exclude=[wanted(at, count + 1)]))
    for _ in range(DRAWS):
        at = rng.choice(len(CLASSES) - 1) + 1  # no coloured person
        colour = COLOURS[rng.choice(len(COLOURS))]
        drawn.append(prompt("colors", [wanted(at, color=colour)], f"{article(colour)} {CLASSES[at]}"))
    for _ in range(DRAWS):
        first, second = rng.choice(len(CLASSES), size=2, replace=False)
        relation = RELATIONS[rng.choice(len(RELATIONS))]
        asked = [wanted(second), wanted(first, position=[relation, 0])]
        words = f"{article(CLASSES[first])} {relation} {article(CLASSES[second])}"
        drawn.append(prompt("position", asked, words))
    for _ in range(DRAWS):
        pair = rng.choice(len(CLASSES) - 1, size=2, replace=False) + 1
        colours = [COLOURS[at] for at in rng.choice(len(COLOURS), size=2, replace=False)]
        asked = [wanted(at, color=colour) for at, colour in zip(pair, colours, strict=True)]
        words = both(f"{colour} {CLASSES[at]}" for at, colour in zip(pair, colours, strict=True))
        drawn.append(prompt("color_attr", asked, words))
    return list(dict.fromkeys(json.dumps(entry) for entry in drawn))


def wanted(at, count=1, **more):
    return {"class": CLASSES[at], "count": count, **more}


def prompt(tag, include, words, **more):
    return {"tag": tag, "include": include, **more, "prompt": f"a photo of {words}"}


def article(name):
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def both(names):
    return " and ".join(map(article, names))
