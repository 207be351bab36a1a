"""A training step as the published scripts write it: the baseline that our steps are timed against.

float32, no compile, no cache: prompts are encoded in every call of a network, guidance is two passes one after another,
the average and the gradients' NaN policy are Python loops over parameters. It takes the same networks with the same
attention kernel and torch's foreach Adam, and never waits for the device: only what we claim to gain is missing.
Frozen: tests/speed/test_straightforward.py counts its passes, which equal the published scripts', and pins its bytes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from sid.condition import Condition
from sid.denoiser import FEATURES, Denoiser

Encode = Callable[[int], Condition]  # batch size -> that many prompts and the empty one, encoded again in each call


@dataclass(frozen=True)
class StepSettings:
    """Settings that the scripts take on their command lines."""

    kappa: float = 1.0
    steps: int = 1
    alpha: float = 1.2
    t_init: float = 2.5
    t_max: float = 800.0
    lr: float = 1e-6
    betas: tuple[float, float] = (0.0, 0.999)
    halflife: float = 500_000.0  # of the average, in images
    ratio: int = 1  # critic updates per generator update
    micro: int | None = None  # micro-batch size of gradient accumulation; None: the whole batch


class Loop:
    """The networks and optimisers of the scripts, and one iteration as they run it."""

    def __init__(self, teacher: Denoiser, encode: Encode, shape: tuple[int, ...], settings: StepSettings, batch: int):
        self.teacher = teacher.eval().requires_grad_(False)
        self.critic, self.generator, self.average = (copy.deepcopy(teacher) for _ in range(3))
        self.encode, self.settings, self.batch, self.shape = encode, settings, batch, shape
        self.size = settings.micro or batch
        self.process = teacher.process
        self.like = next(teacher.parameters())
        self.iteration = 0
        self.learners = {net: self._adam(list(net.parameters())) for net in (self.critic, self.generator)}

    def _adam(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.settings.lr, betas=self.settings.betas, foreach=True)

    def iterate(self) -> None:
        """Updates the critic, the generator in its turn, then the average."""
        self.update(self.critic, self.critic_loss)
        if self.iteration % self.settings.ratio == 0:
            self.update(self.generator, self.generator_loss)
        self.iteration += 1
        self.follow()

    def update(self, net: Denoiser, loss: Callable[[], Tensor]) -> None:
        """One optimiser step on the batch's mean loss; NaN gradients are set to 0, one parameter after another."""
        net.train().requires_grad_(True)
        self.learners[net].zero_grad(set_to_none=True)
        for _ in range(self.batch // self.size):
            (loss() / self.batch).backward()
        for parameter in net.parameters():
            if parameter.grad is not None:
                torch.nan_to_num(parameter.grad, nan=0, posinf=1e5, neginf=-1e5, out=parameter.grad)
        self.learners[net].step()
        net.eval().requires_grad_(False)

    @torch.no_grad()
    def follow(self) -> None:
        """Updates the average, one parameter after another."""
        beta = 0.5 ** (self.batch / self.settings.halflife)
        for average, weight in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            average.copy_(weight.lerp(average, beta))

    def noise(self) -> Tensor:
        return torch.randn(self.size, *self.shape, device=self.like.device)

    def at(self, time: float) -> Tensor:
        """The same time for the whole batch."""
        dtype = torch.long if self.process.kind == "vp" else torch.float32
        return torch.full((self.size,), time, device=self.like.device, dtype=dtype)

    def drawn(self, law: object) -> Tensor:
        """A time for each sample."""
        return law.quantile(torch.rand(self.size, device=self.like.device))  # type: ignore[attr-defined]

    def last_step(self, steps: int) -> int:
        """Which step of the chain is this iteration's last; drawn on the CPU: no device waits."""
        return int(torch.randint(steps, ()))

    def generate(self) -> Tensor:
        """The generator's image after a random number of its steps; the last one alone has a gradient."""
        times = self.process.grid(self.settings.t_init, self.settings.steps)
        last = self.last_step(len(times))
        z = self.noise()
        x_t = self.process.add_noise(torch.zeros_like(z), z, self.at(times[0]))
        with torch.no_grad():
            for step in range(last):
                x0 = self.generator(x_t, self.at(times[step]), self.encode(self.size)).image
                x_t = self.process.add_noise(x0, self.noise(), self.at(times[step + 1]))
        return self.generator(x_t, self.at(times[last]), self.encode(self.size)).image

    def denoised(self, net: Denoiser, x_t: Tensor, t: Tensor, kappa: float) -> Tensor:
        """x0 under guidance, in two passes; the prompts and the empty one are encoded for them."""
        condition = self.encode(self.size)
        given = net(x_t, t, condition).image
        if kappa == 1:
            return given
        without = net(x_t, t, condition.unconditional()).image
        return without + kappa * (given - without)

    def fresh(self) -> Tensor:
        """The image that the critic learns from."""
        with torch.no_grad():
            return self.generate()

    def matched(self, x: Tensor, kappa: float) -> Tensor:
        """Denoising score matching, over the samples."""
        t = self.drawn(self.process.critic_law())
        seen = self.denoised(self.critic, self.process.add_noise(x, self.noise(), t), t, kappa)
        return (self.process.critic_weight(t) * (seen - x).square().flatten(1).sum(1)).sum()

    def critic_loss(self) -> Tensor:
        return self.matched(self.fresh(), self.settings.kappa)

    def generator_loss(self) -> Tensor:
        """Score identity distillation: gradients run through teacher and critic to the image."""
        x = self.generate()
        t = self.drawn(self.process.generator_law(self.settings.t_max))
        x_t = self.process.add_noise(x, self.noise(), t)
        critic = self.denoised(self.critic, x_t, t, self.settings.kappa)
        teacher = self.denoised(self.teacher, x_t, t, self.settings.kappa)
        with torch.no_grad():
            weight = 1 / (x - teacher).abs().flatten(1).mean(1).clamp(min=1e-5)
        difference = teacher - critic
        summed = (difference * ((teacher - x) - self.settings.alpha * difference)).flatten(1).sum(1)
        return (weight * summed).sum()


class MatchingLoop(Loop):
    """DMD2: the generator follows teacher minus critic; a head on the critic's features is the discriminator."""

    def __init__(
        self,
        teacher: Denoiser,
        encode: Encode,
        shape: tuple[int, ...],
        settings: StepSettings,
        batch: int,
        head: nn.Module,
    ):
        super().__init__(teacher, encode, shape, settings, batch)
        self.head = head
        self.learners[self.critic] = self._adam([*self.critic.parameters(), *head.parameters()])
        self.made: Tensor | None = None  # by the generator's update; the critic's update uses it again

    def iterate(self) -> None:
        if self.iteration % self.settings.ratio == 0:
            self.head.requires_grad_(False)
            self.update(self.generator, self.generator_loss)
            self.head.requires_grad_(True)
        self.update(self.critic, self.critic_loss)
        self.made = None
        self.iteration += 1
        self.follow()

    def fresh(self) -> Tensor:
        return super().fresh() if self.made is None else self.made

    def critic_loss(self) -> Tensor:
        x = self.fresh()
        apart = softplus(self.opinion(x)).sum() + softplus(-self.opinion(self.noise())).sum()
        return self.matched(x, 1.0) + 1e-2 * apart

    def opinion(self, x: Tensor) -> Tensor:
        """The head's logit for a noised image, from the critic's encoder features."""
        t = self.drawn(self.process.uniform_law(0, 999))
        x_t = self.process.add_noise(x, self.noise(), t)
        features = self.critic(x_t, t, self.encode(self.size), FEATURES).features
        assert features is not None
        return self.head(features)

    def generator_loss(self) -> Tensor:
        x = self.generate()
        self.made = x.detach()
        with torch.no_grad():
            t = self.drawn(self.process.critic_law())
            x_t = self.process.add_noise(x, self.noise(), t)
            teacher = self.denoised(self.teacher, x_t, t, self.settings.kappa)
            critic = self.denoised(self.critic, x_t, t, 1.0)
            weight = (x - teacher).abs().flatten(1).mean(1).clamp(min=1e-5)
            target = x - (critic - teacher) / weight.view(-1, *[1] * (x.ndim - 1))
        followed = 0.5 * (x - target).square().flatten(1).sum(1).sum()
        return followed + 5e-3 * softplus(-self.opinion(x)).sum()
