"""CLIP towers: captions that are too long, PIL's preprocessing, PickScore's layout, HPS's frame; made weights."""

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.features import clip, preference
from benchmarks.suite.components import extractors
from benchmarks.suite.components import metrics as all_metrics
from sid.fault import Fault
from tests.made_images import made
from tests.photos import photos

LONG = "a photograph of " + "a very long and winding road through the mountains " * 12


def tiny(side=224):
    """A CLIP of open_clip with few numbers."""
    from open_clip.model import CLIP

    vision = {"layers": 2, "width": 32, "head_width": 16, "patch_size": 32, "image_size": side}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    return CLIP(16, vision, text)


@pytest.fixture
def towers(monkeypatch):
    monkeypatch.setattr(clip, "_network", lambda *args: tiny())
    return extractors()["clip-vit-b-32"].random(0)


def test_long_captions_are_counted_and_still_read(towers):
    """Cut without its end token, a caption's embedding would not depend on the caption."""
    embeddings = towers.texts([LONG + "at night", "another " + LONG, "a short one"], "A photo depicts ")
    assert embeddings["truncated"].tolist() == [True, True, False]
    first, second, third = embeddings["text"] / np.linalg.norm(embeddings["text"], axis=1, keepdims=True)
    assert first @ second < 0.9999 and first @ third < 0.9999
    tokens, _ = clip.tokenise([LONG, "a short one"])
    end = clip._tokenizer().eot_token_id
    assert tokens[0, -1] == end and (tokens == end).sum(1).tolist() == [1, 1]
    features = {
        "clip-vit-b-32.image": embeddings["text"],
        **{f"clip-vit-b-32.{key}": part for key, part in embeddings.items()},
    }
    assert "2 of 3 captions" in all_metrics()["clip-score"].compute(features).warnings[0]


def test_the_template_changes_the_embedding(towers):
    plain, prefixed = (towers.texts(["a dog"], template)["text"] for template in ("", "A photo depicts "))
    assert np.abs(plain - prefixed).max() > 1e-4
    assert np.allclose(prefixed, towers.texts(["A photo depicts a dog"])["text"])


@pytest.mark.parametrize("size", [(256, 256), (512, 384), (1024, 1024), (100, 140)])
def test_preprocessing_is_the_models_own_from_pil(towers, size):
    from open_clip.transform import image_transform

    image = made(1, *size, seed=3)[0]
    theirs = image_transform(224, is_train=False, mean=clip.MEAN, std=clip.STD)(
        Image.fromarray(image.transpose(1, 2, 0))
    )
    mean, std = (torch.tensor(part).view(3, 1, 1) for part in (clip.MEAN, clip.STD))
    levels = (theirs * std + mean) * 255
    gap = (towers.prepare(torch.from_numpy(image)[None])[0].float() - levels).abs()
    assert gap.max() < 1.01 and gap.mean() < 0.02  # a level where PIL rounds a tie the other way


def test_embeddings_do_not_depend_on_the_batch(towers):
    images = torch.from_numpy(made(6, 64, 64))
    whole = towers(images)["image"]
    parts = np.concatenate([towers(images[i : i + 2])["image"] for i in range(0, 6, 2)])
    assert np.allclose(whole, parts, atol=1e-5)


def test_hps_keeps_the_whole_image_in_a_black_frame(monkeypatch):
    hps = extractors()["clip-vit-h-14-hps-2.1"]
    wide = hps.prepare(torch.full((1, 3, 100, 200), 200, dtype=torch.uint8))[0]
    assert wide.shape == (3, 224, 224)
    assert (wide[:, 112, :] - 200).abs().max() < 1e-3  # it is resized as floats
    assert wide[:, :56].max() == 0 and wide[:, -56:].max() == 0


@pytest.mark.parametrize("end", ["", "-antialias"])
@pytest.mark.parametrize("version", ["2.0", "2.1"])
def test_hps_resizes_floats_as_its_package_does(end, version):
    """By hand: torchvision's ToTensor, resize to the long side of 224 in float, black padding; no rounding, no clip."""
    from torchvision.transforms import InterpolationMode, functional

    hps = extractors()[f"clip-vit-h-14-hps-{version}{end}"]
    for image in photos():
        pixels = functional.to_tensor(image)
        scale = 224 / max(image.size)
        size = [round(side * scale) for side in (image.height, image.width)]
        theirs = functional.resize(pixels, size, InterpolationMode.BICUBIC, antialias=bool(end))
        spare = [224 - side for side in size]
        frame = [spare[1] // 2, spare[0] // 2, spare[1] - spare[1] // 2, spare[0] - spare[0] // 2]
        theirs = functional.pad(theirs, frame, fill=0)
        ours = hps.prepare(torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())[None])[0]
        assert (ours - 255 * theirs).abs().max() < 1e-3
        assert ours.min() < 0 or ours.max() > 255, "the kernel overshoots, and nothing clips it"


