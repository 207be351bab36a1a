"""Writes the tables of docs/metrics.md: how far our metrics are from every installed peer, on photographs and features.

`python -m tests.audit.agreement` takes some minutes; with `networks` it writes only the second table. The photographs
are crops of those that scikit-learn and matplotlib ship; networks have random weights, the same in every
implementation. A row is the largest difference.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np

from benchmarks.audit.attribute import scale
from benchmarks.audit.peer import Peer, guarded, peers, sqrtm_as_before
from benchmarks.audit.pipelines import Subject, pipelines, read_ours
from benchmarks.audit.run import arithmetic
from benchmarks.features.extraction import extract
from benchmarks.features.networks.inception import random_state
from benchmarks.images.reading import open_images
from benchmarks.suite.components import extractors, metrics
from sid.atomic import write_text
from tests.photos import mixed, write

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
BEGIN, END = "<!-- agreement: begin -->", "<!-- agreement: end -->"
OF_NETWORKS = "<!-- networks: begin -->", "<!-- networks: end -->"
COUNT, TAP, SUBSET = 30, 192, 20
LARGEST = 1e-4  # relative difference of a row
HEADER_OF_NETWORKS = "| metric | peer | version | on photographs |\n| --- | --- | --- | --- |"
HEADER = "| metric | peer | version | on photographs | on features |\n| --- | --- | --- | --- | --- |"


def from_files(folders: list[Path]) -> dict[tuple[str, str], float]:
    """(metric, peer with its way) -> relative residue of whole pipelines, from the files to the distance."""
    table, _ = pipelines(Subject(*folders, random_state(0), "photographs", "photographs", TAP), "inception-tf")
    peer_rows = [row for row in table.rows if row.residue is not None and row.implementation.split()[0] in peers()]
    return {("FID", row.implementation): abs(row.residue) / scale(row.value) for row in peer_rows}


def on_synthetic_features() -> dict[tuple[str, str], float]:
    """The same of the audit's tables of arithmetic."""
    largest: dict[tuple[str, str], float] = {}
    for metric, table in zip(("FID", "KID", "Inception Score", "precision, recall"), arithmetic(), strict=True):
        for row in table.rows:
            if row.value is not None and not row.implementation.startswith("sidbench"):
                key = (metric, _call(row.implementation.removesuffix(" precision").removesuffix(" recall")))
                largest[key] = max(largest.get(key, 0.0), abs(row.residue) / scale(row.value))
    return largest


def on_photographs_features(folders: list[Path]) -> dict[tuple[str, str], float]:
    """KID, Inception Score, precision and recall of the photographs' features, by each peer's function and by ours."""
    network = extractors()["inception-tf"].random(0)
    sides = []
    for folder in folders:
        rows = [network(_batch(pixels)) for pixels in read_ours(folder)[0].pixels]
        sides.append({key: np.concatenate([row[key] for row in rows]) for key in ("192", "logits_unbiased")})
    features = [side["192"].astype(np.float64) for side in sides]  # in float32 a cubic kernel loses four digits
    given = [{"a.b": part} for part in features]
    differences: dict[tuple[str, str], float] = {}
    for name, peer in peers().items():
        for way, call in _calls(peer, "kernels", SUBSET).items():
            options = {"subsets": 100, "subset_size": SUBSET, **(call.compatible or {})}
            ours = call.twin(*features) if call.twin else metrics()["kid"].compute(*given, **options).value
            differences["KID", f"{name} {way}"] = _apart(call.run(*features), ours)
        for way, call in _calls(peer, "scores").items():
            logits = sides[0]["logits_unbiased"]
            score = metrics()["inception-score"]
            ours = call.twin(logits) if call.twin else score.compute({"a.b": logits}, **(call.compatible or {})).value
            differences["Inception Score", f"{name} {way}"] = _apart(call.run(logits), ours)
        for way, call in _calls(peer, "neighbours").items():
            pair = [metrics()[metric].compute(*given).value for metric in ("precision", "recall")]
            differences["precision, recall", f"{name} {way}"] = max(map(_apart, call.run(*features), pair))
    return differences


def clip_fid(folders: list[Path]) -> tuple[str, float]:
    """clean-fid's CLIP-FID from the files; the package of CLIP that it imports is replaced by ours with its weights."""
    import torch
    from cleanfid import fid

    opened = extractors()["clip-vit-b-32"].random(0)
    sides = [
        extract(open_images(folder), {"clip-vit-b-32": ["image"]}, {"clip-vit-b-32": opened}) for folder in folders
    ]
    ours = metrics()["fid-clip"].compute(*(side.features for side in sides)).value
    package = SimpleNamespace(load=lambda name, device: (opened.network, None))
    options = {"model_name": "clip_vit_b_32", "device": torch.device("cpu"), "num_workers": 0, "verbose": False}
    with patch.dict(sys.modules, clip=package), sqrtm_as_before():
        theirs = fid.compute_fid(*map(str, folders), **options)
    return "CLIP-FID | clean-fid clip_vit_b_32", _apart(theirs, ours)


