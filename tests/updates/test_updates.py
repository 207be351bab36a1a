"""Three iterations of every method on every process, in two rounds, are those of the plain reference loop.

Labels or prompts, dropout, augmentation and guidance are on. Compared in float64, to 1e-9 of how far a network moved:
generator, critic, head, target and average.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.suite.components import methods
from sid import stages
from sid.loop.settings import LoopSettings
from sid.loop.trainer import Execution, Training, train
from sid.lora import Adapted
from sid.method import Copy, Head, Lora
from sid.nets import materialise
from tests.updates import loop
from tests.updates.cases import ALL, BATCH, CASES, Case
from tests.updates.loop import Follower, PlainNet
from tests.updates.worlds import World

ITERATIONS, SEED = 3, 3
HALFLIFE, RAMP = 7.0, 0.8


def reference_nets(case: Case, world: World) -> dict[str, PlainNet]:
    """Copies of the teacher; a head and adapters take the first values that the seed draws."""
    teacher, method = world.teacher(), methods()[case.method]
    described = method.build(method.options(given=case.options(world)))
    nets = {"teacher": loop.copied(teacher.network), "generator": loop.copied(teacher.network, case.dropout)}
    made = materialise(described, world.teacher(), SEED, lambda probed: probed(*probe(world), {"features"}).features)
    for name, net in described.items():
        if isinstance(net, Copy):
            nets[name] = loop.copied(teacher.network, case.dropout)
        elif isinstance(net, Head):
            layers = made[name].double()
            nets[name] = PlainNet(layers, {key: leaf(value) for key, value in layers.named_parameters()})
        elif isinstance(net, Lora):
            nets[name] = loop.copied(teacher.network)
            nets[name].scale = net.alpha / net.rank
            for place, part in made[name].named_modules():
                if isinstance(part, Adapted):
                    layer = place.removeprefix("denoiser.network.")
                    up, down = (leaf(side.weight.double()) for side in (part.up, part.down))
                    assert part.scale == nets[name].scale or part.down.weight.shape[0] < net.rank
                    nets[name].changes[f"{layer}.weight"] = (up, down)
    for name in ("ema", *case.followers):
        nets[name] = loop.copied(teacher.network, case.dropout)
    return nets


def leaf(value: torch.Tensor) -> torch.Tensor:
    return value.detach().clone().requires_grad_(True)


def probe(world: World) -> tuple:
    x = torch.zeros(1, *world.shape, dtype=torch.float64)
    t = world.process.critic_times(torch.full((1,), 0.5, dtype=torch.float64))
    return x, t, world.draw(torch.zeros(1, dtype=torch.long))


@pytest.mark.parametrize(("case", "world"), [(case, world) for _, case, world in ALL], ids=[name for name, _, _ in ALL])
def test_three_iterations_are_those_of_a_plain_loop(case: Case, world: World, tmp_path: Path) -> None:
    method = methods()[case.method]
    options = method.options(given=case.options(world))
    assert not method.faults(options, world.facts)
    nets = reference_nets(case, world)
    begun = {name: numbers(net) for name, net in nets.items()}
    followers = {**case.followers, "ema": Follower(HALFLIFE, RAMP)}
    loop.run(world, case.seats(world), nets, followers, ITERATIONS, BATCH, 2, SEED)

    recipe = LoopSettings(
        seed=SEED,
        images=ITERATIONS * BATCH,
        batch=BATCH,
        micro_batch=BATCH // 2,
        ema_halflife=HALFLIFE,
        ema_ramp=RAMP,
        save_seconds=1e9,
        dtype="float64",
    )
    leaves = tuple(name for name in nets if name not in ("teacher", "ema"))
    training = Training(method, options, world.teacher(), world.data(), recipe)
    trained = train(training, Execution(tmp_path, quiet=True, leaves=leaves))
    states = {**trained.networks, "ema": stages.state_of(trained.generator)}
    for name, state in states.items():
        exact = numbers(nets[name])
        moved = distance(exact, begun[name])
        assert moved > 1e-4, f"the {name} did not move"
        ours = {key.removeprefix("denoiser.network."): value for key, value in state.items()}
        assert distance(exact, ours) <= 1e-9 * moved, name


def numbers(net: PlainNet) -> dict[str, torch.Tensor]:
    """The weights that the network computes with."""
    merged = {name: value.detach().clone() for name, value in net.numbers.items()}
    for name, (up, down) in net.changes.items():
        merged[name] += net.scale * (up.flatten(1) @ down.flatten(1)).detach().view_as(merged[name])
    return merged


def distance(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    return sum(float(((first[name] - second[name]) ** 2).sum()) for name in first) ** 0.5


def test_every_method_that_says_so_is_among_them() -> None:
    """`verified = "update"` is a claim of this file's, and so are the processes that it says it covers."""
    listed = {case.method for cases in CASES.values() for case in cases}
    claimed = {name for name, method in methods().items() if method.verified == "update"}
    assert claimed == listed
    for name in claimed:
        processes = {world.facts.process for _, case, world in ALL if case.method == name}
        words = [word for word, process in (("EDM", "edm"), ("VP", "vp"), ("flow", "flow")) if process in processes]
        covers, _, limit = methods()[name].covers.partition("; ")
        assert covers == ", ".join(words)
        distances = {case.given.get("distance") for _, case, _ in ALL if case.method == name}
        assert limit == ("l2 alone" if "l2" in distances else "")
