"""Published generators whose files are missing, of another layout, or no tensors: one sentence each."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.run.released import open_released
from benchmarks.suite.released import describe
from sid.fault import Fault
from tests.sid.teachers import tiny_pipelines as tiny

SDXL, SD15 = "stabilityai/stable-diffusion-xl-base-1.0", "stable-diffusion-v1-5/stable-diffusion-v1-5"
WEIGHTS = "diffusion_pytorch_model.safetensors"


def test_what_cannot_be_opened_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    bases = {SDXL: tiny.save("sdxl", tmp_path / "bases"), SD15: tiny.save("stable-diffusion", tmp_path / "bases")}

    def refused(name: str, places: dict[str, Path], *words: str) -> None:
        with pytest.raises(Fault) as caught:
            open_released(describe(name), places)
        (sentence,) = caught.value.sentences
        assert "\n" not in sentence and all(word in sentence for word in words), sentence

    lightning, base = {"ByteDance/SDXL-Lightning": tmp_path}, {SDXL: bases[SDXL], SD15: bases[SD15]}
    pixart = {"PixArt-alpha/PixArt-XL-2-512x512": tiny.save("pixart", tmp_path / "base"), "Fetchniche/SIM": tmp_path}
    refused("sim-dit", {}, "not in the Hugging Face cache", "hf download Fetchniche/SIM")
    refused("sim-dit", pixart, "should hold one file *.pt*", "holds none")
    torch.save({"model": {}}, tmp_path / "sim.pth")
    refused("sim-dit", pixart, "has no 'ema'")
    torch.save({"ema": {"module.model.x_embedder.proj.bias": torch.zeros(16)}}, tmp_path / "sim.pth")
    refused("sim-dit", pixart, "does not fit", "missing")
    refused("sdxl-lightning-4step", base, "not in the Hugging Face cache", "hf download ByteDance/SDXL-Lightning")
    refused("sdxl-lightning-4step", base | lightning, "has no sdxl_lightning_4step_unet.safetensors")
    tensors = load_file(bases[SDXL] / "unet" / WEIGHTS)
    tensors.pop("conv_in.bias")
    save_file(tensors, tmp_path / "sdxl_lightning_4step_unet.safetensors")
    refused("sdxl-lightning-4step", base | lightning, "does not fit", "conv_in.bias")
    (tmp_path / "dmd2_sdxl_4step_unet_fp16.bin").write_bytes(pickle.dumps(Path("x")))
    refused("dmd2-sdxl-4step", base | {"tianweiy/DMD2": tmp_path}, "no file of plain tensors")
    save_file({"unet.none.lora_A.weight": torch.zeros(2, 2)}, tmp_path / "pytorch_lora_weights.safetensors")
    refused("lcm-lora-sd15-4step", base | {"latent-consistency/lcm-lora-sdv1-5": tmp_path}, "no adapters")
