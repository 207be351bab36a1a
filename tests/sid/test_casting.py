"""Weights cast a block at a time give autocast's numbers bit for bit; norms in half keep theirs within its digits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.suite.components import teachers
from sid.condition import Condition
from sid.denoiser import Denoiser
from sid.parallel import casting, sharding
from sid.parallel.settings import EngineSettings
from tests.gpu.families import FAMILIES, TOKENS, WIDTH


def denoiser(name: str) -> Denoiser:
    """A small network of the family, without a layer that begins at zero"""
    torch.manual_seed(0)
    built = teachers()[FAMILIES[name].name].build(dict(FAMILIES[name].network)).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
    return built


def condition(name: str, batch: int) -> Condition:
    torch.manual_seed(1)
    made = {"pooled": torch.randn(batch, 16), "time_ids": torch.ones(batch, 6), "mask": torch.ones(batch, TOKENS)}
    if FAMILIES[name].pixels:
        return Condition(labels=torch.arange(batch))
    return Condition(text=torch.randn(batch, TOKENS, WIDTH), **{part: made[part] for part in FAMILIES[name].parts})


def passed(net: Denoiser, name: str, prepare: Any = None) -> list[Tensor]:
    """The output of a pass under autocast and all gradients."""
    if prepare is not None:
        prepare(net)
    batch = 2
    x = torch.randn(batch, *FAMILIES[name].shape, generator=torch.Generator().manual_seed(2)).requires_grad_()
    vp = FAMILIES[name].name in ("stable-diffusion", "sdxl", "pixart")
    t = torch.full((batch,), 500 if vp else 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        output = net(x, t, condition(name, batch)).image
    assert torch.isfinite(output).all()
    output.float().square().mean().backward()
    gradients = [part.grad for part in (x, *net.parameters()) if part.grad is not None]
    assert len(gradients) > 10
    return [output.detach(), *gradients]


def together(net: Denoiser) -> None:
    blocks = sharding.blocks(net)
    assert blocks
    for block in blocks:
        casting.cast_together(block)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_blocks_weights_are_cast_as_autocast_casts_them(name: str) -> None:
    plain, cast = passed(denoiser(name), name), passed(denoiser(name), name, together)
    assert len(plain) == len(cast)
    assert all(torch.equal(one_by_one, at_once) for one_by_one, at_once in zip(plain, cast, strict=True))


def test_weights_are_their_parameters_again_after_a_pass() -> None:
    net = denoiser("sd")
    before = dict(net.named_parameters())
    passed(net, "sd", together)
    after = dict(net.named_parameters())
    assert all(after[name] is parameter for name, parameter in before.items())


def test_weights_return_when_a_block_fails() -> None:
    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            assert self.layer.weight.dtype == torch.bfloat16
            raise RuntimeError

    block = Failing()
    casting.cast_together(block)
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(RuntimeError):
        block(torch.ones(1, 2))
    assert isinstance(block.layer.weight, nn.Parameter) and block.layer.weight.dtype == torch.float32


@pytest.mark.parametrize("name", ["ddpmpp", "sd", "sd3"])
def test_norms_in_half_agree_to_halfs_digits(name: str) -> None:
    def half(net: Denoiser) -> None:
        casting.norms_in_half(net)
        norms = [part for part in net.modules() if type(part).__name__ in casting.NORMS]
        assert norms
        for norm in norms:
            norm.register_forward_hook(lambda module, given, output: seen.append(output.dtype))

    seen: list[torch.dtype] = []
    plain, halved = passed(denoiser(name), name)[0].float(), passed(denoiser(name), name, half)[0].float()
    assert set(seen) == {torch.bfloat16}
    assert (halved - plain).norm() < 0.05 * plain.norm()  # 0 where every norm is cast next


def test_half_norms_ask_for_bf16() -> None:
    assert "half_norms" in EngineSettings(half_norms=True).faults()[0]
    assert EngineSettings(precision="bf16", half_norms=True).faults() == []
    assert EngineSettings(precision="bf16", half_norms=True).decisive()["half_norms"] is True
