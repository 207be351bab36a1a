"""SANA's and FLUX's transformers behind the denoiser's call: network(x, time, condition, want) -> (output, features).

Both return eps - x0, as their schedulers read it; features are the tokens after the final norm as a map [B, C, H, W].
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sid.condition import Condition
from sid.fault import Fault
from sid.teachers.latent.networks import FLOW_TICKS, Output, last_tokens, text_of, token_map

PACKED = 2  # FLUX's tokens are squares of 2 x 2 latents
GUIDANCE = 3.5  # the default of FLUX's pipeline


class SanaNetwork(nn.Module):
    """SanaTransformer2DModel, which takes 1000 t times the `timestep_scale` of its config."""

    def __init__(self, transformer: Any):
        super().__init__()
        if transformer.config.guidance_embeds:
            raise Fault("this network is SANA-Sprint's, on the TrigFlow process: sana is SANA's rectified flow")
        self.transformer = transformer

    def forward(self, x: Tensor, time: Tensor, condition: Condition, want: frozenset[str]) -> Output:
        with last_tokens(self.transformer, want) as seen:
            output = self.transformer(
                x,
                encoder_hidden_states=text_of(condition, x),
                encoder_attention_mask=None if condition.mask is None else condition.mask.to(x.device),
                timestep=FLOW_TICKS * self.transformer.config.timestep_scale * time,
                return_dict=False,
            )[0]
        features = token_map(seen[0], x, self.transformer.config.patch_size) if seen else None
        # Learned variances, where there are any, are the output's second half.
        return (output[:, : x.shape[1]] if "x0" in want else None), features


class FluxNetwork(nn.Module):
    """FluxTransformer2DModel, which reads packed latents with their places and takes t itself, in its tokens' dtype.

    `guidance` is the scale that a network with a guidance embedding is given.
    """

    def __init__(self, transformer: Any, guidance: float | None = None):
        super().__init__()
        self.transformer = transformer
        if guidance is not None and not transformer.config.guidance_embeds:
            raise Fault("guidance_embedding is set, and this network has no guidance embedding")
        self.guidance_embedding = guidance

    @property
    def scale(self) -> float | None:
        """The embedded guidance scale; None for a network that takes none."""
        if not self.transformer.config.guidance_embeds:
            return None
        return GUIDANCE if self.guidance_embedding is None else self.guidance_embedding

    def forward(self, x: Tensor, time: Tensor, condition: Condition, want: frozenset[str]) -> Output:
        if condition.pooled is None:
            raise Fault("FLUX needs a pooled embedding beside the text embeddings")
        text = text_of(condition, x)
        with last_tokens(self.transformer, want) as seen:
            output = self.transformer(
                hidden_states=pack(x),
                encoder_hidden_states=text,
                pooled_projections=condition.pooled.to(x.device, x.dtype),
                timestep=time,
                guidance=None if self.scale is None else torch.full((len(x),), self.scale, device=x.device),
                txt_ids=torch.zeros(text.shape[1], 3, device=x.device),
                img_ids=places(x),
                return_dict=False,
            )[0]
        return (unpack(output, x) if "x0" in want else None), (token_map(seen[0], x, PACKED) if seen else None)


def pack(x: Tensor) -> Tensor:
    """Latents [B, C, H, W] as tokens [B, H/2 W/2, 4 C]; a token's entries are ordered by channel, row and column."""
    if x.shape[-2] % PACKED or x.shape[-1] % PACKED:
        raise Fault(f"FLUX packs squares of 2 x 2 latents: {x.shape[-2]} x {x.shape[-1]} can't be packed")
    squares = x.unflatten(-1, (-1, PACKED)).unflatten(-3, (-1, PACKED))  # [B, C, H/2, 2, W/2, 2]
    return squares.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def unpack(tokens: Tensor, like: Tensor) -> Tensor:
    """The inverse of `pack`, for latents of the shape of `like`."""
    height, width = like.shape[-2] // PACKED, like.shape[-1] // PACKED
    squares = tokens.unflatten(1, (height, width)).unflatten(-1, (-1, PACKED, PACKED))
    return squares.permute(0, 3, 1, 4, 2, 5).flatten(-2).flatten(-3, -2)


def places(x: Tensor) -> Tensor:
    """The rotary ids of the packed tokens: 0, the row and the column. Those of text tokens are 0."""
    rows = torch.arange(x.shape[-2] // PACKED, device=x.device, dtype=torch.float32)
    columns = torch.arange(x.shape[-1] // PACKED, device=x.device, dtype=torch.float32)
    grid = torch.cartesian_prod(rows, columns)
    return torch.cat([grid.new_zeros(len(grid), 1), grid], dim=1)
