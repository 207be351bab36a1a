"""Outputs of DDPM++ and NCSN++ at their published sizes, by formula, as committed figures; and of their plain doubles.

What the figures prove: `tests/data/edm_figures.json` holds what tests/sid/teachers/plain_networks.py computes, which
shares no layer with the project; the project's networks give the same numbers in float64. For one of the published
layouts the plain double also gives the outputs that were taken from the published network (edm_outputs.json, slow).
They say nothing of published weights, whose files nobody needs here.

`python -m tests.sid.teachers.test_network_figures` writes the file from the plain doubles.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from sid.condition import Condition
from sid.teachers.edm import EdmTeacher
from tests.sid.teachers.plain_networks import State, denoised, weights_by_formula
from tests.sid.teachers.test_edm_networks import LAYOUTS, OUTPUTS, TINY, TINY_ADM, TINY_NCSN

FILE = Path(__file__).parents[2] / "data" / "edm_figures.json"
NAMES = ("ddpmpp-32-cond10", "ncsnpp-32-uncond")
SIGMA = (0.3, 5.0)
TINIES = {
    "ddpmpp": TINY,
    "ncsnpp": {**TINY_NCSN, "channel_mult": [1, 2, 2]},
    "adm": {**TINY_ADM, "channel_mult": [2, 4], "attn_resolutions": [16, 8]},
}


def built(settings: dict[str, Any]) -> Any:
    """The project's network in float64, with weights by formula; filters keep their own numbers."""
    denoiser = EdmTeacher().build(settings)
    state = denoiser.network.state_dict()
    denoiser.network.load_state_dict({**state, **weights_by_formula(state)})
    return denoiser.double().eval()


def inputs(settings: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """(x, sigma, labels, augmentation labels): 2 sin(0.1 j); sample 0 of class 3, sample 1 of the last."""
    side, classes = settings["img_resolution"], settings.get("label_dim", 0)
    x = 2 * torch.sin(0.1 * torch.arange(2 * 3 * side * side, dtype=torch.float64)).reshape(2, 3, side, side)
    labels = torch.tensor([3, classes - 1]) if classes else None
    augment = torch.linspace(-1, 1, 18, dtype=torch.float64).reshape(2, 9) if settings.get("augment_dim") else None
    return x, torch.tensor(SIGMA, dtype=torch.float64), labels, augment


def by_project(settings: dict[str, Any]) -> Tensor:
    x, sigma, labels, augment = inputs(settings)
    with torch.no_grad():
        return built(settings)(x, sigma, Condition(labels=labels, augment=augment)).image


def plain_state(settings: dict[str, Any]) -> State:
    with torch.device("meta"):
        state = EdmTeacher().build(settings).network.state_dict()
    return {name.removeprefix("model."): value.double() for name, value in weights_by_formula(state).items()}


def by_hand(settings: dict[str, Any]) -> Tensor:
    x, sigma, labels, augment = inputs(settings)
    classes = None if labels is None else one_hot(labels, settings["label_dim"]).double()
    with torch.no_grad():
        return denoised(plain_state(settings), settings, x, sigma, classes, augment)


def figures(output: Tensor) -> dict[str, Any]:
    """32 elements spread over the output, and the sum of all squares."""
    flat = output.flatten()
    chosen = [(place * (len(flat) - 1)) // 31 for place in range(32)]
    return {
        "elements": {str(place): flat[place].item() for place in chosen},
        "sum_of_squares": (flat**2).sum().item(),
    }


def agree(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    size = (theirs["sum_of_squares"] / 6144) ** 0.5
    assert ours["sum_of_squares"] == pytest.approx(theirs["sum_of_squares"], rel=1e-10)
    assert ours["elements"] == pytest.approx(theirs["elements"], rel=0, abs=1e-10 * size)


@pytest.mark.parametrize("settings", TINIES.values(), ids=TINIES.keys())
def test_small_ones_are_their_plain_doubles(settings: dict[str, Any]) -> None:
    exact = by_hand(settings)
    assert (by_project(settings) - exact).norm() <= 1e-11 * exact.norm()


@pytest.mark.parametrize("name", NAMES)
def test_outputs_by_formula(name: str) -> None:
    agree(figures(by_project(LAYOUTS[name]["settings"])), json.loads(FILE.read_text())["outputs"][name])


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in NAMES])
def test_the_figures_are_the_plain_doubles(name: str) -> None:
    agree(figures(by_hand(LAYOUTS[name]["settings"])), json.loads(FILE.read_text())["outputs"][name])


@pytest.mark.slow
def test_the_plain_double_gives_the_published_outputs() -> None:
    """Which were computed in float32."""
    settings = LAYOUTS["ddpmpp-32-uncond"]["settings"]
    x, _, _, augment = inputs(settings)
    for case in OUTPUTS["ddpmpp-32-uncond"]:
        sigma = torch.full((2,), case["sigma"], dtype=torch.float64)
        with torch.no_grad():
            labels = augment if case["case"] == "augment" else None
            output = denoised(plain_state(settings), settings, x, sigma, None, labels)
        for index, value in case["elements"].items():
            assert abs(output.flatten()[int(index)].item() - value) < 1e-4 * case["std"]


RULE = (
    "Weights and input by the rule of edm_outputs.json, cast to float32 and computed with in float64; sigma 0.3 for "
    "sample 0 and 5.0 for sample 1; classes 3 and the last; augmentation labels linspace(-1, 1, 18). Elements by flat "
    "index of D(x, sigma). Computed by tests/sid/teachers/plain_networks.py."
)

if __name__ == "__main__":
    outputs = {name: figures(by_hand(LAYOUTS[name]["settings"])) for name in NAMES}
    FILE.write_text(json.dumps({"rule": RULE, "outputs": outputs}, indent=1) + "\n")
