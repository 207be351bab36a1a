"""A teacher as a user names it, made into a folder with teacher.json: a path, a suite's name, a pipeline, a pickle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.assets import PICKLED, resolve_weights
from benchmarks.run.artefacts import described_in
from benchmarks.suite import components
from benchmarks.suite.job import SHARED
from sid import atomic
from sid.discovery import nearest
from sid.fault import Fault, parsed
from sid.teachers.latent.folder import REPOSITORY, locate

DESCRIPTION = "teacher.json"


def folder_of(named: str, out: Path, results: str, seed: int = 0, data: str | None = None) -> Path:
    """The folder of a teacher, with teacher.json.

    Args:
        named: A folder that sidbench made; the name of a teacher that a suite has trained; a diffusers pipeline (a
            folder, or owner/name in the Hugging Face cache); an imported folder; or a published .pkl.
        out: The training's folder: what has to be written about the teacher goes below it.
        results: The folder of all results, where a suite's teachers lie.
        seed: Of a suite's teacher, where it was trained with several.
        data: The data set whose images and labels it was trained on, for a published teacher.
    """
    path = resolve_weights(named)
    if path.suffix in PICKLED and path.is_file():
        return _imported(path, out / "teacher" / "imported", out, data)
    if (path / DESCRIPTION).is_file():
        return _imported(path, path, out, data) if "class" in described_in(path, DESCRIPTION) else path
    if (path / "model_index.json").is_file():
        return _pipeline(path, out, data)
    if not path.exists() and REPOSITORY.fullmatch(named):
        return _pipeline(locate(named), out, data)
    if path.exists():
        raise Fault(
            f"{path} holds no {DESCRIPTION} and no model_index.json: a teacher is a folder that sidbench made, a "
            "diffusers pipeline, an imported folder, or a published .pkl"
        )
    return _trained(named, Path(results), seed)


def _trained(name: str, results: Path, seed: int) -> Path:
    """The folder of a teacher that a suite has trained, by its name in the suite and its seed."""
    made = dict(_made(results))
    seeds = {number: folder for (its, number), folder in made.items() if its == name}
    if seed in seeds or len(seeds) == 1:
        return seeds.get(seed) or next(iter(seeds.values()))
    if seeds:
        raise Fault(f"the teacher {name} was trained with the seeds {', '.join(map(str, sorted(seeds)))}, not {seed}")
    names = sorted({its for its, _ in made})
    near = nearest(name, names)
    hint = f"did you mean '{near}'?" if near else f"made are: {', '.join(names) or 'none'}"
    raise Fault(
        f"there is no path '{name}', and no suite's teacher of that name in {results / SHARED / 'teacher'}; {hint} "
        "(`sidbench reproduce SUITE` trains a suite's teachers)"
    )


def _made(results: Path) -> Iterator[tuple[tuple[str, int], Path]]:
    """The teachers in a folder of results: (name, seed) -> folder. The newest of two with the same comes last."""
    records = (results / SHARED / "teacher").glob("*/record.json")
    for record in sorted(records, key=lambda file: file.stat().st_mtime):
        try:
            recipe = parsed(record.read_text(encoding="utf-8"))["recipe"]
            yield (str(recipe["name"]), int(recipe.get("seed") or 0)), record.parent
        except (ValueError, KeyError, TypeError):
            continue


def _imported(source: Path, folder: Path, out: Path, data: str | None) -> Path:
    """Of an imported folder, or of a .pkl that is imported first; nothing in it is run."""
    from sid.teachers.pickles.edm_pickle import import_file

    if source != folder:
        import_file(source, folder)
    described = described_in(folder, DESCRIPTION)
    if described["family"] not in components.teachers():
        raise Fault(f"{source} holds a network of the family {described['family']}, which can't be built here")
    settings = described["settings"]
    conditional = bool(settings.get("label_dim"))
    return _write(out, described["family"], folder, settings=settings, conditional=conditional, data=data)


def _pipeline(folder: Path, out: Path, data: str | None) -> Path:
    """Of a diffusers pipeline: its family by model_index.json, its resolution by the two networks' configs."""
    kind = described_in(folder, "model_index.json").get("_class_name")
    families: list[Any] = [family for family in components.teachers().values() if family.text]
    family = next((family for family in families if kind in getattr(family, "pipelines", ())), None)
    if family is None:
        known = sorted({name for family in families for name in getattr(family, "pipelines", ())})
        raise Fault(f"{folder} is a {kind}, and the teacher families here read {', '.join(known)}")
    family.check(folder)
    latent = described_in(folder / family.part, "config.json").get("sample_size")
    blocks = described_in(folder / "vae", "config.json").get("block_out_channels")
    if not isinstance(latent, int) or not blocks:
        raise Fault(f"{folder}: its configs state no sample_size and block_out_channels, so its resolution is unknown")
    resolution = latent * 2 ** (len(blocks) - 1)
    return _write(out, family.name, folder, settings={}, conditional=False, data=data, resolution=resolution)


def _write(out: Path, family: str, source: Path, **facts: Any) -> Path:
    """teacher.json about a published teacher, as a suite's job writes it."""
    described = {
        "family": family,
        "source": str(source.resolve()),
        "own": {},
        "resolution": None,
        "digest": "",
        **facts,
    }
    atomic.write_json(out / "teacher" / DESCRIPTION, described)
    return out / "teacher"
