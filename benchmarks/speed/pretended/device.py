"""Training iterations on tensors that claim to lie on a GPU: no GPU, no memory, no values.

The trainer itself runs, with torch's fake tensors in place of tensors. What a fake tensor can't do is done around it
here, each with its reason; everything else is what a GPU would be asked to do.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from benchmarks.speed.pretended.watch import PINNED, Counts, OperatorWatch
from sid.draws import constant
from sid.loop.settings import LoopSettings
from sid.loop.trainer import Execution, Training, _Run, train
from sid.parallel.settings import EngineSettings

DEVICE = "cuda:0"
FLASH_WIDTH, FLASH_STEP = 256, 8  # the widest head of flash attention, and what widths are padded to multiples of
WARMING = 1  # iterations before the counted one: optimisers make their moments in the first
PLAIN_ATTENTION = functional.scaled_dot_product_attention


@dataclass(frozen=True)
class CountedTraining:
    """What is trained: a training, whose budget is set here, and its engine."""

    training: Training
    engine: EngineSettings


class IterationOver(Exception):
    """Enough was counted: the trainer is left."""


@contextlib.contextmanager
def pretended() -> Iterator[None]:
    """Tensors made inside are fake, and those on `DEVICE` claim a GPU. The process must have `library.environment`."""
    with contextlib.ExitStack() as stack:
        for target, name, replacement in (
            (functional, "scaled_dot_product_attention", attention),
            (nn.Module, "_apply", _apply),
            (Tensor, "pin_memory", _pin),
            (torch.cuda, "set_device", lambda device: None),
            (torch.cuda, "max_memory_allocated", lambda *_: 0),
            (torch.cuda, "is_bf16_supported", lambda *_, **__: True),
            # Whoever asks this would then talk to the device.
            (torch.cuda, "is_available", lambda: False),
            (torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
        ):
            stack.enter_context(mock.patch.object(target, name, replacement))
        constant.cache_clear()
        stack.callback(constant.cache_clear)
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        yield


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """The kernel that torch chooses on a GPU: flash attention in half precision without a mask, else the efficient one.

    torch's own choice asks the driver.
    """
    if query.device.type != "cuda":
        return PLAIN_ATTENTION(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
    if torch.is_autocast_enabled("cuda"):
        dtype = torch.get_autocast_dtype("cuda")
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    width, kernels = query.shape[-1], torch.ops.aten
    scale = width**-0.5 if scale is None else scale
    if query.dtype != torch.float32 and attn_mask is None and width <= FLASH_WIDTH:
        if over := -width % FLASH_STEP:
            query, key, value = (functional.pad(part, (0, over)) for part in (query, key, value))
        flash = kernels._scaled_dot_product_flash_attention
        return flash(query, key, value, dropout_p, is_causal, False, scale=scale)[0][..., :width]
    if attn_mask is not None:
        attn_mask = attn_mask.expand(*query.shape[:-1], key.shape[-2]).to(query.dtype)
    efficient = kernels._scaled_dot_product_efficient_attention
    saves = torch.is_grad_enabled()
    return efficient(query, key, value, attn_mask, saves, dropout_p, is_causal, scale=scale)[0]


def _apply(module: nn.Module, change: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """nn.Module's own, but that a fake parameter can't be swapped, and keeps the device that it was made on."""
    for child in module.children() if recurse else ():
        child._apply(change)
    for name, parameter in module._parameters.items():
        if parameter is None:
            continue
        with torch.no_grad():
            moved = change(parameter.data)
        same = (moved.device, moved.dtype, moved.stride()) == (parameter.device, parameter.dtype, parameter.stride())
        if same:
            continue  # a detached fake tensor has a storage of its own
        if moved.device == parameter.device:
            parameter.data = moved
        else:
            module._parameters[name] = nn.Parameter(moved, parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = change(buffer)
    return module


def _pin(tensor: Tensor, *_: Any) -> Tensor:
    """A marked copy: fake tensors know no pinned memory."""
    pinned = tensor.clone()
    setattr(pinned, PINNED, True)
    return pinned


def counted(make: Callable[[], CountedTraining], batch: int, micro: int | None = None) -> Counts:
    """The counts of the iteration after the one that sets things up.

    Args:
        make: Makes what is trained, on the pretended device.
        batch: Samples of an iteration.
        micro: Of a micro-batch; None: the batch.
    """
    watch, iterate = OperatorWatch(), _Run.iterate

    def watched(run: _Run, observers: Any) -> None:
        number = run.state.counters.iteration
        watch.reset()
        iterate(run, observers)
        if number == WARMING:
            raise IterationOver

    with contextlib.ExitStack() as stack:
        stack.enter_context(pretended())
        stack.enter_context(mock.patch.object(_Run, "iterate", watched))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(contextlib.suppress(IterationOver))
        stack.enter_context(watch)
        subject = make()
        given = subject.training
        settings = LoopSettings(
            images=batch * (WARMING + 2),
            batch=batch,
            micro_batch=micro,
            student=given.settings.student,
            save_seconds=1e9,
            log_images=10**9,
        )
        training = Training(given.method, given.options, given.teacher, given.data, settings)
        train(training, Execution(folder, engine=subject.engine, quiet=True, device=DEVICE))
    return watch.counts
