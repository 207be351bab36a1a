"""Training steps against the straightforward ones, in one process: `python -m benchmarks.speed.steps`.

Never a timed test. Rounds alternate: one iteration of ours through the trainer itself, one of the straightforward loop,
and, where it is asked for, the bare passes of our networks with nothing around them. A ratio is the median of the
rounds', of wall time, and of processor time as well, which says more on a busy machine (with one thread). The record is
written after every round: what a killed measurement has seen is in it, marked `unfinished`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.speed.machine import command, facts, limited_to
from benchmarks.speed.race import SIDES, Race, Wanted
from benchmarks.suite.strict import parse_engine
from sid import atomic

RECORDS = Path(__file__).parent / "records"
MODULE = "benchmarks.speed.steps"
CHOICES = {"both": SIDES, **{name: (name,) for name in SIDES}}


def main() -> int:
    args = _arguments()
    if args.device == "cpu" and os.environ.get("OMP_NUM_THREADS") != str(args.threads):
        os.execve(sys.executable, [sys.executable, "-m", MODULE, *sys.argv[1:]], limited_to(args.threads))
    import torch

    from benchmarks.speed import roofline
    from benchmarks.speed.cases import CASES, Side

    if args.device == "cpu":
        torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = args.benchmark
    begin = time.perf_counter()
    side = Side(CASES[args.case], args.batch, args.tiny, args.device)
    engine = parse_engine(args.engine) if args.engine or args.device == "cpu" else side.case.engine
    record: dict[str, Any] = {"command": command(MODULE), **facts(args.threads)}
    record |= {"case": args.case, "variant": args.variant, "batch": side.batch, "micro batch": args.micro}
    record |= {"tiny": args.tiny, "engine": asdict(engine), "cudnn benchmark": args.benchmark}
    record["straightforward"] = "float32, no compile, two-pass guidance, text encoded per call"
    record["seconds until built"] = time.perf_counter() - begin
    record |= roofline.measured(side, engine.precision, args.device)
    variant = f"{args.variant}-" if args.variant else ""
    path = args.record or RECORDS / f"{args.case}-{variant}{'tiny-' if args.tiny else ''}{args.device}.json"

    def write(measured: dict[str, Any], **more: Any) -> None:
        atomic.write_json(path, record | measured | _reached(record | measured) | more)

    wanted = Wanted(args.rounds, CHOICES[args.side], args.bare, args.micro, args.profile)
    measured = Race(side, engine, wanted, lambda known: write(known, unfinished=True)).run()
    write(measured, load_after=os.getloadavg())
    for name in ("ratio", "overhead over bare passes", "images per second", "peak bytes"):
        if name in measured:
            print(f"{name}: {measured[name]}")
    print(path)
    return 0


def _reached(record: dict[str, Any]) -> dict[str, Any]:
    """The FLOPs that the mathematics asks of our timed rounds, as they were counted, and the share of the rate."""
    from benchmarks.speed import roofline
    from benchmarks.speed.cases import CASES

    counts = None if record["tiny"] else roofline.recorded(record["case"])
    rounds = [one["wall"] for one in record["all seconds"].get("ours", ())]
    if counts is None or not rounds:
        return {"flops": None}
    flops = roofline.of_rounds(counts, CASES[record["case"]].told, len(rounds), record["batch"])
    return {"flops": flops, "share of the matrix rate": flops / statistics.mean(rounds) / record["matrix rate"]}


def _arguments() -> argparse.Namespace:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=("sid-ddpmpp-32", "sid-lsg-sd15", "sid-few-step-sdxl", "dmd2-sdxl"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, help="default: what suits a GPU")
    parser.add_argument("--micro", type=int, help="samples at once in ours (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", choices=tuple(CHOICES), default="both")
    parser.add_argument("--engine", action="append", default=[], metavar="NAME=VALUE", help="as of `sidbench train`")
    parser.add_argument("--benchmark", action="store_true", help="let cuDNN choose its kernels by trying them")
    parser.add_argument("--bare", action="store_true", help="also the bare passes of our networks (sid alone)")
    parser.add_argument("--profile", action="store_true", help="count the kernels of one more round of ours")
    parser.add_argument("--variant", default="", help="a name for these settings, for the record")
    parser.add_argument("--tiny", action="store_true", help="small networks: to see that it runs")
    parser.add_argument("--record", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
