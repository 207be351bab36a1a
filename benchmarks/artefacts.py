"""Opening what earlier jobs made: teachers, generators, pairs, and the data behind them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks import components
from sid import generator
from sid.condition import ClassLabels, Condition, Unconditional
from sid.draws import Draws
from sid.fault import Fault
from sid.generator import Generator
from sid.method import TeacherFacts
from sid.trainer import Data

if TYPE_CHECKING:
    from benchmarks.dataset import Dataset
    from sid.denoiser import Denoiser


def described_in(folder: Path, name: str) -> dict:
    """A description beside the weights; one sentence when the folder holds none."""
    try:
        return json.loads((folder / name).read_text())
    except OSError:
        raise Fault(f"{folder} holds no {name}: it is no folder that sidbench made") from None
    except ValueError:
        raise Fault(f"{folder / name} is no JSON: the file is damaged") from None


def origin(folder: Path) -> tuple[Dataset, bool]:
    """The data set a teacher was trained on, and whether with its labels."""
    described = described_in(folder, "teacher.json")
    return components.datasets()[described["data"]], described["conditional"]


def open_teacher(folder: Path) -> tuple[Denoiser, Data]:
    """A miniature teacher, with conditions of its data set's own frequencies."""
    described = described_in(folder, "teacher.json")
    teacher = components.teachers()[described["family"]].load(folder)
    return teacher, data_of(*origin(folder))


def teacher_facts(folder: Path) -> TeacherFacts:
    """What a method may know of a miniature teacher on disk."""
    described = described_in(folder, "teacher.json")
    family = components.teachers()[described["family"]]
    return TeacherFacts(
        name=str(folder),
        process=family.process,
        conditional=described["conditional"],
        guidance=described["conditional"] and described.get("dropout", 0.0) > 0,
        features=family.features,
        real=True,
    )


def open_generator(folder: Path) -> tuple[Generator, Data]:
    """A distilled generator, with the conditions it was trained with."""
    described = described_in(folder, "generator.json")
    blank = components.teachers()[described["family"]].build(described["settings"])
    dataset = components.datasets()[described["data"]]
    return generator.load(folder, blank), data_of(dataset, described["conditional"])


def data_of(dataset: Dataset, conditional: bool) -> Data:
    """What every player gets: conditions and the samples' shape."""
    conditions = ClassLabels(torch.from_numpy(dataset.labels("train"))) if conditional else Unconditional()
    return Data(conditions, dataset.shape)


def real_images(dataset: Dataset, conditional: bool) -> Callable[[Draws], tuple[torch.Tensor, Condition]]:
    """Training images in [-1, 1] with their labels, drawn with replacement."""
    pixels = torch.from_numpy(dataset.images("train")).float() / 127.5 - 1
    labels = torch.from_numpy(dataset.labels("train")) if conditional else None

    def draw(draws: Draws) -> tuple[torch.Tensor, Condition]:
        chosen = (draws.uniform("real") * len(pixels)).long()
        return pixels[chosen], Condition() if labels is None else Condition(labels=labels[chosen])

    return draw


def teacher_pairs(folder: Path) -> Callable[[Draws], tuple[torch.Tensor, torch.Tensor, Condition]]:
    """Prepared pairs of noise and teacher image, drawn with replacement."""
    from safetensors.torch import load_file

    held = load_file(folder / "pairs.safetensors")

    def draw(draws: Draws) -> tuple[torch.Tensor, torch.Tensor, Condition]:
        chosen = (draws.uniform("pairs") * len(held["noise"])).long()
        condition = Condition(labels=held["labels"][chosen]) if "labels" in held else Condition()
        return held["noise"][chosen], held["images"][chosen], condition

    return draw
