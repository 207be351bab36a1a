"""Feature networks run in full float32, whatever the training in the same process allows itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """No gradients and no TF32; the settings found are put back. TF32 moves features by 1e-3, a network by 1e-6."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
