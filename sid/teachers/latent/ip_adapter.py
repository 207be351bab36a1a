"""IP-Adapters (Ye et al. 2023, arXiv 2308.06721) on the U-Nets of SD and SDXL, by diffusers' own classes.

The layout is that of the published files: `image_proj.*` makes tokens of an image's embedding, `ip_adapter.*` are keys
and values of every cross-attention. Safetensors alone are read: the published .bin files are pickles.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sid.denoiser import Denoiser
from sid.fault import Fault
from sid.style.projection import CleanProjection, Moment
from sid.style.settings import CleanStyle
from sid.teachers.latent.loading import first_line
from sid.teachers.latent.networks import UnetNetwork

STYLE_BLOCK = "up_blocks.0.attentions.1."  # of SDXL, where InstantStyle (arXiv 2404.02733) finds the style


def read_adapter(file: Path) -> dict[str, dict[str, Tensor]]:
    """The two groups of an adapter's tensors."""
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise Fault(f"{file}: there is no such style adapter")
    if file.suffix != ".safetensors":
        raise Fault(f"{file}: a style adapter is read from safetensors alone (a .bin file is a pickle): convert it")
    groups: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    try:
        with safe_open(file, framework="pt") as opened:
            for key in opened.keys():  # noqa: SIM118 - a safetensors file is no mapping
                group, _, name = key.partition(".")
                if group in groups:
                    groups[group][name] = opened.get_tensor(key)
    except SafetensorError as error:
        raise Fault(f"{file} is no safetensors file: {first_line(error)}") from None
    if not all(groups.values()):
        raise Fault(
            f"{file} is no IP-Adapter: it has no tensors called {' and '.join(g for g in groups if not groups[g])}"
        )
    return groups


def unet_of(denoiser: Denoiser) -> Any:
    """The U-Net that an adapter fits on; a Fault for other families."""
    if not isinstance(denoiser.network, UnetNetwork):
        raise Fault(
            f"--style needs a model that takes an IP-Adapter, the U-Net of stable-diffusion or sdxl; "
            f"this one is of the family {denoiser.family or 'unknown'}"
        )
    return denoiser.network.unet


def attach(unet: Any, file: Path, scale: float, cleaned: CleanStyle | None, moment: Moment) -> None:
    """Puts the adapter into the U-Net; on SDXL into the style block alone, elsewhere into every cross-attention.

    Args:
        unet: A UNet2DConditionModel, changed in place.
        file: The adapter.
        scale: Of the style branch's attention.
        cleaned: CleanStyle behind the branch's keys and values; None: the adapter as it is.
        moment: What the cleaned projections read.
    """
    groups = read_adapter(file)
    crossings = [name.removesuffix(".processor") for name in unet.attn_processors if ".attn2." in name]
    _refuse_other_base(unet, file, groups["ip_adapter"], crossings)
    try:
        unet._load_ip_adapter_weights([groups], low_cpu_mem_usage=False)
    except Exception as error:
        raise Fault(f"{file} can't be put on this network: {first_line(error)}") from None
    on_sdxl = unet.config.addition_embed_type == "text_time"
    if cleaned is not None and cleaned.alpha_unconditional is None:
        cleaned = replace(cleaned, alpha_unconditional=0.2 if on_sdxl else 0.1)
    for name in crossings:
        processor = unet.get_submodule(name).processor
        processor.scale = [scale if not on_sdxl or f"{name}.".startswith(STYLE_BLOCK) else 0.0]
        if cleaned is not None:
            for projections in (processor.to_k_ip, processor.to_v_ip):
                projections[0] = CleanProjection(projections[0], cleaned, moment)
    unet.eval().requires_grad_(False)


def _refuse_other_base(unet: Any, file: Path, tensors: dict[str, Tensor], crossings: list[str]) -> None:
    """The published files number the cross-attentions 1, 3, 5 ... in the U-Net's order."""
    for place, name in enumerate(crossings):
        key = f"{2 * place + 1}.to_k_ip.weight"
        wanted = tuple(unet.get_submodule(name).to_k.weight.shape)
        stored = tuple(tensors[key].shape) if key in tensors else None
        if stored != wanted:
            shape = "missing" if stored is None else f"{stored[0]} x {stored[1]}"
            raise Fault(
                f"{file} is an adapter of another base: its {key} is {shape}, "
                f"and {name} needs {wanted[0]} x {wanted[1]}"
            )
    if f"{2 * len(crossings) + 1}.to_k_ip.weight" in tensors:
        raise Fault(f"{file} is an adapter of another base: it has more than this network's {len(crossings)} layers")


class ImageEncoder:
    """The CLIP image encoder beside an adapter: an image's embedding, and the embedding of none."""

    def __init__(self, folder: Path):
        import transformers

        if not (folder / "config.json").is_file():
            raise Fault(f"{folder} holds no image encoder (config.json and safetensors), which --style reads images by")
        try:
            self.encoder = transformers.CLIPVisionModelWithProjection.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            )
        except Exception as error:
            raise Fault(f"{folder} is no CLIP image encoder: {first_line(error)}") from None
        self.encoder = self.encoder.float().eval().requires_grad_(False)
        side: Any = self.encoder.config.image_size
        self.processor = transformers.CLIPImageProcessor(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}
        )

    @torch.no_grad()
    def encode(self, pixels: Any, layer: nn.Module) -> tuple[Tensor, Tensor]:
        """(embedding, null), each [1, 1, ...], of uint8 pixels [3, H, W], as the adapter's first layer takes them.

        The plain layer takes the projected embedding, whose null is zero; the others the encoder's last layer but one,
        whose null is that of an image of zeros.
        """
        from diffusers.models.embeddings import ImageProjection

        picture = self.processor(
            pixels.transpose(1, 2, 0).copy(), return_tensors="pt", input_data_format="channels_last"
        )
        values = picture["pixel_values"]
        if isinstance(layer, ImageProjection):
            embedding = self.encoder(values).image_embeds
            null = torch.zeros_like(embedding)
        else:
            embedding, null = (
                self.encoder(each, output_hidden_states=True).hidden_states[-2]
                for each in (values, torch.zeros_like(values))
            )
        try:
            layer(embedding.to(next(layer.parameters()).dtype))
        except RuntimeError as error:
            raise Fault(
                f"the image encoder's embedding has width {embedding.shape[-1]}, which the adapter does not take: "
                f"{first_line(error)}"
            ) from None
        return embedding[None], null[None]
