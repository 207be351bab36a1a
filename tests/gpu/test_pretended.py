"""An iteration of every method family on a pretended GPU: nothing is mixed, read back, waited for or in a wrong dtype.

No GPU is needed, but a C compiler and the CUDA runtime's headers; `benchmarks/speed/pretended/` says how it works.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from benchmarks.speed.pretended import library
from benchmarks.speed.pretended.table import RECORD, estimated
from tests.gpu.families import ENGINES, FAMILIES, KINDS

pytestmark = pytest.mark.slow
FULL = "SIDBENCH_FULL"  # set: every method with every engine, and the networks of published sizes
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "sparing": "bfloat16", "fp16": "float16", "away": "bfloat16"}
ALWAYS = [
    "sid-ddpmpp/fp32",
    "sid-adm/fp16",
    "sid-lsg-sd/bf16",
    "sid-few-step-sdxl/sparing",
    "dmd2-sdxl/sparing",
    "sim-pixart/bf16",
    "sid-dit-sana/bf16",
    "sid-dit-flux/bf16",
    "sid-few-step-sd3/away",
]
EVERY = [
    f"{kind}/{engine}"
    for kind in KINDS
    for engine in ENGINES
    if engine != "fp16" or FAMILIES[KINDS[kind].family].pixels
]
CASES = EVERY if os.environ.get(FULL) else ALWAYS


def needs_a_library() -> None:
    if reason := library.lacking():
        pytest.skip(reason)


Reports = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def reports(request: pytest.FixtureRequest) -> Reports:
    """The cases of the tests that were chosen, counted by one process."""
    needs_a_library()
    parameters = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    chosen = list(dict.fromkeys(given["case"] for given in parameters if given.get("case") in CASES))
    done = library.run(["-m", "tests.gpu.families", *chosen], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr[-2000:]
    return {row["case"]: row for row in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("case", CASES)
def test_an_iteration_goes_through(case: str, reports: Reports) -> None:
    """No device is mixed, and no number is read back: a fake tensor has none, and says at which line it was asked."""
    report = reports[case]
    assert "stopped" not in report, report["stopped"]
    assert report["launches"] > 100 and report["peak"] > 0


@pytest.mark.parametrize("case", CASES)
def test_no_copy_waits(case: str, reports: Reports) -> None:
    assert reports[case].get("waits") == {}


@pytest.mark.parametrize("case", CASES)
def test_no_large_tensor_is_float64(case: str, reports: Reports) -> None:
    assert reports[case].get("doubles") == {}


@pytest.mark.parametrize("case", CASES)
def test_matrix_products_are_in_the_engines_precision(case: str, reports: Reports) -> None:
    report, dtype = reports[case], DTYPES[case.partition("/")[2]]
    assert report.get("flops", {}).get(dtype, 0) > 0
    others = {name: count for name, count in report["products"].items() if not name.startswith(f"{dtype}:")}
    if dtype == "float16":  # EDM's fp16 leaves the embeddings of time and label in float32: a small share
        assert {name.partition(": ")[2] for name in others} <= {"mm", "addmm"}
        assert report["flops"]["float32"] < 0.01 * report["flops"][dtype]
    else:
        assert others == {}


def test_every_family_and_engine_has_a_case() -> None:
    for cases in (ALWAYS, EVERY):
        assert {KINDS[case.partition("/")[0]].family for case in cases} == set(FAMILIES)
        assert {case.partition("/")[2] for case in cases} == set(ENGINES) == set(DTYPES)


def test_a_missing_compiler_or_header_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "headers", lambda: None)
    if library.compiler() is not None:
        assert "nvidia-cuda-runtime" in library.lacking()
    monkeypatch.setattr(library, "compiler", lambda: None)
    assert "compiler" in library.lacking()
    monkeypatch.setattr(library.sys, "platform", "darwin")
    assert "Linux" in library.lacking()


def test_nothing_is_skipped_where_everything_is_present() -> None:
    """A compiler on PATH, and the headers that torch's CUDA wheels bring along: then the tests above have run."""
    from importlib.util import find_spec
    from shutil import which

    folders = [] if (spec := find_spec("nvidia")) is None else list(spec.submodule_search_locations or ())
    header = [file for place in folders for file in library.Path(place).rglob("driver_types.h")]
    present = bool(header) and which("cc") is not None and library.sys.platform.startswith("linux")
    assert (library.lacking() == "") >= present


COUNTED = json.loads(RECORD.read_text())["rows"] if RECORD.is_file() else {}


@pytest.mark.parametrize("name", COUNTED)
def test_the_plans_memory_is_what_was_counted(name: str) -> None:
    assert estimated(name, COUNTED[name]) == pytest.approx(COUNTED[name]["peak"], rel=0.15)


@pytest.mark.skipif(not os.environ.get(FULL), reason=f"networks of full size take minutes: set {FULL}=1")
def test_full_size() -> None:
    """The published sizes, by the command that makes the record: it fails where an iteration waits or mixes."""
    needs_a_library()
    done = library.run(
        ["-m", "benchmarks.speed.pretended", "--check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, done.stdout[-3000:]
