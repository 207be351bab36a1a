"""Applies the engine to the networks: autocast, compile, memory order, recomputation, shards. In place; names stay.

The averaged generator, which is scored, stays in plain float32 under every engine; only its weights are sharded.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from sid.denoiser import Denoiser
from sid.fault import Fault
from sid.lora import Adapted, switched
from sid.method import Player
from sid.nets import trained_parameters
from sid.parallel import casting, sharding
from sid.parallel.engine import Engine
from sid.parallel.settings import Footprint

GRAPHS = 256  # of one function; a U-Net has some dozens of different blocks, each trained and frozen


def footprint(nets: Mapping[str, nn.Module], players: Iterable[Player], averages: Iterable[str]) -> Footprint:
    """The parameter counts of a run's networks."""

    def count(parameters: Iterable[nn.Parameter]) -> int:
        return sum(parameter.numel() for parameter in parameters)

    players = list(players)
    trained = [trained_parameters(nets, player.trains) for player in players]
    moved = {id(parameter) for parameters in trained for parameter in parameters}
    averages = list(averages)
    still = {name: {id(part): part for part in net.parameters() if id(part) not in moved} for name, net in nets.items()}
    teacher = still.pop("teacher")
    others = {key: part for name, parts in still.items() if name not in averages for key, part in parts.items()}
    return Footprint(
        frozen=count(teacher.values()),
        trained=tuple(map(count, trained)),
        momentless=tuple(
            count(parameters)
            for player, parameters in zip(players, trained, strict=True)
            if player.optimiser.betas[0] == 0
        ),
        averaged=sum(count(nets[name].parameters()) for name in averages),
        base=count(part for key, part in others.items() if key not in teacher),
    )


def prepare(nets: Mapping[str, nn.Module], engine: Engine, dtype: torch.dtype) -> None:
    """Applies the engine's settings to every network, each module once.

    `dtype` is that of the weights.
    """
    settings = engine.settings
    half = settings.precision == "bf16"
    if half and dtype != torch.float32:
        raise Fault(f"engine precision bf16 keeps float32 weights: the recipe's dtype must be float32 (got {dtype})")
    # float32 is float32: torch would give a GPU's convolutions ten bits of mantissa (TF32) unasked.
    torch.backends.cudnn.allow_tf32 = False
    if half:
        _store_in_half(nets["teacher"])
    _cast_inside(nets, settings.precision == "fp16")
    done: set[nn.Module] = set()
    for name, modules in sharding.roots(nets).items():
        for root in modules:
            if root not in done:
                done.add(root)
                if settings.channels_last:
                    _channels_last(root, engine.sharded)
                if name != "ema":
                    _apply_settings(root, engine)
                if engine.sharded:
                    sharding.shard(root, engine, half and name != "ema")


def _cast_inside(nets: Mapping[str, nn.Module], half: bool) -> None:
    """Whether the networks of the EDM families compute in float16 on CUDA: the engine's word, not the weight file's.

    The settings say the same from then on: a generator is written, and sampled again, as its average was scored.
    """
    parts = {part: name for name, net in nets.items() for part in net.modules() if isinstance(part, Denoiser)}
    for denoiser, name in parts.items():
        if hasattr(denoiser.network, "half_precision"):
            cast = half and name != "ema"
            setattr(denoiser.network, "half_precision", cast)  # noqa: B010 - a word, not a module
            if denoiser.settings and denoiser.settings.get("use_fp16", False) is not cast:
                denoiser.settings = {**denoiser.settings, "use_fp16": cast}
        elif half:
            raise Fault(
                f"engine precision fp16 is the EDM families' own cast, and {denoiser.family} has none: take bf16"
            )


