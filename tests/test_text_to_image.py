"""The miniature text-to-image world: its captions and pictures, its judge, and every method on it from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.cli import main
from benchmarks.data import prompts as prompt_lists
from benchmarks.data.open import datasets
from benchmarks.data.shapes import COLOURS, GROUNDS, PLACES
from benchmarks.run import artefacts, prepare, runner
from benchmarks.suite import components
from benchmarks.suite.components import extractors, metrics
from benchmarks.suite.load import load_suite
from benchmarks.suite.plan import Plan, load_plan
from sid.fault import Fault
from sid.loop.settings import LoopSettings
from sid.loop.trainer import Execution, Training, train
from sid.prompts import WordEncoder

SUITE = Path(__file__).parent / "text_to_image.yaml"
WORLD = datasets()["shapes"]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The plan with everything shared made."""
    made = load_plan(str(SUITE), str(tmp_path_factory.mktemp("results")))
    for kind in ("teacher", "extractor", "prompts", "pairs"):
        for job in made.of(kind):  # type: ignore[arg-type]
            prepare.prepare(job, "made by a test", quiet=True)
    return made


def test_a_picture_shows_what_its_caption_says() -> None:
    pictures, captions = WORLD.images("world").astype(float), WORLD.captions("world")
    for picture, caption in list(zip(pictures, captions, strict=True))[::97]:
        _, colour, _, place, _, ground = caption.split()
        assert np.abs(picture[:, 0, 0] - GROUNDS[ground]).max() <= 1
        inside = np.abs(picture - picture[:, :1, :1]).sum(0)
        middle = (inside.sum(0) * (np.arange(16) - 7.5)).sum() / inside.sum()
        assert abs(middle - PLACES[place]) < 1
        row, column = np.unravel_index(inside.argmax(), inside.shape)
        nearest = min(COLOURS, key=lambda name: np.abs(picture[:, row, column] - COLOURS[name]).sum())
        assert nearest == colour


def test_one_training_caption_in_ten_is_another_images() -> None:
    """The other splits hold right captions: each combination as often as it has images, in one piece."""
    captions = WORLD.captions("train")
    right = [caption for caption in dict.fromkeys(WORLD.captions("heldout")) for _ in range(16)]
    wrong = np.mean([caption != own for caption, own in zip(captions, right, strict=True)])
    assert 0.08 < wrong < 0.12 and set(captions) == set(right)
    for split, each in (("heldout", 8), ("novel", 16), ("world", 16)):
        listed = WORLD.captions(split)
        assert listed == [caption for caption in dict.fromkeys(listed) for _ in range(each)]


def test_some_combinations_are_never_shown() -> None:
    train, novel, world = (set(WORLD.captions(split)) for split in ("train", "novel", "world"))
    assert not train & novel and train | novel == world and len(world) == 288
    for place in range(6):  # but every word is
        assert {caption.split()[place] for caption in novel} == {caption.split()[place] for caption in train}
    assert set(WORLD.captions("heldout")) == train
    assert not np.array_equal(WORLD.images("heldout")[:8], WORLD.images("train")[:8])


def test_words_are_apart_and_unknown_ones_are_named() -> None:
    encoder = WordEncoder(WORLD.vocabulary)
    captions = sorted(set(WORLD.captions("world")))
    rows = encoder.encode(captions)["text"].flatten(1)
    assert torch.pdist(rows).min() > 1
    null = encoder.null()["text"]
    assert torch.equal(null, encoder.encode([""])["text"]) and not torch.equal(null[0], rows[0].view(6, -1))
    with pytest.raises(Fault, match="'orange' in the prompt 'small orange circle' is none of: small, large"):
        encoder.encode(["small orange circle"])
    with pytest.raises(Fault, match="embeddings of width"):
        WordEncoder(WORLD.vocabulary, width=8)
    assert encoder.over_long(["small red circle left on black today"]) == [0]


def test_a_network_of_pooled_embeddings_gets_the_mean_of_the_words() -> None:
    caption = "small red circle left on black"
    plain, pooled = WordEncoder(WORLD.vocabulary), WordEncoder(WORLD.vocabulary, pooled=True)
    encoded = pooled.encode([caption])
    assert torch.equal(encoded["text"], plain.encode([caption])["text"]) and "pooled" not in plain.null()
    assert torch.allclose(encoded["pooled"], encoded["text"].sum(1) / 6)
    assert "pooled" not in plain.settings and plain.digest != pooled.digest, "older caches keep their names"
    families = components.teachers()
    assert [name for name in families if getattr(families[name], "pooled", False)] == ["flux", "sd3"]


def test_r_precision_counts_own_captions() -> None:
    random = np.random.default_rng(0)
    captions = np.repeat(random.normal(size=(5, 8)), 2, axis=0)
    images = captions + 0.01 * random.normal(size=captions.shape)
    images[:3] = captions[[9, 9, 9]]
    metric = metrics()["r-precision"]
    score = metric.compute({"shapes-clip.image": images, "shapes-clip.text": captions})
    assert score.value == pytest.approx(0.7) and score.details["candidates"] == 5
    with pytest.raises(Fault, match="two different captions"):
        metric.compute({"shapes-clip.image": images, "shapes-clip.text": captions[:1].repeat(10, axis=0)})


def test_the_judge_knows_the_world_by_any_seed(plan: Plan) -> None:
    folder = plan.of("extractor")[0].folder
    described = json.loads((folder / "extractor.json").read_text())
    assert min(described["retrieval"].values()) > 0.95
    judge = extractors()["shapes-clip"].trained(folder, WORLD)
    features = judge(torch.from_numpy(WORLD.images("heldout")[:64]))
    assert features["image"].shape == features["features"].shape == (64, 64)


