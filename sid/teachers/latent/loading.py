"""Loads a network by diffusers' `from_pretrained`, from local files only; every mismatch is a Fault."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from sid.fault import Fault, report
from sid.teachers.latent import folder as folders


def load_network(network_class: Any, inside: Path, unused: Sequence[str] = ()) -> tuple[nn.Module, str]:
    """The network in float32, and the dtypes that its files stored. Weights of fewer bits are reported.

    `unused` are tensors of the files that the network does not have.
    """
    files = folders.weight_files(inside)
    stored = folders.stored_dtypes(files)
    try:
        network, info = network_class.from_pretrained(
            inside,
            local_files_only=True,
            use_safetensors=True,
            variant=folders.variant_of(files),
            output_loading_info=True,
        )
    except Exception as error:
        raise Fault(f"{inside} is no {network_class.__name__}: {first_line(error)}") from None
    unexpected = [name for name in info["unexpected_keys"] if name not in unused]
    for what, names in (("missing", info["missing_keys"]), ("not expected", unexpected)):
        if names:
            raise Fault(
                f"the weights of {inside} do not fit its config.json: {len(names)} tensors are {what}, "
                f"the first is {sorted(names)[0]} (expected the tensors of a {network_class.__name__})"
            )
    if stored - {"F32"}:
        report(
            f"{inside} stores {', '.join(sorted(stored))} weights where F32 was expected; they are widened to float32 "
            f"and keep their rounding"
        )
    return network.float(), "+".join(sorted(stored))


def first_line(error: BaseException) -> str:
    """The first sentence of a library's error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.split(r"(?<=\.)\s", lines[0])[0][:300] if lines else type(error).__name__
