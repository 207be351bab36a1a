"""The student: a denoiser entered at one noise level (one step), or a chain of such entries (few steps)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sid import atomic
from sid.chain import Chain
from sid.condition import Condition
from sid.denoiser import X0, Denoiser, Prediction
from sid.fault import Fault
from sid.lora import merged_state


class Generator(nn.Module):
    """A denoiser run as a chain. Gradients flow through the last step only."""

    def __init__(self, denoiser: Denoiser, chain: Chain | None = None):
        super().__init__()
        self.denoiser = denoiser
        self.chain = chain or Chain()

    @property
    def times(self) -> list[float]:
        """The times of the whole chain, also where fewer steps are run."""
        process = self.denoiser.process
        t_init = process.t_init if self.chain.t_init is None else self.chain.t_init
        return process.grid(t_init, self.chain.steps)

    def forward(self, noises: Sequence[Tensor], condition: Condition | None = None, steps: int | None = None) -> Tensor:
        """The image after `steps` steps (default: the whole chain), whose gradient sees the last step alone.

        `noises[0]` is z; `noises[k]` re-noises step k where the chain's `renoise` is fresh. A truncated chain keeps
        the full chain's times, so its output is itself a trained output.
        """
        x, _ = self.run(noises, condition, steps)
        return x

    def run(
        self, noises: Sequence[Tensor], condition: Condition | None, steps: int | None, want: frozenset[str] = X0
    ) -> tuple[Tensor, Prediction]:
        """As forward, with the last step's whole prediction."""
        steps = self.chain.steps if steps is None else steps
        with torch.no_grad():
            x_t = self._enter(noises[0])
            for step in range(steps - 1):
                x0 = self.denoiser(x_t, self._time(step, x_t), condition).image
                x_t = self._renoise(noises, step + 1, x_t, x0)
        prediction = self.denoiser(x_t, self._time(steps - 1, x_t), condition, want)
        return self._leave(x_t, prediction.image, steps), prediction

    def _leave(self, x_t: Tensor, x0: Tensor, steps: int) -> Tensor:
        """The chain's output after its last step: that step's x0."""
        return x0

    def _time(self, step: int, like: Tensor) -> Tensor:
        dtype = torch.long if self.denoiser.process.kind == "vp" else torch.promote_types(like.dtype, torch.float32)
        return torch.full((len(like),), self.times[step], device=like.device, dtype=dtype)

    def _enter(self, z: Tensor) -> Tensor:
        if self.chain.unit_input and self.denoiser.process.kind != "edm":
            return z
        return self.denoiser.process.add_noise(torch.zeros_like(z), z, self._time(0, z)).to(z.dtype)

    def _renoise(self, noises: Sequence[Tensor], step: int, x_t: Tensor, x0: Tensor) -> Tensor:
        process = self.denoiser.process
        if self.chain.renoise == "ddim":
            noise = process.eps_from_x0(x_t, x0, self._time(step - 1, x_t))
        else:
            noise = noises[0] if self.chain.renoise == "fixed" else noises[step]
        return process.add_noise(x0, noise, self._time(step, x_t)).to(x_t.dtype)

    def noises_needed(self, steps: int | None = None) -> int:
        """How many noise tensors `steps` steps read."""
        return (self.chain.steps if steps is None else steps) if self.chain.renoise == "fresh" else 1


def save(generator: Generator, folder: Path, facts: dict[str, Any] | None = None) -> None:
    """generator.safetensors and generator.json: all that is needed to sample again, and no code."""
    from safetensors.torch import save as to_bytes

    tensors = {
        name: value.detach().contiguous().cpu() for name, value in merged_state(generator.denoiser.network).items()
    }
    denoiser, weights = generator.denoiser, to_bytes(tensors)
    described = {
        "family": denoiser.family,
        "settings": denoiser.settings,
        "prediction": denoiser.prediction,
        "process": denoiser.process.to_dict(),
        "chain": asdict(generator.chain),
        "sha256": hashlib.sha256(weights).hexdigest(),
        **(facts or {}),
    }
    # The weights first: a reader that finds the description finds the weights.
    atomic.write_bytes(folder / "generator.safetensors", weights)
    atomic.write_json(folder / "generator.json", described)


def describe(folder: Path) -> dict[str, Any]:
    """The content of generator.json."""
    try:
        described: dict[str, Any] = json.loads((folder / "generator.json").read_text())
        return dict(described)
    except (ValueError, RecursionError):
        raise Fault(f"{folder / 'generator.json'} is no JSON table: the file is damaged") from None


def load(folder: Path, blank: Denoiser) -> Generator:
    """The generator of a folder; `blank` is a denoiser built by its family from the described settings."""
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    path, described = folder / "generator.safetensors", describe(folder)
    if not path.is_file():
        raise Fault(f"{folder} holds no {path.name}: the run has not ended, or the file is lost")
    weights = path.read_bytes()
    digest = hashlib.sha256(weights).hexdigest()
    if described.get("sha256", digest) != digest:  # absent in the oldest folders
        raise Fault(
            f"{path} is damaged: its sha256 is not the one in generator.json; remove the folder and make it again"
        )
    try:
        tensors = from_bytes(weights)
    except SafetensorError as error:
        raise Fault(f"{path} is no whole safetensors file: {error}") from error
    blank.network.load_state_dict(tensors)
    return Generator(blank, Chain(**described["chain"])).eval().requires_grad_(False)
