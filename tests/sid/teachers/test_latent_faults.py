"""Pipeline folders that are not what a family expects: one sentence each, with what was expected."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.suite.components import teachers
from sid.discovery import UnknownName
from sid.fault import Fault
from tests.sid.teachers.tiny_pipelines import clip_encoder, unet

Folder = Callable[[str], Path]
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def damaged(pipeline_folder: Folder, tmp_path: Path) -> Callable[[str], Path]:
    """A copy that a test may break."""

    def folder(name: str) -> Path:
        return Path(shutil.copytree(pipeline_folder(name), tmp_path / name))

    return folder


def refused(ask: Callable[..., Any], *words: str) -> None:
    with pytest.raises(Fault) as caught:
        ask()
    (sentence,) = caught.value.sentences
    assert "\n" not in sentence and all(word in sentence for word in words), sentence


def load(name: str, folder: Path | str) -> Callable[[], Any]:
    return lambda: teachers()[name].load(folder)  # type: ignore[arg-type]


def test_what_is_no_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused(load("sdxl", tmp_path / "none"), "no folder", "expected a diffusers pipeline")
    (tmp_path / "notes.txt").write_text("")
    refused(load("sdxl", tmp_path), "no model_index.json", "expected a StableDiffusionXLPipeline", "notes.txt")
    refused(load("sdxl", "nobody/no-such-model"), "nor in the Hugging Face cache", "hf download nobody/no-such-model")


def test_another_familys_pipeline(pipeline_folder: Folder) -> None:
    folder = pipeline_folder("stable-diffusion")
    refused(load("sdxl", folder), "StableDiffusionPipeline", "'sdxl' expects a StableDiffusionXLPipeline")
    with pytest.raises(UnknownName, match="did you mean 'network'"):
        teachers()["sdxl"].build({"netwrok": {}})
    refused(lambda: teachers()["sdxl"].build({"network": {}}), "needs the setting scheduler")
    settings = {"network": {}, "scheduler": {"prediction_type": "epsilom"}}
    with pytest.raises(UnknownName, match="did you mean 'epsilon'"):
        teachers()["stable-diffusion"].build(settings)


def test_a_pipeline_of_the_publishers_own_class_is_read_as_the_familys(
    damaged: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its components decide. A class that diffusers has is another model's."""
    folder = damaged("sana")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": "SomebodysSanaPipeline"}))
    teachers()["sana"].load(folder)
    assert "SomebodysSanaPipeline, which diffusers does not have" in capsys.readouterr().err
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": "SanaSprintPipeline"}))
    refused(load("sana", folder), "holds a SanaSprintPipeline", "'sana' expects a SanaPipeline")
    refused(load("flux", damaged("sd3")), "holds a StableDiffusion3Pipeline", "'flux' expects a FluxPipeline")
    refused(lambda: teachers()["sana"].load(folder, token=77), "setting of sana 'token'", "did you mean 'tokens'")


@pytest.mark.parametrize("part", ["unet", "scheduler"])
def test_a_missing_component(part: str, damaged: Folder) -> None:
    folder = damaged("stable-diffusion")
    shutil.rmtree(folder / part)
    refused(load("stable-diffusion", folder), f"has no {part}/", "expected")


def test_missing_encoders_and_autoencoder_are_said_where_they_are_needed(damaged: Folder) -> None:
    folder = damaged("sdxl")
    family = teachers()["sdxl"]
    shutil.rmtree(folder / "text_encoder_2")
    shutil.rmtree(folder / "vae")
    family.load(folder)
    refused(lambda: family.text_encoder(folder), "has no text_encoder_2/", "expected a text encoder")
    refused(lambda: family.decoder(folder), "has no vae/", "expected an AutoencoderKL")


def test_sd3_without_its_t5_is_whole(damaged: Folder) -> None:
    folder = damaged("sd3")
    for part in ("text_encoder_3", "tokenizer_3"):
        shutil.rmtree(folder / part)
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"text_encoder_3": [None, None], "tokenizer_3": [None, None]}
    (folder / "model_index.json").write_text(json.dumps(index))
    encoded = teachers()["sd3"].text_encoder(folder).encode(["a cat"])
    assert encoded["text"].shape[-1] == 40 and not encoded["text"][:, 77:].any()


def test_a_wrong_architecture(damaged: Folder) -> None:
    folder = damaged("stable-diffusion")
    config = folder / "unet" / "config.json"
    described = json.loads(config.read_text())
    config.write_text(json.dumps({**described, "_class_name": "UNet2DModel"}))
    refused(load("stable-diffusion", folder), "is a UNet2DModel", "expects a UNet2DConditionModel")
    config.write_text(json.dumps({**described, "block_out_channels": [16, 64]}))
    refused(load("stable-diffusion", folder), "unet is no UNet2DConditionModel")
    config.write_text(json.dumps({**described, "layers_per_block": 2}))
    refused(load("stable-diffusion", folder), "unet is no UNet2DConditionModel", "up_blocks.0.resnets.1.conv1.weight")
    config.write_text("{")
    refused(load("stable-diffusion", folder), "can't be read as JSON")
    shutil.rmtree(folder / "unet")
    unet(24).save_pretrained(folder / "unet")
    encode = teachers()["stable-diffusion"].text_encoder
    refused(lambda: encode(folder), "embeddings of width 16", "unet expects 24")


