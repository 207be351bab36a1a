"""Defaults that apply to something: a name that matches no row would be a setting that nobody runs with."""

from __future__ import annotations

from pathlib import Path

import pytest

import benchmarks
from benchmarks.data.open import datasets
from benchmarks.suite.checks import options_of
from benchmarks.suite.components import methods, teachers
from benchmarks.suite.load import load_suite

SUITES = sorted(path.stem for path in (Path(benchmarks.__file__).parent / "suites").glob("*.yaml"))
OURS = sorted(
    name for name, method in methods().items() if type(method).__module__.split(".")[0] in ("sid", "baselines")
)


def names() -> set[str]:
    """What a method's defaults are looked up by: data sets, tasks of the suites, families."""
    tasks = {task for suite in SUITES for task in load_suite(suite).tasks}
    return {*datasets(), *teachers(), *tasks}


@pytest.mark.parametrize("name", OURS)
def test_every_default_names_something_that_exists(name: str) -> None:
    assert set(methods()[name].defaults) <= names()


# suite, task, entry -> what its method's defaults give it there, the entry itself being silent
GIVEN = {
    ("edm64", "afhqv2-64", "sid-1.0"): {"lr": 5e-6, "lr_generator": 5e-6, "augment": 0.15},
    ("edm64", "afhqv2-64", "sida-1.0"): {"lr": 5e-6, "lr_generator": 5e-6, "augment": 0.15},
    ("edm64", "ffhq64", "sid-1.2"): {"lr": 1e-5, "beta1_generator": 0.9, "augment": 0.15},
    ("edm64", "ffhq64", "sida-1.0"): {"lr": 1e-5, "augment": 0.15},
    ("edm64", "imagenet64", "dmd"): {"lr": 2e-6, "lr_generator": 2e-6, "regression": 0.25, "clip_norm": 10.0},
    ("cifar10", "cifar10-uncond", "dmd"): {"lr": 5e-5, "lr_generator": 5e-5, "regression": 0.5, "clip_norm": 10.0},
    ("cifar10", "cifar10-cond", "dmd"): {"lr": 5e-5, "lr_generator": 5e-5, "regression": 0.25, "dropout": 0.0},
    ("cifar10", "cifar10-cond", "diff-instruct"): {"augment": 0.12, "t_init": 1.0, "lr": 1e-5},
}


@pytest.mark.parametrize(("suite", "task", "entry"), GIVEN)
def test_defaults_reach_the_papers_rows(suite: str, task: str, entry: str) -> None:
    loaded, expected = load_suite(suite), GIVEN[suite, task, entry]
    assert not set(loaded.entries_of(task)[entry].options) & set(expected)
    options = options_of(loaded, task, entry)
    assert {name: getattr(options, name) for name in expected} == expected


def test_ffhqs_beta1_reaches_the_generator_alone() -> None:
    method, options = methods()["sid"], options_of(load_suite("edm64"), "ffhq64", "sid-1.2")
    betas = {player.name: player.optimiser.betas for player in method.players(options)}
    assert betas == {"critic": (0.0, 0.999), "generator": (0.9, 0.999)}


# suite, task, entry -> batch, images, images of a round
LENGTHS = {
    ("cifar10", "cifar10-uncond", "dmd"): (392, 392 * 300_000, None),
    ("cifar10", "cifar10-uncond", "diff-instruct"): (128, 200_000_000, None),
    ("cifar10", "cifar10-cond", "sida-1.0"): (256, 300_000_000, 32),
    ("cifar10", "cifar10-cond", "sid2a-1.2"): (256, 100_000_000, 32),
    ("edm64", "imagenet64", "dmd"): (336, 336 * 350_000, 84),
    ("edm64", "imagenet64", "sida-1.0"): (8192, 300_000_000, 32),
    ("edm64", "ffhq64", "sida-1.0"): (512, 200_000_000, 64),
    ("edm64", "afhqv2-64", "sid2a-1.0"): (512, 100_000_000, 64),
}


@pytest.mark.parametrize(("suite", "task", "entry"), LENGTHS)
def test_lengths_of_the_papers_rows(suite: str, task: str, entry: str) -> None:
    budget = load_suite(suite).budget(task, entry)
    assert (budget.batch, budget.images, budget.micro_batch) == LENGTHS[suite, task, entry]


def test_pairs_and_beginnings() -> None:
    """DMD's pairs, and the generator that SiD2A begins from on each data set."""
    cifar10, edm64 = load_suite("cifar10"), load_suite("edm64")
    pairs = [suite.tasks[task].pairs for suite, task in ((cifar10, "cifar10-uncond"), (cifar10, "cifar10-cond"))]
    assert [pair and (pair.count, pair.steps) for pair in pairs] == [(500_000, 18), (100_000, 18)]
    assert (pair := edm64.tasks["imagenet64"].pairs) and (pair.count, pair.steps) == (25_000, 256)
    assert edm64.entries_of("ffhq64")["sid2a-1.2"].init == "sid-1.2"
    assert edm64.entries_of("afhqv2-64")["sid2a-1.0"].init == "sid-1.0"
