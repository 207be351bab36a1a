"""`sidbench score` on any images: values, stored features, statistics of one family, and every refusal."""

import re

import numpy as np
import pytest

from benchmarks.features.store import Store
from benchmarks.images.geometry import AS_IS, Geometry
from benchmarks.images.reading import Array, open_images
from benchmarks.metrics import frechet
from benchmarks.metrics.frechet import Frechet
from benchmarks.metrics.statistics import write_statistics
from benchmarks.scoring.requests import request, request_variant
from benchmarks.scoring.score import ScoreSettings, score
from benchmarks.suite import components
from sid.fault import Fault
from tests.made_images import encoded, folder, made
from tests.stand_ins import Colours, Tower, stand_in


@pytest.fixture(autouse=True)
def network(monkeypatch):
    stand_in(monkeypatch)


IMAGES, REFERENCE = made(60, 16, 16, seed=0), made(64, 16, 16, seed=1)


def scored(wanted, images=IMAGES, reference=REFERENCE, geometry=AS_IS, **options):
    compared = Array(reference) if isinstance(reference, np.ndarray) else reference
    return score(Array(images), {name: request(name, geometry=geometry) for name in wanted}, compared, **options)


def test_one_pass_feeds_every_metric():
    result = scored(["fid", "kid", "precision", "recall", "inception-score"])
    assert set(result.scores) == {"fid", "kid", "precision", "recall", "inception-score"}
    assert Colours.seen == 60 + 64
    plain = frechet.distance(*(frechet.moments(block_means(part)) for part in (IMAGES, REFERENCE)))
    assert result.scores["fid"].value == pytest.approx(plain.value, rel=1e-4)


def block_means(images):
    return images.reshape(len(images), 3, 2, 8, 2, 8).mean((3, 5)).reshape(len(images), -1)


def test_features_are_stored_by_everything_that_decides_them(tmp_path, monkeypatch):
    settings = ScoreSettings(store=Store(tmp_path))
    first = scored(["fid"], settings=settings).scores["fid"].value
    assert Colours.seen == 124
    assert scored(["fid", "kid"], settings=settings).scores["fid"].value == first
    assert Colours.seen == 124
    scored(["fid"], settings=ScoreSettings(store=Store(tmp_path), random_weights=1))
    assert Colours.seen == 248
    scored(["fid"], settings=ScoreSettings(store=Store(tmp_path)), geometry=Geometry("none", 8, "box"))
    assert Colours.seen == 3 * 124
    for number, (attribute, other) in enumerate((("preprocess", "others"), ("version", 2)), start=4):
        with monkeypatch.context() as changed:
            changed.setattr(Colours, attribute, other)
            scored(["fid"], settings=settings)
            assert Colours.seen == number * 124, attribute
    for file in tmp_path.glob("*.safetensors"):
        file.write_bytes(b"damaged")
    assert scored(["fid"], settings=settings).scores["fid"].value == first


@pytest.mark.parametrize(("batch", "workers"), [(1, 1), (7, 2), (500, 1)])
def test_batch_and_workers_change_nothing(batch, workers):
    settings = ScoreSettings(batch=batch, workers=workers)
    assert scored(["fid"], settings=settings).scores["fid"].value == scored(["fid"]).scores["fid"].value


