"""From a method's description of its networks to the networks, seeded and in a fixed order."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn

from sid.denoiser import Denoiser
from sid.draws import key
from sid.generator import Generator
from sid.method import Copy, Ema, Head, Net, Student


def materialise(nets: Mapping[str, Net], teacher: Denoiser, seed: int) -> dict[str, nn.Module]:
    """Every network by name, the frozen teacher among them. New modules are initialised from the seed."""
    built: dict[str, nn.Module] = {"teacher": teacher.eval().requires_grad_(False)}
    averages = {name: net for name, net in nets.items() if isinstance(net, Ema)}
    for name, net in nets.items():
        if isinstance(net, Copy):
            built[name] = copy.deepcopy(built[net.of])
        elif isinstance(net, Student):
            built[name] = Generator(copy.deepcopy(teacher), net.chain)
        elif isinstance(net, Head):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(key(seed, "head", name) % 2**63)
                built[name] = net.make(teacher)
        built[name].eval() if name in built else None
    for name, average in averages.items():
        built[name] = copy.deepcopy(built[average.of]).requires_grad_(False).eval()
    return built


def trained_parameters(nets: Mapping[str, nn.Module], trains: tuple[str, ...]) -> list[nn.Parameter]:
    """The parameters of the nets (or "net.submodule") that a player trains."""
    parameters = []
    for path in trains:
        name, _, inner = path.partition(".")
        parameters += list(nets[name].get_submodule(inner).parameters())
    return parameters
