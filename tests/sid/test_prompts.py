"""Prompt embeddings: encoded once, mapped from disk, and no text encoder in a training step."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.suite.components import methods, teachers
from sid import prompts as cached
from sid.draws import Draws
from sid.export import Card, save_pretrained
from sid.fault import Fault
from sid.generator import Generator
from sid.loop.settings import Data, LoopSettings
from sid.loop.trainer import Execution, Training, train
from sid.prompts import PromptCache, PromptConditions, cache_prompts
from tests.sid.teachers.tiny_pipelines import FLOWS, SIZE

Folder = Callable[[str], Path]
PROMPTS = ["a red cat", "a blue dog", "a red cat", "a green house " * 40]


class Letters:
    """An encoder that says where it was asked: the text embedding is the caption's length."""

    digest = "letters"

    def __init__(self) -> None:
        self.calls, self.seen = 0, [""]

    def encode(self, prompts: Sequence[str]) -> dict[str, torch.Tensor]:
        self.calls += 1
        self.seen += prompts
        lengths = torch.tensor([float(len(prompt)) for prompt in prompts])
        return {"text": lengths[:, None, None].expand(-1, 2, 3), "pooled": lengths[:, None]}

    def null(self) -> dict[str, torch.Tensor]:
        return {"text": torch.zeros(1, 2, 3), "pooled": torch.zeros(1, 1)}

    def over_long(self, prompts: Sequence[str]) -> list[int]:
        return [place for place, prompt in enumerate(prompts) if len(prompt) > 100]


def test_equal_captions_are_encoded_once_and_a_second_run_encodes_nothing(tmp_path: Path, capsys: Any) -> None:
    encoder = Letters()
    cache = cache_prompts(encoder, PROMPTS, tmp_path, time_ids=[8, 8, 0, 0, 8, 8])
    assert encoder.calls == 1 and encoder.seen.count("a red cat") == 1 and len(cache) == 4
    assert cache.over_long == 1 and "1 of 4 prompts are longer" in capsys.readouterr().err
    again = Letters()
    reopened = cache_prompts(again, PROMPTS, tmp_path, time_ids=[8, 8, 0, 0, 8, 8])
    assert again.calls == 0 and reopened.folder == cache.folder
    condition = reopened.condition([2, 1, 3])
    assert condition.text is not None and condition.text[:, 0, 0].tolist() == [9, 10, 560]
    assert condition.time_ids is not None and condition.time_ids.tolist() == [[8, 8, 0, 0, 8, 8]] * 3
    assert condition.drop(torch.tensor([True, False, False])).text[:, 0, 0].tolist() == [0, 10, 560]  # type: ignore[index]


def test_the_cache_is_named_by_all_that_decides_it(tmp_path: Path) -> None:
    other = Letters()
    other.digest = "others"
    folders = {
        cache_prompts(Letters(), PROMPTS, tmp_path).folder,
        cache_prompts(Letters(), PROMPTS, tmp_path, "bfloat16").folder,
        cache_prompts(Letters(), PROMPTS[:2], tmp_path).folder,
        cache_prompts(Letters(), PROMPTS, tmp_path, time_ids=[1, 1, 0, 0, 1, 1]).folder,
        cache_prompts(other, PROMPTS, tmp_path).folder,
    }
    assert len(folders) == 5


def test_a_killed_run_loses_one_file_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached, "SHARD", 2)
    captions = [f"{'x' * number}" for number in range(1, 8)]
    whole = cache_prompts(Letters(), captions, tmp_path)
    expected = whole.condition(range(7)).text
    (whole.folder / "prompts.json").unlink()
    next(whole.folder.glob("rows-00003-*.safetensors")).unlink()
    encoder = Letters()
    resumed = cache_prompts(encoder, captions, tmp_path)
    assert encoder.seen == ["", "x" * 7]
    assert torch.equal(resumed.condition(range(7)).text, expected)  # type: ignore[arg-type]


