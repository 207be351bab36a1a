"""Images from a generator or a teacher; the noise of an image depends on the seed and its index alone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

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
    parser.add_argument(
        "--kappa", type=float, default=1.0, help="guidance of a teacher, or of each step of a student (default: 1)"
    )
    style = parser.add_argument_group("a style reference, on Stable Diffusion and SDXL and their students")
    style.add_argument("--style", type=Path, metavar="IMAGE", help="the reference")
    style.add_argument("--style-adapter", type=Path, metavar="FILE", help="an IP-Adapter's safetensors")
    style.add_argument(
        "--style-encoder", type=Path, metavar="FOLDER", help="its image encoder (default: image_encoder beside it)"
    )
    style.add_argument("--style-scale", type=float, default=1.0, help="of the style branch (default: %(default)s)")
    style.add_argument(
        "--cleanstyle", choices=("svd", "cfg", "both"), help="CleanStyle's CS-SVD, SS-CFG or both (default: neither)"
    )
    style.add_argument(
        "--style-schedule",
        choices=("published", "shifted", "noise"),
        default="published",
        help="of CS-SVD: step / steps (the identity at one step), (step - 1) / steps, or by noise level",
    )
    parser.add_argument("--batch", type=int, default=1000, help="images at a time; changes no image")
    parser.add_argument("--device", default="auto", metavar="NAME", help="cpu, cuda or auto (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    from sid.fault import Fault

    if args.count < 1 or args.batch < 1 or (args.steps is not None and args.steps < 1):
        raise Fault("--count, --batch and --steps must be at least 1")
    if args.first < 0 or args.seed < 0:
        raise Fault("--first and --seed must not be negative")
    if args.out.exists():
        raise Fault(f"{args.out} exists already: nothing is overwritten; remove it, or give another name")

    from tqdm import tqdm

    from benchmarks.images import writing
    from benchmarks.run import by_hand

    writing.refuse_form(args.out)
    reference = _reference(args)
    samples = by_hand.samples_of(args.folder, args.steps, args.kappa, args.prompts, args.device, reference)
    for remark in samples.remarks:
        print(remark)
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


def _reference(args: argparse.Namespace) -> Any:
    """The style reference that was asked for, or None."""
    from benchmarks.run.style import StyleReference
    from sid.fault import Fault
    from sid.style.settings import PARTS, CleanStyle

    if args.style is None:
        idle = [name for name in ("style_adapter", "style_encoder", "cleanstyle") if getattr(args, name) is not None]
        if idle:
            raise Fault(f"--{idle[0].replace('_', '-')} needs a style reference: give an image with --style")
        return None
    if args.style_adapter is None:
        raise Fault("--style needs an adapter: give an IP-Adapter's safetensors with --style-adapter")
    cleaned = None
    if args.cleanstyle is not None:
        svd, cfg = PARTS[args.cleanstyle]
        cleaned = CleanStyle(svd, cfg, schedule=args.style_schedule)
    return StyleReference(args.style, args.style_adapter, args.style_encoder, args.style_scale, cleaned)
