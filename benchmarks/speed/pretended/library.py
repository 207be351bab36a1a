"""The library that makes torch believe in a GPU: what it needs here, and the environment of a process that has it.

Fake tensors alone don't suffice: a backward pass asks the CUDA runtime for its device. `onegpu.c` answers in its place.
It is compiled for each process, and preloaded, so that it hides no GPU from any other. Imports no torch.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

SOURCE = Path(__file__).with_name("onegpu.c")
ROOT = Path(__file__).parents[3]
NAME = "libcuda.so.1"  # the driver's own: who opens it later gets the preloaded one
COMPILERS = ("cc", "gcc", "clang")
# What the headers expect of the compiler's own, which no wheel has.
OWN_WORDS = (
    "__device_builtin__",
    "__cudart_builtin__",
    "CUDARTAPI",
    "CUDARTAPI_CDECL",
    "__host__",
    "__device__",
    "__device_builtin_texture_type__",
    "__device_builtin_surface_type__",
    "__no_return__",
    "__noinline__",
    "__forceinline__",
    "__inline_hint__",
)
ALIGNED = ("__builtin_align__", "__align__")


def lacking() -> str:
    """Why no GPU can be pretended here, in a sentence; empty where one can."""
    if not sys.platform.startswith("linux"):
        return f"a GPU is pretended on Linux alone (here is {sys.platform}): its library is preloaded"
    if compiler() is None:
        return f"a GPU is pretended by a small C library, and no compiler was found ({', '.join(COMPILERS)})"
    if headers() is None:
        return "the CUDA runtime's headers were not found: the package nvidia-cuda-runtime has them"
    return ""


def compiler() -> str | None:
    """The C compiler's path."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def headers() -> Path | None:
    """The folder of the runtime's headers, which comes with torch's CUDA wheels."""
    spec = importlib.util.find_spec("nvidia")
    folders = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]
    found_files = (file for folder in folders for file in sorted(folder.glob("*/include/driver_types.h")))
    return next((file.parent for file in found_files), None)


def build(folder: Path) -> Path:
    """Compiles the library into the folder."""
    command, include = compiler(), headers()
    assert command is not None and include is not None, lacking()
    (folder / "crt").mkdir()
    lines = [f"#define {word}" for word in OWN_WORDS]
    lines += [f"#define {word}(n) __attribute__((aligned(n)))" for word in ALIGNED]
    (folder / "crt" / "host_defines.h").write_text("\n".join(lines) + "\n")
    library = folder / NAME
    words = ["-shared", "-fPIC", f"-DCUDA_MAJOR={_cuda_major()}", f"-I{folder}", f"-I{include}", f"-Wl,-soname,{NAME}"]
    subprocess.run([command, *words, "-o", str(library), str(SOURCE)], check=True)
    return library


def _cuda_major() -> int:
    """That of the runtime's package: its headers decide how a device is described."""
    for name in ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu13", "nvidia-cuda-runtime-cu12"):
        try:
            return int(re.split(r"\D", version(name))[0])
        except PackageNotFoundError:
            continue
    return 13


@contextmanager
def environment() -> Iterator[dict[str, str]]:
    """The environment of processes that see one pretended GPU, while the context is open."""
    with TemporaryDirectory(prefix="pretended-") as name:
        library = build(Path(name))
        paths = [str(library.parent), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        before = [os.environ[word] for word in ("LD_PRELOAD",) if os.environ.get(word)]
        yield os.environ | {
            "LD_LIBRARY_PATH": os.pathsep.join(paths),
            "LD_PRELOAD": " ".join([str(library), *before]),
            "CUDA_VISIBLE_DEVICES": "0",
        }


def run(words: Sequence[str], **more: object) -> subprocess.CompletedProcess[str]:
    """Runs Python with these words beside a pretended GPU."""
    with environment() as variables:
        return subprocess.run([sys.executable, *words], env=variables, cwd=ROOT, text=True, **more)  # type: ignore[call-overload]
