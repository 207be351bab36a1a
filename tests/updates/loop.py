"""The reference loop: players in turn, rounds, modes, steps, averages. Plain torch, written from the papers.

Given to both sides are the random draws, the made data, the networks' layers, and the first values of new layers. The
rest is this folder's own: which network drops out when, noising, predictions, losses, sums over rounds, Adam, averages.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sid.condition import Condition
from sid.draws import Draws, key
from tests.updates.optimiser import PlainAdam, Rule, follow
from tests.updates.processes import wide
from tests.updates.worlds import World


@dataclass
class PlainNet:
    """Layers, and the numbers they compute with. `changes` are low-rank: (layer, up, down), each times `scale`."""

    layers: nn.Module
    numbers: dict[str, Tensor]
    changes: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    scale: float = 1.0

    def leaves(self) -> list[Tensor]:
        """What an optimiser moves: the low-rank factors where there are any."""
        return [part for pair in self.changes.values() for part in pair] or list(self.numbers.values())

    def __call__(self, x: Tensor, t: Tensor, given: Condition, want: set[str], train: bool) -> tuple[Tensor, Tensor]:
        numbers = dict(self.numbers)
        for name, (up, down) in self.changes.items():
            product = (up.flatten(1) @ down.flatten(1)).view_as(numbers[name])
            numbers[name] = numbers[name] + self.scale * product
        self.layers.train(train)
        return functional_call(self.layers, numbers, (x, t, given, frozenset(want)))


@dataclass(frozen=True)
class ChainRule:
    """K steps from `start`; the noise between them is fresh, the first one's (fixed), or the implied one (ddim)."""

    steps: int = 1
    start: float | None = None
    renoise: str = "fresh"
    unit: bool = False  # unit noise enters, not sigma z (never on EDM)


ONE_STEP = ChainRule()


