"""The base class of another implementation, its calls, and the report of a broken one."""

from __future__ import annotations

import contextlib
import inspect
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from unittest.mock import patch

import numpy as np

from benchmarks.audit.peer_recipe import PeerRecipe
from benchmarks.audit.pixels import PixelSet
from sid.discovery import Component, discover

if TYPE_CHECKING:
    from torch import Tensor

OURS = PeerRecipe()


@dataclass(frozen=True)
class GivenNetwork:
    """The network that every peer uses: its tensors, and the same in a file that this project wrote."""

    state: dict[str, Any]
    file: Path
    tap: int = 2048  # dimension of the features; 64, 192 or 768 need fewer images


@dataclass(frozen=True)
class PeerNetwork:
    """A peer from files to features: its own reader where it has one, then its own resize and network."""

    read: Callable[[Path], PixelSet] | None  # None: it takes arrays, and a user reads the files for it
    run: Callable[[Tensor], Tensor]  # uint8 [N, 3, H, W] of one size -> features [N, tap]
    recipe: PeerRecipe = OURS
    note: str = ""  # for its row: what is not the peer's own code


@dataclass(frozen=True)
class PeerCall:
    """A public function of a peer, with the recipe that its documentation or code states."""

    run: Callable[..., Any]
    recipe: PeerRecipe = OURS
    compatible: Mapping[str, Any] | None = None  # options of our metric that make the peer's random draws
    twin: Callable[..., Any] | None = None  # or our arithmetic on the peer's random draws


class Peer(Component):
    """Another implementation, one file in `peers/`.

    Each method returns calls by label and may import the package: `version_of` is called first, and raises if it is
    not installed.
    """

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

    def networks(self, given: GivenNetwork) -> dict[str, PeerNetwork]:
        """From files to features, by way of use."""
        return {}


def peers() -> dict[str, Peer]:
    """All peers, installed or not."""
    return discover(Peer, ["benchmarks.audit.peers"])


@dataclass(frozen=True)
class Outcome:
    """A value, or the reason why there is none."""

    value: Any = None
    broken: str = ""


def guarded(run: Callable[..., Any], *arguments: Any) -> Outcome:
    """Calls a peer; any exception of it becomes an outcome, so that the audit goes on."""
    try:
        with sqrtm_as_before(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings for the peer's own users
            return Outcome(run(*arguments))
    except PackageNotFoundError as error:
        return Outcome(broken=f"not installed: {error.name}")
    except Exception as error:
        message = str(error).strip().splitlines() or [""]
        return Outcome(broken=f"broken with the installed versions: {type(error).__name__}: {message[0][:160]}")


@contextlib.contextmanager
def sqrtm_as_before() -> Iterator[None]:
    """scipy 1.18 removed sqrtm's argument `disp`, which several peers pass: within this context it exists."""
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


def read_files(folder: Path, files: Sequence[Any], pixels_of: Callable[[int], np.ndarray]) -> PixelSet:
    """A peer's list of files and its decoded pixels as a set; files are named below the folder.

    Args:
        folder: that the peer was given.
        files: paths, in the peer's order.
        pixels_of: index -> uint8 [3, H, W].
    """
    root = folder.resolve()
    names = tuple(os.path.relpath(Path(file).resolve(), root) for file in files)
    return PixelSet(names, tuple(np.ascontiguousarray(pixels_of(index)) for index in range(len(files))))


def image_batches(folder: Path, size: int = 16) -> Iterator[Tensor]:
    """uint8 batches of a folder's images in natural order; consecutive images of one size share a batch."""
    import torch

    from benchmarks.images.reading import decode, open_images

    images, batch = open_images(folder), list[Any]()
    for index in range(len(images)):
        pixels = decode(images.read(index), images.names[index])[0]
        if batch and (batch[0].shape != pixels.shape or len(batch) == size):
            yield torch.from_numpy(np.stack(batch))
            batch = []
        batch.append(pixels)
    yield torch.from_numpy(np.stack(batch))
