"""Where images come from, and what is refused with a sentence that says what was wrong."""

import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from benchmarks.features.base import Extractor
from benchmarks.features.extraction import extract
from benchmarks.images.geometry import Geometry
from benchmarks.images.reading import Array, decode, natural, open_images
from sid.fault import Fault
from tests.made_images import encoded, folder, made

IMAGES = made(12, 20, 24)


class Mean(Extractor):
    """Mean colour: an extractor without a network."""

    name, outputs, preprocess, identity = "mean", ("rgb",), "as-is", "none"

    def open(self, weights, device="cpu"):
        return self

    def prepare(self, images):
        return images.float().mean((2, 3))

    def __call__(self, images):
        return {"rgb": images.numpy()}


def means(images, **options):
    extracted = extract(images, {"mean": ["rgb"]}, {"mean": Mean()}, **options)
    return extracted.features["mean.rgb"], extracted


def packed(kind, tmp_path):
    path = folder(tmp_path / "folder", IMAGES)
    if kind == "folder":
        return path
    target = tmp_path / f"images.{kind}"
    if kind == "npz":
        np.savez(target, images=IMAGES.transpose(0, 2, 3, 1))
    elif kind == "npy":
        np.save(target, IMAGES)
    elif kind == "zip":
        with zipfile.ZipFile(target, "w") as archive:
            for file in path.iterdir():
                archive.write(file, f"deep/{file.name}")
            archive.writestr("notes.txt", "no image")
    else:
        with tarfile.open(target, "w:gz" if kind == "tar.gz" else "w") as archive:
            archive.add(path, "deep")
    return target


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz", "npz", "npy"])
def test_every_container_holds_the_same_images_in_natural_order(kind, tmp_path):
    images = open_images(packed(kind, tmp_path))
    assert len(images) == 12
    decoded = np.stack([decode(images.read(index), images.names[index])[0] for index in range(12)])
    assert (decoded == IMAGES).all()
    if kind not in ("npz", "npy"):
        assert images.names[2].endswith("img2.png")
        assert images.digest == open_images(tmp_path / "folder").digest


def test_extensions_are_read_in_any_case(tmp_path):
    (tmp_path / "a.Png").write_bytes(encoded(IMAGES[0]))
    (tmp_path / "b.JPEG").write_bytes(encoded(IMAGES[1], "jpeg"))
    assert open_images(tmp_path).names == ["a.Png", "b.JPEG"]


def test_an_empty_folder_says_which_extensions_were_looked_for(tmp_path):
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(Fault, match=r"holds no images: none of \.png, \.jpg"):
        open_images(tmp_path)
    with pytest.raises(Fault, match="does not exist"):
        open_images(tmp_path / "nowhere")
    with pytest.raises(Fault, match="neither a folder nor a zip"):
        open_images(tmp_path / "a.txt")


def test_fewer_images_than_asked_for_are_refused():
    with pytest.raises(Fault, match="holds 12 images, 50,000 were asked for"):
        Array(IMAGES).first(50_000)
    assert len(Array(IMAGES).first(5)) == 5


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (IMAGES / 255, "values from 0.* not uint8"),
        (IMAGES / 127.5 - 1, "values from -1.* not uint8"),
        (np.full((2, 3, 4, 4), np.nan), "NaN or infinity"),
        (IMAGES.astype(np.uint16), "holds uint16"),
        (IMAGES[:, :2], r"shape \[12, 2, 20, 24\]"),
    ],
)
def test_arrays_whose_range_is_a_guess_are_refused(pixels, reason):
    with pytest.raises(Fault, match=reason):
        Array(pixels)


def test_no_pickled_object_is_ever_loaded(tmp_path):
    np.savez(tmp_path / "evil.npz", images=np.array([{"a": 1}], dtype=object))
    with pytest.raises(Fault, match="can't be read"):
        open_images(tmp_path / "evil.npz")


