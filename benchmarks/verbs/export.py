"""A distilled generator as others load it: a diffusers pipeline, or safetensors for models of pixels; with its card."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

HELP = "write a run's generator as a diffusers pipeline (or safetensors) with a model card"
EXAMPLE = "sidbench export results/sd15/runs/sd15/sid-lsg-1.5/0 --to my-student --push me/my-student"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run's folder, or one that `sidbench train` made")
    parser.add_argument("--to", required=True, type=Path, metavar="FOLDER", help="a new folder")
    parser.add_argument("--source", type=Path, metavar="FOLDER", help="the teacher's pipeline (default: as in the run)")
    parser.add_argument("--licence", default="", help="of the teacher (default: its family's)")
    parser.add_argument(
        "--push", metavar="NAME", help="then upload it to the Hugging Face Hub as owner/name, with your own login"
    )
    parser.add_argument("--half", action="store_true", help="store the network in float16")


def run(args: argparse.Namespace) -> int:
    from benchmarks.run import artefacts
    from sid.export import save_pretrained
    from sid.fault import Fault

    if args.push and not re.fullmatch(r"[\w.-]+/[\w.-]+", args.push):
        raise Fault(f"--push takes owner/name (got '{args.push}')")
    generator, _ = artefacts.open_generator(args.folder)
    card = _card(args.folder, args.licence)
    save_pretrained(generator, args.to, card, args.source, args.half)
    print(f"{args.to}: {card.method}, {generator.chain.steps} step(s); {args.to / 'README.md'} says how it is called")
    if args.push:
        print(_pushed(args.to, args.push))
    return 0


def _pushed(folder: Path, name: str) -> str:
    """Uploads the exported folder and returns its address; a Fault with the hub's words where that fails."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    from sid.fault import Fault

    hub = HfApi()
    try:
        hub.create_repo(name, exist_ok=True)
        return str(hub.upload_folder(repo_id=name, folder_path=str(folder), commit_message="exported by SiDBench"))
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise Fault(
            f"{folder} is written, and not uploaded to {name}: {reason} (`hf auth login` logs you in)"
        ) from None


def _card(folder: Path, licence: str) -> Any:
    """Written from the run's own files."""
    from benchmarks.run.artefacts import Origin, described_in
    from sid.export import Card

    described, origin = described_in(folder, "generator.json"), Origin.of(folder, "generator.json")
    scores = described_in(folder, "scores.json") if (folder / "scores.json").is_file() else {}
    record = described_in(folder, "record.json") if (folder / "record.json").is_file() else {}
    return Card(
        method=described.get("method", "not stated"),
        teacher=origin.source or f"{origin.family} on {origin.data}",
        digest=described.get("digest", ""),
        licence=licence,
        scores={
            name: score["value"] for name, score in scores.get("metrics", {}).items() if score["value"] is not None
        },
        trained_for=f"{record['images']:,} images" if "images" in record else "",
    )
