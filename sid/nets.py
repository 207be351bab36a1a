"""Builds the networks that a method describes, seeded and in a fixed order."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from sid.denoiser import Denoiser
from sid.draws import key
from sid.fault import Fault
from sid.generator import Generator
from sid.lora import View, adapt, adapter_parameters
from sid.method import Adapters, Copy, Ema, Head, Lora, Net, Student


def materialise(
    nets: Mapping[str, Net],
    teacher: Denoiser,
    seed: int,
    probe: Callable[[Denoiser], Tensor] | None = None,
    student: Adapters | None = None,
) -> dict[str, nn.Module]:
    """Every network by name, the frozen teacher among them.

    Args:
        nets: The method's description of its networks.
        teacher: Frozen here. Adapters of the critic are added to it in place.
        seed: Initialises new modules.
        probe: Gives the teacher's encoder features of one sample, from which a head takes its size.
        student: The adapters of a student that is the frozen teacher with adapters; None: all its weights are trained.
    """
    built: dict[str, nn.Module] = {"teacher": teacher.eval().requires_grad_(False)}
    for name, net in nets.items():
        if isinstance(net, Copy):
            built[name] = copy.deepcopy(teacher).eval()
        elif isinstance(net, Student):
            built[name] = Generator(copy.deepcopy(teacher), net.chain).eval()
            if student is not None:
                _seeded(seed, name, lambda net=built[name]: adapt(net.denoiser, student.rank, student.alpha, on=True))
                _refuse_bare(name, cast(Generator, built[name]).denoiser)
    for name, net in nets.items():  # after the copies: adapters change the teacher's module in place
        if isinstance(net, Head):
            assert probe is not None, "a head needs the teacher's features"
            features = probe(teacher)
            built[name] = _seeded(seed, name, lambda net=net, f=features: net.make(f.shape[1], f.shape[-1])).eval()
        elif isinstance(net, Lora):
            _seeded(seed, name, lambda net=net: adapt(teacher, net.rank, net.alpha))
            _refuse_bare(name, teacher)
            built["teacher"], built[name] = View(teacher, on=False).eval(), View(teacher, on=True).eval()
    for name, net in nets.items():
        if isinstance(net, Ema):
            built[name] = copy.deepcopy(built[net.of]).requires_grad_(False).eval()
    return built


def _refuse_bare(name: str, denoiser: Denoiser) -> None:
    """A Fault where no layer took an adapter: the EDM networks have layers of their own, not torch's."""
    if not adapter_parameters(denoiser):
        raise Fault(f"the {name} is adapters, and no layer of a network of the family {denoiser.family} takes them")


def _seeded(seed: int, name: str, make: Callable):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(seed, "net", name) % 2**63)
        return make()


def trained_parameters(nets: Mapping[str, nn.Module], trains: tuple[str, ...]) -> list[nn.Parameter]:
    """The parameters of the nets (or "net.submodule") that a player trains; of an adapted net its adapters."""
    parameters: list[nn.Parameter] = []
    for path in trains:
        name, _, inner = path.partition(".")
        module = nets[name].get_submodule(inner)
        parameters += adapter_parameters(module) or list(module.parameters())
    return parameters


def stored(nets: Mapping[str, nn.Module]) -> nn.ModuleDict:
    """The networks that a training state holds: all but the teacher, and adapters without their base."""
    parts: dict[str, nn.Module] = {}
    for name, net in nets.items():
        if name == "teacher":
            continue
        parts[name] = _Adapters(net) if adapter_parameters(net) else net
    return nn.ModuleDict(parts)


class _Adapters(nn.Module):
    """An adapted net without its base, for the state."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.parts = nn.ParameterList(adapter_parameters(net))
