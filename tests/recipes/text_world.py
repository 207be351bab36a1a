"""Made prompts, tiny text-to-image denoisers of the real classes, and trainings on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sid.condition import Condition
from sid.denoiser import Denoiser
from sid.draws import Draws
from sid.loop.settings import Data, LoopSettings
from sid.loop.trainer import Execution, Trained, Training, train
from sid.method import Method
from sid.noise import Flow, VpDiscrete
from sid.teachers.latent.flow_networks import FluxNetwork, SanaNetwork
from sid.teachers.latent.networks import PixartNetwork, Sd3Network, UnetNetwork
from tests.sid.teachers import tiny_pipelines

PROMPTS, TOKENS, SIDE = 6, 5, tiny_pipelines.SIZE
WIDTHS = {"sd15": 16, "sdxl": 40, "pixart": 16, "sd3": 40, "sana": 24, "flux": 24}
POOLED = {"sdxl": 24, "sd3": 40, "flux": 16}
CHANNELS = {"sd3": 8, "sana": 8}  # of latents; 4 elsewhere


def teacher(name: str, dtype: torch.dtype = torch.float32) -> Denoiser:
    """The denoising network of a tiny pipeline, without encoders and autoencoder."""
    if name == "sd15":
        denoiser = Denoiser(UnetNetwork(tiny_pipelines.unet(WIDTHS[name])), VpDiscrete(), "eps", name)
    elif name == "sdxl":
        projection: dict[str, Any] = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
        unet = tiny_pipelines.unet(WIDTHS[name], projection_class_embeddings_input_dim=6 * 8 + 24, **projection)
        denoiser = Denoiser(UnetNetwork(unet), VpDiscrete(), "eps", name)
    elif name == "pixart":
        denoiser = Denoiser(PixartNetwork(tiny_pipelines.pixart().transformer), VpDiscrete(), "eps", name)
    elif name == "sana":
        denoiser = Denoiser(SanaNetwork(tiny_pipelines.sana().transformer), Flow(), "flow", name)
    elif name == "flux":
        denoiser = Denoiser(FluxNetwork(tiny_pipelines.flux().transformer), Flow(), "flow", name)
    else:
        denoiser = Denoiser(Sd3Network(tiny_pipelines.stable_diffusion_3().transformer), Flow(), "flow", name)
    return denoiser.to(dtype).eval().requires_grad_(False)


def channels(name: str) -> int:
    return CHANNELS.get(name, 4)


def condition(name: str, rows: Tensor, dtype: torch.dtype = torch.float32) -> Condition:
    """The prompts of these numbers, with the null prompt; embeddings are fixed random numbers."""
    random = torch.Generator().manual_seed(11)
    text = torch.randn(PROMPTS + 1, TOKENS, WIDTHS[name], generator=random).to(dtype)
    extra: dict[str, Tensor] = {}
    if name in POOLED:
        extra["pooled"] = torch.randn(PROMPTS + 1, POOLED[name], generator=random).to(dtype)
    if name == "sana":  # prompt i has 2 + i mod 4 tokens
        lengths = 2 + torch.arange(PROMPTS + 1) % 4
        extra["mask"] = (torch.arange(TOKENS) < lengths[:, None]).to(dtype)
    null = Condition(text=text[-1:], **{key: value[-1:] for key, value in extra.items()})
    if name == "sdxl":
        extra["time_ids"] = torch.tensor([[16.0, 16.0, 0.0, 0.0, 16.0, 16.0]]).expand(PROMPTS + 1, 6)
    return Condition(text=text[rows], **{key: value[rows] for key, value in extra.items()}, null=null)


class Prompts:
    """One of the prompts per sample."""

    def __init__(self, name: str, stream: str = "prompt"):
        self.name, self.stream = name, stream

    def draw(self, draws: Draws) -> Condition:
        return condition(self.name, (draws.uniform(self.stream) * PROMPTS).long())


def distil(
    method: Method, options: Any, taught: Denoiser, data: Data, folder: Path, steps: int, batch: int, **settings: Any
) -> Trained:
    """So many iterations of a method."""
    loop = LoopSettings(images=steps * batch, batch=batch, save_seconds=1e9, **settings)
    return train(Training(method, options, taught, data, loop), Execution(folder, quiet=True, everywhere=True))
