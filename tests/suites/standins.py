"""What the papers' suites read, small and of the real layouts: a Hugging Face cache, published pickles, data.

The networks are tiny; their autoencoders shrink by 64: pictures have the published sizes, and latents few numbers.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors.torch import save_file

from benchmarks.suite.components import teachers
from benchmarks.suite.released import describe
from tests.datasets.made_files import cifar, coco, png
from tests.sid.teachers import tiny_pipelines as tiny
from tests.sid.teachers.pickle_opcodes import module_tree, pickled
from tests.sid.teachers.published_files import TINY
from tests.sid.teachers.test_pixart_names import original

COMMIT = "0" * 40
TEXT_TIME: dict[str, Any] = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
SD15, SDXL = "stable-diffusion-v1-5/stable-diffusion-v1-5", "stabilityai/stable-diffusion-xl-base-1.0"
PIXART = "PixArt-alpha/PixArt-XL-2-512x512"
EDM = {**TINY, "img_resolution": 32}

# For the `sidbench` processes of the rules: CLIP towers of open_clip's classes, small, under their own names. Python
# passes over an error in this file, and the real towers would take eight times as long: an error ends the process.
TOWERS = """
import os, sys, traceback

def small(architecture, quick_gelu, device):
    import open_clip
    width = {"ViT-L-14": 768}.get(architecture, 1024)
    vision = {"image_size": 224, "layers": 1, "width": 16, "head_width": 8, "patch_size": 32}
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    return open_clip.model.CLIP(width, vision, text, quick_gelu=quick_gelu).to(device)

if sys.orig_argv[1:3] == ["-m", "benchmarks"]:
    try:
        from benchmarks.features import clip
        assert clip._network
        clip._network = small
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
"""


def cached(hub: Path, repository: str) -> Path:
    """The folder of a repository's files in a Hugging Face cache."""
    home = hub / f"models--{repository.replace('/', '--')}"
    (home / "refs").mkdir(parents=True, exist_ok=True)
    (home / "refs" / "main").write_text(COMMIT)
    snapshot = home / "snapshots" / COMMIT
    snapshot.mkdir(parents=True, exist_ok=True)
    return snapshot


def pipeline(name: str, folder: Path, **config: Any) -> None:
    """A tiny pipeline whose autoencoder shrinks by 64; `config` is its network's."""
    made: Any = tiny.MAKERS[name](**config)
    torch.manual_seed(5)
    channels = (4, 4, 4, 4, 4, 4, 8)
    made.register_modules(
        vae=diffusers.AutoencoderKL(
            block_out_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * len(channels),
            up_block_types=("UpDecoderBlock2D",) * len(channels),
            latent_channels=4,
            norm_num_groups=4,
            layers_per_block=1,
            scaling_factor=made.vae.config.scaling_factor,
        )
    )
    made.save_pretrained(folder)


def edm_pickle(file: Path) -> None:
    """A published pickle of a small EDM network."""
    denoiser = teachers()["edm"].build(EDM)
    random = torch.Generator().manual_seed(2)
    arrays = {
        name: (0.2 * torch.randn(value.shape, generator=random)).numpy()
        for name, value in denoiser.network.state_dict().items()
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(pickled({"ema": module_tree(arrays, "EDMPrecond", EDM)}))


def models(hub: Path, weights: Path) -> None:
    """Teachers and published generators, one of every kind of file."""
    edm_pickle(weights / "edm-cifar10-32x32-cond-vp.pkl")
    pipeline("stable-diffusion", cached(hub, SD15))
    pipeline("sdxl", cached(hub, SDXL))
    pipeline("pixart", cached(hub, PIXART))
    pipeline("sdxl", cached(hub, "stabilityai/sdxl-turbo"))
    pipeline("stable-diffusion", cached(hub, "SimianLuo/LCM_Dreamshaper_v7"), time_cond_proj_dim=8)

    def place(name: str) -> Path:
        told = describe(name)
        file = cached(hub, str(told.repository)) / str(told.file).replace("*", "x")
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    edm_pickle(place("sid-cifar10-cond"))
    place("sid-lsg-sd15-1.5").write_bytes(pickle.dumps({"ema": tiny.unet(16, 5).eval()}))
    save_file(tiny.adapters(tiny.unet(16, 5), "peft"), place("lcm-lora-sd15-4step"))
    larger = tiny.unet(40, 9, projection_class_embeddings_input_dim=72, **TEXT_TIME)
    save_file(tiny.adapters(larger, "peft"), place("dmd2-sdxl-4step-lora"))
    torch.save({"ema": {f"module.model.{name}": value for name, value in original().items()}}, place("sim-dit"))
    save_file({name: value.half() for name, value in larger.state_dict().items()}, place("sdxl-lightning-4step"))


def data(folder: Path, count: int) -> list[str]:
    """CIFAR-10, COCO-2014 and training prompts in a data folder; COCO's captions, one an image."""
    folder.mkdir()
    cifar(folder / "cifar-10-python.tar.gz", 2)
    captions = coco(folder / "coco2014", count, size=(300, 304))  # patches are 299 pixels
    (folder / "prompts").mkdir()
    (folder / "prompts" / "aesthetic.txt").write_text("".join(f"a picture of {number}\n" for number in range(12)))
    return [caption for caption in captions if caption.startswith("caption 0")]


def pairs(folder: Path, count: int) -> None:
    """Real pictures with captions."""
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number}.png").write_bytes(png(number, 24))
    (folder / "captions.json").write_text(json.dumps({f"{number}.png": f"picture {number}" for number in range(count)}))
