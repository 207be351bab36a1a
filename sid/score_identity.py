"""Score identity distillation with all its options: alpha, guidance, chain, adversarial term.

Every SiD method is one of these with its own defaults: SiD and SiDA (no guidance), SiD-LSG (guidance), few-step SiD
(a chain).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sid.adversarial import Adversarial
from sid.method import Batch, Optimiser, Player, Terms
from sid.passes import Passes, Turn, Turns, branches, denoising, earlier_steps, scores
from sid.scales import NONE, Guidance


@dataclass(frozen=True)
class RatioWeight:
    """A weight of the score term by the density ratio that the discriminator knows at x_t, once the GAN term joins."""

    divergence: str = "forward-kl"
    detach: bool = True  # False: the ratio is a function of x_t, and its gradient counts
    mean_one: bool = False  # over their mean in the micro-batch


@dataclass(frozen=True)
class ScoreIdentity:
    """The settings of the two players' losses."""

    alpha: float
    guidance: Guidance = NONE
    adversarial: Adversarial | None = None
    t_max: float = 800.0
    loss_scale: float = 100.0
    prompt_dropout: float = 0.0  # of the critic's step, where the critic is guided
    mixture: bool = True  # match every step of a chain, drawn uniformly; False: the last step alone (an ablation)
    augment: float = 0.0  # of the critic's images, EDM teachers
    detached: bool = False  # no gradient through the networks: distribution matching for every alpha (an ablation)
    weight: str = "normaliser"  # a name of sid.losses.time_weight
    ratio: RatioWeight | None = None  # weighs the score term by the density ratio (Uni-Instruct)

    def players(self, critic: Optimiser, generator: Optimiser) -> tuple[Player, ...]:
        """Critic first, then the generator."""
        from sid.players import critic_player

        guided_critic = self.guidance.k1 != 1 or self.guidance.k2 != 1
        dropout = self.prompt_dropout if guided_critic else 0.0
        player = Player("generator", ("generator",), self.generator_loss, generator, train_mode=("generator",))
        if self.adversarial is not None:
            plays = self.adversarial.generator_plays
            player = Player("generator", ("generator",), self.generator_loss, generator, ("generator",), plays)
        learner = critic_player(critic, self.guidance.k1, dropout, self.adversarial, self.mixture, self.augment)
        return (learner, player)

    def passes(self, steps: int = 1) -> Turns:
        """What the updates cost with a chain of so many steps. The generator's logits share a pass of the critic."""
        scales = self.guidance
        critic = Passes(forward=1) + denoising(branches(scales.k1))
        generator = scores(branches(scales.k4), branches(scales.k2, scales.k3))
        if self.detached:
            generator = replace(generator, inputs=0)
        if self.adversarial is not None:
            critic += Passes(encoder=1, encoder_backward=1)
            # A critic at scale 0 never sees the condition: its features are a pass of their own.
            if scales.k1 == 0:
                critic += Passes(encoder=1, encoder_backward=1)
            if scales.k2 == scales.k3 == 0:
                generator += Passes(encoder=1, encoder_inputs=1)
        earlier = earlier_steps(steps) if self.mixture else steps - 1
        return {"critic": Turn(critic, more=earlier), "generator": Turn(generator, more=earlier)}

    def generator_loss(self, nets: Mapping[str, Any], batch: Batch) -> Terms:
        """SiD's loss (arXiv 2404.04057, eq. 23) with its weight (eq. 25), under the guidance scales k2, k3 and k4.

        Teacher and critic see the same x_t at the same time; gradients run through both, unless `detached`.
        """
        from sid import losses, ratio
        from sid.adversarial import generator_term, logits
        from sid.denoiser import FEATURES, X0
        from sid.guidance import guided, guided_pair
        from sid.players import chain_step, generate, health, noised

        joined = self.adversarial is not None and self.adversarial.joined(batch.progress)
        x = generate(nets, batch, chain_step(nets, batch) if self.mixture else None)
        at = noised(nets, batch, x, nets["teacher"].process.generator_law(self.t_max))
        scales = self.guidance
        teacher = guided(nets["teacher"], at.x_t, at.t, batch.condition, scales.k4).image
        want = X0 | FEATURES if joined else X0
        seen = guided_pair(nets["critic"], at.x_t, at.t, batch.condition, (scales.k2, scales.k3), want)
        critic, beside_x = seen[0].image, seen[1].image
        if self.detached:
            teacher, critic, beside_x = teacher.detach(), critic.detach(), beside_x.detach()
        weight = losses.time_weight(self.weight, x, teacher, at.a, at.sigma)
        term = losses.weighted(weight, losses.sid(x, teacher, critic, self.alpha, beside_x))
        figures = health(x, teacher, critic)
        if not joined:
            return Terms({"sid": term}, {"sid": self.loss_scale}, figures)
        assert self.adversarial is not None and seen[0].features is not None
        logit = logits(seen[0].features, self.adversarial.pooling)
        gan = generator_term(logit, weight, x[0].numel(), self.adversarial)
        if self.ratio is not None:
            h = ratio.weight(self.ratio.divergence, logit.detach() if self.ratio.detach else logit)
            term = losses.weighted(ratio.with_mean_one(h) if self.ratio.mean_one else h, term)
        weights = {"sid": self.loss_scale / 2, "adversarial": self.adversarial.generator_weight / 2}
        return Terms({"sid": term, "adversarial": gan}, weights, figures)
