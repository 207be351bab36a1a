"""Every shipped description of a published generator, opened on tiny files of the layout that it states."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import save_file

from benchmarks.run.released import open_released
from benchmarks.suite.released import Released, describe, released
from sid.prompts import cache_prompts
from tests.sid.teachers import tiny_pipelines as tiny
from tests.test_released import SD15, SDXL, bases, condition_of, noise

__all__ = ["bases"]  # the fixture


@pytest.mark.parametrize("name", sorted(released()))
def test_every_description_opens_and_samples(name: str, bases: dict[str, Path], tmp_path: Path) -> None:
    """Each on tiny files of the layout it states: what it names is there, fits, and makes an image."""
    described = describe(name)
    if described.lacks:
        pytest.skip(described.lacks)
    if described.kind == "edm" or described.names == "pixart" or described.family in tiny.FLOWS:
        pytest.skip("a layout of its own, below")
    base = {"sdxl": bases[SDXL], "stable-diffusion": bases[SD15]}[described.family]
    places = {described.repository: tmp_path / "repository", described.base: base}
    write_as_described(described, base, tmp_path / "repository")
    opened = open_released(described, {str(key): value for key, value in places.items()}, tmp_path / "imports")
    image = opened.generator(noise(described.steps), condition_of(opened.family, base, tmp_path))
    assert image.isfinite().all() and image.std() > 0.01 and opened.generator.times == list(described.times)


@pytest.mark.parametrize("name", sorted(name for name in released() if name.startswith("sid-dit")))
def test_a_flow_pipeline_of_the_publishers_own_class_opens(name: str, tmp_path: Path) -> None:
    described = describe(name)
    if described.lacks:
        pytest.skip(described.lacks)
    folder = tiny.save(described.family, tmp_path)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": "TheirOwnPipeline"}))
    opened = open_released(described, {str(described.repository): folder})
    encoder = opened.family.text_encoder(folder, described.tokens)  # type: ignore[attr-defined]
    condition = cache_prompts(encoder, ["a red cat"], tmp_path / "prompts", "float32").condition([0])
    assert described.family == "sana" or condition.text.shape[1] == 77 + 77
    image = opened.generator([torch.randn(1, 8, tiny.SIZE, tiny.SIZE) for _ in range(4)], condition)
    assert image.isfinite().all() and opened.generator.times == list(described.times)


def write_as_described(described: Released, base: Path, folder: Path) -> None:
    """The repository's files with random weights, in the place of the published ones."""
    if described.kind == "pipeline":
        shutil.copytree(base, folder)
        if described.guidance_embedding is not None:
            tiny.unet(16, 3, time_cond_proj_dim=8).save_pretrained(folder / "unet")
            index = json.loads((folder / "model_index.json").read_text())
            index |= {"_class_name": "LatentConsistencyModelPipeline", "scheduler": ["diffusers", "LCMScheduler"]}
            (folder / "model_index.json").write_text(json.dumps(index))
            diffusers.LCMScheduler().save_pretrained(folder / "scheduler")
        return
    assert described.file is not None
    text_time: dict[str, Any] = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    config: dict[str, Any] = {"projection_class_embeddings_input_dim": 72, **text_time}
    config = config if described.family == "sdxl" else {}
    config |= {"time_cond_proj_dim": 8} if described.guidance_embedding is not None else {}
    student = tiny.unet(40 if described.family == "sdxl" else 16, 3, **config)
    file = folder / described.file
    file.parent.mkdir(parents=True)
    if described.config is not None:
        student.save_config(folder)
        assert (folder / described.config).is_file()
    if described.kind == "lora":
        save_file(tiny.adapters(student, "peft"), file)
    elif file.suffix == ".safetensors":
        save_file(student.state_dict(), file)
    elif file.suffix == ".pkl":
        file.write_bytes(pickle.dumps({"ema": student.eval()}))
    else:
        torch.save(student.state_dict(), file)
