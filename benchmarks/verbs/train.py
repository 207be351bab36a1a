"""One training without a suite: a method, a teacher, a budget."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "distil a teacher with one method, without a suite; the same command resumes it"
EXAMPLE = "sidbench train sid --teacher results/_shared/teacher/DIGEST --images 100000 --set alpha=1.0 --out my-run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("method", metavar="METHOD", help="a method of `sidbench list methods`")
    parser.add_argument("--teacher", required=True, type=Path, metavar="FOLDER", help="a teacher's folder")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the generator goes")
    parser.add_argument("--images", type=int, default=100_000, help="budget in images (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=256, help="global batch (default: %(default)s)")
    parser.add_argument("--micro-batch", type=int, help="images a process and round (default: the whole share)")
    parser.add_argument("--ema-halflife", type=float, default=20_000.0, help="in images (default: %(default)s)")
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="one a line, for teachers that read text")
    parser.add_argument("--pairs", type=Path, metavar="FOLDER", help="teacher pairs, for methods that need them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save-seconds", type=float, default=10.0, help="between two states (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an option of the method")
    parser.add_argument(
        "--engine",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="how it is executed, e.g. strategy=fsdp2 precision=bf16 compile=true (docs/engine.md)",
    )


def run(args: argparse.Namespace) -> int:
    from benchmarks.suite import components
    from benchmarks.suite.strict import parse_engine, parse_options
    from sid.discovery import pick
    from sid.fault import Fault

    method = pick("method", dict(components.methods()), args.method)
    if args.images < args.batch or args.batch < 1:
        raise Fault(f"--images {args.images} must be at least one --batch of {args.batch}")
    engine = parse_engine(args.engine)

    from benchmarks.machine.launch import leaving_cleanly
    from benchmarks.run import artefacts, embeddings
    from sid import generator
    from sid.loop.settings import LoopSettings
    from sid.loop.trainer import Execution, Training, train

    origin = artefacts.Origin.of(args.teacher)
    prompts = embeddings.embed_file(origin, args.prompts, args.out)
    teacher, data = artefacts.open_teacher(args.teacher, prompts)
    options = parse_options(method, origin.label, args.set)
    faults = method.faults(options, artefacts.teacher_facts(args.teacher)) + method.missing(options)
    needs = method.needs_of(options)
    if "pairs" in needs and args.pairs is None:
        faults.append(f"{method.name} needs the teacher's pairs: give their folder with --pairs")
    if faults:
        raise Fault(faults)
    identity = f"sha256 {artefacts.teacher_sha256(args.teacher)}"
    artefacts.refuse_other_teacher(args.out / "state", args.teacher, identity)
    if "real" in needs:
        data.real = artefacts.real_images(origin, prompts)
    if "pairs" in needs:
        data.pairs = artefacts.teacher_pairs(args.pairs, prompts)
    images = -(-args.images // args.batch) * args.batch
    settings = LoopSettings(
        args.seed, images, args.batch, args.micro_batch, args.ema_halflife, save_seconds=args.save_seconds
    )
    with leaving_cleanly():
        training = Training(method, options, teacher, data, settings, identity=identity)
        trained = train(training, Execution(args.out / "state", engine=engine))
    generator.save(trained.generator, args.out, {"method": method.name, "digest": "", **origin.facts})
    print(f"{args.out}: {trained.images} images in {trained.seconds:.0f} s")
    return 0
