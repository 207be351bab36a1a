"""Training steps to be timed: networks of the published shapes with random weights, each side's settings, their FLOPs.

FLOPs are counted beforehand, which takes minutes of a processor and no device: `python -m benchmarks.speed.cases`
writes them into records/step-flops.json, where every measurement reads them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.estimate.published_networks import CIFAR, CLIP, SD15, SDXL
from benchmarks.speed.machine import command, installed
from benchmarks.speed.straightforward import Loop, MatchingLoop, StepSettings
from benchmarks.suite.components import methods, teachers
from sid.condition import Condition, Unconditional
from sid.denoiser import Denoiser
from sid.draws import Draws
from sid.loop.settings import Data, LoopSettings
from sid.parallel.execution import blank
from sid.parallel.settings import EngineSettings

FLOPS_RECORD = Path(__file__).parent / "records" / "step-flops.json"
Flops = Mapping[str, Sequence[float]]  # chains of one step ("short") and of two ("longer") -> each iteration's FLOPs

TOKENS, WORDS, PROMPTS = 77, 49408, 64
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "prediction_type": "epsilon"}
GPU = EngineSettings(precision="bf16", compile=True, channels_last=True, first_moment=False)
SPARING = EngineSettings(
    precision="bf16", channels_last=True, checkpointing=True, split_backward=True, first_moment=False
)


@dataclass(frozen=True)
class Case:
    """One step, on both sides. `tiny` replaces settings of the network for a rehearsal on any machine."""

    family: str
    network: Mapping[str, Any]
    method: str
    settings: StepSettings
    batch: int
    channels: int
    tiny: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    encoders: tuple[str, ...] = ()
    engine: EngineSettings = GPU  # on a GPU; on the CPU the command line's
    apart: bool = False  # too large for both sides at once: they run one after the other


NARROW = {"block_out_channels": [32, 64], "layers_per_block": 1, "sample_size": 8, "norm_num_groups": 8}
SMALL_UNET = {
    **NARROW,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "attention_head_dim": 4,
    "transformer_layers_per_block": 1,
}
CASES = {
    "sid-ddpmpp-32": Case(
        "edm", CIFAR, "sid", StepSettings(micro=128), 256, 3, {"model_channels": 32, "img_resolution": 16}
    ),
    "sid-lsg-sd15": Case(
        "stable-diffusion",
        SD15,
        "sid-lsg",
        StepSettings(kappa=1.5, alpha=1.0, t_init=625.0, micro=2),
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
        StepSettings(steps=4, alpha=1.0, t_init=625.0),
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
        StepSettings(kappa=8.0, steps=4, t_init=999.0, betas=(0.9, 0.999), ratio=5),
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
    """The last step of the chain in that iteration, for both sides: as our trainer draws it."""
    return Draws(LoopSettings(images=1, batch=1).seed, iteration, range(1)).integer("step", 1, steps) - 1


class Side:
    """A case with its networks, from which both sides are built."""

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
        build = network if case.family == "edm" else {"network": network, "scheduler": BETAS}
        with torch.device(device):
            self.teacher: Denoiser = family.build(build)
        if device != "meta":  # meta tensors only count FLOPs
            _replace_zeros(self.teacher)
        self.text = RandomText(case.encoders, tiny, network, device) if case.encoders else None
        self.method = methods()[case.method]
        self.options = self.method.options(given=dict(case.options))

    def data(self) -> Data:
        """The data of our side, which reads prompts from a cache of embeddings."""
        conditions: Any = Unconditional() if self.text is None else CachedPrompts(self.text.condition(PROMPTS))
        data = Data(conditions, self.shape)
        if "real" in self.method.needs_of(self.options):
            data.real = lambda draws: (
                draws.normal("real", self.shape, torch.empty(0)),
                conditions.draw(draws.of("real-condition")),
            )
        return data

    def straightforward(self) -> Loop:
        """The same step as the published scripts write it, on a copy of the same networks."""
        encode: Callable[[int], Condition] = lambda count: Condition()  # noqa: E731 - there is no text
        if self.text is not None:
            encode = self.text.condition
        teacher = self.teacher if self.apart else copy.deepcopy(self.teacher)  # ours changes it in place
        settings = self.case.settings
        if settings.micro is not None and self.batch % settings.micro:
            settings = replace(settings, micro=None)
        loop = self._loop(teacher, encode, settings, self.batch)
        loop.last_step = lambda steps: last_step(loop.iteration, steps)  # type: ignore[method-assign]
        return loop

    def hollow(self) -> Loop:
        """The same loop for one sample on meta tensors, to count its FLOPs."""
        meta = torch.empty(0, device="meta")
        condition = Condition() if self.text is None else self.text.condition(1).to(meta)
        return self._loop(
            blank(self.teacher).to("meta"), lambda count: condition, replace(self.case.settings, micro=None), 1
        )

    def _loop(self, teacher: Any, encode: Callable[[int], Condition], settings: StepSettings, batch: int) -> Loop:
        if self.case.method != "dmd2":
            return Loop(teacher, encode, self.shape, settings, batch)
        head = self._head().to(next(teacher.parameters()).device)
        return MatchingLoop(teacher, encode, self.shape, settings, batch, head=head)

    def _head(self) -> nn.Module:
        from baselines.dmd2 import classifier
        from sid.denoiser import FEATURES

        assert self.text is not None
        x = torch.randn(1, *self.shape, device=self.device)
        with torch.no_grad():
            t, condition = torch.ones(1, device=self.device).long(), self.text.condition(1)
            features = self.teacher(x, t, condition, FEATURES).features
        assert features is not None
        return classifier(features.shape[1], features.shape[-1]).to(self.device)


def _replace_zeros(net: nn.Module) -> None:
    """Replaces weights that start at zero: the layers before them would have no gradient."""
    with torch.no_grad():
        for parameter in net.parameters():
            if not parameter.any():
                parameter.normal_(std=0.02)


class CachedPrompts:
    """Embeddings of prompts, as a run's cache returns them."""

    def __init__(self, condition: Condition):
        self.condition = condition.to(torch.empty(0))

    def draw(self, draws: Draws) -> Condition:
        chosen = (draws.uniform("prompt") * PROMPTS).long()
        return self.condition[chosen]


