"""A lock for file systems that keep none (some network folders): a file that only one process can make.

The kernel frees no such file: a claim counts as long as its process lives. On another host nobody can look; the
sentence that names the holder then names the file, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path
from typing import Any

from sid.fault import parsed


def place(lock: Path) -> Path:
    """The claim's file, beside that of the lock."""
    return lock.with_name(f"{lock.name}.claim")


def claim(lock: Path) -> bool:
    """Makes the claim; False where a living process has it, or one of another host."""
    file = place(lock)
    mine = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "began": began(os.getpid())})
    for _ in range(2):
        with contextlib.suppress(FileExistsError):
            number = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            with os.fdopen(number, "w") as content:
                content.write(mine)
            return True
        if not _left_behind(file):
            return False
    return False


def release(lock: Path) -> None:
    """Takes the claim of this process away."""
    place(lock).unlink(missing_ok=True)


def elsewhere(lock: Path) -> str:
    """What to do about a claim of another host; empty where there is none."""
    owner = _owner(place(lock))
    if owner is None or owner.get("host") == socket.gethostname():
        return ""
    return f"; if that process of {owner.get('host')} is gone, remove {place(lock)}"


def began(pid: int) -> str:
    """When the process began, as its kernel counts; empty where it can't be known."""
    try:
        content = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return content.rpartition(")")[2].split()[19]  # the name in brackets may hold blanks


def alive(pid: int) -> bool:
    """Whether there is a process of that id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _owner(file: Path) -> dict[str, Any] | None:
    """The host, process and start of a claim; None while it is being written, or where it can't be read."""
    try:
        content = parsed(file.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and isinstance(content.get("pid"), int) else None


def _left_behind(file: Path) -> bool:
    """Removes the claim of a process that is gone; False where it may live."""
    owner = _owner(file)
    if owner is None or owner.get("host") != socket.gethostname():
        return not file.exists()
    pid = owner["pid"]
    if alive(pid) and began(pid) == owner.get("began"):
        return False
    aside = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        os.rename(file, aside)
    except FileNotFoundError:
        return True
    if (renamed := _owner(aside)) != owner and renamed is not None:  # another process was faster, and has a new one
        with contextlib.suppress(FileExistsError):
            os.link(aside, file)
    aside.unlink(missing_ok=True)
    return True
