"""Maps PixArt's original tensor names (PixArt-alpha's and SIM-DiT's files) to diffusers' PixArtTransformer2DModel.

Besides the names three things differ. The original stacks queries, keys and values in one matrix (keys and values in
cross-attention); its null text is a tensor, where diffusers encodes the empty prompt; and it stores its position
embedding, which diffusers computes.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from sid.fault import Fault

# Names without `.weight` and `.bias`; where one matrix holds several, in the order in which it stacks them.
OUTSIDE = {
    "x_embedder.proj": "pos_embed.proj",
    "t_embedder.mlp.0": "adaln_single.emb.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "adaln_single.emb.timestep_embedder.linear_2",
    "t_block.1": "adaln_single.linear",
    "y_embedder.y_proj.fc1": "caption_projection.linear_1",
    "y_embedder.y_proj.fc2": "caption_projection.linear_2",
    "final_layer.linear": "proj_out",
}
# The 1024-pixel network, which takes the image's size and aspect ratio, has these too.
OUTSIDE |= {
    f"{theirs}.mlp.{layer}": f"adaln_single.emb.{ours}.linear_{1 + layer // 2}"
    for theirs, ours in (("csize_embedder", "resolution_embedder"), ("ar_embedder", "aspect_ratio_embedder"))
    for layer in (0, 2)
}
IN_BLOCK = {
    "attn.qkv": ("attn1.to_q", "attn1.to_k", "attn1.to_v"),
    "attn.proj": ("attn1.to_out.0",),
    "cross_attn.q_linear": ("attn2.to_q",),
    "cross_attn.kv_linear": ("attn2.to_k", "attn2.to_v"),
    "cross_attn.proj": ("attn2.to_out.0",),
    "mlp.fc1": ("ff.net.0.proj",),
    "mlp.fc2": ("ff.net.2",),
}
POSITIONS, NULL_TEXT, TABLE = "pos_embed", "y_embedder.y_embedding", "scale_shift_table"
BLOCK = re.compile(r"blocks\.(\d+)\.(.+)\.(weight|bias)")


def from_original(tensors: dict[str, Tensor], positions: Tensor | None = None) -> dict[str, Tensor]:
    """The same tensors under diffusers' names; the position embedding must equal `positions`, its network's own."""
    renamed: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if name == NULL_TEXT:
            continue
        if name == POSITIONS:
            _check_positions(value, positions)
        elif name.endswith(TABLE):
            renamed[name.replace("final_layer.", "").replace("blocks.", "transformer_blocks.")] = value
        elif inside := BLOCK.fullmatch(name):
            number, layer, kind = inside.groups()
            targets = IN_BLOCK.get(layer)
            if targets is None:
                raise Fault(f"the tensor {name} is none of PixArt's")
            for target, part in zip(targets, torch.chunk(value, len(targets)), strict=True):
                renamed[f"transformer_blocks.{number}.{target}.{kind}"] = part
        else:
            layer, _, kind = name.rpartition(".")
            if layer not in OUTSIDE:
                raise Fault(f"the tensor {name} is none of PixArt's")
            renamed[f"{OUTSIDE[layer]}.{kind}"] = value
    return renamed


def _check_positions(stored: Tensor, computed: Tensor | None) -> None:
    """A Fault where the position embeddings differ: the weights would load at another resolution and give nonsense."""
    if computed is None:
        return
    stored = stored.float().reshape(-1, stored.shape[-1])
    computed = computed.float().reshape(-1, computed.shape[-1])
    # Files may hold it in 16 bits, at most 2^-9 off.
    if stored.shape != computed.shape or (stored - computed).abs().max() > 0.005:
        raise Fault(
            f"the file's position embedding ({len(stored)} tokens) is not that of the base ({len(computed)} tokens): "
            "they were made for different resolutions"
        )