def _store_in_half(teacher: nn.Module) -> None:
    """Stores the frozen teacher's matrices and kernels in bfloat16, to which autocast would cast them anyway.

    Vectors stay in float32, in which autocast computes norms: a teacher with other norms than the critic, which starts
    as its copy, would not cancel against it.
    """
    adapters = [module for module in teacher.modules() if isinstance(module, Adapted)]
    trained = {parameter for part in adapters for side in (part.up, part.down) for parameter in side.parameters()}
    for parameter in teacher.parameters():
        if parameter.ndim > 1 and parameter not in trained:
            parameter.data = parameter.data.to(torch.bfloat16)


def _channels_last(root: nn.Module, sharded: bool) -> None:
    """Puts images in channels-last order, and kernels too unless they are sharded: shards must be contiguous."""
    if not sharded:
        root.to(memory_format=torch.channels_last)

    def reorder(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        image, *rest = inputs
        return (image.contiguous(memory_format=torch.channels_last) if image.ndim == 4 else image, *rest)

    _network(root).register_forward_pre_hook(reorder)


def _apply_settings(root: nn.Module, engine: Engine) -> None:
    settings, network = engine.settings, _network(root)
    parts = sharding.blocks(root)
    if settings.half_norms:
        casting.norms_in_half(network)
    # The compiler merges casts into the products, and shards are gathered in half.
    if settings.precision == "bf16" and not (settings.compile or engine.sharded):
        for block in parts:
            casting.cast_together(block)
    if settings.compile and (settings.checkpointing or settings.split_backward) and _adapted(root):
        raise Fault(
            "engine compile can't be combined with checkpointing or split_backward where a network has adapters: "
            "the compiler can't switch them for the second pass"
        )
    if settings.checkpointing:
        for block in parts:
            _recompute(block)
    if settings.split_backward:
        _recompute(network, frozen_only=True)
    if settings.compile:
        # Blocks of many shapes share one function: with the default of 8 graphs most would stay uncompiled.
        import torch._dynamo

        torch._dynamo.config.recompile_limit = GRAPHS
        # Shards are gathered between blocks, where a graph of the whole network would break.
        for part in (parts or [network]) if engine.sharded else [network]:
            part.compile(dynamic=False)
    if settings.precision == "bf16":
        _autocast(network, engine.device.type)


def _network(root: nn.Module) -> nn.Module:
    """The part that runs in low precision: a denoiser converts to x0 in float32 around its network."""
    return root.network if isinstance(root, Denoiser) else root


def _autocast(network: nn.Module, device: str) -> None:
    forward: Callable = network.forward

    def cast(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device, torch.bfloat16):
            return forward(*args, **kwargs)

    network.forward = cast


def _recompute(block: nn.Module, frozen_only: bool = False) -> None:
    """Recomputes the block in the backward pass, with the dropout masks and adapters of its forward pass."""
    forward: Callable = block.forward
    adapters = [module for module in block.modules() if isinstance(module, Adapted)]

    def contexts() -> tuple[Any, Any]:
        return contextlib.nullcontext(), switched(adapters, [adapter.on for adapter in adapters])

    # The compiler accepts no context functions, and blocks without adapters need none.
    context: dict[str, Any] = {"context_fn": contexts} if adapters else {}

    def again(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled() or (frozen_only and any(map(_trains, block.parameters()))):
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, **context, **kwargs)

    block.forward = again


def _adapted(root: nn.Module) -> bool:
    return any(isinstance(module, Adapted) for module in root.modules())


def _trains(parameter: nn.Parameter) -> bool:
    return parameter.requires_grad


def blank(net: nn.Module) -> nn.Module:
    """A copy of the modules on the meta device, to be filled with whole weights by `gathered`."""
    empty = {
        id(parameter): nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)
        for parameter in net.parameters()
    }
    return copy.deepcopy(net, memo=dict(empty))


@torch.no_grad()
def gathered(net: nn.Module, empty: nn.Module) -> nn.Module:
    """The `empty` copy filled with a sharded network's whole weights; every process must call this."""
    weights = {name: sharding.whole(value) for name, value in net.state_dict().items()}
    empty.load_state_dict(weights, assign=True)
    return empty.requires_grad_(False)