def test_tensors_too_many_or_too_few(damaged: Folder) -> None:
    folder = damaged("stable-diffusion")
    file = folder / "unet" / WEIGHTS
    tensors = load_file(file)
    save_file({**tensors, "extra.weight": torch.zeros(2)}, file)
    refused(load("stable-diffusion", folder), "1 tensors are not expected, the first is extra.weight")
    save_file({name: value for name, value in tensors.items() if name != "conv_in.bias"}, file)
    refused(load("stable-diffusion", folder), "1 tensors are missing, the first is conv_in.bias")
    file.write_bytes(file.read_bytes()[:1000])
    refused(load("stable-diffusion", folder), "no whole safetensors file")


def test_half_precision_files_are_widened_and_said(damaged: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    """As a variant of their own, and in the place of the plain files (SD3 is published so)."""
    folder = damaged("stable-diffusion")
    file = folder / "unet" / WEIGHTS
    half = {name: value.half() for name, value in load_file(file).items()}
    for place in (file, folder / "unet" / "diffusion_pytorch_model.fp16.safetensors"):
        file.unlink(missing_ok=True)
        save_file(half, place)
        denoiser = teachers()["stable-diffusion"].load(folder)
        message = capsys.readouterr().err
        assert "F16 weights where F32 was expected" in message and denoiser.settings["weights"] == "F16"
        loaded = denoiser.network.unet.state_dict()
        assert all(
            value.dtype == torch.float32 and torch.equal(value, half[name].float()) for name, value in loaded.items()
        )


def test_pickled_weights_are_not_read(damaged: Folder) -> None:
    folder = damaged("stable-diffusion")
    (folder / "unet" / WEIGHTS).unlink()
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04.")
    refused(load("stable-diffusion", folder), "no safetensors weights", "is a pickle, which is not read")


def test_a_tokenizer_of_another_model(damaged: Folder) -> None:
    folder = damaged("stable-diffusion")
    encode = teachers()["stable-diffusion"].text_encoder
    settings = folder / "tokenizer" / "tokenizer_config.json"
    described = json.loads(settings.read_text())
    settings.write_text(json.dumps({**described, "model_max_length": 120}))
    refused(lambda: encode(folder), "does not fit its text encoder", "expects at most 77")
    settings.write_text(json.dumps(described))
    shutil.rmtree(folder / "text_encoder")
    small = clip_encoder(16, 1)
    small.config.eos_token_id = 100
    small.save_pretrained(folder / "text_encoder")
    refused(lambda: encode(folder), "token 513", "expects 100")
    small.config.eos_token_id, small.config.vocab_size = 399, 400
    small.resize_token_embeddings(400)
    small.save_pretrained(folder / "text_encoder")
    refused(lambda: encode(folder), "numbers tokens up to 513", "expects fewer than 400")
    shutil.rmtree(folder / "tokenizer")
    refused(lambda: encode(folder), "has no tokenizer/", "expected a tokenizer")


def test_no_code_of_a_folder_runs(damaged: Folder) -> None:
    folder = damaged("flux")
    (folder / "text_encoder_2" / "theirs.py").write_text("raise AssertionError('it ran')")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "text_encoder_2": ["theirs", "Encoder"]}))
    refused(lambda: teachers()["flux"].text_encoder(folder), "text_encoder_2", "expected a class of transformers")


def test_a_condition_without_its_parts_is_said(pipeline_folder: Folder) -> None:
    from sid.condition import Condition

    x, t = torch.zeros(1, 4, 8, 8), torch.tensor([5])
    text = torch.zeros(1, 77, 40)
    denoiser = teachers()["sdxl"].load(pipeline_folder("sdxl"))
    refused(lambda: denoiser(x, t, Condition()), "needs text embeddings")
    refused(lambda: denoiser(x, t, Condition(text=text)), "pooled embedding and time ids")
    plain = {**teachers()["stable-diffusion"].load(pipeline_folder("stable-diffusion")).settings}
    refused(lambda: teachers()["stable-diffusion"].build({**plain, "guidance_embedding": 8.0}), "no guidance embedding")


def test_prompts_over_the_length_are_counted(pipeline_folder: Folder) -> None:
    prompts = ["short", "a word " * 60, "two words " * 400]
    for name in ("stable-diffusion", "sdxl", "pixart", "sd3", "sana", "flux"):
        assert teachers()[name].text_encoder(pipeline_folder(name)).over_long(prompts) == [1, 2], name
    sana = teachers()["sana"].text_encoder(pipeline_folder("sana"), tokens=10)
    assert sana.over_long(["a" * 8, "a" * 9]) == [1], "ten rows: <bos>, and nine of the prompt's without its own <bos>"
