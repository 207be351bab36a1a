"""Diffusers' networks behind the denoiser's call: network(x, time, condition, want) -> (output, features)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sid.condition import Condition
from sid.draws import constant
from sid.fault import Fault

FLOW_TICKS = 1000  # a flow network takes 1000 t
Output = tuple[Tensor | None, Tensor | None]


def text_of(condition: Condition, like: Tensor) -> Tensor:
    """The condition's text embeddings, which these networks require."""
    if condition.text is None:
        raise Fault("a text-to-image network needs text embeddings in its condition (sid.prompts makes them)")
    return condition.text.to(like.device, like.dtype)


class UnetNetwork(nn.Module):
    """UNet2DConditionModel: SD 1.5, SD 2.1 and SDXL. Features are the mid block's map [B, C, H, W]."""

    def __init__(self, unet: Any, guidance_embedding: float | None = None):
        super().__init__()
        self.unet = unet
        if guidance_embedding is not None and unet.config.time_cond_proj_dim is None:
            raise Fault("guidance_embedding is set, and this network has no guidance embedding")
        self.guidance_embedding = guidance_embedding

    def forward(self, x: Tensor, time: Tensor, condition: Condition, want: frozenset[str]) -> Output:
        text, added, guidance = text_of(condition, x), self._added(condition, x), self._guidance(x)
        if "x0" not in want:
            return None, self._encode(x, time, text, added, guidance)
        seen: list[Tensor] = []
        hook = None
        if "features" in want:
            # Registered for this call only: a copied network must not write into the original's list.
            hook = self.unet.mid_block.register_forward_hook(lambda module, inputs, output: seen.append(output))
        try:
            extra = {"timestep_cond": guidance, "added_cond_kwargs": added}
            output = self.unet(x, time, encoder_hidden_states=text, return_dict=False, **extra)[0]
        finally:
            if hook is not None:
                hook.remove()
        return output, seen[0] if seen else None

    def _encode(
        self, x: Tensor, time: Tensor, text: Tensor, added: dict[str, Any] | None, guidance: Tensor | None
    ) -> Tensor:
        """The down blocks and the mid block, as in UNet2DConditionModel.forward."""
        unet = self.unet
        embedding = unet.time_embedding(unet.get_time_embed(sample=x, timestep=time), guidance)
        extra = unet.get_aug_embed(emb=embedding, encoder_hidden_states=text, added_cond_kwargs=added)
        embedding = embedding if extra is None else embedding + extra
        if unet.time_embed_act is not None:
            embedding = unet.time_embed_act(embedding)
        text = unet.process_encoder_hidden_states(encoder_hidden_states=text, added_cond_kwargs=added)
        hidden = unet.conv_in(2 * x - 1.0 if unet.config.center_input_sample else x)
        for block in (*unet.down_blocks, unet.mid_block):
            attends = getattr(block, "has_cross_attention", False)
            out = block(hidden, embedding, encoder_hidden_states=text) if attends else block(hidden, embedding)
            hidden = out[0] if isinstance(out, tuple) else out  # down blocks also return the skips
        return hidden

    def _added(self, condition: Condition, like: Tensor) -> dict[str, Any] | None:
        """SDXL's pooled embedding and micro-conditioning; with a style adapter the reference's embedding."""
        style = {} if condition.style is None else {"image_embeds": [condition.style.to(like.device, like.dtype)]}
        if self.unet.config.addition_embed_type != "text_time":
            return style or None
        if condition.pooled is None or condition.time_ids is None:
            raise Fault("SDXL needs a pooled embedding and time ids beside the text embeddings")
        return style | {
            "text_embeds": condition.pooled.to(like.device, like.dtype),
            "time_ids": condition.time_ids.to(like.device).float(),  # sizes of 1000 and more are inexact in bfloat16
        }

    def _guidance(self, like: Tensor) -> Tensor | None:
        """The embedded guidance scale w - 1 of a network that takes one (LCM, arXiv 2310.04378)."""
        width = self.unet.config.time_cond_proj_dim
        if width is None:
            return None
        from diffusers.models.embeddings import get_timestep_embedding

        scale = (1.0 if self.guidance_embedding is None else self.guidance_embedding) - 1.0
        scales = torch.full((len(like),), 1000 * scale, device=like.device)
        # Sine before cosine with exponents over width/2 - 1, as the consistency pipelines embed it.
        embedded = get_timestep_embedding(scales, width, flip_sin_to_cos=False, downscale_freq_shift=1)
        return embedded.to(like.dtype)


