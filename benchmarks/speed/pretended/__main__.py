"""Training steps of the published sizes, counted on a pretended GPU: `python -m benchmarks.speed.pretended`.

FLOPs, launches, traffic and peak memory of one iteration in which every player was updated, the second of a training.
Nothing is measured: there is no device and there are no seconds. Each row is written into the record when it is counted
(minutes of one processor for SDXL); `--only NAME` counts one anew, `--check` writes nothing and fails on a fault.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.speed.machine import command, installed
from benchmarks.speed.pretended import library
from benchmarks.speed.pretended.table import RECORD, ROWS, StepRow, line
from sid import atomic
from sid.discovery import UnknownName
from sid.fault import Fault
from sid.parallel.settings import FAITHFUL

MODULE = "benchmarks.speed.pretended"
INSIDE = "SIDBENCH_PRETENDED"  # set in the process that has the library
SHOWN_OPERATORS = 12
LATENT = 8  # pixels a side of one latent


def main() -> int:
    args = _arguments()
    if reason := library.lacking():
        raise Fault(reason)
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        return library.run(["-m", MODULE, *sys.argv[1:]]).returncode
    faulty = False
    for name in args.only or ROWS:
        counts = _count(ROWS[name])
        faulty |= bool(counts["waits"] or counts["doubles"])
        if not args.check:
            _write(args.record, name, counts)
        print(line(name, counts), flush=True)
        for kind in ("waits", "doubles"):
            print(*(f"  {kind}: {place} ({times} times)" for place, times in counts[kind].items()), sep="\n", end="")
    return int(args.check and faulty)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help=f"one of {', '.join(ROWS)}")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a copy waits")
    parser.add_argument("--record", type=Path, default=RECORD)
    args = parser.parse_args()
    for name in args.only or ():
        if name not in ROWS:
            raise UnknownName("row", name, ROWS)
    return args


def _write(record: Path, name: str, counts: Mapping[str, Any]) -> None:
    """Puts one row into the record, in the order of ROWS."""
    rows = json.loads(record.read_text())["rows"] if record.is_file() else {}
    rows[name] = counts
    content = {
        "command": command(MODULE, ()),
        "versions": {package: installed(package) for package in ("torch", "diffusers", "transformers")},
        "counted": "the second iteration of a training, every player updated, on a pretended device: operators and not"
        " kernels; nothing is measured",
        "rows": {known: rows[known] for known in ROWS if known in rows},
    }
    atomic.write_json(record, content)


def _count(row: StepRow) -> dict[str, Any]:
    """The counts of a row, with the settings that gave them."""
    from benchmarks.speed import cases
    from benchmarks.speed.pretended.device import counted

    subject = None

    def make() -> Any:
        nonlocal subject
        subject = _pixart(row) if row.case == "sim-pixart" else _of_case(row)
        return subject

    batch = row.batch or (PIXART_BATCH if row.case == "sim-pixart" else cases.CASES[row.case].batch)
    with mock.patch.object(cases, "_replace_zeros", lambda net: None):  # a fake tensor does not know whether it is zero
        counts = counted(make, batch, row.micro)
    assert subject is not None
    operators = dict(counts.operators.most_common(SHOWN_OPERATORS))
    return {
        **counts.as_json(),
        "operators": operators,
        "batch": batch,
        "micro batch": row.micro,
        "engine": {name: value for name, value in asdict(subject.engine).items() if value != getattr(FAITHFUL, name)},
    }


def _of_case(row: StepRow) -> Any:
    """Our side of a case of benchmarks/speed/cases.py. DMD2 updates its generator in every iteration here."""
    from benchmarks.speed.cases import CASES, Side
    from benchmarks.speed.pretended.device import DEVICE, CountedTraining
    from sid.loop.settings import LoopSettings
    from sid.loop.trainer import Training

    case = CASES[row.case]
    if row.pixels is not None:
        case = replace(case, network={**case.network, "sample_size": row.pixels // LATENT})
    if case.method == "dmd2":
        case = replace(case, options={**case.options, "ratio": 1})
    side = Side(case, row.batch, False, DEVICE)
    data = side.data()
    side.text = None  # as in a training, which reads prompts from a cache
    engine = replace(case.engine, **{"compile": False, **row.engine})
    return CountedTraining(
        Training(side.method, side.options, side.teacher, data, LoopSettings(images=1, batch=1)), engine
    )


PIXART_BATCH, PIXART_TOKENS, PIXART_WIDTH = 8, 120, 4096


def _pixart(row: StepRow) -> Any:
    """SIM's step, for which there is no straightforward one."""
    import torch

    from benchmarks.estimate.published_networks import PIXART
    from benchmarks.speed.cases import BETAS, PROMPTS, CachedPrompts
    from benchmarks.speed.pretended.device import DEVICE, CountedTraining
    from benchmarks.suite.components import methods, teachers
    from sid.condition import Condition
    from sid.loop.settings import Data, LoopSettings
    from sid.loop.trainer import Training
    from sid.parallel.settings import EngineSettings

    with torch.device(DEVICE):
        teacher = teachers()["pixart"].build({"network": PIXART, "scheduler": BETAS})
    null, rows = (
        Condition(text=torch.ones(count, PIXART_TOKENS, PIXART_WIDTH), mask=torch.ones(count, PIXART_TOKENS))
        for count in (1, PROMPTS)
    )
    data = Data(CachedPrompts(replace(rows, null=null)), (4, PIXART["sample_size"], PIXART["sample_size"]))
    method = methods()["sim"]
    engine = EngineSettings(precision="bf16", first_moment=False, **row.engine)
    return CountedTraining(
        Training(method, method.options("", "", {}), teacher, data, LoopSettings(images=1, batch=1)), engine
    )


if __name__ == "__main__":
    raise SystemExit(main())
