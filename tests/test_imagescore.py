"""`sidbench score` on any images: values, stored features, statistics of one family, and every refusal."""

import json

import numpy as np
import pytest

from benchmarks import components, frechet, imagescore
from benchmarks.cli import main
from benchmarks.extractor import Extractor
from benchmarks.images import Array
from benchmarks.imagescore import Settings, score
from benchmarks.metrics.frechet import Frechet
from benchmarks.store import Store, family, write_statistics
from sid.fault import Fault
from tests.made_images import folder, made


class Colours(Extractor):
    """A small network in the place of Inception: block means; it counts the images it sees."""

    name, version, outputs, preprocess = "inception-tf", 1, ("pool3", "logits_unbiased"), "blocks"
    seen = 0

    def open(self, weights, device="cpu"):
        opened = Colours()
        opened.identity = "weights-a"
        return opened

    def random(self, seed, device="cpu"):
        opened = Colours()
        opened.identity = f"random-{seed}"
        return opened

    def prepare(self, images):
        import torch.nn.functional as F

        return F.adaptive_avg_pool2d(images.float(), 2).flatten(1)

    def __call__(self, prepared):
        Colours.seen += len(prepared)
        return {"pool3": prepared.numpy(), "logits_unbiased": prepared[:, :10].numpy()}


@pytest.fixture(autouse=True)
def network(monkeypatch):
    known = {**components.extractors(), "inception-tf": Colours()}
    monkeypatch.setattr(components, "extractors", lambda: known)
    Colours.seen = 0


IMAGES, REFERENCE = made(60, 16, 16, seed=0), made(64, 16, 16, seed=1)


def scored(wanted, images=IMAGES, reference=REFERENCE, **options):
    compared = Array(reference) if isinstance(reference, np.ndarray) else reference
    return score(Array(images), {name: {} for name in wanted}, compared, **options)


def test_one_pass_feeds_every_metric():
    result = scored(["fid", "kid", "precision", "recall", "inception-score"])
    assert set(result.scores) == {"fid", "kid", "precision", "recall", "inception-score"}
    assert Colours.seen == 60 + 64
    plain = frechet.distance(*(frechet.moments(block_means(part)) for part in (IMAGES, REFERENCE)))
    assert result.scores["fid"].value == pytest.approx(plain.value, rel=1e-4)


def block_means(images):
    return images.reshape(len(images), 3, 2, 8, 2, 8).mean((3, 5)).reshape(len(images), -1)


def test_features_are_stored_by_everything_that_decides_them(tmp_path):
    settings = Settings(store=Store(tmp_path))
    first = scored(["fid"], settings=settings).scores["fid"].value
    assert Colours.seen == 124
    assert scored(["fid", "kid"], settings=settings).scores["fid"].value == first
    assert Colours.seen == 124
    scored(["fid"], settings=Settings(store=Store(tmp_path), random_weights=1))
    assert Colours.seen == 248
    for file in tmp_path.glob("*.safetensors"):
        file.write_bytes(b"damaged")
    assert scored(["fid"], settings=settings).scores["fid"].value == first


@pytest.mark.parametrize(("batch", "workers"), [(1, 1), (7, 2), (500, 1)])
def test_batch_and_workers_change_nothing(batch, workers):
    settings = Settings(batch=batch, workers=workers)
    assert scored(["fid"], settings=settings).scores["fid"].value == scored(["fid"]).scores["fid"].value


