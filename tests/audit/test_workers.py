"""Batches side by side: in their order, one thread each, and afterwards as many threads as before."""

import threading

import pytest
import torch

from benchmarks.audit.workers import side_by_side


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_two_batches_meet_and_each_has_one_thread(two_threads):
    meeting = threading.Barrier(2, timeout=60)

    def run(batch):
        meeting.wait()  # neither goes on before the other has begun
        return batch, torch.get_num_threads()

    assert side_by_side(run, ["first", "second"]) == [("first", 1), ("second", 1)]
    assert torch.get_num_threads() == 2


def test_a_single_batch_has_all_threads(two_threads):
    assert side_by_side(lambda batch: torch.get_num_threads(), [0]) == [2]


def test_a_fault_of_one_batch_is_the_callers(two_threads):
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda batch: 1 / batch, [1, 0, 2])
    assert torch.get_num_threads() == 2
