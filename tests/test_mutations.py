"""The mutations still fit the tree: each text stands exactly once, and its tests exist (running them is on demand)."""

from __future__ import annotations

import pytest

from tests.mutations import ROOT, Mutation, load


@pytest.mark.parametrize("mutation", load(), ids=lambda mutation: mutation.what)
def test_a_mutation_fits_the_tree(mutation: Mutation) -> None:
    assert (ROOT / mutation.file).read_text().count(mutation.old) == 1
    assert mutation.old != mutation.new and mutation.tests
    assert all((ROOT / test).is_file() for test in mutation.tests)


# Faults that once stayed unnoticed; each has its mutation.
ONCE_UNNOTICED = (
    "DDPM++: one-hot labels without sqrt(classes)",
    "NCSN++: the auxiliary sum without 1 / sqrt(2)",
    "Adam: beta2 0.99",
    "SIM: the scores' a on VP",
    "consistency: x_t is not divided by a on VP",
    "VSD: the critic's law on VP",
    "SiDA: another bound",
    "SiD: FFHQ's beta1",
    "SiD2A: the average begins as the teacher",
    "loop: the ramp of the average counts the images a batch too late",
    "SiDA: real and fake share the augmentation's draws",
    "SiDA: real images are not augmented",
    "augmentation: the shift reuses the scale's normals",
    "guidance: at kappa 0 the features are the null half's",
)


def test_there_are_enough_of_them() -> None:
    assert len({(mutation.file, mutation.old, mutation.new) for mutation in load()}) >= 100


def test_what_once_stayed_unnoticed_is_among_them() -> None:
    assert len(ONCE_UNNOTICED) == 14
    assert set(ONCE_UNNOTICED) <= {mutation.what for mutation in load()}
