"""The adversarial term of few-step SiD, as its public code has it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.suite.components import methods
from sid.condition import Condition
from sid.denoiser import FEATURES, X0
from sid.draws import Draws
from sid.generator import Generator
from sid.loop.settings import Data
from sid.loop.update import total_loss
from sid.method import Batch, Player, TeacherFacts
from sid.nets import materialise
from tests.contract.watched import LATE_PROGRESS, Nets
from tests.recipes import text_world
from tests.sid.teachers import tiny_pipelines

NAME = "pixart"
METHOD = methods()["sid-few-step"]
STEPS, BATCH = 100, 8
SCALES = {"none": (1, 1, 1), "lsg": (1.5, 1.5, 1.5), "zero-cfg": (0, 0, 1), "anti-cfg": (-1, -1, 1)}  # k1, k2 = k3, k4
POOLING = {"sd15": "channels", "sdxl": "channels", "sd3": "spatial"}
# SiD-DiT: few-step SiD on flow teachers, entered at t = 1.
FLOWS = tiny_pipelines.FLOWS
DIT = {"guidance": "lsg", "kappa": 4.5, "t_init": 1.0, "weight": "a", "prompt_dropout": 0.0}
CASES = [*((name, scales) for name in POOLING for scales in SCALES), *((name, "sid-dit") for name in FLOWS)]


@pytest.mark.parametrize("guidance", ["none", "lsg", "zero-cfg", "anti-cfg"])
def test_real_images_that_are_the_generators_own_are_not_told_apart(guidance: str, tmp_path: Path) -> None:
    """The discriminator's cross-entropy stays at ln 2: no guidance lets it see anything but the images."""
    taught = text_world.teacher(NAME)
    twin = Generator(text_world.teacher(NAME), METHOD.build(METHOD.options(NAME))["generator"].chain)
    shape = (text_world.channels(NAME), text_world.SIDE, text_world.SIDE)

    def real(draws: Draws) -> tuple[Tensor, Condition]:
        """The generator rests, so that its twin draws from the same law, with other noise and other prompts."""
        given = text_world.Prompts(NAME, "real-prompt").draw(draws)
        with torch.no_grad():
            return twin([draws.normal("real-z", shape, torch.empty(0))], given, 1), given

    options = METHOD.options(
        NAME, given={"steps": 1, "guidance": guidance, "adversarial": True, "pooling": "spatial", "lr": 3e-3}
    )
    loop: dict[str, Any] = {"stop_players": {"generator": 0.0}, "log_images": BATCH}
    data = Data(text_world.Prompts(NAME), shape, real=real)
    text_world.distil(METHOD, options, taught, data, tmp_path, STEPS, BATCH, **loop)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    entropy = [row["players"]["critic"]["discriminator"] / math.prod(shape) for row in rows[-30:]]
    assert sum(entropy) / len(entropy) == pytest.approx(math.log(2), abs=0.02)