class PixartNetwork(nn.Module):
    """PixArtTransformer2DModel. Learned variances, the output's second half, are dropped.

    Features are the tokens after the final norm, laid out as a map [B, C, H, W].
    """

    def __init__(self, transformer: Any, pixels: int = 8):
        super().__init__()
        self.transformer, self.pixels = transformer, pixels

    def forward(self, x: Tensor, time: Tensor, condition: Condition, want: frozenset[str]) -> Output:
        with last_tokens(self.transformer, want) as seen:
            output = self.transformer(
                x,
                encoder_hidden_states=text_of(condition, x),
                encoder_attention_mask=None if condition.mask is None else condition.mask.to(x.device),
                timestep=time,
                added_cond_kwargs=self._size(x),
                return_dict=False,
            )[0]
        features = token_map(seen[0], x, self.transformer.config.patch_size) if seen else None
        return (output[:, : x.shape[1]] if "x0" in want else None), features

    def _size(self, x: Tensor) -> dict[str, Tensor | None]:
        """The image's size and aspect ratio, which the 1024-pixel network takes."""
        if not self.transformer.use_additional_conditions:
            return {"resolution": None, "aspect_ratio": None}
        height, width = self.pixels * x.shape[-2], self.pixels * x.shape[-1]
        sizes = constant((height, width, height / width), x.device, x.dtype).expand(len(x), 3)
        return {"resolution": sizes[:, :2], "aspect_ratio": sizes[:, 2:]}


class SigmaInput(nn.Module):
    """An eps-predicting network on the EDM process, as SIM-DiT runs PixArt (iDDPM preconditioning, 2206.00364 C.3).

    x0 = x - sigma eps(x / sqrt(1 + sigma^2), j), j the index of the schedule's nearest noise level. The linear
    schedule's ratios stay far above the published clip C_1 = 0.001, and C_2 = 0.008 belongs to the cosine schedule:
    neither changes a level here.
    """

    def __init__(self, inner: nn.Module, alphas_cumprod: Tensor):
        super().__init__()
        self.inner = inner
        # No buffer: a network cast to bfloat16 must keep the schedule's digits.
        self.levels = ((1 - alphas_cumprod.double()) / alphas_cumprod.double()).sqrt()

    def forward(self, x: Tensor, time: Tensor, condition: Condition, want: frozenset[str]) -> Output:
        sigma = time.double().flatten()
        self.levels = self.levels.to(sigma.device)  # moved once, as each move waits for the device
        index = (sigma[:, None] - self.levels[None]).abs().argmin(dim=1)
        shape = (-1, *[1] * (x.ndim - 1))
        scaled = x * (1 + sigma**2).rsqrt().to(x.dtype).reshape(shape)
        output, features = self.inner(scaled, index, condition, want)
        return (None if output is None else x - sigma.to(x.dtype).reshape(shape) * output), features


class Sd3Network(nn.Module):
    """SD3Transformer2DModel, which takes 1000 t and returns eps - x0. Features: final-norm tokens as a map."""

    def __init__(self, transformer: Any):
        super().__init__()
        self.transformer = transformer

    def forward(self, x: Tensor, time: Tensor, condition: Condition, want: frozenset[str]) -> Output:
        if condition.pooled is None:
            raise Fault("SD3 needs a pooled embedding beside the text embeddings")
        with last_tokens(self.transformer, want) as seen:
            output = self.transformer(
                hidden_states=x,
                encoder_hidden_states=text_of(condition, x),
                pooled_projections=condition.pooled.to(x.device, x.dtype),
                timestep=FLOW_TICKS * time,
                return_dict=False,
            )[0]
        features = token_map(seen[0], x, self.transformer.config.patch_size) if seen else None
        return (output if "x0" in want else None), features


@contextmanager
def last_tokens(transformer: Any, want: frozenset[str]) -> Iterator[list[Tensor]]:
    """A list that gets the tokens after the final norm in the calls inside, where features are wanted.

    That norm is the last layer but one: an early stop would save nothing.
    """
    seen: list[Tensor] = []
    # Registered for these calls only: a copied network must not write into the original's list.
    hook = None
    if "features" in want:
        hook = transformer.norm_out.register_forward_hook(lambda module, inputs, output: seen.append(output))
    try:
        yield seen
    finally:
        if hook is not None:
            hook.remove()


def token_map(tokens: Tensor, x: Tensor, patch: int) -> Tensor:
    """Tokens [B, N, C] as a map of the image: [B, C, H / patch, W / patch]."""
    return tokens.transpose(1, 2).reshape(len(x), -1, x.shape[-2] // patch, x.shape[-1] // patch)
