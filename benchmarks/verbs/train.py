"""One training without a suite: a method, a teacher, a budget."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "distil a teacher with one method, without a suite; the same command resumes it"
EXAMPLE = "sidbench train sid --teacher digits-cond --images 100000 --set alpha=1.0 --out my-run"
TEACHER = (
    "the name of a teacher that a suite has trained, a folder that sidbench made, a diffusers pipeline (folder or "
    "owner/name), or a published .pkl"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("method", metavar="METHOD", help="a method of `sidbench list methods`")
    add("--teacher", required=True, metavar="TEACHER", help=TEACHER)
    add("--out", required=True, type=Path, metavar="FOLDER", help="where the generator goes")
    add("--images", type=int, default=100_000, help="budget in images; a larger one goes on (default: %(default)s)")
    add("--batch", type=int, default=256, help="global batch (default: %(default)s)")
    add("--micro-batch", type=int, help="images a process and round (default: the whole share)")
    add("--ema-halflife", type=float, default=20_000.0, help="in images (default: %(default)s)")
    add("--prompts", type=Path, metavar="FILE", help="one a line, for teachers that read text")
    add("--pairs", type=Path, metavar="FOLDER", help="teacher pairs, for methods that need them")
    add("--data", metavar="NAME", help="data set of a published teacher, for methods that need real images")
    add("--seed", type=int, default=0)
    add("--save-seconds", type=float, default=10.0, help="between two states (default: %(default)s)")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="an option of the method")
    add("--device", default="auto", metavar="NAME", help="cpu, cuda or auto (default: %(default)s)")
    add(
        "--engine",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="how it is executed, e.g. strategy=fsdp2 precision=bf16 compile=true (docs/engine.md)",
    )


def run(args: argparse.Namespace) -> int:
    from benchmarks.suite import components
    from benchmarks.suite.strict import parse_engine
    from sid.discovery import pick
    from sid.fault import Fault

    pick("method", dict(components.methods()), args.method)
    engine = parse_engine(args.engine)
    limits = {"micro-batch": 1, "ema-halflife": 0, "save-seconds": 0, "seed": 0}
    given = {name: getattr(args, name.replace("-", "_")) for name in limits}
    wrong = [
        f"--{name} must be at least {limits[name]} (got {value})"
        for name, value in given.items()
        if value is not None and not value >= limits[name]  # NaN is refused too
    ]
    if args.pairs and not (args.pairs / "pairs.safetensors").is_file():
        wrong.append(f"--pairs: {args.pairs} holds no pairs.safetensors")
    if wrong:
        raise Fault(wrong)

    from benchmarks.machine.launch import leaving_cleanly
    from benchmarks.run import by_hand, teachers

    settings = by_hand.settings_of(
        args.images,
        args.batch,
        seed=args.seed,
        micro_batch=args.micro_batch,
        ema_halflife=args.ema_halflife,
        save_seconds=args.save_seconds,
    )
    teacher = teachers.folder_of(args.teacher, args.out, args.results, args.seed, args.data)
    wanted = by_hand.Distillation(
        args.method, teacher, args.out, settings, args.set, args.prompts, args.pairs, engine, args.device
    )
    with leaving_cleanly():
        trained = by_hand.distil(wanted)
    print(f"{args.out}: {trained.images} images in {trained.seconds:.0f} s")
    return 0
