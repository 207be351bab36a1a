"""Randomness by (seed, iteration, stream, sample), whatever the split."""

import numpy as np
import torch

from sid.draws import BLOCK, Draws, _Block
from sid.laws import LogNormal

LIKE = torch.empty(0)


def test_any_split_gives_the_same_numbers():
    whole = Draws(0, 7, range(0, 200), "critic")
    noise, time = whole.normal("eps", (2, 3), LIKE), whole.time("t", LogNormal(), LIKE)
    for size in (1, 7, BLOCK, 100):
        parts = [Draws(0, 7, range(i, min(i + size, 200)), "critic") for i in range(0, 200, size)]
        assert torch.equal(torch.cat([part.normal("eps", (2, 3), LIKE) for part in parts]), noise)
        assert torch.equal(torch.cat([part.time("t", LogNormal(), LIKE) for part in parts]), time)


def test_blocks_shared_by_micro_batches_change_nothing():
    blocks: dict = {}
    parts = [Draws(0, 1, range(i, i + 8), "g", blocks).normal("z", (4,), LIKE) for i in range(0, 128, 8)]
    assert torch.equal(torch.cat(parts), Draws(0, 1, range(0, 128), "g").normal("z", (4,), LIKE))


def test_seed_iteration_player_and_stream_all_matter():
    reference = Draws(0, 0, range(8), "critic").normal("z", (4,), LIKE)
    others = [
        Draws(1, 0, range(8), "critic").normal("z", (4,), LIKE),
        Draws(0, 1, range(8), "critic").normal("z", (4,), LIKE),
        Draws(0, 0, range(8), "generator").normal("z", (4,), LIKE),
        Draws(0, 0, range(8), "critic").normal("eps", (4,), LIKE),
        Draws(0, 0, range(8, 16), "critic").normal("z", (4,), LIKE),
    ]
    assert all(not torch.equal(reference, other) for other in others)


def test_an_integer_is_shared_by_players_and_ranks():
    drawn = {
        Draws(3, 5, range(first, first + 4), player).integer("step", 1, 4)
        for first in (0, 4)
        for player in ("critic", "generator")
    }
    assert len(drawn) == 1
    many = [Draws(3, iteration, range(1)).integer("step", 1, 4) for iteration in range(4000)]
    shares = [many.count(step) / 4000 for step in (1, 2, 3, 4)]
    assert sum(shares) == 1 and all(abs(share - 0.25) < 0.03 for share in shares)


def test_noise_is_standard_normal():
    drawn = torch.cat([Draws(0, i, range(512)).normal("z", (16,), LIKE) for i in range(20)]).double().flatten()
    assert abs(drawn.mean()) < 0.01 and abs(drawn.var() - 1) < 0.01 and abs((drawn**4).mean() - 3) < 0.1


def test_a_block_is_drawn_as_far_as_it_is_needed():
    """The numbers are those of the whole block drawn at once, in numpy's words."""
    for kind, shape in (("normal", (2, 3)), ("uniform", ())):
        block = _Block(kind, 7, shape)
        whole = np.random.Generator(np.random.Philox(key=7))
        size = (BLOCK, *shape)
        numbers = whole.standard_normal(size, dtype=np.float32) if kind == "normal" else whole.random(size)
        for count in (1, 2, 9, 5, BLOCK):
            assert np.array_equal(block.rows(count), numbers[:count])
            assert block.drawn == max(count, block.drawn)
    one: dict = {}
    Draws(0, 0, range(64, 65), "g", one).normal("z", (4,), LIKE)
    assert [block.drawn for block in one.values()] == [1]