@pytest.mark.parametrize("run", [job.id for job in load_plan(str(SUITE)).of("run")])
def test_every_method_runs_from_end_to_end(run: str, plan: Plan) -> None:
    job = plan.find("run", run)
    if "init" not in job.params:
        runner.run(job, plan, "made by a test", quiet=True)
    scores = json.loads((job.folder / "scores.json").read_text())
    if run.split("/")[1] == "heldout":  # it has no image of a novel caption
        assert set(scores["metrics"]) == {"fd", "clip"} and "two different captions" in scores["unavailable"]["novel"]
        return
    assert scores["unavailable"] == {} and scores["images"] == 600
    assert all(np.isfinite(score["value"]) for score in scores["metrics"].values())
    samples = np.load(job.folder / "samples.npz")
    assert samples["images"].shape == (64, 3, 16, 16)
    assert list(samples["captions"]) == prompt_lists.prompt_list(plan.suite.protocols["few-shapes"].prompts)[:64]


def test_a_student_of_adapters_leaves_them_too(plan: Plan) -> None:
    from safetensors.torch import load_file

    for task in ("shapes", "unet", "flow"):
        job = plan.find("run", f"{task}/adapters/0")
        if not (job.folder / "generator.json").is_file():
            runner.run(job, plan, "made by a test", quiet=True)
        opened, _ = artefacts.open_generator(job.folder)
        assert not any("lora" in name or ".base." in name for name in opened.state_dict())
        file = job.folder / "pytorch_lora_weights.safetensors"
        part = {"unet": "unet.", "flow": "transformer."}.get(task)
        assert file.is_file() == (part is not None)  # diffusers reads no adapters of a PixArt transformer
        if part is not None:
            assert all(name.startswith(part) and ".lora_" in name for name in load_file(file))


def test_training_encodes_no_prompt(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted: the embeddings of the cache are all that four iterations of every player read."""
    job = plan.find("run", "shapes/dmd2/0")
    method = components.methods()["dmd2"]
    origin, prompts = artefacts.Origin.of(Path(job.params["teacher"])), Path(job.params["prompts"])
    calls = 0

    def counted(self: WordEncoder, listed: list[str]) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += 1
        return {}

    monkeypatch.setattr(WordEncoder, "encode", counted)
    teacher, data = artefacts.open_teacher(Path(job.params["teacher"]), prompts)
    data.real = artefacts.real_images(origin, prompts)
    options = method.options("shapes", "shapes", {"ratio": 1})
    training = Training(method, options, teacher, data, LoopSettings(images=128, batch=32))
    trained = train(training, Execution(tmp_path, quiet=True))
    assert trained.images == 128 and calls == 0
    WordEncoder(WORLD.vocabulary).encode(["small red circle"])
    assert calls == 1


def test_a_students_of_words_is_sampled_by_hand(plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = plan.of("teacher")[0].folder
    listed = tmp_path / "prompts.txt"
    listed.write_text("small red circle left on black\nlarge blue square right on white\n")
    train = [
        "train",
        "sid-lsg",
        "--teacher",
        str(folder),
        "--images",
        "64",
        "--batch",
        "32",
        "--out",
        str(tmp_path / "a"),
    ]
    assert main(train) == 2 and "give a file of prompts with --prompts" in capsys.readouterr().err
    assert main([*train, "--prompts", str(listed)]) == 0
    sample = ["sample", str(tmp_path / "a"), "--count", "4", "--out", str(tmp_path / "a.npz")]
    assert main([*sample, "--prompts", str(listed)]) == 0
    assert np.load(tmp_path / "a.npz")["images"].shape == (4, 3, 16, 16)
    listed.write_text("small orange circle left on black\n")
    (tmp_path / "a.npz").unlink()
    assert main([*sample, "--prompts", str(listed)]) == 2
    assert "'orange'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("    conditional: true", "pixart reads text: it must be true"),
        ("    data: shapes", "the data set digits has no captions of few words to train pixart on"),
        ("    prompts: {data: shapes, split: train, dtype: float32}", "reads text: name the prompts to train on"),
        ("    prompts: {data: shapes, split: world, count: 600}", "few-shapes has no prompts"),
        ("split: world, count", "unknown split 'wrld'; did you mean 'world'?"),
        ("sampler: dpm++", "unknown sampler on the vp process 'heun'"),
    ],
)
def test_mistakes_are_told_at_their_place(change: str, sentence: str, tmp_path: Path) -> None:
    replaced = {
        "    conditional: true": "    conditional: false",
        "    data: shapes": "    data: digits",
        "split: world, count": "split: wrld, count",
        "sampler: dpm++": "sampler: heun",
    }
    text = SUITE.read_text()
    assert change in text
    (tmp_path / "suite.yaml").write_text(text.replace(change, replaced.get(change, ""), 1))
    with pytest.raises(Fault) as caught:
        load_plan(str(tmp_path / "suite.yaml"))
    assert sentence in " ".join(caught.value.sentences)


def test_settings_of_a_published_teacher_are_checked_with_the_suite(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "name: own\nextends: sid-dit\n"
        "teachers: {flux: {settings: {guidance_embeding: 1.0}}, sd3-medium: {settings: {tokens: many}}}\n"
    )
    with pytest.raises(Fault) as caught:
        load_suite(str(tmp_path / "own.yaml"))
    no_number, unknown = caught.value.sentences
    assert "own.yaml: teachers.flux.settings.guidance_embeding: " in unknown and "did you mean" in unknown
    assert "tokens of sd3 must be a whole number above 0 (got 'many')" in no_number