class ByHand:
    """Both losses of one micro-batch, a sample at a time and a pass at a time."""

    def __init__(self, name: str, guidance: str, size: int = 3):
        dit = guidance == "sid-dit"
        self.pooling, self.flow = POOLING.get(name, "spatial"), name in FLOWS
        self.k1, self.k2, self.k4 = (4.5, 4.5, 4.5) if dit else SCALES[guidance]
        given = {"steps": 1, "guidance": guidance, "kappa": 1.5, "adversarial": True, "pooling": self.pooling}
        given |= DIT if dit else {}
        self.options = METHOD.options(given=given)
        taught = text_world.teacher(name, torch.float64)
        self.nets: Nets = materialise(METHOD.build(self.options), taught, 0)
        random = torch.Generator().manual_seed(5)
        for part in ("critic", "generator"):
            for parameter in self.nets[part].parameters():
                parameter.data += 0.05 * torch.randn(parameter.shape, generator=random, dtype=torch.float64)
        self.name, self.size = name, size
        self.shape = (text_world.channels(name), text_world.SIDE, text_world.SIDE)

    def batch(self, player: str) -> Batch:
        rows = torch.arange(self.size)
        draws, like = Draws(0, 0, range(self.size), player), torch.empty(0, dtype=torch.float64)
        prompts, captions = (text_world.condition(self.name, (rows + k) % 6, torch.float64) for k in (0, 2))
        real = draws.normal("picture", self.shape, like)
        return Batch(draws, prompts, LATE_PROGRESS, self.shape, like, real, captions, size=self.size)

    def player(self, name: str) -> Player:
        playing = next(player for player in METHOD.players(self.options) if player.name == name)
        for net in self.nets.values():
            net.eval().requires_grad_(False)
        self.nets[name].requires_grad_(True)
        return playing

    def guided(self, net: Any, x_t: Tensor, t: Tensor, given: Condition, kappa: float) -> Tensor:
        without = net(x_t, t, given.unconditional()).image
        return without + kappa * (net(x_t, t, given).image - without)

    def entropy(self, x_t: Tensor, t: Tensor, given: Condition, real: bool) -> Tensor:
        """The critic's features under the image's own text; a logit per place (U-Net) or per channel (transformer)."""
        critic: Any = self.nets["critic"]
        features = critic(x_t, t, given, X0 | FEATURES).features[0]
        logit = (features.mean(0) if self.pooling == "channels" else features.mean((1, 2))).clamp(-10, 10)
        return torch.log1p(torch.exp(-logit if real else logit)).mean()

    def loss(self, player: str) -> Tensor:
        batch, total = self.batch(player), torch.zeros((), dtype=torch.float64)
        teacher, critic, generator = (self.nets[name] for name in ("teacher", "critic", "generator"))
        process: Any = teacher.process
        law = process.critic_law() if player == "critic" else process.generator_law(800.0)
        times, noise, z = batch.draws.time("t", law, batch.like), batch.noise("eps"), batch.noise("z0")
        for i in range(self.size):
            row = torch.tensor([i])
            given, t, eps = batch.condition[row], times[row], noise[row]
            a, sigma = (float(value) for value in process.coefficients(t))
            x = generator([z[row]], given)
            if player == "critic":
                x, real = x.detach(), batch.real[row]
                psi = self.guided(critic, a * x + sigma * eps, t, given, self.k1)
                weight = 1 / sigma**2 if self.flow else (a / sigma) ** 2
                total = total + weight * ((psi - x) ** 2).sum()
                fake = self.entropy(a * x + sigma * eps, t, given, real=False)
                true = self.entropy(a * real + sigma * eps, t, batch.real_condition[row], real=True)
                total = total + x.numel() * (fake + true) / 2
            else:
                x_t = a * x + sigma * eps
                phi, psi = self.guided(teacher, x_t, t, given, self.k4), self.guided(critic, x_t, t, given, self.k2)
                norm = 1 / (x - phi).detach().abs().mean().clamp_min(1e-5) if self.options.weight != "a" else a
                score = 100 * norm * ((phi - psi) * (psi - x)).sum()
                gan = norm * x.numel() * self.entropy(x_t, t, given, real=True)
                total = total + score / 2 + gan / 2
        return total / self.size


@pytest.mark.parametrize("name, guidance", CASES)
def test_both_gradients_are_those_of_a_plain_loop(name: str, guidance: str) -> None:
    """D times the cross-entropies of clamped logits of the text half, weight 1 beside 100, in float64.

    SANA's linear attention and FLUX's rotary embedding run in float32 whatever they are given: those agree to 1e-6.
    """
    hand = ByHand(name, guidance)
    for player in ("critic", "generator"):
        playing, parameters = hand.player(player), list(hand.nets[player].parameters())
        asked: dict[str, Any] = {"allow_unused": True, "materialize_grads": True}
        ours = torch.autograd.grad(total_loss(playing.loss(hand.nets, hand.batch(player)), 3), parameters, **asked)
        theirs = torch.autograd.grad(hand.loss(player), parameters, **asked)
        size = torch.linalg.vector_norm(torch.stack([part.norm() for part in theirs]))
        for part, exact in zip(ours, theirs, strict=True):
            assert (part - exact).norm() <= (1e-6 if name in ("sana", "flux") else 1e-9) * size, player


def test_logits_beyond_ten_teach_neither_player() -> None:
    from sid.adversarial import Adversarial, critic_term

    logit = torch.tensor([[-20.0], [-3.0], [3.0], [20.0]], requires_grad=True)
    part = Adversarial(per_sample=True, by_elements=True)
    critic_term(logit, -logit, torch.ones(4), 16, part).sum().backward()
    assert logit.grad is not None and (logit.grad.flatten() != 0).tolist() == [False, True, True, False]


def test_prompts_are_not_dropped_beside_real_images() -> None:
    """Dropped prompts beside captioned real images would again tell real from fake."""
    facts = TeacherFacts("any", "vp", conditional=True, text=True, guidance=True, features=True, real=True)
    dropping = METHOD.options(given={"guidance": "lsg", "adversarial": True, "prompt_dropout": 0.1})
    assert any("prompt_dropout" in fault for fault in METHOD.faults(dropping, facts))
    assert not METHOD.faults(METHOD.options(given={"guidance": "lsg", "adversarial": True}), facts)
    hand = ByHand("sd15", "lsg", size=16)
    batch = hand.batch("critic")
    playing, text = hand.player("critic"), batch.condition.text
    playing.loss(hand.nets, batch)
    assert batch.condition.text is text
