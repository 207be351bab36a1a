"""A suite that reads every kind of a user's file, with the files, and what a change of one makes again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import yaml

from benchmarks.suite.plan import Plan, load_plan
from tests.made_images import folder, made

REPOSITORY = "hub/models--UT-Austin-PML--SiD"
RELEASED = f"{REPOSITORY}/snapshots/1/cifar10-cond/alpha1.2/network-snapshot-1.200000-713312.pkl"

# Kind -> the file of it that is changed, and what must be made again: runs by their entry, the rest by its kind.
KINDS = {
    "teacher, a .pkl": ("files/teacher.pkl", {"teacher", "by-pickle"}),
    "teacher, an imported folder": ("files/imported/network.safetensors", {"teacher", "by-folder"}),
    "teacher, a diffusers folder": (
        "files/pipeline/unet/diffusion_pytorch_model.safetensors",
        {"teacher", "prompts", "latents", "by-pipeline"},
    ),
    "prompts.file of a task": ("files/training.txt", {"prompts", "by-pipeline"}),
    "prompts.file of a protocol": ("files/captions.txt", {"prompts", "by-pipeline"}),
    "real.pairs": ("files/pairs/img0.txt", {"latents", "by-pipeline"}),
    "reference, a folder": ("files/reference/img1.png", {"by-pickle"}),
    "reference, a zip": ("files/reference.npz", {"by-folder"}),
    "data of a teacher trained here": ("files/images/img1.png", {"teacher", "by-images"}),
    "released weights": (RELEASED, {"released"}),
}


def write(root: Path, place: str = "files") -> Path:
    """The files below `place` of the folder, and a suite that names them; the working folder must be `root`."""
    home = root / place
    for name in ("imported", "pipeline/unet", "pipeline/scheduler", "pipeline/vae", "pipeline/text_encoder"):
        (home / name).mkdir(parents=True)
    (home / "teacher.pkl").write_bytes(b"teacher")
    (home / "imported" / "network.safetensors").write_bytes(b"network")
    (home / "imported" / "teacher.json").write_text("{}")
    (home / "pipeline" / "model_index.json").write_text("{}")
    for part in ("unet", "vae"):
        (home / "pipeline" / part / "diffusion_pytorch_model.safetensors").write_bytes(part.encode())
    (home / "training.txt").write_text("a cat\n")
    (home / "captions.txt").write_text("a dog\n")
    for name in ("reference", "images", "pairs"):
        folder(home / name, made(3, 8, 8, seed=len(name)))
    for number in range(3):
        (home / "pairs" / f"img{number}.txt").write_text(f"picture {number}\n")
    (home / "reference.npz").write_bytes(b"arrays")
    return suite(root, place)


def hub(root: Path) -> None:
    """A cache of models with one published generator."""
    (root / REPOSITORY / "refs").mkdir(parents=True)
    (root / REPOSITORY / "refs" / "main").write_text("1")
    (root / RELEASED).parent.mkdir(parents=True)
    (root / RELEASED).write_bytes(b"generator")


def suite(root: Path, place: str) -> Path:
    def protocol(name: str, reference: str, **more: object) -> dict[str, object]:
        column = {"metric": "fid", "features": "inception-tf.pool3", "reference": {"data": reference, "split": "all"}}
        return {"name": name, "samples": 3, "metrics": {"fid": column}, **more}

    at = f"./{place}"
    captions = {"file": f"{at}/captions.txt", "count": 1}
    dmd2 = {"method": "dmd2", "options": {"t_init": 999.0, "kappa": 1.5, "gan_generator": 0.001, "gan_critic": 0.01}}
    pipeline = {"family": "stable-diffusion", "source": f"{at}/pipeline", "conditional": True, "resolution": 16}
    content = {
        "name": "own",
        "seeds": [0],
        "teachers": {
            "pickle": {"family": "edm", "source": f"{at}/teacher.pkl", "data": "cifar10"},
            "folder": {"family": "edm", "source": f"{at}/imported", "data": "cifar10"},
            "pipeline": pipeline,
            "images": {"family": "mlp", "data": f"{at}/images", "network": {"width": 8, "depth": 1}},
        },
        "protocols": {
            "one": protocol("one", f"{at}/reference"),
            "two": protocol("two", f"{at}/reference.npz"),
            "three": protocol("three", "coco2014", prompts=captions),
            "four": protocol("four", "cifar10"),
        },
        "tasks": {
            "pickle": {"teacher": "pickle", "protocol": "one", "entries": {"by-pickle": {"control": "untrained"}}},
            "folder": {"teacher": "folder", "protocol": "two", "entries": {"by-folder": {"control": "untrained"}}},
            "pipeline": {
                "teacher": "pipeline",
                "protocol": "three",
                "prompts": {"file": f"{at}/training.txt"},
                "real": {"pairs": f"{at}/pairs"},
                "entries": {"by-pipeline": dmd2},
            },
            "images": {"teacher": "images", "protocol": "four", "entries": {"by-images": {"control": "untrained"}}},
            "cifar10-cond": {
                "teacher": "pickle",
                "protocol": "four",
                "entries": {"released": {"released": "sid-cifar10-cond"}},
            },
        },
    }
    for reference in content["protocols"].values():  # type: ignore[attr-defined]
        for column in reference["metrics"].values():
            column["reference"]["split"] = {"coco2014": "val", "cifar10": "train"}.get(
                column["reference"]["data"], "all"
            )
    (root / "own.yaml").write_text(yaml.safe_dump(content))
    return root / "own.yaml"


def digests(plan: Plan) -> dict[str, set[str]]:
    """What is planned -> its digests: runs by their entry, the rest by its kind."""
    listed: dict[str, set[str]] = {}
    for job in plan.jobs:
        listed.setdefault(job.params["entry"] if job.kind == "run" else job.kind, set()).add(job.digest)
    return listed


def again(before: Plan, after: Plan) -> set[str]:
    """What the second plan makes anew."""
    old = digests(before)
    return {name for name, planned in digests(after).items() if planned - old.get(name, set())}


def swap(path: Path) -> None:
    """Another file in its place, under a new inode."""
    beside = path.with_name("new")
    beside.write_bytes(path.read_bytes()[:-1] + b"!")
    os.replace(beside, path)


def edit(path: Path) -> None:
    """A byte changed in place, the times set back: size, inode and mtime stay."""
    stat = path.stat()
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"?")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def touch(path: Path) -> None:
    os.utime(path)


def rewrite(path: Path) -> None:
    """The same bytes in a new file."""
    beside = path.with_name("new")
    beside.write_bytes(path.read_bytes())
    os.replace(beside, path)


CHANGES: dict[str, Callable[[Path], None]] = {"swap": swap, "edit": edit, "touch": touch, "rewrite": rewrite}
REMAKING = ("swap", "edit")


def changed(root: Path, kind: str, change: str) -> set[str]:
    """What is made again after a change of a file of that kind; "move" moves all of them."""
    before = load_plan("own.yaml")
    if change == "move":
        os.rename(root / "files", root / "elsewhere")
        suite(root, "elsewhere")
        after = load_plan("own.yaml")
        os.rename(root / "elsewhere", root / "files")
        suite(root, "files")
    elif change == "take away":
        path = root / KINDS[kind][0]
        content = path.read_bytes()
        path.unlink()
        after = load_plan("own.yaml")
        path.write_bytes(content)
    else:
        CHANGES[change](root / KINDS[kind][0])
        after = load_plan("own.yaml")
    return again(before, after)


def table(results: Path) -> dict[str, object]:
    """The remembered contents."""
    return json.loads((results / "_shared" / "contents.json").read_text())