def test_all_corrupt_files_are_listed_not_the_first(tmp_path):
    path = folder(tmp_path / "images", IMAGES)
    whole = (path / "img3.png").read_bytes()
    (path / "img3.png").write_bytes(whole[: len(whole) // 2])
    (path / "img7.png").write_bytes(b"no image")
    (path / "img9.png").write_bytes(b"")
    with pytest.raises(Fault) as raised:
        means(open_images(path), batch=2)
    assert [sentence.split()[0] for sentence in raised.value.sentences] == ["img3.png", "img7.png", "img9.png"]


def test_a_damaged_archive_member_is_named(tmp_path):
    target = packed("zip", tmp_path)
    data = bytearray(target.read_bytes())
    with zipfile.ZipFile(target) as archive:
        place = archive.getinfo("deep/img4.png")
    data[place.header_offset + 60 + place.file_size // 2] ^= 0xFF
    target.write_bytes(data)
    with pytest.raises(Fault, match=r"deep/img4\.png can't be read from"):
        means(open_images(target))


def test_sixteen_bit_grey_is_refused_not_clipped_to_white(tmp_path):
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(Fault, match=r"deep\.png has I;16 pixels \(more than 8 bits\)"):
        means(open_images(tmp_path))


def test_grey_palette_and_alpha_are_converted_and_counted(tmp_path):
    folder(tmp_path, IMAGES[:2])
    (tmp_path / "grey.png").write_bytes(encoded(IMAGES[2][0]))
    alpha = np.concatenate([IMAGES[3], np.full((1, 20, 24), 7, np.uint8)])
    (tmp_path / "soft.png").write_bytes(encoded(alpha))
    features, extracted = means(open_images(tmp_path))
    assert features[0].tolist() == pytest.approx([IMAGES[2][0].mean()] * 3, rel=1e-6)
    assert features[3] == pytest.approx(IMAGES[3].mean((1, 2)), rel=1e-6)
    warnings = " ".join(extracted.warnings())
    assert (
        "the alpha channel of 1 images was dropped" in warnings and "1 images were converted to RGB from L" in warnings
    )


@pytest.mark.parametrize("batch", [1, 5, 64])
@pytest.mark.parametrize("workers", [1, 3])
def test_mixed_sizes_keep_their_order_whatever_batch_and_workers(tmp_path, batch, workers):
    sizes = [(16, 16), (24, 16), (16, 16), (24, 16), (10, 10), (16, 16)]
    images = [made(1, *size, seed=index)[0] for index, size in enumerate(sizes)]
    features, extracted = means(open_images(folder(tmp_path, images)), batch=batch, workers=workers)
    assert features == pytest.approx(np.stack([image.mean((1, 2)) for image in images]), rel=1e-5)
    assert "images of 3 sizes are mixed" in extracted.warnings()


def test_nan_features_name_the_image_and_the_layer(tmp_path):
    class Broken(Mean):
        def prepare(self, images):
            features = super().prepare(images)
            features[features[:, 0] == features[:, 0].max()] = float("nan")
            return features

    with pytest.raises(Fault, match=r"mean\.rgb has NaN or infinity for 1 images: image \d+"):
        extract(Array(IMAGES), {"mean": ["rgb"]}, {"mean": Broken()})


def test_duplicates_are_counted():
    assert Array(np.concatenate([IMAGES, IMAGES[:3]])).duplicates == 3


def test_crop_and_resize_are_those_of_pil():
    pixels = made(1, 40, 60)[0]
    image = Image.fromarray(pixels.transpose(1, 2, 0)).crop((10, 0, 50, 40)).resize((16, 16), Image.Resampling.LANCZOS)
    assert (Geometry("centre", 16)(pixels) == np.asarray(image).transpose(2, 0, 1)).all()
    assert Geometry("centre", 16).identity != Geometry("centre", 16, "bicubic").identity


def test_natural_order_is_the_order_of_captions():
    assert natural(["10.png", "9.png", "1.png", "100.png"]) == ["1.png", "9.png", "10.png", "100.png"]


def test_each_image_is_read_and_decoded_once_for_all_extractors():
    class Other(Mean):
        name = "other"

    class Counted(Array):
        reads = 0

        def read(self, index):
            Counted.reads += 1
            return super().read(index)

    images = Counted(IMAGES)
    geometry = Geometry("centre", 12)
    known = {"mean": Mean(), "other": Other()}
    extracted = extract(images, {"mean": ["rgb"], "other": ["rgb"]}, known, geometry, batch=5)
    assert Counted.reads == len(IMAGES)
    assert (extracted.features["mean.rgb"] == extracted.features["other.rgb"]).all()
