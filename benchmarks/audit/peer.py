"""What is asked of another implementation, and how a broken one is told."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from unittest.mock import patch

import numpy as np

from benchmarks.audit.peer_recipe import PeerRecipe
from sid.discovery import Component, discover

if TYPE_CHECKING:
    from torch import Tensor

OURS = PeerRecipe()


@dataclass(frozen=True)
class Given:
    """The network that every peer is handed: its tensors, and the same in a file this project wrote."""

    state: dict[str, Any]
    file: Path
    tap: int = 2048  # dimensions of the features: 64, 192 or 768 where fewer images shall be enough


@dataclass(frozen=True)
class PeerCall:
    """One way into a peer, with the recipe that its documentation or code promises."""

    run: Callable[..., Any]
    recipe: PeerRecipe = OURS
    compatible: Mapping[str, Any] | None = None  # options of our metric that follow the peer's own rule
    twin: Callable[..., Any] | None = None  # or this project's arithmetic on the peer's own random draws
    note: str = ""  # what of it is not the peer's own, on its row


class Peer(Component):
    """Each method gives calls by label; none of them may be reached before `version_of` found the package."""

    package: ClassVar[str]

    def version_of(self) -> str:
        return version(self.package)

    def distances(self) -> dict[str, PeerCall]:
        """(features, reference) -> Frechet distance."""
        return {}

    def kernels(self, subset: int) -> dict[str, PeerCall]:
        """(features, reference) -> KID with subsets of that size."""
        return {}

    def scores(self) -> dict[str, PeerCall]:
        """logits -> Inception Score."""
        return {}

    def neighbours(self) -> dict[str, PeerCall]:
        """(features, reference) -> (precision, recall) with k = 3."""
        return {}

    def resizes(self) -> dict[str, PeerCall]:
        """uint8 [N, 3, H, W] -> grey levels [N, 3, 299, 299]."""
        return {}

    def networks(self, given: Given) -> dict[str, PeerCall]:
        """folder of images -> features [N, tap]."""
        return {}


def peers() -> dict[str, Peer]:
    """All that have a file here, installed or not."""
    return discover(Peer, ["benchmarks.audit.peers"])


@dataclass(frozen=True)
class Outcome:
    """A value or the reason why there is none."""

    value: Any = None
    broken: str = ""


def guarded(run: Callable[..., Any], *arguments: Any) -> Outcome:
    """A peer may break in any way with the versions that are installed; the audit goes on."""
    try:
        with sqrtm_as_before(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a peer says to its own users is no finding of the audit
            return Outcome(run(*arguments))
    except PackageNotFoundError as error:
        return Outcome(broken=f"not installed: {error.name}")
    except Exception as error:
        told = str(error).strip().splitlines() or [""]
        return Outcome(broken=f"broken with the installed versions: {type(error).__name__}: {told[0][:160]}")


@contextlib.contextmanager
def sqrtm_as_before() -> Iterator[None]:
    """scipy 1.18 took `disp` out of sqrtm, on which several peers rely: here they find it again."""
    import scipy.linalg

    now = scipy.linalg.sqrtm
    if "disp" in inspect.signature(now).parameters:
        yield
        return

    def before(matrix: np.ndarray, disp: bool = True, **options: Any) -> Any:
        root = now(matrix, **options)
        return root if disp else (root, float("nan"))

    with patch.object(scipy.linalg, "sqrtm", before):
        yield


def image_batches(folder: Path, size: int = 16) -> Iterator[Tensor]:
    """uint8 batches of the images of a folder in natural order, neighbours of one size together."""
    import torch

    from benchmarks.images.reading import decode, open_images

    images, held = open_images(folder), list[Any]()
    for index in range(len(images)):
        pixels = decode(images.read(index), images.names[index])[0]
        if held and (held[0].shape != pixels.shape or len(held) == size):
            yield torch.from_numpy(np.stack(held))
            held = []
        held.append(pixels)
    yield torch.from_numpy(np.stack(held))
