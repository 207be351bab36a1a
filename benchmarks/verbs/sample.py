"""Images from a generator or a teacher; the noise of an image depends on the seed and its index alone."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "sample a generator (or a teacher, with --steps) into a zip, a folder or an npz"
EXAMPLE = "sidbench sample results/mini/runs/digits-cond/sid-1.2/0 --count 64 --out samples.zip"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a generator's or a teacher's folder")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="NAME.zip, NAME.npz or a folder")
    parser.add_argument("--count", type=int, default=64, help="images (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first sample index (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="steps of a chain, or of a teacher's sampler (default: all, or 18)")
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="one a line, for models that read text")
    parser.add_argument("--kappa", type=float, default=1.0, help="guidance of a teacher (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=1000, help="images at a time; changes no image")


def run(args: argparse.Namespace) -> int:
    from sid.fault import Fault

    if args.count < 1 or args.batch < 1 or (args.steps is not None and args.steps < 1):
        raise Fault("--count, --batch and --steps must be at least 1")

    from benchmarks.images import writing
    from benchmarks.run import artefacts, embeddings
    from sid import sampling
    from sid.prompts import PromptCache, PromptConditions

    distilled = (args.folder / "generator.json").exists()
    origin = artefacts.Origin.of(args.folder, "generator.json" if distilled else "teacher.json")
    prompts = embeddings.embed_file(origin, args.prompts, args.folder)
    if distilled:
        generator, data = artefacts.open_generator(args.folder, prompts)
        if args.steps is not None and args.steps > generator.chain.steps:
            raise Fault(f"--steps {args.steps}: this generator's chain has {generator.chain.steps}")
        if args.kappa != 1:
            raise Fault("--kappa guides a teacher; a distilled generator has its guidance in its weights")
        sampler = sampling.from_generator(generator, args.steps)
    else:
        teacher, data = artefacts.open_teacher(args.folder, prompts)
        sampler = sampling.from_teacher(teacher, args.steps or 18, args.kappa)
    conditions = data.conditions if prompts is None else PromptConditions(PromptCache(prompts), "index")
    indices = range(args.first, args.first + args.count)
    decode = artefacts.decoder_of(origin)
    images = sampling.generate(sampler, conditions, data.sample_shape, indices, args.seed, args.batch, decode=decode)
    writing.write(args.out, images, {"seed": args.seed, "first": args.first, "from": str(args.folder)})
    print(f"{args.out}: {len(images)} images")
    return 0