def test_a_metric_without_weights_is_unavailable_and_the_rest_goes_on(tmp_path, monkeypatch):
    for name in ("SIDBENCH_WEIGHTS", "HF_HUB_CACHE", "TORCH_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    result = scored(["fid", "cmmd", "fd-dinov2", "clip-score"])
    assert list(result.scores) == ["fid"]
    assert "clip-vit-l-14-336" in result.unavailable["cmmd"] and "get it with" in result.unavailable["cmmd"]
    assert "dinov2_vitl14_pretrain.pth" in result.unavailable["fd-dinov2"]
    assert "reads any features: say which" in scored(["frechet"]).unavailable["frechet"]
    assert "give --reference" in scored(["fid"], reference=None).unavailable["fid"]


def test_captions_must_pair_up():
    with pytest.raises(Fault, match="60 images but 59 captions"):
        scored(["fid"], captions=["a"] * 59)


def test_sizes_that_differ_and_duplicates_are_told():
    larger = made(64, 24, 24, seed=1)
    doubled = np.concatenate([IMAGES, IMAGES[:30]])
    told = scored(["fid"], images=doubled, reference=larger).warnings
    assert any("images are 16 x 16, the reference 24 x 24" in line for line in told)
    assert "images: 30 of 90 (0.33) repeat another one byte for byte" in told


def test_few_images_are_warned_of_and_one_is_refused():
    few = scored(["fid"], images=IMAGES[:8])
    assert "rank-deficient" in few.scores["fid"].warnings[0]
    assert "at least 2 images" in scored(["fid"], images=IMAGES[:1]).unavailable["fid"]


def statistics(tmp_path, **made_from):
    made = {"family": Colours().open(None).family, "output": "pool3", "geometry": AS_IS.identity, "images": "x"}
    path = tmp_path / "reference.safetensors"
    write_statistics(path, frechet.moments(block_means(REFERENCE)), {**made, **made_from})
    return path


def test_statistics_of_the_same_family_give_the_same_distance(tmp_path):
    result = scored(["fid", "kid"], reference=statistics(tmp_path))
    assert result.scores["fid"].value == pytest.approx(scored(["fid"]).scores["fid"].value, rel=1e-4)
    assert "holds statistics only" in result.unavailable["kid"]
    assert result.reference == 64


@pytest.mark.parametrize("other", [{"family": "inception-tf|clean|weights-a"}, {"geometry": "crop-centre/as-is"}])
def test_a_reference_of_another_family_is_refused(tmp_path, other):
    with pytest.raises(Fault, match="their distance means nothing"):
        scored(["fid"], reference=statistics(tmp_path, **other))


def test_a_foreign_npz_must_be_declared(tmp_path):
    means = block_means(REFERENCE)
    path = tmp_path / "cifar10.npz"
    np.savez(path, mu=means.mean(0), sigma=np.cov(means.T))
    with pytest.raises(Fault, match="declare it with --reference-family"):
        scored(["fid"], reference=path)
    told = scored(["fid"], reference=path, settings=ScoreSettings(family="inception-tf"))
    assert told.scores["fid"].value == pytest.approx(scored(["fid"]).scores["fid"].value, rel=1e-4)
    other = scored(["fid"], reference=path, settings=ScoreSettings(family="inception-clean"))
    assert "holds inception-clean.pool3" in other.unavailable["fid"]


def test_only_frechet_distances_live_on_statistics():
    living = {name for name, metric in components.metrics().items() if metric.from_statistics}
    assert living == {name for name, metric in components.metrics().items() if isinstance(metric, Frechet)} | {
        "fid-infinity"
    }


@pytest.fixture
def towers(monkeypatch):
    names = ("clip-vit-g-14", "clip-vit-b-32", "clip-vit-h-14-hps-2.1", "clip-vit-h-14-hps-2.0", "clip-vit-h-14-pick")
    stand_in(monkeypatch, *names)


CAPTIONS = ["a dog", "a much longer caption than that"] * 30


def test_a_template_belongs_to_its_metric_and_reaches_no_other(towers):
    """HPSv2 and PickScore know no template: a prefix before their captions would be another score."""
    result = scored(["clip-score", "hpsv2", "pickscore"], captions=CAPTIONS)
    assert sorted(Tower.read) == [
        ("clip-vit-g-14", "A photo depicts "),
        ("clip-vit-h-14-hps-2.1", ""),
        ("clip-vit-h-14-pick", ""),
    ]
    assert result.scores["clip-score"].details["truncated"] == 60
    assert result.scores["pickscore"].details["truncated"] == 30
    assert result.digests["captions"]
    assert "give --captions" in scored(["clip-score"]).unavailable["clip-score"]


def test_a_variant_brings_the_network_and_the_template_it_was_published_with(towers):
    wanted = {
        "clip-score": request_variant("clip-score", "mlcommons-sdxl"),
        "hpsv2": request_variant("hpsv2", "score"),
        "pickscore": request_variant("pickscore", "mlcommons-sdxl"),
    }
    result = score(Array(IMAGES), wanted, None, CAPTIONS)
    assert set(Tower.read) == {("clip-vit-b-32", ""), ("clip-vit-h-14-hps-2.0", ""), ("clip-vit-h-14-pick", "")}
    told = result.scores["clip-score"].details
    assert (told["model"], told["template"], told["scale"]) == ("clip-vit-b-32", "", 100.0)
    other = score(Array(IMAGES), {"clip-score": request("clip-score", {"template": "A dog "})}, None, CAPTIONS)
    assert other.scores["clip-score"].value != result.scores["clip-score"].value / 100


def test_other_features_can_be_named_for_a_metric():
    plain = scored(["fid"]).scores["fid"].value
    wanted = {
        "frechet": request("frechet", reads="inception-tf.pool3"),
        "kid": request("kid", reads="inception-tf.logits_unbiased"),
    }
    result = score(Array(IMAGES), wanted, Array(REFERENCE))
    assert result.scores["frechet"].value == plain
    assert result.scores["kid"].value != scored(["kid"]).scores["kid"].value
    assert result.read["kid"] == "inception-tf.logits_unbiased"


@pytest.mark.parametrize(
    ("metric", "reads", "told"),
    [
        ("fid", "inception-ft", "unknown extractor 'inception-ft'; did you mean 'inception-tf'"),
        ("fid", "inception-tf.pool4", "did you mean 'pool3'"),
        ("frechet", "inception-tf", "name the output too, for example inception-tf.pool3"),
        ("clip-score", "clip-vit-b-32.image", "name an extractor without an output"),
        ("clip-score", "inception-clean", "unknown output of inception-clean 'image'"),
    ],
)
def test_features_that_do_not_fit_are_refused(metric, reads, told):
    with pytest.raises(Fault, match=re.escape(told)):
        request(metric, reads=reads)


def test_a_network_of_a_suite_is_given_by_its_folder():
    wanted = {"fd": request("frechet", reads="digits-classifier.features")}
    reason = score(Array(IMAGES), wanted, Array(REFERENCE)).unavailable["fd"]
    assert "digits-classifier is trained inside a suite" in reason and "--weights digits-classifier=" in reason


def test_what_was_seen_of_the_images_is_told_again_when_their_features_are_stored(tmp_path):
    settings = ScoreSettings(store=Store(tmp_path))
    mixed = folder(tmp_path / "mixed", [*IMAGES, made(1, 20, 20)[0]])
    (tmp_path / "mixed" / "grey.png").write_bytes(encoded(IMAGES[0][0]))
    first = score(open_images(mixed), {"fid": request("fid")}, Array(REFERENCE), settings=settings)
    seen = Colours.seen
    again = score(open_images(mixed), {"fid": request("fid")}, Array(REFERENCE), settings=settings)
    assert Colours.seen == seen and again.warnings == first.warnings
    for told in ("converted to RGB from L", "images of 2 sizes are mixed", "and 1 other size, the reference 16 x 16"):
        assert any(told in line for line in first.warnings), told


@pytest.mark.parametrize("content", [None, "", "[]", "{", '{"modes": {"RGB": "x"}, "sizes": [3]}'])
def test_what_was_seen_is_seen_again_where_its_file_is_lost_or_damaged(tmp_path, content):
    settings = ScoreSettings(store=Store(tmp_path / "store"))
    mixed = folder(tmp_path / "mixed", [*IMAGES, made(1, 20, 20)[0]])
    first = score(open_images(mixed), {"fid": request("fid")}, Array(REFERENCE), settings=settings)
    seen = Colours.seen
    files = list((tmp_path / "store").glob("*.json"))
    assert len(files) == 2
    for file in files:
        file.unlink() if content is None else file.write_text(content)
    again = score(open_images(mixed), {"fid": request("fid")}, Array(REFERENCE), settings=settings)
    assert again.warnings == first.warnings and Colours.seen == seen, "decoded again, not computed again"
    assert all(len(file.read_text()) > 20 for file in files)


@pytest.mark.parametrize("small", ["images", "reference"])
def test_a_network_that_can_not_read_the_images_costs_its_own_metrics_only(monkeypatch, small):
    class Patches(Colours):
        name = "inception-patch"

        def open(self, weights, device="cpu"):
            return Patches()

        def prepare(self, images):
            if images.shape[-1] < 20:
                raise Fault("an image of 16 x 16 has no patch of 20 x 20")
            return super().prepare(images)

    known = {**components.extractors(), "inception-patch": Patches()}
    monkeypatch.setattr(components, "extractors", lambda: known)
    large = made(60, 24, 24, seed=2)
    sides = (IMAGES, large) if small == "images" else (large, REFERENCE)
    result = scored(["fid", "patch-fid", "kid"], *sides)
    assert list(result.scores) == ["fid", "kid"]
    where = "reference: " if small == "reference" else ""
    assert result.unavailable == {"patch-fid": f"{where}an image of 16 x 16 has no patch of 20 x 20"}
    plain = scored(["fid", "kid"], *sides)
    assert {name: one.value for name, one in plain.scores.items()} == {
        name: one.value for name, one in result.scores.items()
    }
    assert set(scored(["fid", "patch-fid"], large, large).scores) == {"fid", "patch-fid"}
