"""numpy's files of others: an array or several by name; never a pickled object, and every damage is a sentence."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sid.fault import Fault

NPZ_START = b"PK"
DAMAGED = (ValueError, EOFError, OSError, KeyError, zipfile.BadZipFile, zlib.error, RuntimeError, SyntaxError)


def names(path: Path) -> list[str]:
    """Of an npz's arrays; a plain npy has none."""
    with _told(path), contextlib.closing(_opened(path)) as loaded:
        return list(loaded.files)


def array(path: Path, name: str) -> np.ndarray:
    """One array of an npz."""
    with _told(path), contextlib.closing(_opened(path)) as loaded:
        found: np.ndarray = loaded[name]
        return found


def single(path: Path) -> np.ndarray:
    """The array of an npy."""
    with _told(path):
        found: np.ndarray = np.load(path, allow_pickle=False)
        return found


def is_npz(path: Path) -> bool:
    """By its first bytes, whatever it is called."""
    with open(path, "rb") as file:
        return file.read(len(NPZ_START)) == NPZ_START


def _opened(path: Path) -> np.lib.npyio.NpzFile:
    if not is_npz(path):
        raise ValueError("not a zip of arrays")
    return np.load(path, allow_pickle=False)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """numpy's own words for a file it can't read are advice to load it unsafely."""
    try:
        yield
    except PermissionError:
        raise
    except DAMAGED as error:
        held = str(error).startswith("Object arrays")
        why = "it holds Python objects, which are never loaded" if held else "it is damaged, or no file of arrays"
        raise Fault(f"{path} can't be read: {why}") from error
