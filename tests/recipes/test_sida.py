"""SiDA's critic: its bound on gradients, and what its discriminator sees of real and fake images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.suite.components import methods
from sid.augment import augment
from sid.chain import Chain
from sid.condition import Condition
from sid.denoiser import Prediction
from sid.draws import Draws
from sid.loop.adam import Adam
from sid.method import Batch
from sid.noise import Edm
from tests import toy
from tests.contract.watched import LATE_PROGRESS, before_each_step

METHOD = methods()["sida"]
SHAPE, BATCH = (3, 16, 16), 6


@pytest.mark.parametrize(("given", "bound"), [({}, 1.0), ({"clip_value": 0.25}, 0.25)])
def test_the_critics_gradients_are_bounded_one_by_one(given: dict[str, Any], bound: float, tmp_path: Path) -> None:
    """Each number between -1 and 1, as run_sida.sh has it; the generator's are left alone."""
    largest: dict[bool, list[tuple[float, float]]] = {True: [], False: []}

    def look(optimiser: Adam) -> None:
        gradients = torch.cat([part.grad.flatten() for part in optimiser.parameters if part.grad is not None])
        bounded = optimiser.settings.clip_value is not None
        largest[bounded].append((float(gradients.min()), float(gradients.max())))

    options = METHOD.options("toy", "digits", {"generator_from": 0, "critic_weight": 1e4, **given})
    with before_each_step(look):
        toy.distil(METHOD, options, tmp_path)
    assert len(largest[True]) == len(largest[False]) == 6
    assert {low for low, _ in largest[True]} == {-bound} and {high for _, high in largest[True]} == {bound}
    assert max(high for _, high in largest[False]) > 1


class Recording:
    """A critic that answers nothing of interest, and remembers what it was shown."""

    def __init__(self) -> None:
        self.process = Edm()
        self.shown: list[tuple[Tensor, Tensor, Condition]] = []

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition, want: frozenset[str]) -> Prediction:
        self.shown.append((x_t, t, condition))
        return Prediction(x0=x_t, features=x_t)


class Fixed:
    """A generator of the same images whatever it is given."""

    def __init__(self, images: Tensor):
        self.images, self.chain = images, Chain()

    def __call__(self, noises: Any, condition: Condition, steps: int | None) -> Tensor:
        return self.images

    def noises_needed(self, steps: int | None) -> int:
        return 1


def test_real_and_fake_are_augmented_by_draws_of_their_own() -> None:
    """Both change, each as its labels say, and the same picture is changed differently as real and as fake."""
    pictures = torch.randn(BATCH, *SHAPE, generator=torch.Generator().manual_seed(2))
    player = METHOD.players(METHOD.options(given={"augment": 1.0}))[0]
    draws, like = Draws(0, 0, range(BATCH), "critic"), torch.empty(0)
    batch = Batch(draws, Condition(), LATE_PROGRESS, SHAPE, like, pictures, Condition(), size=BATCH)
    critic = Recording()
    player.loss({"teacher": critic, "critic": critic, "generator": Fixed(pictures)}, batch)  # type: ignore[dict-item]
    (fake, t, given), (real, real_t, real_given) = critic.shown
    assert torch.equal(t, real_t)
    noise = t.reshape(-1, 1, 1, 1) * batch.noise("eps")
    for x_t, condition, stream in ((fake, given, "augment-fake"), (real, real_given, "augment-real")):
        changed, labels = augment(pictures, draws, 1.0, stream)
        assert condition.augment is not None and torch.equal(condition.augment, labels) and labels.any(1).all()
        assert torch.allclose(x_t, changed + noise, atol=1e-4)
        assert ((changed - pictures).flatten(1).abs().amax(1) > 0.1).all()
    assert not torch.equal(given.augment, real_given.augment)
    assert ((fake - real).flatten(1).abs().amax(1) > 0.1).all()
