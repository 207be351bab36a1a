"""Parameters, FLOPs and saved activations of the published networks: `python -m benchmarks.estimate.flops`.

The real classes with their published configs run on the meta device: no weights, no values, in seconds. Matrix products
and convolutions are counted, two FLOPs a multiply-add; everything else is left out. Activations saved for the backward
pass are counted in float32 and under bfloat16 autocast (on fake tensors, as a GPU casts), with attention
as a fused kernel saves it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.estimate.published_networks import CLIP, DECODERS, LATENT, PIXELS, T5, TOKENS
from benchmarks.suite import components
from sid import atomic
from sid.condition import Condition
from sid.lora import adapt, adapter_parameters
from sid.parallel.sharding import blocks
from sid.teachers.latent.networks import PixartNetwork, Sd3Network, UnetNetwork

RECORD = Path(__file__).parent / "records" / "flops.json"
PACKAGES = ("torch", "diffusers", "transformers", "open_clip_torch", "timm")
RANK = 64  # of the adapters whose parameters are counted
SHRINKS = 8  # pixels a side of one latent of an autoencoder
FULL, EARLY = frozenset({"x0"}), frozenset({"features"})

Build = Callable[[str], nn.Module]  # on a device
Text = tuple[int, int, int]  # tokens, width, width of the pooled embedding
ADAPTERS = {"pixart": PixartNetwork, "sd3": Sd3Network}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", type=Path, default=RECORD)
    args = parser.parse_args()
    record: dict[str, Any] = {
        "command": " ".join(["python -m benchmarks.estimate.flops", *sys.argv[1:]]),
        "versions": {name: version(name) for name in PACKAGES},
        "counted": "matrix products and convolutions, two FLOPs a multiply-add, one sample",
        "adapter_rank": RANK,
    }
    for part in (networks, decoders, encoders, extractors):
        record[part.__name__] = part()
        print(part.__name__, ", ".join(record[part.__name__]), flush=True)
    atomic.write_json(args.record, record)
    print(args.record)
    return 0


def networks() -> dict[str, Any]:
    """Every teacher's network at its published sizes."""
    counts = {}
    for name, (family, kind, config, sources, sides, (channels, decoder, text, encoders)) in LATENT.items():
        shapes: dict[int, tuple[int, ...]] = {side: (channels, side // SHRINKS, side // SHRINKS) for side in sides}
        around = {"decoder": decoder, "text": list(text), "encoders": encoders}
        counted = _counted(partial(_diffusers, family, kind, config), shapes, text)
        counts[name] = {"family": family, "sources": sources, **around, **counted}
    return counts | pixels(PIXELS)


def pixels(described: Mapping[str, Any]) -> dict[str, Any]:
    """EDM's networks."""
    counts = {}
    for name, (settings, sources) in described.items():
        side = settings["img_resolution"]
        build = partial(_edm, settings)
        counts[name] = {"family": "edm", "sources": sources, **_counted(build, {side: (3, side, side)}, None)}
    return counts


def decoders() -> dict[str, Any]:
    """The autoencoders' two halves."""
    import diffusers

    kind: Any = diffusers.AutoencoderKL
    counts = {}
    for name, (channels, quantised, sides) in DECODERS.items():
        with torch.device("meta"):
            model = kind(
                block_out_channels=(128, 256, 512, 512),
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                layers_per_block=2,
                latent_channels=channels,
                use_quant_conv=quantised,
                use_post_quant_conv=quantised,
            ).eval()
        sizes = {}
        for side in sides:
            latent, image = (_meta(channels, side // SHRINKS, side // SHRINKS), _meta(3, side, side))
            sizes[str(side)] = {
                "decode": flops(partial(model.decode, latent, return_dict=False)),
                "encode": flops(partial(model.encode, image, return_dict=False)),
            }
        counts[name] = {"parameters": parameters(model), "sizes": sizes}
    return counts


def encoders() -> dict[str, Any]:
    """The text encoders, for one prompt."""
    import transformers

    counts = {}
    for name, (width, layers, heads) in CLIP.items():
        config = transformers.CLIPTextConfig(
            hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=heads
        )
        counts[name] = _read(transformers.CLIPTextModel, config, TOKENS["clip"])
    counts["t5-xxl"] = _read(transformers.T5EncoderModel, transformers.T5Config(**T5), TOKENS["t5"])
    return counts


def extractors() -> dict[str, Any]:
    """The feature networks for one image, by the names of their extractors."""
    from benchmarks.features.networks.inception import Inception

    with torch.device("meta"):
        inception = Inception().eval()
    counts = {}
    known: dict[str, Any] = dict(components.extractors())
    for name, extractor in known.items():
        if name.startswith("inception"):
            counts[name] = {"parameters": parameters(inception), "flops": flops(lambda: inception(_meta(3, 299, 299)))}
        elif name.startswith("clip"):
            counts[name] = _clip(extractor)
        elif name == "dinov2":
            with torch.device("meta"):
                network = extractor._network().eval()
            counts[name] = {"parameters": parameters(network), "flops": flops(partial(network, _meta(3, 224, 224)))}
        elif name == "vgg16":
            with torch.device("meta"):
                network = extractor.network_without_weights().eval()
            counts[name] = {"parameters": parameters(network), "flops": flops(partial(network, _meta(3, 224, 224)))}
        elif name == "image-reward":
            counts[name] = _reward(extractor)
    return counts


def flops(call: Callable[[], Any]) -> int:
    """FLOPs of one call without a gradient."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return int(counter.get_total_flops())


def saved_bytes(network: nn.Module, call: Callable[[], Any]) -> int:
    """Bytes that one call saves for its backward pass, without the weights; each storage once."""
    return sum(_saved(network, call).values())


def checkpointed_bytes(network: nn.Module, call: Callable[[], Any]) -> int:
    """The same where blocks are run again: what lies outside of blocks, their inputs, and the largest block itself."""
    inputs: dict[int, Any] = {}

    def enter(block: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        tensors = [part for part in (*given, *named.values()) if isinstance(part, Tensor)]
        inputs.update({part.untyped_storage()._cdata: part.untyped_storage() for part in tensors})

    hooks = [block.register_forward_pre_hook(enter, with_kwargs=True) for block in blocks(network)]
    by_block = _saved(network, call)
    for hook in hooks:
        hook.remove()
    inside = [size for block, size in by_block.items() if block is not None]
    return by_block[None] + sum(storage.nbytes() for storage in inputs.values()) + max(inside, default=0)


def _saved(network: nn.Module, call: Callable[[], Any]) -> dict[nn.Module | None, int]:
    """What a call saves, by the block in which it is saved first; None outside of blocks."""
    own = {part.untyped_storage()._cdata for part in network.parameters()}
    saved: dict[int, tuple[Any, Any]] = {}  # the storages themselves, so that no other one takes their place
    running: list[nn.Module | None] = [None]

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved.setdefault(storage._cdata, (storage, running[-1]))
        return tensor

    hooks = []
    for block in blocks(network):
        hooks.append(block.register_forward_pre_hook(lambda block, given: running.append(block)))
        hooks.append(block.register_forward_hook(lambda block, given, output: running.pop() and None))
    with _fused_attention(), torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        output = call()
    del output
    for hook in hooks:
        hook.remove()
    sizes: dict[nn.Module | None, int] = {None: 0}
    for place, (storage, block) in saved.items():
        if place not in own:
            sizes[block] = sizes.get(block, 0) + storage.nbytes()
    return sizes


@contextmanager
def _fake_gpu() -> Iterator[None]:
    """Tensors made inside claim a GPU, whose autocast casts. A forward pass alone asks for no device."""
    common = torch.cuda.amp.common
    with (
        mock.patch.object(common, "amp_definitely_not_available", lambda: False),
        mock.patch.object(torch.cuda, "is_bf16_supported", lambda *_, **__: True),
        FakeTensorMode(),
        torch.device("cuda"),
    ):
        yield


def _in_half(build: Build, shape: tuple[int, ...], text: Text | None) -> dict[str, int]:
    """Bytes saved under bfloat16 autocast: a sample's, and those of the casts of all weights, which are any batch's."""
    with _fake_gpu():
        network = build("cuda")
        drops = network.training  # EDM's networks drop out where they are trained

        def both(trained: bool) -> tuple[int, int]:
            network.train(trained and drops).requires_grad_(trained)
            sizes = []
            for batch in (1, 2):
                x = torch.empty(batch, *shape).requires_grad_()
                call = partial(network, x, torch.ones(batch), _condition(text, network, batch, "cuda"), FULL)
                with torch.autocast("cuda", torch.bfloat16):
                    sizes.append(saved_bytes(network, call))
            return sizes[1] - sizes[0], 2 * sizes[0] - sizes[1]

        (trained, casts), (inputs, _) = both(True), both(False)
    return {"half_saved_bytes": trained, "half_inputs_bytes": inputs, "cast_bytes": casts}


class _Fused(torch.autograd.Function):
    """Attention that saves, as a fused kernel does, its inputs and its output, never the matrix of scores."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = query.new_empty((*query.shape[:-1], value.shape[-1]))
        ctx.save_for_backward(query, key, value, out)
        return out


@contextmanager
def _fused_attention() -> Iterator[None]:
    """On the meta device torch decomposes attention, as no GPU does."""
    plain = nn.functional.scaled_dot_product_attention
    nn.functional.scaled_dot_product_attention = lambda query, key, value, *_, **__: _Fused.apply(query, key, value)
    try:
        yield
    finally:
        nn.functional.scaled_dot_product_attention = plain


def parameters(module: nn.Module) -> int:
    return sum(part.numel() for part in module.parameters())


def _meta(*shape: int) -> Tensor:
    return torch.empty(1, *shape, device="meta")


def _diffusers(family: str, kind: str, config: dict[str, Any], device: str) -> nn.Module:
    import diffusers

    with torch.device(device):
        return ADAPTERS.get(family, UnetNetwork)(getattr(diffusers, kind)(**config)).eval()


def _edm(settings: dict[str, Any], device: str) -> nn.Module:
    with torch.device(device):
        return components.teachers()["edm"].build(dict(settings)).network


def _condition(text: Text | None, network: Any, batch: int = 1, device: str = "meta") -> Condition:
    if text is None:
        return Condition()
    tokens, width, pooled = text
    sized = isinstance(network, UnetNetwork) and pooled
    return Condition(
        text=torch.empty(batch, tokens, width, device=device),
        pooled=torch.empty(batch, pooled, device=device) if pooled else None,
        time_ids=torch.empty(batch, 6, device=device) if sized else None,
    )


def _counted(build: Build, shapes: dict[int, tuple[int, ...]], text: Text | None) -> dict[str, Any]:
    """A denoiser's network: a whole pass and one that stops at the features, at every size."""
    network, sizes = build("meta"), {}
    time, condition = torch.ones(1, device="meta"), _condition(text, network)
    for side, shape in shapes.items():
        x = _meta(*shape)
        whole = partial(network, x, time, condition, FULL)
        sizes[str(side)] = {
            "sample": list(shape),
            "forward": flops(whole),
            "encoder": flops(partial(network, x, time, condition, EARLY)),
            "saved_bytes": saved_bytes(network, whole),
            "inputs_bytes": _to_inputs(network, partial(network, _meta(*shape).requires_grad_(), *whole.args[1:])),
            "checkpointed_bytes": checkpointed_bytes(network, whole),
            **_in_half(build, shape, text),
        }
    counts: dict[str, Any] = {"parameters": parameters(network), "sizes": sizes}
    with torch.device("meta"):
        adapt(network, RANK, 1.0)  # type: ignore[arg-type]
    return counts | {"adapters": sum(part.numel() for part in adapter_parameters(network))}


def _to_inputs(network: nn.Module, call: Callable[[], Any]) -> int:
    """What a frozen network saves, through which gradients reach its input alone."""
    training = network.training
    size = saved_bytes(network.eval().requires_grad_(False), call)
    network.train(training).requires_grad_(True)
    return size


def _read(kind: Any, config: Any, tokens: int) -> dict[str, Any]:
    with torch.device("meta"):
        model = kind(config).eval()
        ids = torch.zeros(1, tokens, dtype=torch.long)
    return {"parameters": parameters(model), "tokens": tokens, "flops": flops(lambda: model(ids))}


def _clip(extractor: Any) -> dict[str, Any]:
    """The image tower and the text tower: a score reads both."""
    import open_clip

    with torch.device("meta"):
        model = open_clip.create_model(extractor.architecture, load_weights=False, device="meta").eval()
        ids = torch.zeros(1, TOKENS["clip"], dtype=torch.long)
    both = flops(lambda: (model.encode_image(_meta(3, extractor.side, extractor.side)), model.encode_text(ids)))
    return {"parameters": parameters(model), "flops": both}


def _reward(extractor: Any) -> dict[str, Any]:
    """BLIP: the image tower, and the text tower with its cross-attention to the image."""
    with torch.device("meta"):
        network = extractor.build().eval()
        ids = torch.zeros(1, TOKENS["blip"], dtype=torch.long)

    def pair() -> None:
        image = network["vision"](_meta(3, extractor.side, extractor.side)).last_hidden_state
        network["text"](ids, encoder_hidden_states=image)

    return {"parameters": parameters(network), "flops": flops(pair)}


if __name__ == "__main__":
    raise SystemExit(main())
