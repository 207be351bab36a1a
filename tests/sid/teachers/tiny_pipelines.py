"""Text-to-image pipelines of the real diffusers and transformers classes, small enough to make in a second.

Tokenizers are made on the spot from bytes and letters; all weights are random and none is zero.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.convert_slow_tokenizer import bytes_to_unicode

SIZE = 8  # latent side; the autoencoder doubles it
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def clip_tokenizer() -> Any:
    """A byte vocabulary, each with and without the end-of-word mark; no merges."""
    letters = list(bytes_to_unicode().values())
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def clip_encoder(width: int, seed: int, projected: bool = False) -> Any:
    config = transformers.CLIPTextConfig(
        vocab_size=514,
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
    )
    torch.manual_seed(seed)
    return (transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel)(config)


def t5_tokenizer() -> Any:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(letter, -3.0) for letter in string.ascii_lowercase + string.digits + ".,'-"]
    return transformers.T5Tokenizer(vocab=pieces, extra_ids=0)


def t5_encoder(width: int, seed: int) -> Any:
    config = transformers.T5Config(
        vocab_size=64, d_model=width, d_kv=8, d_ff=2 * width, num_layers=2, num_heads=2, is_encoder_decoder=False
    )
    torch.manual_seed(seed)
    return transformers.T5EncoderModel(config)


def gemma_tokenizer() -> Any:
    """Letters and bytes; a prompt begins with <bos>, as SANA's own tokenizer has it."""
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *string.ascii_letters, *string.digits]
    tokens += [f"<0x{byte:02X}>" for byte in range(256)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return transformers.GemmaTokenizer(vocab=vocabulary, merges=[], add_bos_token=True)


def gemma_encoder(width: int, seed: int) -> Any:
    config = transformers.Gemma2Config(
        vocab_size=330,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    torch.manual_seed(seed)
    return transformers.Gemma2Model(config)


def deep_autoencoder(channels: int, seed: int = 5) -> Any:
    """SANA's class. It shrinks by 4, since the pipeline wants pictures of whole 32s."""
    torch.manual_seed(seed)
    return diffusers.AutoencoderDC(
        latent_channels=channels,
        encoder_block_out_channels=(8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        encoder_layers_per_block=(1, 1, 1),
        decoder_layers_per_block=(1, 1, 1),
        encoder_qkv_multiscales=((), (), ()),
        decoder_qkv_multiscales=((), (), ()),
        scaling_factor=0.41407,
    )


def autoencoder(channels: int = 4, seed: int = 5, **config: Any) -> Any:
    torch.manual_seed(seed)
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=channels,
        norm_num_groups=4,
        layers_per_block=1,
        sample_size=2 * SIZE,
        **config,
    )


def randomised(network: Any, seed: int) -> Any:
    """Every parameter random: layers that start at zero would hide what they are fed."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.abs().sum() == 0:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=random))
    return network


def unet(cross: int, seed: int = 0, **config: Any) -> Any:
    torch.manual_seed(seed)
    network = diffusers.UNet2DConditionModel(
        block_out_channels=(16, 32),
        layers_per_block=1,
        sample_size=SIZE,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=cross,
        attention_head_dim=4,
        norm_num_groups=8,
        **config,
    )
    return randomised(network, seed)


def stable_diffusion(prediction_type: str = "epsilon", **unet_config: Any) -> Any:
    scheduler = diffusers.PNDMScheduler(
        **BETAS, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1, prediction_type=prediction_type
    )
    return diffusers.StableDiffusionPipeline(
        vae=autoencoder(),
        text_encoder=clip_encoder(16, 1),
        tokenizer=clip_tokenizer(),
        unet=unet(16, **unet_config),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl() -> Any:
    """Two encoders; the projection class embedding takes 6 ids of width 8 and the pooled embedding."""
    projection = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    return diffusers.StableDiffusionXLPipeline(
        vae=autoencoder(scaling_factor=0.13025, force_upcast=True),
        text_encoder=clip_encoder(16, 1),
        text_encoder_2=clip_encoder(24, 2, projected=True),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(),
        unet=unet(40, projection_class_embeddings_input_dim=6 * 8 + 24, **projection),
        scheduler=diffusers.EulerDiscreteScheduler(**BETAS, timestep_spacing="leading", steps_offset=1),
        add_watermarker=False,
    )


def pixart(channels_out: int = 8) -> Any:
    torch.manual_seed(0)
    transformer = diffusers.PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=channels_out,
        num_layers=2,
        cross_attention_dim=16,
        sample_size=SIZE,
        patch_size=2,
        caption_channels=16,
        use_additional_conditions=False,
    )
    return diffusers.PixArtAlphaPipeline(
        tokenizer=t5_tokenizer(),
        text_encoder=t5_encoder(16, 1),
        vae=autoencoder(),
        transformer=randomised(transformer, 0),
        scheduler=diffusers.DPMSolverMultistepScheduler(beta_start=1e-4, beta_end=0.02, beta_schedule="linear"),
    )


def stable_diffusion_3() -> Any:
    torch.manual_seed(0)
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=SIZE,
        patch_size=2,
        in_channels=8,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=40,
        caption_projection_dim=16,
        pooled_projection_dim=40,
        out_channels=8,
        pos_embed_max_size=SIZE,
    )
    return diffusers.StableDiffusion3Pipeline(
        transformer=randomised(transformer, 0),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder(8, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip_encoder(16, 1, projected=True),
        tokenizer=clip_tokenizer(),
        text_encoder_2=clip_encoder(24, 2, projected=True),
        tokenizer_2=clip_tokenizer(),
        text_encoder_3=t5_encoder(40, 3),
        tokenizer_3=t5_tokenizer(),
    )


def sana() -> Any:
    torch.manual_seed(0)
    transformer = diffusers.SanaTransformer2DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=24,
        sample_size=SIZE,
    )
    # SANA's published scheduler: DPM-Solver++ on a shifted flow.
    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    return diffusers.SanaPipeline(
        tokenizer=gemma_tokenizer(),
        text_encoder=gemma_encoder(24, 1),
        vae=deep_autoencoder(8),
        transformer=randomised(transformer, 0),
        scheduler=scheduler,
    )


def flux(guidance: bool = True) -> Any:
    """Four channels of latents, packed by 2 x 2; FLUX.1-schnell has no guidance embedding."""
    torch.manual_seed(0)
    transformer = diffusers.FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=24,
        pooled_projection_dim=16,
        guidance_embeds=guidance,
        axes_dims_rope=(4, 6, 6),
    )
    return diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=autoencoder(4, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip_encoder(16, 1),
        tokenizer=clip_tokenizer(),
        text_encoder_2=t5_encoder(24, 3),
        tokenizer_2=t5_tokenizer(),
        transformer=randomised(transformer, 0),
    )


def adapters(unet: Any, layout: str, rank: int = 2) -> dict[str, torch.Tensor]:
    """Adapters of the attention's projections, in peft's layout or in kohya's with its alphas."""
    random = torch.Generator().manual_seed(4)
    tensors: dict[str, torch.Tensor] = {}
    for name, layer in unet.named_modules():
        if isinstance(layer, torch.nn.Linear) and name.endswith(("to_q", "to_k", "to_v")):
            down = 0.2 * torch.randn(rank, layer.in_features, generator=random)
            up = 0.2 * torch.randn(layer.out_features, rank, generator=random)
            if layout == "peft":
                tensors |= {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}
            else:
                plain = "lora_unet_" + name.replace(".", "_")
                tensors |= {f"{plain}.lora_down.weight": down, f"{plain}.lora_up.weight": up}
                tensors[f"{plain}.alpha"] = torch.tensor(rank / 2)
    return tensors


MAKERS: dict[str, Callable[[], Any]] = {
    "stable-diffusion": stable_diffusion,
    "stable-diffusion-v": lambda: stable_diffusion("v_prediction"),
    "sdxl": sdxl,
    "pixart": pixart,
    "sd3": stable_diffusion_3,
    "sana": sana,
    "flux": flux,
}
FLOWS = ("sd3", "sana", "flux")


def family_of(name: str) -> str:
    return name.removesuffix("-v")


def save(name: str, folder: Path) -> Path:
    MAKERS[name]().save_pretrained(folder / name)
    if name == "pixart":
        as_published(folder / name)
    return folder / name


def as_published(folder: Path) -> None:
    """PixArt's folders are older than its class: they name its forerunner, with its settings and the null caption."""
    index, config = folder / "model_index.json", folder / "transformer" / "config.json"
    named = json.loads(index.read_text())
    index.write_text(json.dumps({**named, "transformer": ["diffusers", "Transformer2DModel"]}))
    settings = {"_class_name": "Transformer2DModel", "norm_type": "ada_norm_single", "only_cross_attention": False}
    config.write_text(json.dumps({**json.loads(config.read_text()), **settings, "double_self_attention": False}))
    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["caption_projection.y_embedding"] = torch.zeros(120, 16)
    save_file(tensors, file, metadata={"format": "pt"})
