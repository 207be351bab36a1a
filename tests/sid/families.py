"""Trainings of the real network classes, tiny, for a comparison of engines; prompts are cached once for all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.suite.components import methods, teachers
from sid.draws import Draws
from sid.loop.settings import Data, LoopSettings
from sid.loop.trainer import Execution, Training, train
from sid.method import Adapters
from sid.parallel.settings import FAITHFUL, EngineSettings
from sid.prompts import PromptCache, PromptConditions, cache_prompts
from tests import toy
from tests.sid.teachers import tiny_pipelines
from tests.sid.teachers.test_edm_networks import TINY
from tests.sid.teachers.tiny_pipelines import SIZE

PROMPTS = ["a red cat", "a blue dog", "a green house"]
# method, family, options: early leaving with a head, adapters over the base, a chain, pixels
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "sd-dmd2": ("dmd2", "stable-diffusion", {"kappa": 1.75, "t_init": 999.0, "ratio": 1}),
    "sd-vsd": ("vsd", "stable-diffusion", {}),
    "sdxl-chain": ("sid-few-step", "sdxl", {}),
    "sd-adapters": ("sid-lsg", "stable-diffusion", {}),
    "edm": ("sid", "edm", {}),
}
STUDENTS = {"sd-adapters": Adapters(2, 2.0)}  # of cases whose student is adapters
HALVED = ("sdxl-chain", "sd-adapters")  # the cases that are trained with every saving at once
HALF = EngineSettings("fsdp2", precision="bf16", checkpointing=True, split_backward=True, first_moment=False)


def prepare(folder: Path) -> None:
    """Pipelines with their cached prompts, for all who train on them."""
    for name in {family for _, family, _ in CASES.values()} - {"edm"}:
        family = teachers()[name]
        pipeline = tiny_pipelines.save(name, folder)
        cache = cache_prompts(
            family.text_encoder(pipeline),
            PROMPTS,
            folder / f"{name}-prompts",
            time_ids=family.time_ids(2 * SIZE, 2 * SIZE),
        )
        (folder / f"{name}.txt").write_text(str(cache.folder))


def opened(name: str, folder: Path) -> tuple[Any, Data]:
    if name == "edm":
        torch.manual_seed(0)
        teacher = teachers()["edm"].build({**TINY, "dropout": 0.0})
        for parameter in teacher.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        return teacher.eval().requires_grad_(False), Data(toy.data(False).conditions, (3, 16, 16))
    teacher = teachers()[name].load(folder / name)
    conditions = PromptConditions(PromptCache(Path((folder / f"{name}.txt").read_text())))
    shape = (teacher.settings["network"]["in_channels"], SIZE, SIZE)

    def real(draws: Draws) -> Any:
        return draws.normal("real", shape, torch.empty(0)), conditions.draw(draws)

    return teacher, Data(conditions, shape, real=real)


def distil(case: str, folder: Path, state: Path, engine: EngineSettings = FAITHFUL, dtype: str = "float64") -> Tensor:
    """Two steps."""
    name, family, given = CASES[case]
    method = methods()[name]
    teacher, data = opened(family, folder)
    student = STUDENTS.get(case)
    settings = LoopSettings(images=8, batch=4, ema_halflife=1.0, save_seconds=1e9, dtype=dtype, student=student)
    options = method.options("", "", given)
    training = Training(method, options, teacher, data, settings)
    return toy.weights(train(training, Execution(state, engine=engine, quiet=True, everywhere=True)))
