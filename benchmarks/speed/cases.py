"""Training steps to be timed: networks of the published shapes with random weights, and what each side is told."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.estimate.published_networks import CIFAR, CLIP, SD15, SDXL
from benchmarks.speed.straightforward import Loop, MatchingLoop, Told
from benchmarks.suite.components import methods, teachers
from sid.condition import Condition, Unconditional
from sid.denoiser import Denoiser
from sid.draws import Draws
from sid.loop.recipe import Data, Recipe
from sid.parallel.execution import blank
from sid.parallel.settings import EngineSettings

TOKENS, WORDS, PROMPTS = 77, 49408, 64
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "prediction_type": "epsilon"}
GPU = EngineSettings(precision="bf16", compile=True, channels_last=True, first_moment=False)
SPARING = EngineSettings(
    precision="bf16", channels_last=True, checkpointing=True, split_backward=True, first_moment=False
)


@dataclass(frozen=True)
class Case:
    """One step, on both sides. `tiny` are the settings with which it runs on any machine, to see that it runs."""

    family: str
    network: Mapping[str, Any]
    method: str
    told: Told
    batch: int
    channels: int
    tiny: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    encoders: tuple[str, ...] = ()
    engine: EngineSettings = GPU  # on a GPU; on the CPU the command line says
    apart: bool = False  # too large for both sides at once: one after the other


NARROW = {"block_out_channels": [32, 64], "layers_per_block": 1, "sample_size": 8, "norm_num_groups": 8}
SMALL_UNET = {
    **NARROW,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "attention_head_dim": 4,
    "transformer_layers_per_block": 1,
}
CASES = {
    "sid-ddpmpp-32": Case("edm", CIFAR, "sid", Told(micro=128), 256, 3, {"model_channels": 32, "img_resolution": 16}),
    "sid-lsg-sd15": Case(
        "stable-diffusion",
        SD15,
        "sid-lsg",
        Told(kappa=1.5, alpha=1.0, t_init=625.0, micro=2),
        8,
        4,
        SMALL_UNET,
        {"kappa": 1.5},
        ("clip-l",),
    ),
    "sid-few-step-sdxl": Case(
        "sdxl",
        SDXL,
        "sid-few-step",
        Told(steps=4, alpha=1.0, t_init=625.0),
        1,
        4,
        SMALL_UNET,
        {"steps": 4},
        ("clip-l", "clip-bigg"),
        SPARING,
        apart=True,
    ),
    "dmd2-sdxl": Case(
        "sdxl",
        SDXL,
        "dmd2",
        Told(kappa=8.0, steps=4, t_init=999.0, betas=(0.9, 0.999), ratio=5),
        1,
        4,
        SMALL_UNET,
        {"steps": 4, "t_init": 999.0, "kappa": 8.0},
        ("clip-l", "clip-bigg"),
        SPARING,
        apart=True,
    ),
}


def last_step(iteration: int, steps: int) -> int:
    """Where both sides cut the chain in that iteration: as our trainer draws it."""
    return Draws(Recipe(images=1, batch=1).seed, iteration, range(1)).integer("step", 1, steps) - 1


class Side:
    """A case with its networks: what both sides are made of."""

    def __init__(self, case: Case, batch: int | None, tiny: bool, device: str):
        self.case, self.batch, self.device = case, batch or (2 if tiny else case.batch), device
        self.tiny = tiny
        self.apart = case.apart or device != "cpu"  # a GPU's memory is measured for each side
        torch.backends.cudnn.allow_tf32 = False  # both sides in float32 as it is
        network = {**case.network, **(case.tiny if tiny else {})}
        side = int(network["sample_size" if "sample_size" in network else "img_resolution"])
        self.shape: tuple[int, ...] = (case.channels, side, side)
        torch.manual_seed(0)
        family = teachers()[case.family]
        settings = network if case.family == "edm" else {"network": network, "scheduler": BETAS}
        with torch.device(device):
            self.teacher: Denoiser = family.build(settings)
        if device != "meta":  # tensors without memory, to count what is computed
            _no_layer_is_zero(self.teacher)
        self.text = Text(case.encoders, tiny, network, device) if case.encoders else None
        self.method = methods()[case.method]
        self.options = self.method.options(given=dict(case.options))

    def data(self) -> Data:
        """Ours reads prompts from a cache of embeddings."""
        conditions: Any = Unconditional() if self.text is None else Cached(self.text.condition(PROMPTS))
        data = Data(conditions, self.shape)
        if "real" in self.method.needs_of(self.options):
            data.real = lambda draws: (
                draws.normal("real", self.shape, torch.empty(0)),
                conditions.draw(draws.of("real-condition")),
            )
        return data

    def straightforward(self) -> Loop:
        """The same step as the published scripts write it, over a copy of the same networks."""
        encode: Callable[[int], Condition] = lambda count: Condition()  # noqa: E731 - there is no text
        if self.text is not None:
            encode = self.text.condition
        teacher = self.teacher if self.apart else copy.deepcopy(self.teacher)  # ours changes it in place
        told = self.case.told
        if told.micro is not None and self.batch % told.micro:
            told = replace(told, micro=None)
        loop = self._loop(teacher, encode, told, self.batch)
        loop.last_step = lambda steps: last_step(loop.iteration, steps)  # type: ignore[method-assign]
        return loop

    def hollow(self) -> Loop:
        """The same loop on one sample, of tensors without memory: to count what it computes."""
        meta = torch.empty(0, device="meta")
        condition = Condition() if self.text is None else self.text.condition(1).to(meta)
        return self._loop(
            blank(self.teacher).to("meta"), lambda count: condition, replace(self.case.told, micro=None), 1
        )

    def _loop(self, teacher: Any, encode: Callable[[int], Condition], told: Told, batch: int) -> Loop:
        if self.case.method != "dmd2":
            return Loop(teacher, encode, self.shape, told, batch)
        head = self._head().to(next(teacher.parameters()).device)
        return MatchingLoop(teacher, encode, self.shape, told, batch, head=head)

    def _head(self) -> nn.Module:
        from baselines.dmd2 import classifier
        from sid.denoiser import FEATURES

        assert self.text is not None
        x = torch.randn(1, *self.shape, device=self.device)
        with torch.no_grad():
            seen = self.teacher(x, torch.ones(1, device=self.device).long(), self.text.condition(1), FEATURES).features
        assert seen is not None
        return classifier(seen.shape[1], seen.shape[-1]).to(self.device)


def _no_layer_is_zero(net: nn.Module) -> None:
    """Layers that start at zero would cut what is behind them off from gradients."""
    with torch.no_grad():
        for parameter in net.parameters():
            if not parameter.any():
                parameter.normal_(std=0.02)


class Cached:
    """Prompts' embeddings, as a run's cache holds them."""

    def __init__(self, condition: Condition):
        self.condition = condition.to(torch.empty(0))

    def draw(self, draws: Draws) -> Condition:
        chosen = (draws.uniform("prompt") * PROMPTS).long()
        return self.condition[chosen]


class Text:
    """Text encoders of the published shapes with random weights, and tokens that stand for prompts."""

    def __init__(self, encoders: tuple[str, ...], tiny: bool, network: Mapping[str, Any], device: str):
        from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

        self.device, self.pooled = device, network.get("addition_embed_type") == "text_time"
        self.models = []
        for number, name in enumerate(encoders):
            width, layers, heads = CLIP[name]
            config = CLIPTextConfig(
                hidden_size=width,
                intermediate_size=32 if tiny else 4 * width,
                num_hidden_layers=2 if tiny else layers,
                num_attention_heads=heads,
                vocab_size=WORDS,
                projection_dim=width,
                bos_token_id=WORDS - 2,
                eos_token_id=WORDS - 1,
            )
            kind = CLIPTextModelWithProjection if self.pooled and number == len(encoders) - 1 else CLIPTextModel
            with torch.device(device):
                self.models.append(kind(config).eval().requires_grad_(False))

    def condition(self, count: int) -> Condition:
        """So many prompts, and the empty one, through the encoders: one call of the scripts' network wrapper."""
        null = self._encoded(torch.full((1, TOKENS), WORDS - 1, device=self.device))
        given = self._encoded(torch.randint(WORDS - 2, (count, TOKENS), device=self.device))
        return Condition(**given, null=Condition(**null))

    @torch.no_grad()
    def _encoded(self, tokens: Tensor) -> dict[str, Any]:
        outputs = [model(tokens, output_hidden_states=True) for model in self.models]
        if not self.pooled:
            return {"text": outputs[0].last_hidden_state}
        side = torch.tensor([1024, 1024, 0, 0, 1024, 1024], device=self.device, dtype=torch.float32)
        return {
            "text": torch.cat([output.hidden_states[-2] for output in outputs], dim=-1),
            "pooled": outputs[-1].text_embeds,
            "time_ids": side.expand(len(tokens), 6),
        }
