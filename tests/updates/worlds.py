"""One tiny teacher of the real network classes per process, in float64, with made data. Every layer drops out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sid.condition import Condition
from sid.denoiser import Denoiser
from sid.draws import Draws
from sid.loop.settings import Data
from sid.method import TeacherFacts
from sid.noise import Flow, VpDiscrete
from sid.teachers.edm import EdmTeacher
from sid.teachers.latent.networks import Sd3Network, UnetNetwork
from sid.teachers.mlp import Mlp
from tests.recipes import text_world
from tests.sid.teachers import tiny_pipelines
from tests.sid.teachers.test_edm_networks import TINY
from tests.updates.processes import PlainEdm, PlainFlow, PlainProcess, PlainVp

DROPOUT = 0.13
IMAGES = 7


@dataclass(frozen=True)
class World:
    """A process with its teacher. `draw` gives conditions by number."""

    name: str
    process: PlainProcess
    facts: TeacherFacts
    shape: tuple[int, ...]
    teacher: Callable[[], Denoiser]
    draw: Callable[[Tensor], Condition]

    def data(self) -> Data:
        """Conditions, real images and pairs, each a few made ones."""
        random = torch.Generator().manual_seed(1)
        images, noises = (torch.randn(IMAGES, *self.shape, generator=random) for _ in range(2))

        def chosen(draws: Draws, stream: str) -> Tensor:
            return (draws.uniform(stream) * IMAGES).long()

        def real(draws: Draws) -> tuple[Tensor, Condition]:
            rows = chosen(draws, "real")
            return 0.5 * images[rows], self.draw(rows)

        def pairs(draws: Draws) -> tuple[Tensor, Tensor, Condition]:
            rows = chosen(draws, "pairs")
            return noises[rows], 0.5 * images[rows], self.draw(rows)

        return Data(Numbered(self.draw), self.shape, real=real, pairs=pairs)


class Numbered:
    """One of the made conditions per sample."""

    def __init__(self, draw: Callable[[Tensor], Condition]):
        self.condition_of = draw

    def draw(self, draws: Draws) -> Condition:
        return self.condition_of((draws.uniform("condition") * IMAGES).long())


def dropping(denoiser: Denoiser, share: float = DROPOUT) -> Denoiser:
    """Every layer that can drop out does, and no weight is zero."""
    random = torch.Generator().manual_seed(5)
    for module in denoiser.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
    denoiser.double()
    for parameter in denoiser.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=random, dtype=torch.float64)
    return denoiser.eval().requires_grad_(False)


def ddpmpp() -> Denoiser:
    torch.manual_seed(0)
    denoiser = EdmTeacher().build({**TINY, "dropout": DROPOUT})
    for parameter in denoiser.parameters():
        nn.init.normal_(parameter, std=0.1)
    return dropping(denoiser)


def mlp() -> Denoiser:
    """The miniature's network: on EDM the one that takes torch's adapters."""
    torch.manual_seed(0)
    denoiser = Mlp().build({"shape": (3, 4, 4), "width": 16, "depth": 2, "classes": 4, "dropout": DROPOUT})
    for parameter in denoiser.parameters():
        nn.init.normal_(parameter, std=0.3)
    return dropping(denoiser)


def unet(says: str) -> Denoiser:
    network = UnetNetwork(tiny_pipelines.unet(16, dropout=DROPOUT))
    return dropping(Denoiser(network, VpDiscrete(), says, "stable-diffusion"))


def transformer() -> Denoiser:
    return dropping(Denoiser(Sd3Network(tiny_pipelines.stable_diffusion_3().transformer), Flow(), "flow", "sd3"))


def label(rows: Tensor) -> Condition:
    return Condition(labels=rows % 4)


def prompt(name: str) -> Callable[[Tensor], Condition]:
    return lambda rows: text_world.condition(name, rows % 6, torch.float64)


def facts(process: str, text: bool, augment: bool) -> TeacherFacts:
    return TeacherFacts(process, process, True, text, guidance=True, features=True, real=True, augment=augment)


SIDE = tiny_pipelines.SIZE
WORLDS = {
    world.name: world
    for world in (
        World("edm", PlainEdm(), facts("edm", False, True), (3, 16, 16), ddpmpp, label),
        World("edm-mlp", PlainEdm(), facts("edm", False, False), (3, 4, 4), mlp, label),
        World("eps", PlainVp("eps"), facts("vp", True, False), (4, SIDE, SIDE), lambda: unet("eps"), prompt("sd15")),
        World("v", PlainVp("v"), facts("vp", True, False), (4, SIDE, SIDE), lambda: unet("v"), prompt("sd15")),
        World("flow", PlainFlow(), facts("flow", True, False), (8, SIDE, SIDE), transformer, prompt("sd3")),
    )
}
