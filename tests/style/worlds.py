"""Tiny pipelines with a style adapter, its image encoder and folders that `sidbench sample` opens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file

from benchmarks.suite.components import teachers
from sid import generator as generators
from sid.chain import Chain
from sid.generator import Generator
from tests.sid.teachers import tiny_pipelines
from tests.sid.teachers.tiny_pipelines import SIZE

WIDTH, TOKENS = 12, 4  # of the image embedding


def adapter_of(unet: Any, seed: int = 6) -> dict[str, torch.Tensor]:
    """The published files' layout, with random weights of a visible size."""
    random = torch.Generator().manual_seed(seed)
    cross = unet.config.cross_attention_dim
    tensors = {
        "image_proj.proj.weight": torch.randn(TOKENS * cross, WIDTH, generator=random),
        "image_proj.proj.bias": torch.randn(TOKENS * cross, generator=random),
        "image_proj.norm.weight": torch.ones(cross),
        "image_proj.norm.bias": torch.zeros(cross),
    }
    crossings = [name for name in unet.attn_processors if ".attn2." in name]
    for place, name in enumerate(crossings):
        shape = unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape
        for which in "kv":
            tensors[f"ip_adapter.{2 * place + 1}.to_{which}_ip.weight"] = torch.randn(shape, generator=random)
    return tensors


def image_encoder(folder: Path, width: int = WIDTH) -> Path:
    config = transformers.CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        projection_dim=width,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=16,
        patch_size=4,
    )
    torch.manual_seed(8)
    transformers.CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return folder


def reference(file: Path, mode: str = "RGB") -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    Image.fromarray(pixels[..., :3]).convert(mode).save(file)
    return file


def world(name: str, folder: Path) -> Path:
    """A teacher, students of one and four steps, an adapter with its encoder, a reference and prompts."""
    pipeline = tiny_pipelines.save(name, folder)
    teacher = teachers()[name].load(pipeline)
    origin = {"family": name, "data": None, "conditional": True, "source": str(pipeline), "resolution": 2 * SIZE}
    (folder / "teacher").mkdir()
    (folder / "teacher" / "teacher.json").write_text(json.dumps(origin))
    for steps in (1, 4):
        generators.save(Generator(teacher, Chain(steps)), folder / f"student-{steps}", origin)
    image_encoder(folder / "adapter" / "image_encoder")
    save_file(adapter_of(teacher.network.unet), folder / "adapter" / "ip-adapter.safetensors")
    reference(folder / "style.png")
    (folder / "prompts.txt").write_text("a red cat\na blue dog\n")
    return folder
