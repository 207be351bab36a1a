"""Nine odd files: every peer's printed value is what the peer itself gives when it is called on the folders."""

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.audit import networks
from benchmarks.audit.peer import sqrtm_as_before
from benchmarks.audit.pipelines import Subject, pipelines, read_ours
from tests.photos import mixed, write

TAP = 192
FIDELITY = "FeatureExtractorInceptionV3"


def odd(folder, seed):
    """GIF, WebP, upper-case endings, palette, 16 bits, turned by EXIF, unpadded numbers."""
    images = [image.resize((90 + 10 * index, 80)) for index, image in enumerate(mixed(9, seed))]
    write(folder, images[:2], name="img{}")  # img0.png, img1.png
    images[2].save(folder / "img10.png")
    images[3].save(folder / "img2.PNG")
    images[4].save(folder / "UPPER.JPG", "JPEG", quality=90)
    turned = Image.Exif()
    turned[274] = 6
    images[5].save(folder / "turned.jpg", exif=turned)
    images[6].quantize(32).save(folder / "moving.gif")
    images[7].save(folder / "lossy.webp")
    images[8].quantize(16).save(folder / "palette.png")
    deep = np.asarray(images[8].convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "deep.png")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("odd")
    return odd(root / "images", 0), odd(root / "reference", 1)


@pytest.fixture(scope="module")
def rows(folders, state):
    (table, _) = pipelines(Subject(*folders, state, "odd files", "odd files", TAP), "inception-tf")
    return {row.implementation: row for row in table.rows}


def printed(rows, peer, way):
    """The line with the peer's own reader."""
    (row,) = [row for name, row in rows.items() if name.startswith(f"{peer} ") and name.endswith(f" {way}")]
    return row


def test_torch_fidelity(folders, rows, state, tmp_path):
    from torch_fidelity import calculate_metrics

    torch.save(state, tmp_path / "given.pth")
    options = {"cuda": False, "batch_size": 1, "save_cpu_ram": True, "verbose": False, "cache": False}
    weights = {"feature_extractor_weights_path": str(tmp_path / "given.pth"), "feature_layer_fid": str(TAP)}
    direct = calculate_metrics(input1=str(folders[0]), input2=str(folders[1]), fid=True, **options, **weights)
    row = printed(rows, "torch-fidelity", FIDELITY)
    assert row.value == pytest.approx(direct["frechet_inception_distance"], rel=1e-4)
    assert "passed over lossy.webp, moving.gif" in row.note or "passed over moving.gif, lossy.webp" in row.note


def test_pytorch_fid(folders, rows, state):
    from pytorch_fid import fid_score, inception

    with networks._given(inception, state), sqrtm_as_before():
        direct = fid_score.calculate_fid_given_paths([str(folder) for folder in folders], 1, "cpu", TAP, 0)
    row = printed(rows, "pytorch-fid", "InceptionV3")
    assert row.value == pytest.approx(direct, rel=1e-4)
    assert "moving.gif" in row.note and "UPPER.JPG" in row.note, "its list of endings is in lower case"


@pytest.mark.parametrize("mode", ["clean", "legacy_tensorflow", "legacy_pytorch"])
def test_clean_fid(folders, rows, state, mode):
    from cleanfid import fid

    model = networks.clean_fid_models(state, TAP)[mode]
    options = {"num_workers": 0, "batch_size": 1, "device": torch.device("cpu"), "mode": mode, "verbose": False}
    with sqrtm_as_before():
        direct = fid.compare_folders(*map(str, folders), model, **options)
    row = printed(rows, "clean-fid", mode)
    assert row.value == pytest.approx(direct, rel=1e-4)


@pytest.mark.parametrize("antialias", [True, False])
def test_torchmetrics(folders, rows, state, tmp_path, antialias):
    """It documents tensors: a user reads the files, here with our reader."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    torch.save(state, tmp_path / "given.pth")
    metric = FrechetInceptionDistance(
        TAP, feature_extractor_weights_path=str(tmp_path / "given.pth"), antialias=antialias
    )
    for folder, real in zip(folders, (False, True), strict=True):
        for pixels in read_ours(folder)[0].pixels:
            metric.update(torch.from_numpy(pixels)[None], real=real)
    value = printed(rows, "torchmetrics", f"antialias={antialias}").value
    assert value == pytest.approx(float(metric.compute()), rel=1e-4)


def test_what_a_peer_read_is_a_named_cause_and_nothing_is_left(rows):
    rows = dict(rows)
    unlike = {name: rows.pop(name) for name in ("described: torcheval", "described: piq")}
    assert all(row.value is None and row.note for row in unlike.values()), "another network, another root"
    for name, row in rows.items():
        assert row.verdict in ("ok", "explained"), (name, row.note)
        assert abs(row.residue) <= 1e-4 * row.value, name
    for peer in ("torch-fidelity", "pytorch-fid", "clean-fid 0"):
        lines = [(name, row) for name, row in rows.items() if peer in name]
        for name, row in lines:
            assert ("files read" in row.causes) == (not name.endswith("our reader")), name
    assert (
        "deep.png has 16-bit" in rows["sidbench inception-tf"].note
        or "deep.png has I;16" in rows["sidbench inception-tf"].note
    )
    assert "also read deep.png" in printed(rows, "torch-fidelity", FIDELITY).note
