"""One player's update: modes, freezing, gradient accumulation, the NaN policy, the optimiser's step."""

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
from sid.parallel.overlap import Overlap

NAN_GRADIENT = {"nan": 0.0, "posinf": 1e5, "neginf": -1e5}  # as published: a bad gradient spoils one step at most
JOINED = 2**16  # numbers of a gradient that is small: its launch takes longer than its work
NOISE_EDGES = (-2.0, -0.5, 1.0)  # bins of ln(sigma/a) in which the critic's loss is logged


@dataclass
class PlayerState:
    """A player with its parameters, its optimiser, and the figures of its last watched update."""

    player: Player
    parameters: list[nn.Parameter]
    optimiser: Adam
    roots: list[nn.Module]  # the sharded networks that it trains; none where networks are whole
    overlap: Overlap | None = None  # sums gradients during the last backward pass
    terms: list[Terms] = field(default_factory=list)  # of each micro-batch, where it is watched
    update_norm: Tensor | None = None
    gradient_norm: Tensor | None = None

    def release(self) -> None:
        """Frees its gradients: the next player's need the memory."""
        for parameter in self.parameters:
            parameter.grad = None


def clipped(player: Player, norm: float | None) -> Player:
    """The player with the run's bound on the gradient norm; unchanged where `norm` is None."""
    return player if norm is None else replace(player, optimiser=replace(player.optimiser, clip_norm=norm))


def player_states(
    players: Iterable[Player], nets: Mapping[str, nn.Module], engine: Engine | None = None
) -> list[PlayerState]:
    """Every player with its parameters and optimiser; call it after `execution.prepare`."""
    engine = engine or Engine()
    states, roots = [], sharding.roots(nets)
    for player in players:
        parameters = trained_parameters(nets, player.trains)
        for parameter in parameters:
            parameter.requires_grad_(True)
        entered = [root for path in player.trains for root in roots[path.partition(".")[0]]] if engine.sharded else []
        optimiser = Adam(parameters, player.optimiser, engine.settings)
        overlaps = engine.settings.overlap and engine.world > 1 and not engine.sharded
        states.append(PlayerState(player, parameters, optimiser, entered, Overlap(parameters) if overlaps else None))
    if engine.sharded:
        sharding.settle(dict.fromkeys(root for entered in roots.values() for root in entered))
    return states


def set_modes(nets: Mapping[str, nn.Module], state: PlayerState) -> None:
    """Only the player's parameters require gradients; only its `train_mode` networks apply dropout."""
    trained = set(map(id, state.parameters))
    for name, net in nets.items():
        drops = name in state.player.train_mode
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
    assert total is not None, "a loss has at least one term"
    return total / size


def play(
    state: PlayerState,
    nets: Mapping[str, nn.Module],
    batches: Iterable[Batch],
    engine: Engine,
    progress: Progress,
    seed: int,
    watch: bool = False,
) -> None:
    """One update of one player over its micro-batches.

    Args:
        state: The player.
        nets: All networks by name.
        batches: The rank's micro-batches; the last one's backward pass sums sharded gradients.
        engine: Sums gradients over the processes.
        progress: Where training stands, for schedules and seeds.
        seed: The run's, from which dropout is seeded.
        watch: Keeps terms and norms for the log.
    """
    set_modes(nets, state)
    state.release()
    state.terms = []
    for number, (batch, last) in enumerate(_marked(batches)):
        if state.roots:
            sharding.accumulate(state.roots, last)
        # Dropout alone is drawn by torch's generator: seeded here, so that a resumed run repeats the masks.
        torch.manual_seed(key(seed, progress.iteration, state.player.name, number, engine.rank) % 2**63)
        terms = state.player.loss(nets, batch)
        if state.overlap is not None and last:
            state.overlap.begin()
        total_loss(terms, batch.size).backward()
        if watch:
            state.terms.append(terms)
    _step(state, engine, progress, watch)


def _marked(batches: Iterable[Batch]) -> Iterator[tuple[Batch, bool]]:
    """Each batch, and whether it is the last."""
    before = None
    for batch in batches:
        if before is not None:
            yield before, False
        before = batch
    if before is not None:
        yield before, True


def _step(state: PlayerState, engine: Engine, progress: Progress, watch: bool) -> None:
    settings = state.player.optimiser
    gradients = [sharding.local(parameter.grad) for parameter in state.parameters if parameter.grad is not None]
    if state.overlap is not None:
        state.overlap.finish()
    else:
        engine.sum_gradients(gradients)
    _replace_nan(gradients)
    if settings.clip_value is not None:
        torch._foreach_clamp_min_(gradients, -settings.clip_value)
        torch._foreach_clamp_max_(gradients, settings.clip_value)
    if settings.clip_norm is not None:
        torch._foreach_mul_(gradients, (settings.clip_norm / (engine.norm(gradients) + 1e-6)).clamp(max=1.0))
    state.optimiser.rate = settings.lr * _rate(settings, state.optimiser.steps, progress)
    weights = [sharding.local(parameter.detach()) for parameter in state.parameters] if watch else []
    before = [weight.clone() for weight in weights]
    state.optimiser.step()
    if watch:
        state.update_norm = engine.norm([weight - old for weight, old in zip(weights, before, strict=True)])
        state.gradient_norm = engine.norm(gradients)


def _replace_nan(gradients: list[Tensor]) -> None:
    """NaN and infinities by NAN_GRADIENT's numbers, in place; small gradients joined, one launch for all of them."""
    small = [gradient for gradient in gradients if gradient.numel() <= JOINED]
    joined = torch.cat([gradient.flatten() for gradient in small]) if small else None
    for gradient in (joined, *(gradient for gradient in gradients if gradient.numel() > JOINED)):
        if gradient is not None:
            torch.nan_to_num_(gradient, **NAN_GRADIENT)
    if joined is not None:
        parts = joined.split([gradient.numel() for gradient in small])
        torch._foreach_copy_(small, [part.view_as(gradient) for part, gradient in zip(parts, small, strict=True)])


def _rate(settings: Optimiser, steps: int, progress: Progress) -> float:
    """The factor on the learning rate: linear warm-up by own updates or by iterations, linear decay by images."""
    rate, fraction = 1.0, progress.fraction
    if settings.warmup and settings.warmup_calls:
        rate = min(1.0, settings.warmup_calls * progress.iteration / settings.warmup)
    elif settings.warmup:
        rate = min(1.0, (steps + 1) / settings.warmup)
    if fraction > settings.decay_from:
        rate *= (1 - fraction) / (1 - settings.decay_from)
    return rate


def figures(state: PlayerState) -> dict[str, float]:
    """The figures of the last watched update: mean terms, dropped samples, health, the critic's loss by noise bin."""
    row: dict[str, float] = {}
    for name in state.terms[0].terms:
        term = torch.cat([terms.terms[name].detach() for terms in state.terms])
        row[name] = term.nanmean().item()
        row["dropped"] = row.get("dropped", 0.0) + torch.isnan(term).sum().item()
    for name in state.terms[0].health:
        values = torch.cat([terms.health[name] for terms in state.terms])
        if name == "noise":
            row |= _by_noise(values, torch.cat([next(iter(terms.terms.values())).detach() for terms in state.terms]))
        else:
            row[name] = values.nanmean().item()
    for name, norm in (("update-norm", state.update_norm), ("gradient-norm", state.gradient_norm)):
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
