"""One player's update: modes, freezing, accumulation rounds, the NaN policy, the optimiser's step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from sid.draws import key
from sid.loop.adam import Adam
from sid.method import Batch, Optimiser, Player, Progress, Terms
from sid.nets import trained_parameters
from sid.parallel import sharding
from sid.parallel.engine import Engine

NAN_GRADIENT = {"nan": 0.0, "posinf": 1e5, "neginf": -1e5}  # as published: a bad gradient costs one step at most
NOISE_EDGES = (-2.0, -0.5, 1.0)  # bins of ln(sigma/a) in which the critic's loss is logged


@dataclass
class Seat:
    """A player at the table: its parameters, its optimiser, and what its last update looked like."""

    player: Player
    parameters: list[nn.Parameter]
    optimiser: Adam
    roots: list[nn.Module]  # the sharded networks that it trains; none where networks are whole
    seen: list[Terms] = field(default_factory=list)
    update_norm: Tensor | None = None
    gradient_norm: Tensor | None = None

    def release(self) -> None:
        """Gives its gradients back: the next player's need the room."""
        for parameter in self.parameters:
            parameter.grad = None


def clipped(player: Player, norm: float | None) -> Player:
    """The player under the recipe's bound on gradients, where the recipe states one."""
    return player if norm is None else replace(player, optimiser=replace(player.optimiser, clip_norm=norm))


def seats(players: Iterable[Player], nets: Mapping[str, nn.Module], engine: Engine | None = None) -> list[Seat]:
    """Every player with its parameters and optimiser; once the networks are as the engine wants them."""
    engine = engine or Engine()
    taken, roots = [], sharding.roots(nets)
    for player in players:
        parameters = trained_parameters(nets, player.trains)
        for parameter in parameters:
            parameter.requires_grad_(True)
        entered = [root for path in player.trains for root in roots[path.partition(".")[0]]] if engine.sharded else []
        optimiser = Adam(parameters, player.optimiser, engine.settings.first_moment, engine.settings.eight_bit)
        taken.append(Seat(player, parameters, optimiser, entered))
    if engine.sharded:
        sharding.settle(dict.fromkeys(root for entered in roots.values() for root in entered))
    return taken


def set_modes(nets: Mapping[str, nn.Module], seat: Seat) -> None:
    """Only what this player trains asks for gradients; only its train_mode nets drop out."""
    trained = set(map(id, seat.parameters))
    for name, net in nets.items():
        drops = name in seat.player.train_mode
        if net.training is not drops:
            net.train(drops)
        for parameter in net.parameters():
            if parameter.requires_grad is not (wanted := id(parameter) in trained):
                parameter.requires_grad_(wanted)


def total_loss(terms: Terms, size: int) -> Tensor:
    """The weighted sum of all terms over the samples, over the global batch size.

    Samples with a NaN drop out of the sum by a mask (no device sync) and the denominator stays, as published.
    """
    total = None
    for name, term in terms.terms.items():
        masked = torch.where(torch.isnan(term), 0.0, term).sum()
        weighted = terms.weights.get(name, 1.0) * masked
        total = weighted if total is None else total.to(masked) + weighted
    assert total is not None, "a loss has one term at least"
    return total / size


def play(
    seat: Seat,
    nets: Mapping[str, nn.Module],
    batches: Iterable[Batch],
    engine: Engine,
    progress: Progress,
    seed: int,
    watch: bool = False,
) -> None:
    """One update of one player over its micro-batches. `watch` keeps what the log wants."""
    set_modes(nets, seat)
    seat.release()
    seat.seen = []
    for number, (batch, last) in enumerate(_marked(batches)):
        if seat.roots:
            sharding.accumulate(seat.roots, last)
        # Dropout is the one thing drawn by torch's own generator: re-seeded here, a resumed run repeats its masks.
        torch.manual_seed(key(seed, progress.iteration, seat.player.name, number, engine.rank) % 2**63)
        terms = seat.player.loss(nets, batch)
        total_loss(terms, batch.size).backward()
        if watch:
            seat.seen.append(terms)
    _step(seat, engine, progress, watch)


def _marked(batches: Iterable[Batch]) -> Iterator[tuple[Batch, bool]]:
    """Each batch, and whether it is the last."""
    before = None
    for batch in batches:
        if before is not None:
            yield before, False
        before = batch
    if before is not None:
        yield before, True


def _step(seat: Seat, engine: Engine, progress: Progress, watch: bool) -> None:
    settings = seat.player.optimiser
    gradients = [sharding.local(parameter.grad) for parameter in seat.parameters if parameter.grad is not None]
    engine.sum_gradients(gradients)
    for gradient in gradients:
        torch.nan_to_num_(gradient, **NAN_GRADIENT)
    if settings.clip_value is not None:
        torch._foreach_clamp_min_(gradients, -settings.clip_value)
        torch._foreach_clamp_max_(gradients, settings.clip_value)
    if settings.clip_norm is not None:
        torch._foreach_mul_(gradients, (settings.clip_norm / (engine.norm(gradients) + 1e-6)).clamp(max=1.0))
    seat.optimiser.rate = settings.lr * _rate(settings, seat.optimiser.steps, progress.fraction)
    weights = [sharding.local(parameter.detach()) for parameter in seat.parameters] if watch else []
    before = [weight.clone() for weight in weights]
    seat.optimiser.step()
    if watch:
        seat.update_norm = engine.norm([weight - old for weight, old in zip(weights, before, strict=True)])
        seat.gradient_norm = engine.norm(gradients)


def _rate(settings: Optimiser, steps: int, fraction: float) -> float:
    """The share of the learning rate: linear warm-up by steps, linear decay by images."""
    rate = min(1.0, (steps + 1) / settings.warmup) if settings.warmup else 1.0
    if fraction > settings.decay_from:
        rate *= (1 - fraction) / (1 - settings.decay_from)
    return rate


def figures(seat: Seat) -> dict[str, float]:
    """The last watched update in numbers: mean terms, dropped samples, health, the critic's loss by noise bin."""
    row: dict[str, float] = {}
    for name in seat.seen[0].terms:
        term = torch.cat([seen.terms[name].detach() for seen in seat.seen])
        row[name] = term.nanmean().item()
        row["dropped"] = row.get("dropped", 0.0) + torch.isnan(term).sum().item()
    for name in seat.seen[0].health:
        values = torch.cat([seen.health[name] for seen in seat.seen])
        if name == "noise":
            row |= _by_noise(values, torch.cat([next(iter(seen.terms.values())).detach() for seen in seat.seen]))
        else:
            row[name] = values.nanmean().item()
    for name, norm in (("update-norm", seat.update_norm), ("gradient-norm", seat.gradient_norm)):
        if norm is not None:
            row[name] = norm.item()
    return row


def _by_noise(level: Tensor, term: Tensor) -> dict[str, float]:
    edges = torch.tensor(NOISE_EDGES, device=level.device, dtype=level.dtype)
    bins = torch.bucketize(level, edges)
    return {
        f"noise-bin-{index}": term[bins == index].nanmean().item()
        for index in range(len(NOISE_EDGES) + 1)
        if bool((bins == index).any())
    }
