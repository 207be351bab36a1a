"""A random Inception for all audits of the session, as tensors and as the file that peers load."""

import pytest


@pytest.fixture(scope="session")
def state():
    from benchmarks.features.networks.inception import random_state

    return random_state(0)


@pytest.fixture(scope="session")
def network(state):
    from benchmarks.features.networks.inception import Inception

    ours = Inception()
    ours.load_state_dict(state)
    return ours.fold()
