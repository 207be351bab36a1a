"""What DMD and DMD2 share: the matching gradient, and a critic that learns from the generator's own images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from sid import losses
from sid.denoiser import FEATURES, X0
from sid.guidance import guided
from sid.laws import TimeLaw
from sid.method import Batch, Optimiser, Player, Terms
from sid.players import Nets, chain_step, denoising_loss, generate, health, noised


def law_of(nets: Nets, low: int, high: int, discrete: bool) -> TimeLaw:
    """Times from `low` to `high` of 1000: the published grid's levels, or anywhere between."""
    process = nets["teacher"].process
    return process.step_law(low, high) if discrete else process.uniform_law(low, high)


def matching_terms(
    nets: Nets, batch: Batch, kappa: float, discrete: bool = False, weigh: Callable[[Tensor], Tensor] | None = None
) -> Terms:
    """The mean over pixels of (x - sg[x - g])^2 / 2 with g = (critic - teacher) / mean |x - teacher|.

    The generator's image stays in `shared`, detached, for the critic of the same iteration. t is uniform in the middle
    96 % of the process's index; the critic is not guided, the teacher by `kappa`. DMD prints another factor a_t on VP
    models than its published code uses; this is the code's.

    Args:
        nets: The networks by name.
        batch: The generator's micro-batch.
        kappa: Guidance of the teacher.
        discrete: Times on the levels of a grid of 1000 alone.
        weigh: Makes a further factor [B] of the critic's features at x_t (f-distill); None: none.
    """
    x = generate(nets, batch, chain_step(nets, batch))
    batch.shared["x"], batch.shared["condition"] = x.detach(), batch.condition
    at = noised(nets, batch, x.detach(), law_of(nets, 20, 980, discrete))
    with torch.no_grad():
        teacher = guided(nets["teacher"], at.x_t, at.t, batch.condition, kappa).image
        seen = nets["critic"](at.x_t, at.t, batch.condition, X0 if weigh is None else X0 | FEATURES)
        critic = seen.image
        weight = losses.normaliser(x, teacher) / x[0].numel()
        if weigh is not None:
            weight = weight * weigh(seen.features)
    term = losses.weighted(weight, losses.matching(x, teacher, critic))
    return Terms({"matching": term}, health=health(x, teacher, critic), image=x)


def shared_image(nets: Nets, batch: Batch) -> Tensor:
    """The generator's image of this iteration; where it did not play, the one it would have made."""
    if "x" in batch.shared:
        batch.condition = batch.shared["condition"]
        return batch.shared["x"]
    own, batch.draws = batch.draws, batch.draws.of("generator")
    with torch.no_grad():
        x = generate(nets, batch, chain_step(nets, batch))
    batch.draws = own
    return x


def shared_critic(
    optimiser: Optimiser,
    extra: Callable[[Mapping[str, Any], Batch, Tensor], dict[str, Tensor]] | None = None,
    weights: dict[str, float] | None = None,
    trains: tuple[str, ...] = ("critic",),
    discrete: bool = False,
) -> Player:
    """The critic on the same detached images, at a time uniform in the process's index; `extra` adds terms."""

    def loss(nets: Nets, batch: Batch) -> Terms:
        x = shared_image(nets, batch)
        terms = denoising_loss(nets, batch, x, law=law_of(nets, 0, 999, discrete))
        scaled = {"critic": terms.terms["critic"] / x[0].numel()}
        return Terms(scaled | (extra(nets, batch, x) if extra else {}), weights or {}, terms.health)

    return Player("critic", trains, loss, optimiser, train_mode=("critic",), conditions="generator")