class RandomText:
    """Text encoders of the published shapes with random weights; random tokens stand for prompts."""

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
        """Encodes `count` prompts and the empty one, as each call of the scripts' network wrapper does."""
        null = self._encoded(torch.full((1, TOKENS), WORDS - 1, device=self.device))
        prompts = self._encoded(torch.randint(WORDS - 2, (count, TOKENS), device=self.device))
        return Condition(**prompts, null=Condition(**null))

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


def recorded_flops(case: str, record: Path = FLOPS_RECORD) -> Flops | None:
    """A case's recorded FLOPs, or None if it was not counted."""
    return json.loads(record.read_text())["cases"].get(case) if record.is_file() else None


def flops_of_round(flops: Flops, settings: StepSettings, rounds: int, batch: int) -> float:
    """FLOPs of one round (every player was updated) for a batch: the mean over the timed rounds, without text encoders.

    Each iteration cuts its chain at another step. Chains of one and of two steps are counted: the cost is linear.

    Args:
        flops: of a case, as `count_flops` returns them.
        settings: of the straightforward step, whose passes are what the mathematics asks for.
        rounds: that are timed, after one that warms up.
        batch: samples of an iteration.
    """
    total = 0.0
    for number in range(settings.ratio, settings.ratio * (rounds + 1)):  # the first round warms up
        short, longer = (flops[name][number % settings.ratio] for name in ("short", "longer"))
        total += short + (longer - short) * last_step(number, settings.steps)
    return total / rounds * batch


def count_flops(side: Side) -> dict[str, list[float]]:
    """FLOPs of each iteration of a round for one sample, counted on meta tensors."""
    short = _iterations(side, 0)
    return {"short": short, "longer": _iterations(side, 1) if side.case.settings.steps > 1 else short}


def _iterations(side: Side, last: int) -> list[float]:
    from torch.utils.flop_counter import FlopCounterMode

    loop: Any = side.hollow()
    loop.learners = {net: _IdleOptimizer(net) for net in loop.learners}
    loop.last_step = lambda steps: last
    flops = []
    for _ in range(side.case.settings.ratio):
        with FlopCounterMode(display=False) as counter:
            loop.iterate()
        flops.append(float(counter.get_total_flops()))
    return flops


class _IdleOptimizer:
    """An optimiser without state that leaves the weights alone: it multiplies no matrices."""

    def __init__(self, net: Any):
        self.net = net

    def zero_grad(self, set_to_none: bool) -> None:
        for parameter in self.net.parameters():
            parameter.grad = None

    def step(self) -> None: ...


def main() -> int:
    from sid import atomic

    record: dict[str, Any] = {
        "command": command("benchmarks.speed.cases"),
        "versions": {name: installed(name) for name in ("torch", "diffusers", "transformers")},
        "counted": "matrix products and convolutions of the straightforward step, two FLOPs a multiply-add, one sample;"
        " every iteration of a round, with chains of one step and of two",
        "cases": {},
    }
    for name, case in CASES.items():
        record["cases"][name] = count_flops(Side(case, None, tiny=False, device="meta"))
        print(name, record["cases"][name], flush=True)
    atomic.write_json(FLOPS_RECORD, record)
    print(FLOPS_RECORD)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