def lpips(folders: list[Path]) -> tuple[str, float]:
    """torchmetrics' LPIPS on AlexNet with the same backbone, of neighbouring photographs; the largest difference."""
    import torch
    from torchmetrics.functional.image.lpips import _LPIPS

    opened = extractors()["lpips-alex"].random(0)
    peer = _LPIPS(pretrained=True, net="alex", pnet_rand=True, eval_mode=True)
    layers = {name: layer for part in peer.net.children() for name, layer in part.named_children()}
    for name, layer in layers.items():
        if hasattr(layer, "weight"):
            layer.load_state_dict(opened.network[int(name)].state_dict())
    pixels = [opened.prepare(_batch(image)) for image in read_ours(folders[0])[0].pixels]
    maps = [opened.extract(part, ("maps",))["maps"].astype(np.float64) for part in pixels]
    differences = []
    for (first, mine), (second, other) in pairwise(zip(pixels, maps, strict=True)):
        with torch.inference_mode():
            theirs = float(peer(first / 127.5 - 1, second / 127.5 - 1))
        differences.append(_apart(theirs, float(((mine - other) ** 2).sum())))
    return "LPIPS | torchmetrics _LPIPS alex", max(differences)


def _agree(row: str, *apart: float) -> None:
    """Ends the script before a page says of a row what it must not say."""
    if not max(apart) <= LARGEST:  # not a number is no agreement
        sys.exit(f"{row}: {max(apart):.0e} apart, the page says that every row is within {LARGEST:.0e}")


def _calls(peer: Peer, kind: str, *arguments: int) -> dict:
    outcome = guarded(getattr(peer, kind), *arguments)
    return {} if outcome.broken else outcome.value


def _batch(pixels: np.ndarray):
    import torch

    return torch.from_numpy(pixels)[None]


def _apart(theirs: float, ours: float) -> float:
    return abs(theirs - ours) / scale(theirs, ours)


def _call(implementation: str) -> str:
    """The peer and its function, without the version."""
    name, _, way = implementation.split(" ", 2)
    return f"{name} {way}"


def lines(root: Path) -> list[str]:
    """The rows of the table."""
    folders = [write(root / name, mixed(COUNT, seed)) for seed, name in enumerate(("images", "reference"))]
    whole = from_files(folders)
    photographs, features = on_photographs_features(folders), on_synthetic_features()
    rows = []
    for (metric, implementation), apart in whole.items():
        name = implementation.split(" ", 1)[0]
        (arithmetic_of,) = [
            value for (of, call), value in features.items() if of == metric and call.startswith(f"{name} ")
        ]
        rows.append(_line(metric, _call(implementation), apart, arithmetic_of))
    others = sorted(photographs.items())
    return rows + [_line(metric, call, apart, features[metric, call]) for (metric, call), apart in others]


def _line(metric: str, call: str, photographs: float, features: float) -> str:
    version = peers()[call.split(" ", 1)[0]].version_of()
    _agree(f"{metric} | {call}", photographs, features)
    return f"| {metric} | {call} | {version} | {photographs:.0e} | {features:.0e} |"


def lines_of_networks(root: Path) -> list[str]:
    """The rows of the second table."""
    folders = [write(root / name, mixed(COUNT, seed)) for seed, name in enumerate(("images", "reference"))]
    rows = []
    for made in (clip_fid, lpips):
        title, apart = made(folders)
        _agree(title, apart)
        rows.append(f"| {title} | {version(title.split()[2])} | {apart:.0e} |")
    return rows


def main() -> int:
    only_networks = sys.argv[1:] == ["networks"]
    with tempfile.TemporaryDirectory() as folder:
        if not only_networks:
            _replace(BEGIN, END, HEADER, lines(Path(folder) / "first"))
        _replace(*OF_NETWORKS, HEADER_OF_NETWORKS, lines_of_networks(Path(folder) / "second"))
    return 0


def _replace(begin: str, end: str, header: str, rows: list[str]) -> None:
    """The page with these rows between two marks."""
    before, rest = PAGE.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    write_text(PAGE, f"{before}{begin}\n{header}\n" + "\n".join(rows) + f"\n{end}{after}")
    print("\n".join(rows))


if __name__ == "__main__":
    sys.exit(main())
