"""FSDP2: shards every network's weights, gradients and optimiser state over the processes.

Roots are the denoisers (entered only through `forward`) and the heads; inside, every block is gathered by itself.
Adapters and their base are one root: two roots over one base would gather it twice, and one would reshard it while the
other uses it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from sid.denoiser import Denoiser

if TYPE_CHECKING:
    from sid.parallel.engine import Engine


BLOCK_TENSORS = (
    6  # a residual or transformer block has at least this many parameters, a feed-forward's parts have fewer
)


def local(tensor: Tensor) -> Tensor:
    """This process's shard of a tensor; the tensor itself where it is not sharded."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """The full tensor on every process; all must call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def roots(nets: Mapping[str, nn.Module]) -> dict[str, list[nn.Module]]:
    """The modules of each network that are entered through `forward`: its denoisers, or the whole of a head."""
    entered = {}
    for name, net in nets.items():
        denoisers: list[nn.Module] = [module for module in net.modules() if isinstance(module, Denoiser)]
        entered[name] = denoisers or [net]
    return entered


def blocks(root: nn.Module) -> list[nn.Module]:
    """The repeated blocks of a network of any family: the innermost members of module lists with enough tensors.

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
    """Shards one root in place over the processes that share it.

    `half` gathers in bfloat16 and sums gradients in float32. Inputs are not cast: a time of 979 is 980 in bfloat16.
    """
    # torch warns that outputs which are views may be changed in place; nothing here does that.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    policy = MixedPrecisionPolicy(cast_forward_inputs=False)
    if half:
        policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
    for module in [*blocks(root), root]:
        fully_shard(module, mesh=engine.mesh, reshard_after_forward=True, mp_policy=policy)
        assert isinstance(module, FSDPModule)
        # A sum and not a mean: the losses divide by the global batch. gloo can only sum.
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)


def settle(modules: Iterable[nn.Module]) -> None:
    """Makes torch read each group's dtypes now, while the trained parameters require gradients.

    By default it does so at the first pass, in which a generator or an adapted teacher is frozen: a group of a bfloat16
    base and float32 adapters would then not know in which precision to sum.
    """
    for module in modules:
        assert isinstance(module, FSDPModule)
        module._get_fsdp_state()._lazy_init()


def accumulate(modules: Iterable[nn.Module], last: bool) -> None:
    """Sums gradients into shards in the last round's backward pass only; before it they stay on their process."""
    for module in modules:
        assert isinstance(module, FSDPModule)
        module.set_requires_gradient_sync(last)
