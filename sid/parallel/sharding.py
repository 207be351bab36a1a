"""FSDP2: every network's weights, gradients and optimiser state in shards over the processes.

Roots are the denoisers (entered only through `forward`) and the heads; inside, every block is gathered for itself.
Adapters and their base are one root: two roots over one base would gather it twice and reshard it under each other.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from sid.denoiser import Denoiser

if TYPE_CHECKING:
    from sid.parallel.engine import Engine


BLOCK_TENSORS = 6  # a residual or transformer block has at least so many parameters, a feed-forward's parts fewer


def local(tensor: Tensor) -> Tensor:
    """This process's shard; a tensor that is whole is its own shard."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """The full tensor on every process; all of them must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def roots(nets: Mapping[str, nn.Module]) -> dict[str, list[nn.Module]]:
    """What is entered through `forward` in each network: its denoiser, or the whole of a head."""
    found = {}
    for name, net in nets.items():
        denoisers: list[nn.Module] = [module for module in net.modules() if isinstance(module, Denoiser)]
        found[name] = denoisers or [net]
    return found


def blocks(root: nn.Module) -> list[nn.Module]:
    """The repeated parts of a network, of any family: the innermost members of module lists that are blocks.

    In diffusers' U-Nets these are residual blocks and transformer blocks, in EDM's the U-Net blocks.
    """
    lists = [module for module in root.modules() if isinstance(module, nn.ModuleList | nn.ModuleDict)]
    members = dict.fromkeys(child for module in lists for child in module.children() if _is_block(child))
    return [member for member in members if not any(other in members for other in _inside(member))]


def _is_block(module: nn.Module) -> bool:
    return len(list(module.parameters())) >= BLOCK_TENSORS


def _inside(module: nn.Module) -> Iterable[nn.Module]:
    return (inner for inner in module.modules() if inner is not module)


def shard(root: nn.Module, engine: Engine, half: bool) -> None:
    """Shards one root in place over all processes. `half` gathers in bfloat16 and sums gradients in float32.

    Inputs are not cast: a time of 979 is 980 in bfloat16.
    """
    # Nothing here changes an output in place, which is what torch warns of where a network returns a view.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    mesh = init_device_mesh(engine.device.type, (engine.world,))
    policy = MixedPrecisionPolicy(cast_forward_inputs=False)
    if half:
        policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
    for module in [*blocks(root), root]:
        fully_shard(module, mesh=mesh, reshard_after_forward=True, mp_policy=policy)
        assert isinstance(module, FSDPModule)
        # A sum and not a mean: the losses divide by the global batch. Plain sums are what gloo knows too.
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)


def settle(modules: Iterable[nn.Module]) -> None:
    """Lets torch read each group's dtypes now, while what is trained asks for gradients.

    It would at the first pass, which for a generator or an adapted teacher is a frozen one: a group of a bfloat16 base
    and float32 adapters would then never learn in which precision to sum.
    """
    for module in modules:
        assert isinstance(module, FSDPModule)
        module._get_fsdp_state()._lazy_init()


def accumulate(modules: Iterable[nn.Module], last: bool) -> None:
    """Gradients stay on their process until the last round, whose backward pass sums them into shards."""
    for module in modules:
        assert isinstance(module, FSDPModule)
        module.set_requires_gradient_sync(last)
