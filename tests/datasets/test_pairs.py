"""Real image-text pairs in every form, and their latents: the same whatever holds them, whatever interrupted them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.data.open import open_dataset
from benchmarks.data.pairs import open_pairs
from benchmarks.run import latents
from benchmarks.run.latents import EncodedPairs, LatentCache, write_latents
from sid.draws import Draws
from sid.fault import Fault
from sid.prompts import cache_prompts
from sid.teachers.latent.decoder import Decoder
from tests.datasets import made_files as made
from tests.sid.teachers.tiny_pipelines import autoencoder
from tests.sid.test_prompts import Letters

SAID = ["a cat ", "a dog", "two\nbirds"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "pairs"
    inside.mkdir()
    for seed, caption in enumerate(SAID):
        (inside / f"{seed}.png").write_bytes(made.png(seed, 20, 24))
        (inside / f"{seed}.txt").write_text(caption + "\n")
    return inside


def test_a_folder_with_a_text_beside_each_image(folder: Path) -> None:
    pairs = open_pairs(folder)
    assert pairs.images.names == ["0.png", "1.png", "2.png"] and pairs.captions == SAID
    assert open_dataset(str(folder)).captions("train") == SAID
    (folder / "1.txt").unlink()
    (folder / "2.txt").write_text(" \n")
    with pytest.raises(Fault, match=r"2 of 3 images have no caption in a .txt file of its name, the first is 1.png"):
        open_pairs(folder)


def test_captions_in_one_file(folder: Path) -> None:
    table = {f"{seed}.png": caption for seed, caption in enumerate(SAID)}
    for content in (
        table,
        [{"file_name": name, "caption": caption} for name, caption in table.items()],
        {
            "images": [{"id": seed, "file_name": f"{seed}.png"} for seed in range(3)],
            "annotations": [{"id": seed, "image_id": seed, "caption": SAID[seed]} for seed in range(3)],
        },
    ):
        (folder / "captions.json").write_text(json.dumps(content))
        assert open_pairs(folder).captions == SAID
    for wrong, reason in (("[", "no valid JSON"), ("[1]", "must be a table"), ('{"0.png": 1}', "must be a table")):
        (folder / "captions.json").write_text(wrong)
        with pytest.raises(Fault, match=reason):
            open_pairs(folder)
    (folder / "captions.json").write_text('{"0.png": "x"}')
    with pytest.raises(Fault, match=r"2 of 3 images have no caption in captions.json, the first is 1.png"):
        open_pairs(folder)


def test_webdataset_tars(folder: Path, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    pictures = [made.png(seed, 20, 24) for seed in range(3)]
    first = {"b.png": pictures[1], "a.png": pictures[0], "a.json": b'{"caption": "no"}', "a.txt": SAID[0].encode()}
    first |= {"b.json": json.dumps({"caption": SAID[1], "width": 24}).encode()}
    made.tar(shards / "0.tar", first)
    made.tar(shards / "1.tar", {"c.txt": SAID[2].encode(), "c.png": pictures[2]})
    pairs = open_pairs(shards)
    assert pairs.captions == SAID and [pairs.images.read(index) for index in range(3)] == pictures
    assert pairs.images.digest == open_pairs(folder).images.digest  # the same pictures, whatever holds them
    assert open_dataset(str(shards)).captions("all") == SAID
    assert len(open_pairs(shards / "1.tar").captions) == 1
    broken = tmp_path / "broken.tar"
    broken.write_bytes((shards / "0.tar").read_bytes()[:1600])
    for path, reason in [
        (broken, "is truncated or no plain tar"),
        (
            made.tar(tmp_path / "x.tar", {"a.png": pictures[0], "b.txt": b"b"}),
            "1 images have no caption, the first is a",
        ),
        (made.tar(tmp_path / "y.tar", {"a.png": pictures[0], "a.json": b"{"}), "a.json is no valid JSON"),
        (made.tar(tmp_path / "z.tar", {"a.txt": b"a"}), "it holds no image"),
        (tmp_path / "nowhere", "does not exist"),
        (folder / "0.png", "holds no pairs"),
    ]:
        with pytest.raises(Fault, match=reason):
            open_pairs(path)


class Counting(Decoder):
    """The tiny autoencoder, which counts what it encodes."""

    seen = 0

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        self.seen += len(images)
        return super().encode(images)


def test_latents_are_encoded_once_and_go_on_where_they_stopped(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latents, "SHARD", 2)
    images = open_pairs(folder).images
    encoder = Counting(autoencoder())
    cache = write_latents(tmp_path / "cache", encoder, "tiny", images, 16, "float32")
    assert len(cache) == 3 and encoder.seen == 3
    assert cache.latents([2, 0]).shape == (2, 4, 8, 8)
    cut = torch.tensor(made.pixels_of(images.read(2))[:, :, 2:22])  # the middle square of 24 x 20
    from PIL import Image

    small = Image.fromarray(cut.permute(1, 2, 0).numpy()).resize((16, 16), Image.Resampling.LANCZOS)
    pixels = torch.tensor([[*small.tobytes()]]).float().view(1, 16, 16, 3).permute(0, 3, 1, 2) / 127.5 - 1
    assert torch.allclose(cache.latents([2]), encoder.encode(pixels), atol=1e-5)

    encoder.seen = 0
    assert len(write_latents(tmp_path / "cache", encoder, "tiny", images, 16, "float32")) == 3 and encoder.seen == 0
    (cache.folder / "latents.json").unlink()  # a killed run: the description is written last
    (cache.folder / "latents-00001.safetensors").unlink()
    with pytest.raises(Fault, match=r"no readable latents.json"):
        LatentCache(cache.folder)
    again = write_latents(tmp_path / "cache", encoder, "tiny", images, 16, "float32")
    assert encoder.seen == 1 and torch.equal(again.latents([0, 1, 2]), cache.latents([0, 1, 2]))
    with pytest.raises(Fault, match=r"'int8' .expected .*float16"):
        write_latents(tmp_path / "other", encoder, "tiny", images, 16, "int8")


def test_a_latent_is_drawn_with_its_own_caption(folder: Path, tmp_path: Path) -> None:
    pairs = open_pairs(folder)
    cache = write_latents(tmp_path / "latents", Decoder(autoencoder()), "tiny", pairs.images, 16, "float32")
    captions = cache_prompts(Letters(), pairs.captions, tmp_path / "prompts")
    drawn, condition = EncodedPairs(cache, captions)(Draws(0, 3, range(40), "generator"))
    assert drawn.shape == (40, 4, 8, 8) and condition.text is not None
    every, lengths = cache.latents([0, 1, 2]), [len(caption) for caption in pairs.captions]
    chosen = [next(row for row in range(3) if torch.equal(every[row], latent)) for latent in drawn]
    assert condition.text[:, 0, 0].tolist() == [lengths[row] for row in chosen] and set(chosen) == {0, 1, 2}
    with pytest.raises(Fault, match="3 latents but 2 captions"):
        EncodedPairs(cache, cache_prompts(Letters(), pairs.captions[:2], tmp_path / "prompts"))
