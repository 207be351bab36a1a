"""Files as users' folders hold them: links, other programs' leavings, odd names, and what a file states of itself."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from benchmarks.features.extraction import extract
from benchmarks.images.reading import decode, natural, open_images
from benchmarks.scoring.requests import request, request_variant
from benchmarks.scoring.score import score
from benchmarks.suite import components
from sid.fault import Fault
from tests.photos import mixed, photos, write
from tests.test_images import Mean


def test_linked_folders_are_followed_and_loops_are_refused(tmp_path):
    root = write(tmp_path / "root", mixed(2))
    write(tmp_path / "elsewhere", mixed(3, seed=1), name="other{}")
    write(root / "z-real", mixed(1, seed=2))
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    images = open_images(root)
    linked = [f"linked/other{index}.png" for index in range(3)]
    assert images.names == ["img000.png", "img001.png", *linked, "z-real/img000.png"]
    assert all(decode(images.content(index), "")[0].ndim == 3 for index in range(len(images)))
    for loop in (root / "loop", tmp_path / "elsewhere" / "back"):
        loop.symlink_to(root)
        with pytest.raises(Fault, match=f"{loop.name} is a link to a folder that contains it"):
            open_images(root)
        loop.unlink()


def test_a_link_to_no_file_is_still_refused(tmp_path):
    root = write(tmp_path / "root", mixed(1))
    (root / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(Fault, match=r"gone\.png: a link to a file that is not there"):
        open_images(root)


def test_leavings_of_other_programs_are_passed_over_and_counted(tmp_path):
    root = write(tmp_path / "root", mixed(2))
    for name in (".ipynb_checkpoints", "__MACOSX"):
        write(root / "within" / name, mixed(2, seed=3))
        (root / "within" / name / "notes.txt").write_text("no image")
    lines = ["8 files, 2 images, 6 passed over (in .ipynb_checkpoints: 3, in __MACOSX: 3)"]
    packed_lines = ["6 files, 2 images, 4 passed over (in .ipynb_checkpoints: 2, in __MACOSX: 2)"]
    images = open_images(root)
    assert len(images) == 2 and images.remarks() == lines
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for file in sorted(root.rglob("*.png")):
            archive.write(file, file.relative_to(root).as_posix())
    packed = open_images(tmp_path / "all.zip")
    assert packed.names == images.names and packed.remarks() == packed_lines and packed.first(1).passed_over


def test_control_characters_in_a_name_reach_no_terminal(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a\x1b[31m\n.png").write_bytes(b"no image")
    with pytest.raises(Fault) as fault:
        extract(open_images(tmp_path / "root"), {"mean": ["rgb"]}, {"mean": Mean()})
    assert "a\\x1b[31m\\n.png" in str(fault.value) and "\x1b" not in str(fault.value)


def test_a_name_whose_digit_is_no_number_stops_nothing(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    names = ["²1.png", "2.png", "10.png", "٣.png", "a½.png"]
    for name, image in zip(names, mixed(5), strict=True):
        image.save(root / name)
    assert set(open_images(root).names) == set(names)
    assert natural(["10.png", "2.png", "²1.png"])[:2] == ["2.png", "10.png"]


def test_what_files_state_beyond_their_pixels_is_counted_and_said(tmp_path):
    """No protocol's reader turns an image by its EXIF, composites it or converts its colours: neither do we."""
    first, second, third = photos()
    root = tmp_path / "root"
    root.mkdir()
    turned = Image.Exif()
    turned[274] = 6
    first.save(root / "turned.jpg", exif=turned, quality=95)
    second.save(root / "upright.jpg", icc_profile=b"made profile", quality=95)
    third.resize((60, 50)).quantize(8).save(root / "palette.png", transparency=0)
    frames = [image.resize((60, 50)) for image in (first, second)]
    frames[0].save(root / "moving.gif", save_all=True, append_images=frames[1:])
    extracted = extract(open_images(root), {"mean": ["rgb"]}, {"mean": Mean()})
    assert extracted.unused == {"EXIF orientation": 1, "ICC profile": 1, "transparent colour": 1, "further frames": 1}
    lines = [line for line in extracted.warnings() if line.endswith("not used, as in the protocols' readers")]
    assert len(lines) == 4 and lines[0] == "EXIF orientation of 1 image not used, as in the protocols' readers"
    assert decode((root / "turned.jpg").read_bytes(), "")[0].shape == (3, 427, 640), "as it is stored"


class Rows(Mean):
    """Eight columns, so that draws of rows matter."""

    outputs, trained_here = ("pool3", "logits_unbiased"), False

    def prepare(self, images):
        return images.float().mean((2, 3))

    def __call__(self, images):
        features = np.concatenate([images.numpy(), images.numpy() ** 2 / 200], axis=1)
        return {"pool3": features, "logits_unbiased": features / 60}


def test_seeded_variants_draw_from_the_files_as_their_peer_lists_them(tmp_path, monkeypatch):
    """Unpadded names: img10 comes before img2 in torch-fidelity's list, and its seeded draws see that."""
    import torch
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.utils import glob_samples_paths

    from benchmarks.audit.peer import peers
    from benchmarks.audit.peers import clean_fid

    known = {**components.extractors(), "inception-tf": Rows(), "inception-clean": Rows()}
    monkeypatch.setattr(components, "extractors", lambda: known)
    folders = [write(tmp_path / name, mixed(24, seed), name="img{}") for seed, name in enumerate(("a", "b"))]
    listed = [glob_samples_paths(str(folder), False, "png,jpg,jpeg", verbose=False) for folder in folders]

    def features(files):
        rows = [np.asarray(Image.open(file)).mean((0, 1)) for file in files]
        rows = np.array(rows, np.float32)
        return np.concatenate([rows, rows**2 / 200], axis=1)

    theirs = [torch.from_numpy(features(files)) for files in listed]
    kid = kid_features_to_metric(*theirs, kid_subset_size=10, kid_subsets=5, verbose=False)
    scores = isc_features_to_metric(theirs[0] / 60)
    asked = {
        "kid": request_variant("kid", "torch-fidelity", {"subsets": 5, "subset_size": 10}),
        "kid of clean-fid": request_variant("kid", "clean-fid", {"subsets": 100, "subset_size": 10}),
        "inception-score": request_variant("inception-score", "torch-fidelity"),
    }
    (clean_kid,) = peers()["clean-fid"].kernels(10).values()
    ours = score(open_images(folders[0]), asked, open_images(folders[1])).scores
    assert ours["kid"].value == pytest.approx(kid["kernel_inception_distance_mean"], rel=1e-4)
    assert ours["inception-score"].value == pytest.approx(scores["inception_score_mean"], rel=1e-4)
    by_clean_fid = [[folder / name for name in clean_fid._read(folder).names] for folder in folders]
    assert ours["kid of clean-fid"].value == pytest.approx(clean_kid.run(*map(features, by_clean_fid)), rel=1e-4)
    plain = {"kid": request("kid", {"subsets": 5, "subset_size": 10, "seed": 2020})}
    natural_order = score(open_images(folders[0]), plain, open_images(folders[1])).scores["kid"].value
    assert natural_order != pytest.approx(ours["kid"].value, rel=1e-4), "the order matters here"