def test_a_metric_without_weights_is_unavailable_and_the_rest_goes_on(tmp_path, monkeypatch):
    for name in ("SIDBENCH_WEIGHTS", "HF_HUB_CACHE", "TORCH_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    result = scored(["fid", "cmmd", "fd-dinov2", "clip-score"])
    assert list(result.scores) == ["fid"]
    assert "clip-vit-l-14-336" in result.unavailable["cmmd"] and "get it with" in result.unavailable["cmmd"]
    assert "dinov2_vitl14_pretrain.pth" in result.unavailable["fd-dinov2"]
    assert "reads features that a protocol names" in scored(["frechet"]).unavailable["frechet"]
    assert "give --reference" in scored(["fid"], reference=None).unavailable["fid"]


def test_captions_must_pair_up():
    with pytest.raises(Fault, match="60 images but 59 captions"):
        scored(["fid"], captions=["a"] * 59)


def test_sizes_that_differ_and_duplicates_are_told():
    larger = made(64, 24, 24, seed=1)
    doubled = np.concatenate([IMAGES, IMAGES[:30]])
    told = scored(["fid"], images=doubled, reference=larger).warnings
    assert any("images are 16 x 16, the reference 24 x 24" in line for line in told)
    assert any("30 of 90 images (33.3%) repeat another one" in line for line in told)


def test_few_images_are_warned_of_and_one_is_refused():
    few = scored(["fid"], images=IMAGES[:8])
    assert "rank-deficient" in few.scores["fid"].warnings[0]
    assert "at least 2 images" in scored(["fid"], images=IMAGES[:1]).unavailable["fid"]


def statistics(tmp_path, **made_from):
    from benchmarks.geometry import AS_IS

    made = {"family": family(Colours().open(None)), "output": "pool3", "geometry": AS_IS.identity, "images": "x"}
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
    told = scored(["fid"], reference=path, settings=Settings(family="inception-tf"))
    assert told.scores["fid"].value == pytest.approx(scored(["fid"]).scores["fid"].value, rel=1e-4)
    other = scored(["fid"], reference=path, settings=Settings(family="inception-clean"))
    assert "holds inception-clean.pool3" in other.unavailable["fid"]


def test_only_frechet_distances_live_on_statistics():
    living = {name for name, metric in components.metrics().items() if metric.from_statistics}
    assert living == {name for name, metric in components.metrics().items() if isinstance(metric, Frechet)} | {
        "fid-infinity"
    }


def test_the_verb_prints_a_line_a_metric_and_says_random_weights_on_each(tmp_path, capsys):
    folders = [folder(tmp_path / name, part) for name, part in (("a", IMAGES), ("b", REFERENCE))]
    command = ["--results", str(tmp_path), "score", str(folders[0]), "--reference", str(folders[1])]
    assert main([*command, "--metrics", "fid,kid", "--random-weights", "5", "--json", str(tmp_path / "s.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all("random weights, seed 5" in line for line in lines if line.startswith(("fid", "kid")))
    assert lines[-1] == "60 images against 64"
    written = json.loads((tmp_path / "s.json").read_text())
    assert written["random_weights"] == 5 and written["weights"] == {"inception-tf": "random-5"}
    assert main([*command, "--metrics", "fid", "--options", "fid.ddof=0"]) == 0
    assert "random" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--metrics", "fud"], "did you mean 'fid'"),
        (["--options", "fid.dof=0"], "did you mean 'ddof'"),
        (["--options", "kid.subsets=3"], "unknown metric in --options 'kid'"),
        (["--variant", "sid-metric"], "did you mean 'sid-metrics'"),
        (["--samples", "99"], "holds 60 images, 99 were asked for"),
        (["--filter", "lanczo"], "did you mean 'lanczos'"),
        (["--captions", "none.txt"], "there is no file of captions"),
    ],
)
def test_mistakes_are_sentences(tmp_path, capsys, arguments, told):
    path = folder(tmp_path / "a", IMAGES)
    assert main(["--results", str(tmp_path), "score", str(path), *arguments]) == 2
    assert told in capsys.readouterr().err


def test_required_metrics_decide_the_status(tmp_path, monkeypatch):
    monkeypatch.setenv("SIDBENCH_WEIGHTS", str(tmp_path))
    path = str(folder(tmp_path / "a", IMAGES))
    command = ["--results", str(tmp_path), "score", path, "--reference", path, "--metrics", "fid,fd-dinov2"]
    assert main(command) == 0
    assert main([*command, "--required"]) == 1


def test_a_caption_metric_reads_each_tower_once(monkeypatch):
    class Tower(Colours):
        name, outputs = "clip-vit-g-14", ("image",)

        def __call__(self, prepared):
            return {"image": prepared.numpy()}

        def open(self, weights, device="cpu"):
            return Tower()

        def texts(self, captions, template=""):
            lengths = np.array([[len(template + caption)] for caption in captions], dtype=float)
            return {"text": np.tile(lengths, 12), "truncated": lengths[:, 0] > 20}

    known = {**components.extractors(), "clip-vit-g-14": Tower()}
    monkeypatch.setattr(imagescore.components, "extractors", lambda: known)
    captions = ["a dog", "a much longer caption than that"] * 30
    result = scored(["clip-score"], captions=captions, settings=Settings(template="A photo depicts "))
    assert result.scores["clip-score"].details["truncated"] == 60
    assert "give --captions" in scored(["clip-score"]).unavailable["clip-score"]


def test_statistics_written_by_the_verb_are_read_back(tmp_path, capsys):
    path = folder(tmp_path / "b", REFERENCE)
    target = tmp_path / "reference.safetensors"
    assert main(["statistics", str(path), "--output", str(target)]) == 0
    assert scored(["fid"], reference=target).scores["fid"].value == pytest.approx(
        scored(["fid"]).scores["fid"].value, rel=1e-9
    )
    assert main(["statistics", str(path), "--output", str(target), "--features", "inception-tf.pool4"]) == 2
    assert "did you mean 'pool3'" in capsys.readouterr().err
    assert main(["statistics", str(path), "--output", str(tmp_path / "a.npz")]) == 2
