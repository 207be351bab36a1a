"""What enters where in DDPM++ and NCSN++, read between their layers."""

from __future__ import annotations

import math

import torch

from sid.condition import Condition
from sid.teachers.edm import EdmTeacher
from tests.sid.teachers.test_edm_networks import TINY, TINY_NCSN


def test_ddpmpps_labels_are_one_hot_times_the_root_of_their_number() -> None:
    """The embedding is [sin, cos] of the noise label plus sqrt(classes) W e_c + b."""
    torch.manual_seed(0)
    denoiser = EdmTeacher().build({**TINY, "augment_dim": 0, "dropout": 0.0}).eval()
    model = denoiser.network.model
    seen: list[torch.Tensor] = []
    model.map_layer0.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].detach()))
    sigma, classes = torch.tensor([0.3, 2.5, 7.0]), torch.tensor([2, 0, 3])
    denoiser(torch.randn(3, 3, 16, 16), sigma, Condition(labels=classes))
    width, count = TINY["model_channels"], TINY["label_dim"]
    half = width // 2
    angle = (sigma.log() / 4)[:, None] * 1e-4 ** (torch.arange(half) / (half - 1))
    label = math.sqrt(count) * model.map_label.weight.T[classes] + model.map_label.bias
    torch.testing.assert_close(seen[0], torch.cat([angle.sin(), angle.cos()], 1) + label, atol=1e-6, rtol=1e-5)


def test_ncsnpps_auxiliary_sum_is_divided_by_the_root_of_two() -> None:
    """x, the last skip and the auxiliary stream are (down(x) + residual(auxiliary)) / sqrt(2)."""
    torch.manual_seed(0)
    denoiser = EdmTeacher().build({**TINY_NCSN, "augment_dim": 0, "dropout": 0.0, "channel_mult": [1, 2, 2]}).eval()
    parts = denoiser.network.model.enc
    outputs: dict[str, torch.Tensor] = {}
    inputs: dict[str, torch.Tensor] = {}
    for name, layer in parts.items():
        layer.register_forward_hook(lambda layer, given, out, name=name: outputs.update({name: out.detach()}))
        layer.register_forward_pre_hook(lambda layer, given, name=name: inputs.update({name: given[0].detach()}))
    denoiser(torch.randn(2, 3, 16, 16), torch.tensor([0.5, 4.0]), Condition(labels=torch.tensor([1, 3])))
    for side in (8, 4):
        both = (outputs[f"{side}x{side}_down"] + outputs[f"{side}x{side}_aux_residual"]) / math.sqrt(2)
        torch.testing.assert_close(inputs[f"{side}x{side}_block0"], both)
    first = (outputs["8x8_down"] + outputs["8x8_aux_residual"]) / math.sqrt(2)
    torch.testing.assert_close(inputs["4x4_aux_residual"], first)
