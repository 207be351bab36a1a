"""One iteration of every method family on small networks of the real classes, on a pretended GPU.

`python -m tests.gpu.families CASE ...` prints a JSON line for each case; it needs `library.environment` around it.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.cases import BETAS, SMALL_UNET
from benchmarks.speed.pretended.device import DEVICE, CountedTraining, counted
from benchmarks.speed.pretended.watch import is_own
from benchmarks.suite.components import methods, teachers
from sid.condition import ClassLabels, Condition
from sid.draws import Draws
from sid.loop.settings import Data, LoopSettings
from sid.loop.trainer import Training
from sid.method import Adapters
from sid.parallel.settings import EngineSettings

BATCH, WIDTH, TOKENS, CLASSES = 8, 32, 7, 10
SD = {"network": {**SMALL_UNET, "cross_attention_dim": WIDTH}, "scheduler": BETAS}
SDXL = {
    "network": {
        **SD["network"],
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 16 + 6 * 8,
    },
    "scheduler": BETAS,
}
PIXART = {
    "network": {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "in_channels": 4,
        "out_channels": 8,
        "num_layers": 2,
        "patch_size": 2,
        "sample_size": 8,
        "caption_channels": WIDTH,
        "cross_attention_dim": WIDTH,
        "use_additional_conditions": False,
    },
    "scheduler": BETAS,
}
SD3 = {
    "network": {
        "sample_size": 8,
        "patch_size": 2,
        "in_channels": 4,
        "num_layers": 2,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": WIDTH,
        "caption_projection_dim": WIDTH,
        "pooled_projection_dim": 16,
        "out_channels": 4,
        "pos_embed_max_size": 16,
    },
    "scheduler": {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0},
}
SANA = {
    "network": {
        "in_channels": 4,
        "out_channels": 4,
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "num_layers": 2,
        "num_cross_attention_heads": 2,
        "cross_attention_head_dim": 16,
        "cross_attention_dim": WIDTH,
        "caption_channels": WIDTH,
        "sample_size": 8,
    },
    "scheduler": {
        "_class_name": "DPMSolverMultistepScheduler",
        "prediction_type": "flow_prediction",
        "use_flow_sigmas": True,
        "flow_shift": 3.0,
    },
}
FLUX = {
    "network": {
        "in_channels": 16,
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": WIDTH,
        "pooled_projection_dim": 16,
        "guidance_embeds": True,
        "axes_dims_rope": [4, 6, 6],
    },
    "scheduler": {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0, "use_dynamic_shifting": True},
}
PIXELS = {"img_resolution": 16, "img_channels": 3, "model_channels": 32, "label_dim": CLASSES, "num_blocks": 1}
SONG = {**PIXELS, "model_type": "SongUNet", "channel_mult": [2, 2], "augment_dim": 9, "attn_resolutions": [8]}
ADM = {**PIXELS, "model_type": "DhariwalUNet", "channel_mult": [1, 2], "attn_resolutions": [8], "dropout": 0.1}


@dataclass(frozen=True)
class Family:
    """A teacher's network and what it is conditioned on."""

    name: str  # among the teachers
    network: Mapping[str, Any]
    parts: Sequence[str] = ()  # of a text condition, beside the text; no text for pixels
    shape: tuple[int, ...] = (4, 8, 8)

    @property
    def pixels(self) -> bool:
        return self.name == "edm"


FAMILIES = {
    "ddpmpp": Family("edm", {**SONG, "dropout": 0.13}, shape=(3, 16, 16)),
    "adm": Family("edm", ADM, shape=(3, 16, 16)),
    "sd": Family("stable-diffusion", SD),
    "sdxl": Family("sdxl", SDXL, ("pooled", "time_ids")),
    "pixart": Family("pixart", PIXART, ("mask",)),
    "sd3": Family("sd3", SD3, ("pooled",)),
    "sana": Family("sana", SANA, ("mask",)),
    "flux": Family("flux", FLUX, ("pooled",)),
}
DIT = {"guidance": "lsg", "kappa": 4.5, "t_init": 1.0, "weight": "a", "prompt_dropout": 0.0, "pooling": "spatial"}
CHAIN = {"ratio": 1, "t_init": 999.0, "kappa": 1.5}


@dataclass(frozen=True)
class Kind:
    """A method on a family, with options that differ from its own."""

    family: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    student: Adapters | None = None
    micro: int | None = None


