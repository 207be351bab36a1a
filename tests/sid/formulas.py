"""The objectives written out a second time, in EDM's own terms and without the project's loss functions.

phi, psi are the teacher's and the critic's x0, x the generator's image, D its number of elements. Everything is a sum
over the batch of `World.size` samples, divided by that size; a bar-free term means the sum over a sample's elements.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from sid.condition import Condition
from sid.denoiser import Denoiser
from sid.method import Batch
from tests.contract.watched import Nets

SIGMA_DATA, SIGMA_INIT = 0.5, 2.5
LOW, HIGH = 0.002 ** (1 / 7), 80 ** (1 / 7)


def total(x: Tensor) -> Tensor:
    """The sum over each sample's elements."""
    return x.flatten(1).sum(1)


def spread(value: Tensor) -> Tensor:
    return value[:, None, None, None]


@dataclass
class World:
    """What a player sees, its draws by name, and the networks."""

    nets: Nets
    batch: Batch
    joined: bool  # beyond every warm-up

    @property
    def condition(self) -> Condition:
        return self.batch.condition

    def of(self, player: str) -> World:
        """The same samples as another player draws them."""
        other = copy.copy(self.batch)
        other.draws = self.batch.draws.of(player)
        return World(self.nets, other, self.joined)

    def noise(self, stream: str) -> Tensor:
        return self.batch.noise(stream)

    def sigma(self, stream: str, low: float, high: float) -> Tensor:
        """rho = 7 schedule, uniform in its index of 1000 between `low` and `high`."""
        index = (low + self.batch.draws.uniform(stream) * (high - low)) / 1000
        return ((1 - index) * LOW + index * HIGH) ** 7

    def log_normal(self, stream: str) -> Tensor:
        return torch.exp(-1.2 + 1.2 * torch.special.ndtri(self.batch.draws.uniform(stream)))

    def f(
        self, name: str, x_t: Tensor, sigma: Tensor, condition: Condition | None = None, kappa: float = 1.0
    ) -> Tensor:
        """The preconditioned network (Karras et al. 2022, Table 1), guided by kappa in two separate passes."""
        net: Any = self.nets[name]
        net = getattr(net, "denoiser", net) if name in ("generator", "target") else net
        condition = condition or self.condition
        if kappa != 1:
            without = self.f(name, x_t, sigma, condition.unconditional())
            return without + kappa * (self.f(name, x_t, sigma, condition) - without)
        if not isinstance(net, Denoiser):  # an adapted view
            return net(x_t, sigma, condition).image
        s, square = spread(sigma), spread(sigma**2 + SIGMA_DATA**2)
        output, _ = net.network(x_t / square.sqrt(), sigma.log() / 4, condition, frozenset({"x0"}))
        return SIGMA_DATA**2 / square * x_t + s * SIGMA_DATA / square.sqrt() * output

    def features(self, x_t: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        """The critic's encoder features."""
        square = spread(sigma**2 + SIGMA_DATA**2)
        network: Any = self.nets["critic"].network
        _, features = network(
            x_t / square.sqrt(), sigma.log() / 4, condition or self.condition, frozenset({"features"})
        )
        return features

    def x(self, sigma: float = SIGMA_INIT, z: Tensor | None = None, condition: Condition | None = None) -> Tensor:
        """The one-step generator's image."""
        z = self.noise("z0") if z is None else z
        return self.f("generator", sigma * z, torch.full((len(z),), sigma, dtype=z.dtype), condition)

    def chain(self, steps: int, renoise: str) -> Tensor:
        """x of the drawn step of a few-step chain, with a gradient through that step alone."""
        drawn = self.batch.draws.integer("step", 1, steps)
        x, eps = torch.zeros_like(self.noise("z0")), self.noise("z0")
        for k in range(drawn):
            sigma = torch.full((len(x),), SIGMA_INIT * (1 - k / steps), dtype=x.dtype)
            x_t = x.detach() + spread(sigma) * eps
            x = self.f("generator", x_t, sigma)
            following = {"fresh": lambda k=k: self.noise(f"z{k + 1}"), "fixed": lambda: self.noise("z0")}
            ddim = (x_t - x.detach()) / spread(sigma)
            eps = ddim if renoise == "ddim" or k + 1 == drawn else following[renoise]()
        return x


def score_identity(
    w: World,
    x: Tensor,
    alpha: float,
    scales: tuple[float, float, float] = (1.0, 1.0, 1.0),
    gan: bool = False,
    per_sample: bool = False,
    weight: float = 0.01,
) -> Tensor:
    """100 w (phi - psi2) [(phi - x) - alpha (phi - psi)] with psi3 beside x, half of it beside half of the GAN term."""
    k2, k3, k4 = scales
    sigma = w.sigma("t", 0, 800)
    x_t = x + spread(sigma) * w.noise("eps")
    phi, psi = w.f("teacher", x_t, sigma, kappa=k4), w.f("critic", x_t, sigma, kappa=k2)
    beside = psi if k3 == k2 else w.f("critic", x_t, sigma, kappa=k3)
    norm = 1 / (x - phi).detach().abs().flatten(1).mean(1).clamp_min(1e-5)
    per = norm * total((phi - psi) * (beside - x) + (1 - alpha) * (phi - psi) ** 2)
    score = 100 * per.mean()
    if not (gan and w.joined):
        return score
    logit = w.features(x_t, sigma).mean(1).flatten(1).clamp(-10, 10)
    entropy = softplus(-logit).mean(1)
    gained = (norm * entropy).mean() if per_sample else norm.mean() * entropy.mean()
    return score / 2 + weight * x[0].numel() * gained / 2


def implicit(w: World, space: str, c: float) -> Tensor:
    """(phi - psi) . (psi - x) / sqrt(|psi - phi|^2 + c^2); in score space weighted by sigma^2, c becomes c sigma^2."""
    x, sigma = w.x(), w.sigma("t", 0, 800)
    x_t = x + spread(sigma) * w.noise("eps")
    phi, psi = w.f("teacher", x_t, sigma), w.f("critic", x_t, sigma)
    c_x0 = c if space == "x0" else c * sigma**2
    return (total((phi - psi) * (psi - x)) / (total((psi - phi) ** 2) + c_x0**2).sqrt()).mean()


def implicit_squared(w: World, weight: str) -> Tensor:
    """-2 y . (s_psi - s_x) with scores (f - x_t) / sigma^2, under its time weight."""
    x, sigma = w.x(), w.sigma("t", 0, 800)
    x_t = x + spread(sigma) * w.noise("eps")
    phi, psi = w.f("teacher", x_t, sigma), w.f("critic", x_t, sigma)
    scores = [(image - x_t) / spread(sigma**2) for image in (phi, psi, x)]
    weights = {
        "one": torch.ones_like(sigma),
        "sigma4/a2": sigma**4,
        "sigma2/a": sigma**2,
        "normaliser": 1 / (x - phi).detach().abs().flatten(1).mean(1),
    }
    return (-2 * weights[weight] * total((scores[1] - scores[0]) * (scores[1] - scores[2]))).mean()


def matching(w: World, sigma: Tensor, weight: str, kappa: float = 1.0, x: Tensor | None = None) -> Tensor:
    """x moves along sg[psi - phi]: weight 1, 1/sigma, or 1 / (D mean |x - phi|)."""
    x = w.x() if x is None else x
    x_t = x + spread(sigma) * w.noise("eps")
    with torch.no_grad():
        phi, psi = w.f("teacher", x_t, sigma, kappa=kappa), w.f("critic", x_t, sigma)
        weights = {
            "one": torch.ones_like(sigma),
            "1/sigma": 1 / sigma,
            "mean": 1 / total((x - phi).abs()),
        }
        target = x - spread(weights[weight]) * (psi - phi)
    return (0.5 * total((x - target) ** 2)).mean()


def discriminating(w: World, x: Tensor, stream: str, condition: Condition | None = None) -> Tensor:
    """DMD2's head on the critic's features of a noised image."""
    sigma = w.sigma(f"t{stream}", 0, 999)
    x_t = x + spread(sigma) * w.noise(f"eps{stream}")
    return w.nets["head"](w.features(x_t, sigma, condition)).flatten()


def dmd2_generator(w: World) -> Tensor:
    x = w.x()
    return matching(w, w.sigma("t", 20, 980), "mean", x=x) + 3e-3 * softplus(-discriminating(w, x, "fake")).mean()


def dmd_generator(w: World) -> Tensor:
    assert w.batch.pairs is not None
    noise, image = w.batch.pairs
    again = w.x(z=noise, condition=w.batch.pairs_condition)
    return matching(w, w.sigma("t", 20, 980), "mean") + 0.25 * ((again - image) ** 2).mean()


def regression(w: World) -> Tensor:
    assert w.batch.pairs is not None
    noise, image = w.batch.pairs
    return ((w.x(z=noise, condition=w.batch.pairs_condition) - image) ** 2).mean()


def denoising(w: World, x: Tensor, sigma: Tensor, kappa: float = 1.0, condition: Condition | None = None) -> Tensor:
    """lambda(sigma) |psi - x|^2 per sample, lambda = (sigma^2 + sigma_data^2) / (sigma sigma_data)^2."""
    x_t = x.detach() + spread(sigma) * w.noise("eps")
    psi = w.f("critic", x_t, sigma, condition, kappa)
    return (sigma**2 + SIGMA_DATA**2) / (sigma * SIGMA_DATA) ** 2 * total((psi - x.detach()) ** 2)


def critic(w: World, x: Tensor | None = None) -> Tensor:
    return denoising(w, w.x() if x is None else x, w.log_normal("t")).mean()


def guided_critic(w: World, kappa: float, dropout: float) -> Tensor:
    """The dropped prompt drives the generator and both branches of the critic."""
    dropped = w.condition.drop(w.batch.draws.uniform("drop") < dropout)
    return denoising(w, w.x(condition=dropped), w.log_normal("t"), kappa, dropped).mean()


def sida_critic(w: World) -> Tensor:
    """Real and fake under one noise; both cross-entropies are means over the micro-batch."""
    assert w.batch.real is not None and w.batch.real_condition is not None
    given, sigma = w.batch.real_condition, w.log_normal("t")
    x, noise = w.x(condition=given).detach(), spread(sigma) * w.noise("eps")
    fake, real = (w.features(image + noise, sigma, given).mean(1) for image in (x, w.batch.real))
    weight = (sigma**2 + SIGMA_DATA**2) / (sigma * SIGMA_DATA) ** 2
    entropy = (softplus(-real).mean() + softplus(fake).mean()) / 2
    return denoising(w, x, sigma, condition=given).mean() + weight.mean() * entropy


def shared_critic(w: World, gan: bool) -> Tensor:
    """On the image the generator's player made in this iteration, at a time uniform in the index."""
    x = w.of("generator").x().detach()
    loss = denoising(w, x, w.sigma("t", 0, 999)).mean() / x[0].numel()
    if not gan:
        return loss
    assert w.batch.real is not None
    fake, real = discriminating(w, x, "fake"), discriminating(w, w.batch.real, "real", w.batch.real_condition)
    return loss + 1e-2 * (softplus(fake) + softplus(-real)).mean()


def consistency(w: World, intervals: int = 30, c: float = 1e-3) -> Tensor:
    """f(x_t, t) towards sg f_target(x_s, s), x_s one DDIM step of the teacher from x_t; f is the identity at t_min."""
    assert w.batch.real is not None
    grid = torch.tensor([(HIGH + i / intervals * (LOW - HIGH)) ** 7 for i in range(intervals + 1)], dtype=torch.float64)
    index, given = (w.batch.draws.uniform("interval") * intervals).long(), w.batch.real_condition
    t, s = grid[index], grid[index + 1]
    x_t = w.batch.real + spread(t) * w.noise("eps")

    def mapped(name: str, x: Tensor, sigma: Tensor) -> Tensor:
        gap = 10 * (sigma - grid[-1])
        keep = SIGMA_DATA**2 / (gap**2 + SIGMA_DATA**2)
        return spread(keep) * x + spread(gap / (gap**2 + SIGMA_DATA**2).sqrt()) * w.f(name, x, sigma, given)

    with torch.no_grad():
        phi = w.f("teacher", x_t, t, given)
        x_s = phi + spread(s / t) * (x_t - phi)
        target = mapped("target", x_s, s)
    mean = ((mapped("generator", x_t, t) - target) ** 2).flatten(1).mean(1)
    return ((mean + c**2).sqrt() - c).mean()
