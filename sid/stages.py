"""What a second stage of training takes over from the first, beside its averaged generator.

A stage that others go on from leaves its networks' last weights in one file. The published second stages differ in what
they read of it (`sid.method.Method.continues`): SiD2A the generator alone, DMD2 the critic too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from torch import Tensor, nn

from sid import atomic
from sid.denoiser import Denoiser
from sid.fault import Fault
from sid.generator import Generator, describe
from sid.lora import merged_state

FILE = "networks.safetensors"
State = Mapping[str, Tensor]  # a network's tensors by name


def body(net: nn.Module) -> nn.Module:
    """The module that holds a network's weights, whatever wraps it."""
    if isinstance(net, Generator):
        net = net.denoiser
    return net.network if isinstance(net, Denoiser) else net


def state_of(net: nn.Module) -> dict[str, Tensor]:
    """A network's tensors on the CPU, adapters folded in."""
    return {name: value.detach().cpu().contiguous() for name, value in merged_state(body(net)).items()}


def save(folder: Path, networks: Mapping[str, State], digest: str) -> None:
    """The networks of the run with that digest."""
    from safetensors.torch import save as to_bytes

    tensors = {f"{name}/{key}": value for name, state in networks.items() for key, value in state.items()}
    atomic.write_bytes(folder / FILE, to_bytes(tensors, metadata={"digest": digest}))


def load(folder: Path, names: Collection[str]) -> dict[str, dict[str, Tensor]]:
    """Some of a finished run's networks; a Fault where its folder does not hold them."""
    from safetensors import safe_open

    path = folder / FILE
    states: dict[str, dict[str, Tensor]] = {name: {} for name in names}
    again = f"sidbench run SUITE {'/'.join(folder.parts[-3:])} writes them; what it has trained stays"
    if not path.exists():
        raise Fault(f"{path} is missing: a second stage goes on from the first one's {', '.join(names)}; {again}")
    with safe_open(path, framework="pt") as file:
        if (file.metadata() or {}).get("digest") != describe(folder).get("digest"):
            raise Fault(f"{path} is of another run than the generator beside it; {again}")
        for key in file.keys():  # noqa: SIM118 - a safetensors file is no mapping
            name, _, inner = key.partition("/")
            if name in states:
                states[name][inner] = file.get_tensor(key)
    if lacking := [name for name in names if not states[name]]:
        raise Fault(f"{path} holds no {', '.join(lacking)}; {again}")
    return states