def test_the_two_resizes_of_hps_are_grey_levels_apart():
    """What the version of torchvision is worth on photographs."""
    gaps = []
    for image in photos():
        pixels = torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())[None]
        first, second = (extractors()[f"clip-vit-h-14-hps-2.1{end}"].prepare(pixels) for end in ("", "-antialias"))
        gaps.append(float((first - second).square().mean().sqrt()))
    assert gaps == pytest.approx([14.15, 4.58, 8.13], abs=0.05), "as docs/metrics.md says"


def test_a_transformers_clip_gives_the_same_embeddings_under_open_clips_names():
    from transformers import CLIPConfig, CLIPModel

    sizes = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**sizes, "vocab_size": 49408, "hidden_act": "gelu", "eos_token_id": 49407, "bos_token_id": 49406}
    vision = {**sizes, "patch_size": 32, "image_size": 224, "hidden_act": "gelu"}
    torch.manual_seed(0)
    theirs = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).eval()
    ours = tiny()
    ours.load_state_dict(preference.from_transformers(dict(theirs.state_dict())))
    pixels, (tokens, _) = torch.randn(2, 3, 224, 224), clip.tokenise(["a dog on a mat", "two cats"])
    with torch.inference_mode():
        outputs = theirs(input_ids=tokens, pixel_values=pixels)
        image, words = ours.eval().encode_image(pixels, normalize=True), ours.encode_text(tokens, normalize=True)
    assert torch.allclose(image, outputs.image_embeds, atol=1e-5)
    assert torch.allclose(words, outputs.text_embeds, atol=1e-5)


def test_a_file_of_another_network_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(clip, "_network", lambda *args: tiny())
    monkeypatch.setenv("SIDBENCH_WEIGHTS", str(tmp_path))
    torch.save({"visual.proj": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(Fault, match="is no ViT-B-32"):
        extractors()["clip-vit-b-32"].open(tmp_path / "other.pt")


def test_open_clips_warning_of_a_network_without_weights_is_not_shown(monkeypatch, caplog):
    """It is told on the root logger of everybody, though the weights are loaded right after."""
    import logging

    import open_clip

    def create(*args, **options):
        logging.warning("No pretrained weights loaded for model 'ViT-B-32'. Model initialized randomly.")
        logging.warning("something else")
        return tiny()

    monkeypatch.setattr(open_clip, "create_model", create)
    clip._network("ViT-B-32", False, "cpu")
    assert [record.getMessage() for record in caplog.records] == ["something else"]
    logging.warning("initialized randomly")
    assert len(caplog.records) == 2


def test_csd_reads_the_trunk_and_the_projection_to_styles(monkeypatch, tmp_path):
    """The published layout: "module." before every name, "backbone." before the trunk's, both projections beside it."""
    monkeypatch.setattr(clip, "_network", lambda *args: tiny())
    monkeypatch.setenv("SIDBENCH_WEIGHTS", str(tmp_path))
    torch.manual_seed(1)
    trunk = tiny().visual.eval()
    state = {f"module.backbone.{name}": part for name, part in trunk.state_dict().items() if name != "proj"}
    styles = torch.randn_like(trunk.proj)
    state |= {"module.last_layer_style": styles, "module.last_layer_content": torch.zeros_like(trunk.proj)}
    torch.save({"model_state_dict": state, "epoch": 1}, tmp_path / "csd_checkpoint.pth")
    opened = extractors()["csd-vit-l"].open(None)
    images = torch.from_numpy(made(3, 64, 80))
    with torch.inference_mode():
        trunk.proj = None
        theirs = trunk(opened.normalise(opened.prepare(images))) @ styles
    assert np.allclose(opened(images)["style"], theirs.numpy(), atol=1e-5)
    same = {"csd-vit-l.style": opened(images)["style"]}
    assert all_metrics()["csd"].compute(same, same).value == pytest.approx(1)
    with pytest.raises(Fault, match="2 images, 3 references"):
        all_metrics()["csd"].compute({"csd-vit-l.style": same["csd-vit-l.style"][:2]}, same)


def test_clip_fid_is_clean_fids_on_the_same_tower(towers, monkeypatch, tmp_path):
    """clean-fid's own reader, crop, wrapper of CLIP and distance; its package of CLIP is replaced by the same tower."""
    import sys
    from types import SimpleNamespace

    from cleanfid import fid

    from benchmarks.audit.peer import sqrtm_as_before
    from benchmarks.features.extraction import extract
    from benchmarks.images.reading import open_images
    from tests.photos import mixed, write

    monkeypatch.delitem(sys.modules, "cleanfid.clip_features", raising=False)
    monkeypatch.setitem(sys.modules, "clip", SimpleNamespace(load=lambda name, device: (towers.network, None)))
    folders = [write(tmp_path / name, mixed(20, seed)) for seed, name in enumerate("ab")]
    with sqrtm_as_before():
        theirs = fid.compute_fid(
            *map(str, folders), model_name="clip_vit_b_32", device=torch.device("cpu"), num_workers=0, verbose=False
        )
    wanted, opened = {"clip-vit-b-32": ["image"]}, {"clip-vit-b-32": towers}
    sides = [extract(open_images(folder), wanted, opened).features for folder in folders]
    assert all_metrics()["fid-clip"].compute(*sides).value == pytest.approx(theirs, rel=1e-4)
