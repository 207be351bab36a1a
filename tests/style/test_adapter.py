"""Style adapters on tiny pipelines of diffusers' own classes, through the command and beneath it."""

from __future__ import annotations

import io
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from benchmarks.cli import main
from benchmarks.suite.components import teachers
from sid.condition import Condition
from sid.guidance import guided
from sid.style.network import StyledNetwork
from sid.style.projection import Moment
from sid.style.settings import CleanStyle
from sid.teachers.latent import ip_adapter
from tests.sid.teachers.tiny_pipelines import SIZE
from tests.style import worlds

NAMES = ("stable-diffusion", "sdxl")


@pytest.fixture(scope="module", params=NAMES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.world(request.param, tmp_path_factory.mktemp("style"))


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.world("stable-diffusion", tmp_path_factory.mktemp("style"))


def sampled(folder: Path, model: str, out: Path, *words: Any, style: bool = True) -> tuple[np.ndarray, str]:
    """The command's images and what it prints."""
    given = ["--style", folder / "style.png", "--style-adapter", folder / "adapter" / "ip-adapter.safetensors"]
    base = [folder / model, "--count", 3, "--batch", 2, "--prompts", folder / "prompts.txt", "--device", "cpu"]
    if model == "teacher":
        base += ["--steps", 3]
    printed = io.StringIO()
    with redirect_stdout(printed):
        status = main(["sample", *(str(word) for word in (*base, "--out", out, *(given if style else []), *words))])
    assert status == 0, printed.getvalue()
    return np.load(out)["images"], printed.getvalue()


def refused(capsys: pytest.CaptureFixture, folder: Path, model: str, *words: Any) -> str:
    base = ["sample", folder / model, "--count", 1, "--prompts", folder / "prompts.txt", "--device", "cpu"]
    status = main([str(word) for word in (*base, "--out", folder / "never.npz", *words)])
    error = capsys.readouterr().err
    assert status == 2 and "Traceback" not in error and not (folder / "never.npz").exists()
    return error


def conditions(name: str, size: int) -> Condition:
    """Text, and SDXL's other embeddings."""
    random = torch.Generator().manual_seed(2)
    width, null = {"stable-diffusion": 16, "sdxl": 40}[name], {}
    rest: dict[str, Any] = {}
    if name == "sdxl":
        rest = {
            "pooled": torch.randn(size, 24, generator=random),
            "time_ids": torch.tensor([[16, 16, 0, 0, 16, 16]] * size),
        }
        null = {"pooled": torch.zeros(1, 24)}
    empty = Condition(text=torch.zeros(1, 77, width), **null)
    return Condition(text=torch.randn(size, 77, width, generator=random), null=empty, **rest)


def dressed(
    folder: Path, name: str, cleaned: CleanStyle | None, times: tuple[float, ...] = (500.0,)
) -> tuple[Any, Any]:
    denoiser = teachers()[name].load(folder / name)
    moment, unet = Moment(), denoiser.network.unet
    ip_adapter.attach(unet, folder / "adapter" / "ip-adapter.safetensors", 0.7, cleaned, moment)
    layer = unet.encoder_hid_proj.image_projection_layers[0]
    pixels = np.asarray(Image.open(folder / "style.png")).transpose(2, 0, 1)
    embedding, null = ip_adapter.ImageEncoder(folder / "adapter" / "image_encoder").encode(pixels, layer)
    denoiser.network = StyledNetwork(denoiser.network, denoiser.process, times, null, moment, cleaned)
    return denoiser, embedding


def with_style(condition: Condition, embedding: torch.Tensor) -> Condition:
    size = len(condition.text)  # type: ignore[arg-type]
    from dataclasses import replace

    return replace(condition, style=embedding.expand(size, -1, -1), styled=torch.ones(size, dtype=torch.bool))


def name_of(folder: Path) -> str:
    return next(name for name in NAMES if (folder / name).is_dir())


def guided_x0(denoiser: Any, condition: Condition, kappa: float = 3.0) -> torch.Tensor:
    size = len(condition.text)  # type: ignore[arg-type]
    x = torch.randn(size, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(3)).to(
        next(denoiser.parameters()).dtype
    )
    with torch.no_grad():
        return guided(denoiser, x, torch.full((size,), 500), condition, kappa).image


def test_without_cleanstyle_it_is_diffusers_own_adapter(made: Path) -> None:
    """Both rows of guidance, against the pipeline's loader and its own embeddings; SDXL in the style block alone."""
    name = name_of(made)
    denoiser, embedding = dressed(made, name, None)
    condition = with_style(conditions(name, 2), embedding)
    pipeline = getattr(diffusers, {"sdxl": "StableDiffusionXLPipeline"}.get(name, "StableDiffusionPipeline"))
    own = pipeline.from_pretrained(made / name)
    from transformers import CLIPVisionModelWithProjection

    own.register_modules(
        image_encoder=CLIPVisionModelWithProjection.from_pretrained(made / "adapter" / "image_encoder"),
        feature_extractor=ip_adapter.ImageEncoder(made / "adapter" / "image_encoder").processor,
    )
    own.load_ip_adapter(made / "adapter", subfolder="", weight_name="ip-adapter.safetensors", image_encoder_folder=None)
    own.set_ip_adapter_scale({"up": {"block_0": [0.0, 0.7]}} if name == "sdxl" else 0.7)
    embeds = own.prepare_ip_adapter_image_embeds([Image.open(made / "style.png")], None, "cpu", 2, True)
    x = torch.randn(2, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
    added: dict[str, Any] = {"image_embeds": embeds}
    null = condition.null
    assert null is not None and null.text is not None and condition.text is not None
    if name == "sdxl":
        added["text_embeds"] = torch.cat([torch.zeros(2, 24), condition.pooled])  # type: ignore[list-item]
        added["time_ids"] = torch.cat([condition.time_ids] * 2).float()  # type: ignore[list-item]
    text = torch.cat([null.text.expand(2, -1, -1), condition.text])
    with torch.no_grad():
        eps = own.unet(torch.cat([x, x]), 500, encoder_hidden_states=text, added_cond_kwargs=added).sample
    without, given = eps.chunk(2)
    expected = denoiser.process.x0_from_eps(x, without + 3.0 * (given - without), torch.full((2,), 500))
    torch.testing.assert_close(guided_x0(denoiser, condition), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cleaned", [CleanStyle(alpha=5.0), CleanStyle(False, True), CleanStyle(True, True, alpha=5.0)])
def test_a_batch_is_its_samples(made: Path, cleaned: CleanStyle) -> None:
    """Three at once, with two rows each, as one at a time: none is left plain."""
    from dataclasses import replace

    name = name_of(made)
    settings = replace(cleaned, schedule="noise", c=0.9)
    denoiser, embedding = dressed(made, name, settings)
    plain, _ = dressed(made, name, None)
    condition = with_style(conditions(name, 3), embedding)
    together = guided_x0(denoiser, condition)
    assert (together - guided_x0(plain, condition)).abs().flatten(1).amax(1).min() > 1e-4
    x = torch.randn(3, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
    for row in range(3):
        with torch.no_grad():
            alone = guided(denoiser, x[row : row + 1], torch.tensor([500]), condition[slice(row, row + 1)], 3.0).image
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-4)


def test_the_unconditional_row_has_the_references_tail(sd: Path) -> None:
    """SS-CFG without damping gives the unconditional row the reference's very keys and values."""
    condition = conditions("stable-diffusion", 2)
    denoiser, embedding = dressed(sd, "stable-diffusion", CleanStyle(False, True, alpha_unconditional=0.0))
    plain, _ = dressed(sd, "stable-diffusion", None)
    styled = with_style(condition, embedding)
    both = with_style(condition.unconditional(), embedding)  # marked as conditional: the reference's own tokens
    x = torch.randn(2, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
    t = torch.full((2,), 500)
    with torch.no_grad():
        seen = denoiser(x, t, styled.unconditional()).image
        torch.testing.assert_close(seen, plain(x, t, both).image)
        assert (seen - plain(x, t, styled.unconditional()).image).abs().max() > 1e-3


def test_it_keeps_the_models_dtype(sd: Path) -> None:
    denoiser, embedding = dressed(sd, "stable-diffusion", CleanStyle(True, True, schedule="noise"))
    denoiser.to(torch.bfloat16)
    seen: list[torch.dtype] = []
    for module in denoiser.modules():
        if type(module).__name__ == "CleanProjection":
            module.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    assert torch.isfinite(guided_x0(denoiser, with_style(conditions("stable-diffusion", 2), embedding))).all()
    assert set(seen) == {torch.bfloat16}


def test_the_command_on_teacher_and_students(made: Path, tmp_path: Path) -> None:
    for model in ("teacher", "student-1", "student-4"):
        bare, _ = sampled(made, model, tmp_path / f"{model}-bare.npz", style=False)
        plain, said = sampled(made, model, tmp_path / f"{model}-plain.npz")
        assert not np.array_equal(bare, plain) and "CS-SVD" not in said
        none, _ = sampled(made, model, tmp_path / f"{model}-none.npz", "--style-scale", 0)
        assert np.array_equal(none, bare)
        both, _ = sampled(made, model, tmp_path / f"{model}-both.npz", "--cleanstyle", "both", "--kappa", 3)
        guided_plain, _ = sampled(made, model, tmp_path / f"{model}-guided.npz", "--kappa", 3)
        assert not np.array_equal(both, guided_plain)


def test_a_one_step_student_is_unchanged_by_the_published_schedule_and_told_so(sd: Path, tmp_path: Path) -> None:
    plain, _ = sampled(sd, "student-1", tmp_path / "plain.npz")
    cleaned, said = sampled(sd, "student-1", tmp_path / "cleaned.npz", "--cleanstyle", "svd")
    assert np.array_equal(cleaned, plain)
    assert "CS-SVD changes nothing here: with 1 step its published schedule damps by 8.3e-09 at most" in said
    _, said = sampled(sd, "student-1", tmp_path / "noise.npz", "--cleanstyle", "svd", "--style-schedule", "noise")
    assert "changes nothing" not in said
    _, said = sampled(sd, "student-4", tmp_path / "four.npz", "--cleanstyle", "svd")
    assert "changes nothing" not in said


def test_a_grey_reference_is_its_rgb_copy_and_a_transparent_one_refused(
    sd: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    grey = worlds.reference(tmp_path / "grey.png", "L")
    Image.open(grey).convert("RGB").save(tmp_path / "rgb.png")
    pictures = [
        sampled(sd, "student-1", tmp_path / f"{name}.npz", "--style", tmp_path / f"{name}.png")[0]
        for name in ("grey", "rgb")
    ]
    assert np.array_equal(*pictures)
    clear = worlds.reference(tmp_path / "clear.png", "RGBA")
    adapter = sd / "adapter" / "ip-adapter.safetensors"
    refusal = refused(capsys, sd, "student-1", "--style", clear, "--style-adapter", adapter)
    assert "clear.png is transparent in places (mode RGBA): lay it on a background" in refusal


def test_bad_input_is_a_sentence(sd: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    adapter, style = sd / "adapter" / "ip-adapter.safetensors", sd / "style.png"
    given = ("--style", style, "--style-adapter", adapter)
    cases: dict[str, tuple[Any, ...]] = {
        "--style needs an adapter": ("--style", style),
        "--cleanstyle needs a style reference": ("--cleanstyle", "svd"),
        "there is no such image": ("--style", tmp_path / "no.png", "--style-adapter", adapter),
        "there is no such style adapter": ("--style", style, "--style-adapter", tmp_path / "no.safetensors"),
        "holds no image encoder": (*given, "--style-encoder", tmp_path),
        "at --kappa 1 there is none": (*given, "--cleanstyle", "both"),
        "sees no style reference": (*given, "--kappa", 0),
        "a .bin file is a pickle": ("--style", style, "--style-adapter", _copy(adapter, tmp_path / "ip.bin")),
    }
    for sentence, words in cases.items():
        assert sentence in refused(capsys, sd, "student-1", *words)
    other = {**load_file(adapter), "ip_adapter.1.to_k_ip.weight": torch.zeros(8, 24)}
    save_file(other, tmp_path / "other.safetensors")
    words = ("--style", style, "--style-adapter", tmp_path / "other.safetensors")
    encoder = ("--style-encoder", sd / "adapter" / "image_encoder")
    assert "is an adapter of another base: its 1.to_k_ip.weight is 8 x 24" in refused(
        capsys, sd, "teacher", *words, *encoder
    )
    worlds.image_encoder(tmp_path / "wide", 20)
    refusal = refused(capsys, sd, "student-1", *given, "--style-encoder", tmp_path / "wide")
    assert "the image encoder's embedding has width 20, which the adapter does not take" in refusal
    save_file({"lora.weight": torch.zeros(1)}, tmp_path / "lora.safetensors")
    words = ("--style", style, "--style-adapter", tmp_path / "lora.safetensors")
    assert "is no IP-Adapter" in refused(capsys, sd, "teacher", *words, *encoder)


def _copy(file: Path, to: Path) -> Path:
    shutil.copy(file, to)
    return to
