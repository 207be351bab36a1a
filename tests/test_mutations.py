"""The mutations still fit the tree: each text stands exactly once, and its tests exist (running them is on demand)."""

from __future__ import annotations

import pytest

from tests.mutations import ROOT, Mutation, load


@pytest.mark.parametrize("mutation", load(), ids=lambda mutation: mutation.what)
def test_a_mutation_fits_the_tree(mutation: Mutation) -> None:
    assert (ROOT / mutation.file).read_text().count(mutation.old) == 1
    assert mutation.old != mutation.new and mutation.tests
    assert all((ROOT / test).is_file() for test in mutation.tests)


def test_there_are_enough_of_them() -> None:
    assert len({(mutation.file, mutation.old, mutation.new) for mutation in load()}) >= 18