KINDS = {
    "sid-ddpmpp": Kind("ddpmpp", "sid"),
    "sida-ddpmpp": Kind("ddpmpp", "sida"),
    "diff-instruct-ddpmpp": Kind("ddpmpp", "diff-instruct"),
    "dmd2-ddpmpp": Kind("ddpmpp", "dmd2", {"ratio": 1}),
    "consistency-ddpmpp": Kind("ddpmpp", "consistency"),
    "sid-adm": Kind("adm", "sid"),
    "sid-lsg-sd": Kind("sd", "sid-lsg", micro=4),
    "sid-lsg-adapters-sd": Kind("sd", "sid-lsg", student=Adapters(2, 2.0)),
    "vsd-sd": Kind("sd", "vsd"),
    "sid-few-step-sdxl": Kind("sdxl", "sid-few-step"),
    "dmd2-sdxl": Kind("sdxl", "dmd2", CHAIN),
    "sim-pixart": Kind("pixart", "sim"),
    "sid-lsg-pixart": Kind("pixart", "sid-lsg"),
    "sid-few-step-sd3": Kind("sd3", "sid-few-step"),
    "sid-dit-sana": Kind("sana", "sid-few-step", DIT),
    "sid-dit-flux": Kind("flux", "sid-few-step", DIT),
}
ENGINES = {
    "fp32": EngineSettings(),
    "bf16": EngineSettings(precision="bf16", channels_last=True, first_moment=False),
    "sparing": EngineSettings(precision="bf16", checkpointing=True, split_backward=True, eight_bit=True),
    "fp16": EngineSettings(precision="fp16"),
    "away": EngineSettings(precision="bf16", offload=True),
}


class Prompts:
    """Embeddings of prompts, drawn as a run's cache draws them."""

    def __init__(self, parts: Sequence[str]):
        self.rows, self.null = (self._made(count, parts) for count in (16, 1))

    @staticmethod
    def _made(count: int, parts: Sequence[str]) -> dict[str, torch.Tensor]:
        made = {
            "text": torch.ones(count, TOKENS, WIDTH),
            "pooled": torch.ones(count, 16),
            "time_ids": torch.ones(count, 6),
            "mask": torch.ones(count, TOKENS),
        }
        return {name: made[name] for name in ("text", *parts)}

    def draw(self, draws: Draws) -> Condition:
        chosen = (draws.uniform("prompt") * 16).long()
        return Condition(**self.rows, null=Condition(**self.null))[chosen]


def subject(kind: Kind, engine: EngineSettings) -> CountedTraining:
    """What one case trains."""
    family, method = FAMILIES[kind.family], methods()[kind.method]
    with torch.device(DEVICE):
        teacher = teachers()[family.name].build(dict(family.network)).eval().requires_grad_(False)
    conditions: Any = ClassLabels(torch.arange(CLASSES)) if family.pixels else Prompts(family.parts)

    def real(draws: Draws) -> Any:
        return draws.normal("real", family.shape, torch.empty(0)), conditions.draw(draws)

    def pairs(draws: Draws) -> Any:
        noise = draws.normal("noise", family.shape, torch.empty(0))
        return noise, noise, conditions.draw(draws)

    data = Data(conditions, family.shape, real=real, pairs=pairs)
    settings = LoopSettings(images=1, batch=1, student=kind.student)
    options = method.options("", "", dict(kind.options))
    return CountedTraining(Training(method, options, teacher, data, settings), engine)


def report(name: str) -> dict[str, Any]:
    """A case's counts, or what stopped it and where."""
    kind, _, engine = name.partition("/")
    try:
        counts = counted(lambda: subject(KINDS[kind], ENGINES[engine]), BATCH, KINDS[kind].micro)
    except Exception as error:
        places = [frame for frame in traceback.extract_tb(error.__traceback__) if is_own(frame.filename)]
        where = f"{Path(places[-1].filename).name}:{places[-1].lineno}" if places else "?"
        return {"case": name, "stopped": f"{type(error).__name__} at {where}: {str(error)[:300]}"}
    return {"case": name, **counts.as_json()}


def main() -> None:
    for name in sys.argv[1:]:
        print(json.dumps(report(name)), flush=True)


if __name__ == "__main__":
    main()
