"""PixArt's original files. The oracle is the paper's network, written down here under the original names."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sid.fault import Fault
from sid.teachers.latent.pixart_names import from_original
from tests.sid.teachers import tiny_pipelines as tiny

WIDTH, HEADS, DEPTH, CAPTION, PATCH = 16, 2, 2, 16, 2


def original(extra: dict[str, tuple[int, ...]] | None = None) -> dict[str, Tensor]:
    """Tensors of the published names and shapes (arXiv 2310.00426: adaLN-single, cross-attention)."""
    linear: dict[str, tuple[int, int]] = {
        "t_embedder.mlp.0": (WIDTH, 256),
        "t_embedder.mlp.2": (WIDTH, WIDTH),
        "t_block.1": (6 * WIDTH, WIDTH),
        "y_embedder.y_proj.fc1": (WIDTH, CAPTION),
        "y_embedder.y_proj.fc2": (WIDTH, WIDTH),
        "final_layer.linear": (PATCH * PATCH * 8, WIDTH),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "x_embedder.proj.weight": (WIDTH, 4, PATCH, PATCH),
        "x_embedder.proj.bias": (WIDTH,),
        "y_embedder.y_embedding": (120, CAPTION),
        "final_layer.scale_shift_table": (2, WIDTH),
    }
    for block in range(DEPTH):
        linear |= {
            f"blocks.{block}.attn.qkv": (3 * WIDTH, WIDTH),
            f"blocks.{block}.attn.proj": (WIDTH, WIDTH),
            f"blocks.{block}.cross_attn.q_linear": (WIDTH, WIDTH),
            f"blocks.{block}.cross_attn.kv_linear": (2 * WIDTH, WIDTH),
            f"blocks.{block}.cross_attn.proj": (WIDTH, WIDTH),
            f"blocks.{block}.mlp.fc1": (4 * WIDTH, WIDTH),
            f"blocks.{block}.mlp.fc2": (WIDTH, 4 * WIDTH),
        }
        shapes[f"blocks.{block}.scale_shift_table"] = (6, WIDTH)
    for name, (rows, columns) in linear.items():
        shapes |= {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
    random = torch.Generator().manual_seed(0)
    return {name: 0.3 * torch.randn(shape, generator=random) for name, shape in (shapes | (extra or {})).items()}


def forward(w: dict[str, Tensor], x: Tensor, time: Tensor, text: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
    """The transformer of section 2.3, with the original's fused matrices."""

    def line(name: str, value: Tensor) -> Tensor:
        return functional.linear(value, w[f"{name}.weight"], w[f"{name}.bias"])

    def attend(query: Tensor, key: Tensor, value: Tensor, keep: Tensor | None) -> Tensor:
        split = [part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (query, key, value)]
        scores = split[0] @ split[1].transpose(-1, -2) / math.sqrt(WIDTH // HEADS)
        if keep is not None:
            scores = scores.masked_fill(~keep[:, None, None, :], -math.inf)
        return (scores.softmax(-1) @ split[2]).transpose(1, 2).flatten(2)

    def norm(value: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return functional.layer_norm(value, (WIDTH,), eps=1e-6) * (1 + scale) + shift

    side = x.shape[-1] // PATCH
    token = functional.conv2d(x, w["x_embedder.proj.weight"], w["x_embedder.proj.bias"], stride=PATCH)
    h = token.flatten(2).transpose(1, 2) + positions
    angle = time[:, None] * torch.exp(-math.log(10000) * torch.arange(128) / 128)
    waves = torch.cat([angle.cos(), angle.sin()], dim=1)
    embedded = line("t_embedder.mlp.2", functional.silu(line("t_embedder.mlp.0", waves)))
    modulation = line("t_block.1", functional.silu(embedded)).unflatten(1, (6, WIDTH))
    y = line("y_embedder.y_proj.fc2", functional.gelu(line("y_embedder.y_proj.fc1", text), approximate="tanh"))
    for block in range(DEPTH):
        at = f"blocks.{block}."
        parts = (w[f"{at}scale_shift_table"] + modulation).chunk(6, dim=1)
        q, k, v = line(f"{at}attn.qkv", norm(h, parts[0], parts[1])).chunk(3, dim=-1)
        h = h + parts[2] * line(f"{at}attn.proj", attend(q, k, v, None))
        k, v = line(f"{at}cross_attn.kv_linear", y).chunk(2, dim=-1)
        h = h + line(f"{at}cross_attn.proj", attend(line(f"{at}cross_attn.q_linear", h), k, v, mask))
        inner = functional.gelu(line(f"{at}mlp.fc1", norm(h, parts[3], parts[4])), approximate="tanh")
        h = h + parts[5] * line(f"{at}mlp.fc2", inner)
    shift, scale = (w["final_layer.scale_shift_table"] + embedded[:, None]).chunk(2, dim=1)
    out = line("final_layer.linear", norm(h, shift, scale)).unflatten(1, (side, side)).unflatten(-1, (PATCH, PATCH, 8))
    return out.permute(0, 5, 1, 3, 2, 4).reshape(len(x), 8, PATCH * side, PATCH * side)


def test_the_translated_network_is_the_papers() -> None:
    network = tiny.pixart().transformer
    positions = network.pos_embed.pos_embed
    tensors = original()
    network.load_state_dict(from_original({**tensors, "pos_embed": positions.half()}, positions))
    x, text = torch.randn(2, 4, tiny.SIZE, tiny.SIZE), torch.randn(2, 5, CAPTION)
    time, mask = torch.tensor([3, 440]), torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    size = {"resolution": None, "aspect_ratio": None}
    with torch.no_grad():
        ours = network(
            x, encoder_hidden_states=text, encoder_attention_mask=mask, timestep=time, added_cond_kwargs=size
        ).sample
    theirs = forward(tensors, x, time.float(), text, mask.bool(), positions)
    assert ((ours - theirs).abs().max() / theirs.abs().max()) < 1e-5


def test_the_size_embedders_of_the_1024_pixel_network() -> None:
    extra = {
        f"{name}.mlp.{layer}.{kind}": shape
        for name in ("csize_embedder", "ar_embedder")
        for layer in (0, 2)
        for kind, shape in (("weight", (4, 4)), ("bias", (4,)))
    }
    renamed = from_original(original(extra))
    assert {name for name in renamed if "resolution" in name or "aspect" in name} == {
        f"adaln_single.emb.{part}_embedder.linear_{layer}.{kind}"
        for part in ("resolution", "aspect_ratio")
        for layer in (1, 2)
        for kind in ("weight", "bias")
    }


@pytest.mark.parametrize("name", ["blocks.0.attn.rope.weight", "controlnet.weight"])
def test_a_tensor_of_another_network_is_named(name: str) -> None:
    with pytest.raises(Fault, match=name):
        from_original(original({name: (2, 2)}))


def test_a_file_of_another_resolution_is_refused(tmp_path: Path) -> None:
    positions = tiny.pixart().transformer.pos_embed.pos_embed
    for other in (positions[:, :4], 1.1 * positions):
        with pytest.raises(Fault, match="different resolutions"):
            from_original({**original(), "pos_embed": other}, positions)
