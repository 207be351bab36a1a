"""Batches: memory that ends, images of several sizes, waiting times, and how many images fit."""

import time

import numpy as np
import pytest
import torch

from benchmarks import hardware
from benchmarks.features.batches import Waiting
from benchmarks.features.extraction import extract
from benchmarks.images.reading import Array, open_images
from sid.fault import Fault
from tests.made_images import folder, made
from tests.stand_ins import Colours


class Small(Colours):
    """Its memory ends at more than four images."""

    sizes: list

    def prepare(self, images):
        return images.float()

    def extract(self, prepared, outputs):
        self.sizes.append(len(prepared))
        if len(prepared) > 4:
            raise torch.OutOfMemoryError("no memory")
        return {"pool3": prepared.mean((2, 3)).numpy()}


def small():
    network = Small()
    network.sizes = []
    return network


def test_a_batch_is_halved_where_memory_ends():
    network = small()
    pixels = made(9, 8, 8)
    features = extract(Array(pixels), {"n": ["pool3"]}, {"n": network}, batch=9).features["n.pool3"]
    assert np.allclose(features, pixels.mean((2, 3)), atol=1e-4)
    assert network.sizes == [9, 4, 5, 2, 3]


def test_one_image_that_does_not_fit_is_an_error():
    class Never(Small):
        def extract(self, prepared, outputs):
            raise torch.OutOfMemoryError("no memory")

    with pytest.raises(torch.OutOfMemoryError):
        extract(Array(made(2, 8, 8)), {"n": ["pool3"]}, {"n": Never()})


def test_a_network_that_can_not_join_sizes_says_so(tmp_path):
    first = folder(tmp_path / "mixed", made(1, 8, 8))
    (first / "img0.png").rename(first / "small.png")
    folder(first, made(1, 8, 12))
    with pytest.raises(Fault, match="inception-tf reads images of one size, these are of several"):
        extract(open_images(first), {"n": ["pool3"]}, {"n": small()})


def test_which_side_waits_is_told(tmp_path):
    class Slow(Small):
        def extract(self, prepared, outputs):
            time.sleep(0.3)
            return super().extract(prepared, outputs)

    network = Slow()
    network.sizes = []
    waiting = extract(open_images(folder(tmp_path / "a", made(2, 8, 8))), {"n": ["pool3"]}, {"n": network}).waiting
    assert waiting.sentence.startswith("network-bound") and waiting.decoders >= 0.3
    assert Waiting(6.3, 3.7).sentence == "decode-bound: 63% of 10.0 s"
    assert Waiting().sentence == "" and (Waiting(1, 2) + Waiting(3, 4)) == Waiting(4, 6)


@pytest.mark.parametrize(("free", "count"), [(1, 32), (8, 64), (75, 512)])
def test_a_gpu_reads_as_many_as_its_memory_allows(monkeypatch, free, count):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free * 2**30, 80 * 2**30))
    assert hardware.extraction_batch("cuda:0") == count
    assert hardware.extraction_batch("cpu") == 32
