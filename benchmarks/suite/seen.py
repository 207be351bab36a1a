"""The sha256 of users' files, remembered beside the results: a plan opens no file that it has seen before.

A remembered sha256 counts while the file's size, times and inode are the same; anything else is read again. The table
is a help and never an authority: without it, or with a damaged one, every file is read once more.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from stat import S_ISREG
from typing import Any

from benchmarks.images.listing import files_under
from sid import atomic
from sid.fault import Fault, report

TABLE = "_shared/contents.json"  # below the results; of large folders, a table each beside it
SETTLED = 2 * 10**9  # nanoseconds: a file that changed so shortly before it was read may change again unseen
LARGE = 2**30  # bytes whose reading is worth a line
SHA256_DIGITS = 64

Stat = list[int]  # size, mtime, ctime and inode


class SeenFiles:
    """The contents of files, by their paths.

    Args:
        results: The folder of the results, below which they are remembered.
    """

    def __init__(self, results: Path):
        self._table = results / TABLE
        self._files: dict[str, Any] = {}
        self._folders: dict[str, Any] = {}
        self._words: dict[str, Any] = {}
        self._changed = False
        content = _read(self._table)
        for name, into in (("files", self._files), ("folders", self._folders), ("words", self._words)):
            if isinstance(part := content.get(name), dict):
                into.update(part)

    def file(self, path: Path) -> str:
        """The sha256 of a file's bytes."""
        return self._file(os.path.abspath(path), self._files)

    def _file(self, path: str, entries: dict[str, Any], key: str | None = None) -> str:
        key = path if key is None else key
        status = os.stat(path)
        if not S_ISREG(status.st_mode):
            raise OSError(f"{path} is no file")  # a device or a pipe, which may have no end
        stat = _stat(status)
        if (before := _trusted(entries.get(key), stat)) is not None:
            return before
        if stat[0] > LARGE:
            report(f"sidbench: reading {path} once ({stat[0] / 2**30:.1f} GiB), to know its content")
        now = time.time_ns()
        with open(path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        entries[key] = [*stat, now, sha256]
        self._changed = True
        return sha256

    def folder(self, path: Path) -> str:
        """The sha256 of a folder's content: the names in it and each file's sha256, wherever the folder lies."""
        path = Path(os.path.abspath(path))
        stats = {
            name: _stat(entry.stat()) for name, entry in files_under(path) if entry.is_file() and not _hidden(name)
        }
        summary = hashlib.sha256(repr(sorted(stats.items())).encode("utf-8", "surrogateescape")).hexdigest()
        newest = max((max(stat[1:3]) for stat in stats.values()), default=0)
        if (before := _summarised(self._folders.get(str(path)), summary, newest)) is not None:
            return before
        now, table = time.time_ns(), self._table.with_name("contents") / f"{_short(str(path))}.json"
        entries = {name: entry for name, entry in _read(table).items() if name in stats}
        sha256 = joined({name: self._file(str(path / name), entries, name) for name in stats})
        _write(table, entries)
        self._folders[str(path)] = [summary, now, sha256]
        self._changed = True
        return sha256

    def last(self, word: str, sha256: str | None) -> str | None:
        """The content that a word of a suite stands for; if nothing is there now, what was there when it was last seen.

        A teacher may be taken away when its results are made: they stay what they are.
        """
        if sha256 is None:
            before = self._words.get(word)
            return before if isinstance(before, str) and len(before) == SHA256_DIGITS else None
        if self._words.get(word) != sha256:
            self._words[word] = sha256
            self._changed = True
        return sha256

    def keep(self) -> None:
        """Writes down what is new, where the results can be written."""
        if not self._changed:
            return
        others = _read(self._table)  # another process may have seen other files meanwhile
        parts = {"files": self._files, "folders": self._folders, "words": self._words}
        merged = {
            name: {**(others[name] if isinstance(others.get(name), dict) else {}), **part}
            for name, part in parts.items()
        }
        _write(self._table, merged)
        self._changed = False


def joined(files: Mapping[str, str]) -> str:
    """One sha256 over several named ones."""
    lines = "".join(f"{sha256} {name}\n" for name, sha256 in sorted(files.items()))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _stat(status: os.stat_result) -> Stat:
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _trusted(entry: Any, stat: Stat) -> str | None:
    """The remembered sha256, if the file has this stat still and had settled when it was read."""
    if not isinstance(entry, list) or len(entry) != 6 or entry[:4] != stat:
        return None
    return _settled(entry[5], max(stat[1:3]), entry[4])


def _summarised(entry: Any, summary: str, newest: int) -> str | None:
    if not isinstance(entry, list) or len(entry) != 3 or entry[0] != summary:
        return None
    return _settled(entry[2], newest, entry[1])


def _settled(sha256: Any, changed: int, read: Any) -> str | None:
    whole = isinstance(sha256, str) and len(sha256) == SHA256_DIGITS
    return sha256 if whole and isinstance(read, int) and changed + SETTLED < read else None


def _hidden(name: str) -> bool:
    """Files that desktops leave in folders."""
    return os.path.basename(name) in (".DS_Store", "Thumbs.db", "desktop.ini")


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _read(table: Path) -> dict[str, Any]:
    try:
        content = json.loads(table.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(table: Path, content: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError, Fault):  # results that can't be written are still planned
        atomic.write_json(table, content)
