"""The EDM family: DDPM++, NCSN++ and ADM with the published names (Karras et al. 2022), in pixels.

Settings are the init arguments of the published preconditioner (`img_resolution`, `label_dim`, `model_type`, ...);
`wrapper` names the preconditioner, by default EDM's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sid.discovery import UnknownName
from sid.fault import Fault
from sid.teacher import Teacher

if TYPE_CHECKING:
    import torch
    from torch import nn

    from sid.denoiser import Denoiser

WRAPPERS = ("EDMPrecond", "VPPrecond", "VEPrecond", "iDDPMPrecond")
# The preconditioner's arguments and their published defaults; all others belong to the network.
PRECONDITIONER: dict[str, Any] = {
    "wrapper": "EDMPrecond",
    "img_resolution": None,
    "img_channels": None,
    "label_dim": 0,
    "use_fp16": False,
    "model_type": None,
    "sigma_data": 0.5,
    # The wrappers' noise range, unused: sampling takes it from the process.
    "sigma_min": None,
    "sigma_max": None,
    "beta_d": 19.9,
    "beta_min": 0.1,
    "M": 1000,
    "epsilon_t": 1e-5,
    "C_1": 0.001,
    "C_2": 0.008,
}
MODELS = ("SongUNet", "DhariwalUNet")
MOST_LEVELS = 16  # resolutions of a network
MOST = {
    "img_resolution": 8192,
    "img_channels": 1024,
    "label_dim": 1_000_000,
    "augment_dim": 1024,
    "model_channels": 8192,
    "channel_mult": 64,
    "channel_mult_emb": 64,
    "channel_mult_noise": 64,
    "num_blocks": 64,
    "attn_resolutions": 8192,
    "resample_filter": 1024,
}
MODEL_OF_WRAPPER = {"EDMPrecond": "DhariwalUNet", "iDDPMPrecond": "DhariwalUNet"}  # else SongUNet: as published


class EdmTeacher(Teacher):
    name = "edm"
    version = 1
    paper = (
        "Karras, Aittala, Aila & Laine, Elucidating the Design Space of Diffusion-Based Generative Models, 2206.00364"
    )
    verified = "layout"
    process = "edm"
    augment = True
    features = True
    licence = "CC BY-NC-SA 4.0 (NVIDIA's published EDM weights)"

    def build(self, settings: dict[str, Any]) -> Denoiser:
        from sid.denoiser import Denoiser
        from sid.noise import Edm

        wrap, network_settings = split(settings)
        process = Edm(sigma_data=wrap["sigma_data"])
        network = _wrapped(_model(wrap, network_settings), wrap)
        prediction = "edm" if wrap["wrapper"] == "EDMPrecond" else "x0"
        return Denoiser(network, process, prediction, self.name, dict(settings))

    def load(self, folder: Path) -> Denoiser:
        import torch

        described = describe(folder, self.name)
        with torch.device("meta"):  # no initialisation of values that are replaced
            denoiser = self.build(described["settings"])
        fill(denoiser.network, folder)
        return denoiser.eval().requires_grad_(False)


def split(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The preconditioner's settings with defaults, and the network's; a Fault for missing or unknown ones."""
    for required in ("img_resolution", "img_channels"):
        if settings.get(required) is None:
            raise Fault(f"edm needs the setting {required}")
    wrap = {**PRECONDITIONER, **{key: value for key, value in settings.items() if key in PRECONDITIONER}}
    if wrap["wrapper"] not in WRAPPERS:
        raise UnknownName("EDM wrapper", wrap["wrapper"], WRAPPERS)
    wrap["model_type"] = wrap["model_type"] or MODEL_OF_WRAPPER.get(wrap["wrapper"], "SongUNet")
    if wrap["model_type"] not in MODELS:
        raise UnknownName("EDM network", wrap["model_type"], MODELS)
    refuse_absurd(settings)
    return wrap, {key: value for key, value in settings.items() if key not in PRECONDITIONER}


def refuse_absurd(settings: Mapping[str, Any]) -> None:
    """A Fault for sizes that no network has: building one would take for ever."""
    for name, most in MOST.items():
        values = value if isinstance(value := settings.get(name), list | tuple) else [value]
        if not all(part is None or isinstance(part, int | float) for part in values):
            raise Fault(f"the network's setting {name} is {str(value)[:100]!r}, and a number is needed")
        if len(values) > MOST_LEVELS or any(part is not None and part > most for part in values):
            raise Fault(
                f"the network's setting {name} is {str(value)[:100]}: no network of this family goes above {most:,}"
            )


