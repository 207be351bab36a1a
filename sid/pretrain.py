"""Denoising as a method with one player: how the training loop trains the miniature suites' teachers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sid.method import Batch, Method, Net, Optimiser, Player, Student, Terms
from sid.passes import Turn, Turns, denoising


@dataclass(frozen=True)
class DenoisingSettings:
    lr: float = 2e-3
    beta1: float = 0.9
    beta2: float = 0.99
    decay_from: float = 0.5
    warmup: int = 0
    dropout: float = 0.0  # share of conditions replaced by the null one, for classifier-free guidance


class Denoising(Method):
    """Denoising score matching on real data (Karras et al. 2022, eq. 8).

    It distils nothing, so it is in no folder that discovery of methods reads.
    """

    name = "denoising"
    version = 1
    needs = frozenset({"real"})
    Options = DenoisingSettings

    def build(self, options: DenoisingSettings) -> dict[str, Net]:
        from sid.chain import Chain

        return {"generator": Student(Chain())}

    def passes(self, options: DenoisingSettings) -> Turns:
        return {"network": Turn(denoising())}

    def players(self, options: DenoisingSettings) -> tuple[Player, ...]:
        from sid import losses
        from sid.draws import sent
        from sid.players import noised

        def loss(nets: Mapping[str, Any], batch: Batch) -> Terms:
            assert batch.real is not None and batch.real_condition is not None
            condition = batch.real_condition
            if options.dropout > 0:
                condition = condition.drop(sent(batch.draws.uniform("drop") < options.dropout, batch.like.device))
            process = nets["teacher"].process
            at = noised(nets, batch, batch.real, process.training_law())
            prediction = nets["generator"].denoiser(at.x_t, at.t, condition).image
            term = losses.weighted(process.critic_weight(at.t), losses.denoising(batch.real, prediction))
            # The mean over pixels, so that one learning rate serves every size of image.
            weight = 1 / batch.real[0].numel()
            return Terms({"denoising": term}, {"denoising": weight}, {"noise": process.log_noise_level(at.t).detach()})

        adam = Optimiser(
            options.lr, (options.beta1, options.beta2), warmup=options.warmup, decay_from=options.decay_from
        )
        return (Player("network", ("generator",), loss, adam, train_mode=("generator",)),)
