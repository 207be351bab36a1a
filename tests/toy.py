"""A toy world for tests: a small random teacher, made data, and one call that trains on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sid.condition import ClassLabels, Condition, Unconditional
from sid.denoiser import Denoiser
from sid.draws import Draws
from sid.loop.settings import Data, LoopSettings
from sid.loop.trainer import Execution, Trained, Training, train
from sid.method import Method
from sid.parallel.settings import FAITHFUL, EngineSettings
from sid.teachers.mlp import Mlp

SHAPE = (1, 4, 4)
CLASSES = 3


def teacher(
    conditional: bool = True, seed: int = 0, dtype: torch.dtype = torch.float32, dropout: float = 0.0
) -> Denoiser:
    """A small EDM denoiser whose weights are all random: no layer is left at zero."""
    settings = {"shape": SHAPE, "width": 16, "depth": 2, "classes": CLASSES if conditional else 0, "dropout": dropout}
    denoiser = Mlp().build(settings)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=random))
    return denoiser.to(dtype).eval().requires_grad_(False)


def data(conditional: bool = True) -> Data:
    """Labels, real images and teacher pairs, all made."""
    labels = torch.arange(CLASSES).repeat(4)
    images = torch.randn(12, *SHAPE, generator=torch.Generator().manual_seed(1))

    def condition(chosen: torch.Tensor) -> Condition:
        return Condition(labels=labels[chosen]) if conditional else Condition()

    def real(draws: Draws) -> tuple[torch.Tensor, Condition]:
        chosen = (draws.uniform("real") * 12).long()
        return images[chosen], condition(chosen)

    def pairs(draws: Draws) -> tuple[torch.Tensor, torch.Tensor, Condition]:
        chosen = (draws.uniform("pairs") * 12).long()
        return images[chosen], 0.5 * images[chosen], condition(chosen)

    return Data(ClassLabels(labels) if conditional else Unconditional(), SHAPE, real=real, pairs=pairs)


def distil(
    method: Method,
    options: Any,
    folder: Path,
    conditional: bool = True,
    dropout: float = 0.0,
    engine: EngineSettings = FAITHFUL,
    **recipe: Any,
) -> Trained:
    """A few steps of a method on the toy."""
    settings = {"images": 6 * 8, "batch": 8, "ema_halflife": 50.0, "save_seconds": 1e9, **recipe}
    dtype = getattr(torch, settings.get("dtype", "float32"))
    taught = teacher(conditional, dtype=dtype, dropout=dropout)
    training = Training(method, options, taught, data(conditional), LoopSettings(**settings))
    return train(training, Execution(folder, engine=engine, quiet=True, everywhere=True))


def weights(trained: Trained) -> torch.Tensor:
    """All parameters of the averaged generator as one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in trained.generator.parameters()])