def _model(wrap: Mapping[str, Any], given: Mapping[str, Any]) -> nn.Module:
    from sid.teachers.edm_networks.adm import AdmSettings, DhariwalUNet
    from sid.teachers.edm_networks.song import SongSettings, SongUNet

    song = wrap["model_type"] == "SongUNet"
    settings_class = SongSettings if song else AdmSettings
    known = {field.name: field for field in fields(settings_class)}
    for key in given:
        if key not in known:
            raise UnknownName(f"setting of {wrap['model_type']}", key, [*known, *PRECONDITIONER])
    doubled = 2 if wrap["wrapper"] == "iDDPMPrecond" else 1  # its second half is a variance, which is not used
    values = {
        "img_resolution": wrap["img_resolution"],
        "in_channels": wrap["img_channels"],
        "out_channels": wrap["img_channels"] * doubled,
        "label_dim": wrap["label_dim"],
        **{key: tuple(value) if isinstance(value, list) else value for key, value in given.items()},
    }
    missing = [name for name, field in known.items() if field.default is MISSING and name not in values]
    assert not missing, missing
    return SongUNet(SongSettings(**values)) if song else DhariwalUNet(AdmSettings(**values))


def _wrapped(model: nn.Module, wrap: Mapping[str, Any]) -> nn.Module:
    from sid.teachers.edm_networks.network import EdmNetwork, IddpmNetwork, ScaledNetwork, ve_scaling, vp_scaling

    classes, half = wrap["label_dim"], bool(wrap["use_fp16"])
    if wrap["wrapper"] == "VPPrecond":
        return ScaledNetwork(model, vp_scaling(wrap["M"], wrap["beta_d"], wrap["beta_min"]), classes, half)
    if wrap["wrapper"] == "VEPrecond":
        return ScaledNetwork(model, ve_scaling(), classes, half)
    if wrap["wrapper"] == "iDDPMPrecond":
        return IddpmNetwork(model, classes, half, wrap["M"], wrap["C_1"], wrap["C_2"])
    return EdmNetwork(model, classes, half)


def describe(folder: Path, family: str) -> dict[str, Any]:
    """teacher.json of an imported model; a Fault where the folder has none, or another family's."""
    folder = Path(folder)
    for name in ("teacher.json", "network.safetensors"):
        if not (folder / name).is_file():
            raise Fault(
                f"{folder} is no {family} model: it has no {name} "
                f"(expected teacher.json and network.safetensors, which `sidbench import` writes)"
            )
    try:
        described = json.loads((folder / "teacher.json").read_text())
    except (ValueError, RecursionError) as error:
        raise Fault(f"{folder / 'teacher.json'} is not JSON: {error}") from error
    if not isinstance(described, dict) or not isinstance(described.get("settings"), dict):
        raise Fault(f"{folder / 'teacher.json'} has no settings")
    if described.get("family") != family:
        raise Fault(f"{folder} holds a model of the family '{described.get('family')}', not '{family}'")
    return described


def fill(network: nn.Module, folder: Path) -> None:
    """Loads the folder's weights, in float32, into a network on the meta device."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(folder) / "network.safetensors"
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise Fault(f"{path} is no whole safetensors file: {error}") from error
    sentence = mismatch(tensors, network.state_dict())
    if sentence:
        raise Fault(f"{path} does not fit the network that teacher.json describes: {sentence}")
    network.load_state_dict({name: tensor.to(torch.float32) for name, tensor in tensors.items()}, assign=True)


def mismatch(tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> str:
    """The first difference in names or shapes; empty where there is none."""
    for name, tensor in expected.items():
        if name not in tensors:
            missing = sum(key not in tensors for key in expected)
            return f"{missing} of {len(expected)} tensors are missing, the first is {name}"
        if tensors[name].shape != tensor.shape:
            return f"{name} has the shape {list(tensors[name].shape)} where {list(tensor.shape)} is expected"
    extra = [name for name in tensors if name not in expected]
    return f"{len(extra)} tensors are not expected, the first is {extra[0]}" if extra else ""
