"""Images from a generator or a teacher; the noise of an image depends on the seed and its index alone."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "sample a generator (or a teacher, with --steps) into a zip, a folder or an npz"
EXAMPLE = "sidbench sample results/mini/runs/digits-cond/sid-1.2/0 --count 64 --out samples.zip"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a generator's or a teacher's folder")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="a new NAME.zip, NAME.npz or folder")
    parser.add_argument("--count", type=int, default=64, help="images (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first sample index (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="steps of a chain, or of a teacher's sampler (default: all, or 18)")
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="one a line, for models that read text")
    parser.add_argument("--kappa", type=float, default=1.0, help="guidance of a teacher (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=1000, help="images at a time; changes no image")
    parser.add_argument("--device", default="auto", metavar="NAME", help="cpu, cuda or auto (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    from sid.fault import Fault

    if args.count < 1 or args.batch < 1 or (args.steps is not None and args.steps < 1):
        raise Fault("--count, --batch and --steps must be at least 1")
    if args.out.exists():
        raise Fault(f"{args.out} exists already: nothing is overwritten; remove it, or give another name")

    from tqdm import tqdm

    from benchmarks.images import writing
    from benchmarks.run import by_hand

    writing.refuse_form(args.out)
    samples = by_hand.samples_of(args.folder, args.steps, args.kappa, args.prompts, args.device)
    indices = range(args.first, args.first + args.count)
    facts = {"seed": args.seed, "first": args.first, "from": str(args.folder)}
    with tqdm(total=args.count, desc="sampling", unit="image", disable=None) as bar:

        def portions():
            for images in samples.portions(indices, args.seed, args.batch):
                yield images
                bar.update(len(images))

        writing.write_portions(args.out, portions(), args.count, facts)
    print(f"{args.out}: {args.count} images")
    return 0