@dataclass
class Turn:
    """What a player sees in one round."""

    world: World
    nets: Mapping[str, PlainNet]
    draws: Draws
    condition: Condition
    real: Tensor
    real_condition: Condition
    pair: tuple[Tensor, Tensor, Condition]
    size: int  # of the whole batch, over all rounds
    images: int  # before this iteration
    train: frozenset[str] = frozenset()
    shared: dict = field(default_factory=dict)

    def noise(self, stream: str) -> Tensor:
        return self.draws.normal(stream, self.world.shape, torch.empty(0, dtype=torch.float64))

    def u(self, stream: str = "t") -> Tensor:
        return self.draws.uniform(stream)

    def of(self, player: str) -> Turn:
        """The same samples as another player draws them."""
        return replace(self, draws=self.draws.of(player))

    def noised(self, x: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        a, sigma = self.world.process.levels(t)
        return wide(a) * x + wide(sigma) * eps

    def see(
        self, name: str, x_t: Tensor, t: Tensor, given: Condition, kappa: float = 1.0, features: bool = False
    ) -> tuple[Tensor, Tensor]:
        """A network's x0 under guidance: uncond + kappa (cond - uncond), and its features under the condition."""
        seen: list[Tensor] = []

        def network(condition: Condition) -> Callable[[Tensor, Tensor, str], Tensor]:
            def call(x: Tensor, time: Tensor, what: str) -> Tensor:
                want = {what, "features"} if features and kappa != 0 else {what}
                output, last_map = self.nets[name](x, time, condition, want, name in self.train)
                seen.append(last_map)
                return output

            return call

        process = self.world.process
        if kappa == 1:
            return process.x0(network(given), x_t, t), seen[0]
        if kappa == 0:  # never sees the condition; a discriminator still does
            x0 = process.x0(network(without(given)), x_t, t)
            return x0, self.features(name, x_t, t, given) if features else seen[0]
        both = process.x0(network(joined(without(given), given)), torch.cat([x_t, x_t]), torch.cat([t, t]))
        null, said = both.chunk(2)
        return null + kappa * (said - null), seen[0].chunk(2)[1] if features else seen[0]

    def f(self, name: str, x_t: Tensor, t: Tensor, given: Condition, kappa: float = 1.0) -> Tensor:
        return self.see(name, x_t, t, given, kappa)[0]

    def features(self, name: str, x_t: Tensor, t: Tensor, given: Condition) -> Tensor:
        def call(x: Tensor, time: Tensor, what: str) -> Tensor:
            return self.nets[name](x, time, given, {"features"}, name in self.train)[1]

        return self.world.process.features(call, x_t, t)

    def image(self, chain: ChainRule = ONE_STEP, given: Condition | None = None, z: Tensor | None = None) -> Tensor:
        """The generator's image at the iteration's drawn step; the gradient sees that step alone."""
        process, given = self.world.process, given or self.condition
        times = process.chain(process.start if chain.start is None else chain.start, chain.steps)
        drawn = self.draws.integer("step", 1, chain.steps)
        z = self.noise("z0") if z is None else z
        t = process.times(times[0], len(z))
        unit = chain.unit and not self.world.name.startswith("edm")
        x_t = z if unit else wide(process.levels(t)[1]) * z
        for step in range(1, drawn):
            with torch.no_grad():
                x = self.f("generator", x_t, t, given)
            a, sigma = process.levels(t)
            noises = {"fresh": lambda step=step: self.noise(f"z{step}"), "fixed": lambda: z}
            implied = (x_t - wide(a) * x) / wide(sigma)
            noise = implied if chain.renoise == "ddim" else noises[chain.renoise]()
            t = process.times(times[step], len(z))
            x_t = self.noised(x, t, noise)
        return self.f("generator", x_t, t, given)


def without(given: Condition) -> Condition:
    return dropped(given, torch.ones(len(given.labels if given.labels is not None else given.text), dtype=torch.bool))  # type: ignore[arg-type]


def dropped(given: Condition, where: Tensor) -> Condition:
    """The null condition in those rows: label -1, or the empty prompt's embeddings."""
    if given.labels is not None:
        return replace(given, labels=torch.where(where, -1, given.labels))
    assert given.text is not None and given.null is not None and given.null.text is not None
    changed = {"text": torch.where(where[:, None, None], given.null.text, given.text)}
    if given.pooled is not None:
        changed["pooled"] = torch.where(where[:, None], given.null.pooled, given.pooled)
    return replace(given, **changed)


def joined(first: Condition, second: Condition) -> Condition:
    """The two as one batch."""
    parts = {
        name: torch.cat([getattr(first, name), getattr(second, name)])
        for name in ("labels", "text", "pooled", "augment")
        if getattr(first, name) is not None
    }
    return replace(first, **parts)


Loss = Callable[[Turn], Tensor]


@dataclass(frozen=True)
class Seat:
    """A player of the reference loop."""

    name: str
    loss: Loss
    rule: Rule
    trains: tuple[str, ...]
    train: frozenset[str]  # the networks that drop out in its turn
    plays: Callable[[int, int], bool] = lambda iteration, images: True
    conditions: str = ""  # whose conditions it sees; its own


@dataclass(frozen=True)
class Follower:
    """An average of the generator: half-life in images, at most `ramp` of those seen before the iteration."""

    halflife: float
    ramp: float | None = None


def turn_of(world: World, nets: Mapping[str, PlainNet], seat: Seat, draws: Draws, size: int, images: int) -> Turn:
    data = world.data()
    assert data.real is not None and data.pairs is not None
    condition = data.conditions.draw(draws.of(seat.conditions or seat.name))
    real, real_condition = data.real(draws)
    noise, image, pair_condition = data.pairs(draws)
    pair = (noise.double(), image.double(), pair_condition)
    return Turn(world, nets, draws, condition, real.double(), real_condition, pair, size, images, seat.train)


def run(
    world: World,
    seats: tuple[Seat, ...],
    nets: dict[str, PlainNet],
    followers: dict[str, Follower],
    iterations: int,
    batch: int,
    rounds: int,
    seed: int,
) -> None:
    """Moves the networks' numbers in place.

    Args:
        world: Process, data and shape.
        seats: The players, in playing order.
        nets: Every network by name, the averages among them.
        followers: The averages by name.
        iterations: How many.
        batch: Samples in an iteration, over all rounds.
        rounds: Into which a batch is cut; gradients add up over them.
        seed: Of all draws.
    """
    adams = {
        seat.name: PlainAdam([leaf for name in seat.trains for leaf in nets[name].leaves()], seat.rule)
        for seat in seats
    }
    for iteration in range(iterations):
        images = iteration * batch
        shared: list[dict] = [{} for _ in range(rounds)]
        for seat in seats:
            if not seat.plays(iteration, images):
                continue
            leaves = adams[seat.name].leaves
            sums: list[Tensor | None] = [None] * len(leaves)
            for number, first in enumerate(range(0, batch, batch // rounds)):
                draws = Draws(seed, iteration, range(first, first + batch // rounds), seat.name)
                turn = turn_of(world, nets, seat, draws, batch, images)
                turn.shared = shared[number]
                torch.manual_seed(key(seed, iteration, seat.name, number, 0) % 2**63)  # of the dropout, a given draw
                for place, gradient in enumerate(torch.autograd.grad(seat.loss(turn), leaves, allow_unused=True)):
                    before = sums[place]
                    sums[place] = gradient if before is None else before if gradient is None else before + gradient
            adams[seat.name].step(sums, iteration)
        for name, follower in followers.items():
            halflife = follower.halflife if follower.ramp is None else min(follower.halflife, follower.ramp * images)
            follow(nets[name].numbers, nets["generator"].numbers, batch, halflife)


def copied(layers: nn.Module, share: float | None = None) -> PlainNet:
    """A network of its own, which may drop out another share."""
    layers = copy.deepcopy(layers)
    for module in layers.modules():
        if share is not None and isinstance(module, nn.Dropout):
            module.p = share
        elif share is not None and isinstance(getattr(module, "dropout", None), float):
            module.dropout = share  # type: ignore[assignment]
    numbers = {name: value.detach().clone().requires_grad_(True) for name, value in layers.named_parameters()}
    return PlainNet(layers.requires_grad_(False), numbers)