def test_prompts_by_index_and_by_chance(tmp_path: Path) -> None:
    cache = cache_prompts(Letters(), ["a", "bb", "ccc"], tmp_path)

    def lengths(order: str, indices: range) -> list[float]:
        text = PromptConditions(cache, order).draw(Draws(0, 0, indices)).text
        assert text is not None
        return text[:, 0, 0].tolist()

    assert lengths("index", range(1, 6)) == [2, 3, 1, 2, 3]
    drawn = lengths("uniform", range(300))
    assert drawn[100:110] == lengths("uniform", range(100, 110)), "a prompt belongs to the sample, not to the batch"
    assert all(70 < drawn.count(length) < 130 for length in (1, 2, 3))


def test_bad_lists_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="list of prompts is empty"):
        cache_prompts(Letters(), [], tmp_path)
    with pytest.raises(Fault, match="expected float16, bfloat16, float32"):
        cache_prompts(Letters(), ["a"], tmp_path, "int8")
    with pytest.raises(Fault, match="do not fit float16"):
        cache_prompts(Letters(), ["a" * 70_000], tmp_path)
    with pytest.raises(Fault, match="no cache of prompt embeddings"):
        PromptCache(tmp_path)
    with pytest.raises(Fault, match="uniform or index"):
        PromptConditions(cache_prompts(Letters(), ["a"], tmp_path), "random")


# SiD-DiT with its adversarial term from the first image on.
DIT: dict[str, Any] = {
    "guidance": "lsg",
    "kappa": 4.5,
    "t_init": 1.0,
    "weight": "a",
    "pooling": "spatial",
    "adversarial": True,
    "generator_from": 0,
    "adversarial_from": 0,
    "lr": 1e-4,
    "lr_generator": 1e-4,
}


@pytest.mark.parametrize(
    "method, name, given",
    [
        ("sid-lsg", "stable-diffusion", {"kappa": 1.5}),
        ("dmd2", "stable-diffusion", {"kappa": 1.75, "t_init": 999.0, "ratio": 1}),
        ("vsd", "stable-diffusion", {}),
        ("sid-few-step", "sdxl", {}),
        ("sid-lsg", "sd3", {"kappa": 2.0}),
        *(("sid-few-step", name, DIT) for name in FLOWS),
    ],
)
def test_two_steps_of_training_call_no_text_encoder(
    method: str, name: str, given: dict[str, Any], pipeline_folder: Folder, tmp_path: Path
) -> None:
    family, folder = teachers()[name], pipeline_folder(name)
    encoder = family.text_encoder(folder)
    cache = cache_prompts(encoder, PROMPTS, tmp_path, time_ids=family.time_ids(2 * SIZE, 2 * SIZE))
    encoded = encoder.calls
    ran: list[bool] = []
    for _, part in family.encoders:
        getattr(encoder.pipeline, part).register_forward_hook(lambda *rows: ran.append(True))
    teacher = family.load(folder)
    shape = (family.latent_shape(teacher.settings)[0], SIZE, SIZE)
    data = Data(PromptConditions(cache), shape)
    conditions = PromptConditions(cache)

    def real(draws: Draws) -> Any:
        return draws.normal("real", shape, torch.empty(0)), conditions.draw(draws)

    chosen = methods()[method]
    options = chosen.options("", "", given)
    if "real" in chosen.needs_of(options):
        data.real = real
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    settings = LoopSettings(images=8, batch=4, ema_halflife=1.0, save_seconds=1e9, log_images=4)
    trained = train(Training(chosen, options, teacher, data, settings), Execution(tmp_path / "run", quiet=True))
    assert encoder.calls == encoded and not ran, "no text encoder in a training step"
    assert isinstance(trained.generator, Generator) and trained.images == 8
    after = trained.generator.denoiser.state_dict()
    assert any(not torch.equal(value, before[key]) for key, value in after.items()), "the student moved"
    assert all(torch.isfinite(value).all() for value in after.values())
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert rows and all("nan" not in json.dumps(row).lower() for row in rows)
    if method == "sid-lsg" and name == "stable-diffusion":
        exported = save_pretrained(trained.generator, tmp_path / "student", Card("sid-lsg", "tiny"))
        assert (exported / "unet" / "config.json").is_file()
