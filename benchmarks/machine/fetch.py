"""Downloads of published files, for who asks for them: resumed where they were cut, checked before they count.

Only `sidbench fetch` calls this. A file is written under another name beside its place, and renamed when its size and
its sha256 are right; where nobody publishes a sha256, the file is pinned when it is first used (benchmarks/assets.py).
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.assets import PICKLED, WEIGHTS_ENV, find, weights_folders
from benchmarks.machine import needs
from benchmarks.suite import components
from benchmarks.suite.released import describe
from sid.fault import Fault
from sid.teachers.latent.folder import REPOSITORY

if TYPE_CHECKING:
    from benchmarks.assets import Weight
    from benchmarks.suite.config import Suite

HUB = "https://huggingface.co"
PIECE = 2**20  # bytes read at a time
TRIES = 5  # of one file: a cut connection goes on from where it was
SECONDS = 60.0  # without an answer
FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class Download:
    """A file to fetch, or a whole model of the Hugging Face Hub, whose own client fetches it into its cache."""

    name: str
    url: str
    licence: str
    to: Path | None = None  # None: a model, into the hub's cache
    size: int = 0  # bytes, 0 if nobody states it
    sha256: str = ""  # full, a known prefix, or empty
    files: tuple[str, ...] = ()  # of a model, with `*` for a part of a name; empty: all

    @property
    def lines(self) -> list[str]:
        """What a person decides by: where from, how much, under which licence, checked how, where to."""
        if self.to is None:
            parts = ", ".join(dict.fromkeys(self.files)) or "all files"
            checked, place = "checked by the hub's client", "the cache of the Hugging Face Hub"
        else:
            parts = f"{self.size:,} bytes" if self.size else "size not stated"
            checked, place = self.sha256 or "not published: pinned on first use", str(self.to)
        rows = {"url": self.url, "what": parts, "licence": self.licence, "sha256": checked, "to": place}
        return [self.name, *(f"  {name:<9} {text}" for name, text in rows.items())]


def wanted(suite: Suite) -> list[Download]:
    """What the suite reads, is missing here, and can be had at a known address."""
    return [*_weights(suite), *_models(suite)]


def weights(names: list[str]) -> list[Download]:
    """The weight files that metrics, extractors or protocols of these names lack."""
    return list(_lacking(needs.weights_of(names)))


def by_hand(suite: Suite) -> Iterator[str]:
    """A line for each missing file of data, which has no address that a program may fetch."""
    for need in needs.data_of_suite(suite):
        for file in need.missing:
            yield f"{need.name}: {file.purpose} ({file.words}): {file.source}"


def _weights(suite: Suite) -> Iterator[Download]:
    columns = [column for protocol in needs.protocols_of(suite) for column in protocol.metrics.values()]
    yield from _lacking(weight for column in columns for weight in needs.weights_of_column(column))


def _lacking(weights: Iterable[Weight]) -> Iterator[Download]:
    for weight in dict.fromkeys(weights):
        if find(weight) is None:
            yield download_of(weight)


def download_of(weight: Weight) -> Download:
    """Where a weight file lies and where it goes: the place at which it is looked for first."""
    folders = weights_folders()
    if not folders:
        raise Fault(
            f"${WEIGHTS_ENV} is not set: it names the folder for weights, for example "
            f'export {WEIGHTS_ENV}="$HOME/sidbench-weights"'
        )
    if not weight.hub:
        to, url = folders[0] / weight.files[0], weight.source
    else:
        to = folders[0] / weight.name / weight.files[0]
        url = f"{os.environ.get('HF_ENDPOINT', HUB)}/{weight.hub}/resolve/main/{weight.files[0]}"
    return Download(weight.name, url, weight.licence, to, weight.size, weight.sha256)


def _models(suite: Suite) -> Iterator[Download]:
    """Repositories of the hub that rows lack: the named files of a generator, or a whole pipeline."""
    files: dict[str, tuple[str, ...]] = {}
    licences: dict[str, str] = {}
    whole: set[str] = set()
    for *_, entry in suite.rows:
        if entry.released:
            described = describe(entry.released)
            family = components.teachers()[described.family]
            if described.repository is not None:
                licences[described.repository] = described.licence
                named = tuple(file for file in (described.file, described.config) if file)
                files[described.repository] = (*files.get(described.repository, ()), *named)
            base = described.repository if described.kind == "pipeline" else described.base
            if base is not None:
                whole.add(base)
                licences.setdefault(base, family.licence)
    for teacher in suite.teachers.values():
        if teacher.source is not None:
            whole.add(teacher.source)
            licences.setdefault(teacher.source, components.teachers()[teacher.family].licence)
    for source, lacks in needs.models_of(suite).items():
        if lacks and REPOSITORY.fullmatch(source) and Path(source).suffix not in PICKLED:
            address = f"{os.environ.get('HF_ENDPOINT', HUB)}/{source}"
            yield Download(
                source,
                address,
                licences.get(source) or "as its page says",
                files=() if source in whole else files.get(source, ()),
            )


def fetch(download: Download, progress: Callable[[int], object] = lambda count: None) -> None:
    """Fetches one file; the same call goes on from what a cut connection has left.

    Args:
        download: What and where to.
        progress: Called with the bytes of each piece.
    """
    if download.to is None:
        _fetch_model(download)
        return
    part = download.to.with_name(f".{download.to.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, TRIES + 1):
        try:
            _receive(download, part, progress)
            break
        except urllib.error.HTTPError as error:
            raise Fault(f"{download.name}: {download.url} answers {error.code} {error.reason}") from None
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            if attempt == TRIES:
                reason = getattr(error, "reason", None) or error
                raise Fault(
                    f"{download.name}: the connection to {download.url} failed {TRIES} times ({reason}); the same "
                    f"command goes on from {_size(part):,} bytes"
                ) from None
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise Fault(
                f"{download.name}: the disk of {part.parent} is full; free some, and the same command goes on from "
                f"{_size(part):,} bytes"
            ) from None
    _check(download, part)
    os.replace(part, download.to)


def _receive(download: Download, part: Path, progress: Callable[[int], object]) -> None:
    """Appends to the part what is still missing of the file."""
    begun = _size(part)
    request = urllib.request.Request(download.url, headers={"Range": f"bytes={begun}-"} if begun else {})
    try:
        answer = urllib.request.urlopen(request, timeout=SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left to send
            return
        raise
    with answer:
        if begun and answer.status != 206:  # the server sends the file from its beginning
            part.unlink()
            begun = 0
        length = int(answer.headers.get("Content-Length") or 0)
        if length > (free := shutil.disk_usage(part.parent).free):
            raise Fault(
                f"{download.name}: {length:,} bytes are still to come, and the disk of {part.parent} has {free:,} free"
            )
        progress(begun)
        received = 0
        with open(part, "ab") as file:
            while piece := answer.read(PIECE):
                file.write(piece)
                received += len(piece)
                progress(len(piece))
        if length and received < length:
            raise ConnectionError(f"cut after {received:,} of {length:,} bytes")


def _check(download: Download, part: Path) -> None:
    """Refuses and removes a file of another size or sha256 than the published one."""
    with open(part, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = part.stat().st_size
    if not digest.startswith(download.sha256) or (download.size and size != download.size):
        part.unlink()
        stated = f"{download.size:,} bytes, " if download.size else ""
        raise Fault(
            f"{download.name}: {download.url} gave {size:,} bytes of sha256 {digest}, published: {stated}sha256 "
            f"{download.sha256 or 'unknown'}; the file was removed"
        )


def _fetch_model(download: Download) -> None:
    """A model's files by the hub's own client, which resumes and checks them itself."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        snapshot_download(download.name, allow_patterns=list(download.files) or None)
    except (HfHubHTTPError, OSError) as error:
        raise Fault(f"{download.name}: {str(error).strip().splitlines()[0]}; the same command goes on") from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
