"""Prints the gradients of few-step SiD and SiD-DiT, term by term, on tiny networks filled by a formula.

Few-step SiD is on SD 1.5, SDXL and SD3; SiD-DiT (entrance t = 1, all scales 4.5, weight 1 - t) on SD3, SANA and FLUX.

`python -m tests.recipes.adversarial_gradients` needs no file: whoever has another implementation fills the same
diffusers classes (tests/sid/teachers/tiny_pipelines.py) by `wave` and compares. Everything is float64; images, text and
noise are waves too, the times are stated.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from sid.method import Player
from tests.recipes.test_adversarial import CASES, ByHand
from tests.recipes.text_world import PROMPTS, SIDE, channels

SIZE = 2


def wave(number: int, shape: tuple[int, ...]) -> Tensor:
    """sqrt(2) sin(0.7 j + 1.3 n) at flat index j of the n-th tensor: mean about 0, variance about 1."""
    count = torch.Size(shape).numel()
    return (2**0.5 * torch.sin(0.7 * torch.arange(count, dtype=torch.float64) + 1.3 * number)).reshape(shape)


def fill(network: nn.Module, offset: int) -> None:
    """The n-th parameter, in the module's order: a wave over the root of its fan-in; scales of norms about 1."""
    with torch.no_grad():
        for number, (name, parameter) in enumerate(network.named_parameters(), offset):
            values = wave(number, tuple(parameter.shape))
            fan_in = max(parameter[0].numel(), 1) if parameter.ndim > 1 else 1
            scale = 1 / fan_in**0.5 if parameter.ndim > 1 else 0.1
            is_norm = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(is_norm + scale * values)


class ByFormula(ByHand):
    """The same micro-batch with weights, images, text, noise and times that anybody can make."""

    def __init__(self, name: str, guidance: str):
        super().__init__(name, guidance, SIZE)
        for offset, part in ((0, "teacher"), (1, "critic"), (2, "generator")):
            net: Any = self.nets[part]
            fill(getattr(net, "denoiser", net).network, offset)

    def batch(self, player: str) -> Any:
        batch = super().batch(player)
        shape = (SIZE, *self.shape)
        given = {part: tensor for part in ("text", "pooled") if (tensor := getattr(batch.condition, part)) is not None}
        waves = {part: wave(7, (PROMPTS + 1, *tensor.shape[1:])) for part, tensor in given.items()}
        null = replace(batch.condition.null, **{part: words[-1:] for part, words in waves.items()})
        rows = {"condition": slice(0, SIZE), "real_condition": slice(2, 2 + SIZE)}
        for name, chosen in rows.items():
            words = {part: words[chosen] for part, words in waves.items()}
            setattr(batch, name, replace(getattr(batch, name), **words, null=null))
        batch.real = wave(8, shape)
        noises = {"z0": wave(9, shape), "eps": wave(10, shape)}
        batch.noise = noises.__getitem__
        batch.draws.time = lambda stream, law, like: torch.tensor([0.3, 0.6] if self.flow else [300, 600])
        return batch


def norms(hand: ByFormula, player: Player, parameters: list[Tensor]) -> dict[str, tuple[float, float]]:
    """Per term: its value, and the norm of its gradient with its weight."""
    batch = hand.batch(player.name)
    terms = player.loss(hand.nets, batch)
    table = {}
    for name, term in terms.terms.items():
        loss = terms.weights.get(name, 1.0) * term.sum() / SIZE
        parts = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
        table[name] = (float(loss.detach()), float(torch.linalg.vector_norm(torch.stack([p.norm() for p in parts]))))
    return table


def main() -> None:
    print(f"{SIZE} samples of {SIDE} x {SIDE}; loss and |gradient| per term, and their ratio")
    for name, guidance in CASES:
        hand = ByFormula(name, guidance)
        for player, first, second in (("critic", "critic", "discriminator"), ("generator", "sid", "adversarial")):
            playing = hand.player(player)
            table = norms(hand, playing, list(hand.nets[player].parameters()))
            ratio = table[second][1] / table[first][1]
            words = "  ".join(f"{term} {value:.9e} |g| {norm:.9e}" for term, (value, norm) in table.items())
            print(f"{name:5} {guidance:8} D={channels(name) * SIDE * SIDE}  {words}  ratio {ratio:.3e}", flush=True)


if __name__ == "__main__":
    main()
