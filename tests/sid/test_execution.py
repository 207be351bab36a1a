"""The engine's options on one process: what each may change, and what it must not."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.suite.components import methods, teachers
from sid import nets
from sid.denoiser import Denoiser
from sid.fault import Fault
from sid.loop.settings import Data, LoopSettings
from sid.loop.trainer import Execution, Training, train
from sid.lora import adapt
from sid.method import Adapters
from sid.parallel import execution, sharding
from sid.parallel.engine import ROOM, SHARDS, Engine
from sid.parallel.settings import FAITHFUL, EngineSettings, Footprint
from tests import toy
from tests.sid.teachers.test_edm_networks import TINY

ROOT = Path(__file__).parents[2]
SID, VSD, DMD2 = (methods()[name] for name in ("sid", "vsd", "dmd2"))


def weights(method: Any, folder: Path, engine: EngineSettings = FAITHFUL, **given: Any) -> torch.Tensor:
    return toy.weights(toy.distil(method, method.options("toy", "digits"), folder, engine=engine, **given))


def unet() -> Denoiser:
    """The smallest DDPM++, all weights random."""
    denoiser = teachers()["edm"].build(TINY)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=random))
    return denoiser.eval().requires_grad_(False)


def test_the_defaults_are_told_to_no_digest(tmp_path: Path) -> None:
    assert EngineSettings().decisive() == {} == EngineSettings("fsdp2", checkpointing=True).decisive()
    assert EngineSettings(precision="bf16").decisive() == {"precision": "bf16"}
    weights(SID, tmp_path)
    assert "engine" not in json.loads((tmp_path / "recipe.json").read_text())


def test_a_state_goes_on_with_equal_numbers_only(tmp_path: Path) -> None:
    weights(SID, tmp_path)
    weights(SID, tmp_path, EngineSettings("ddp", checkpointing=True))
    with pytest.raises(Fault, match=r"another recipe \(changed: engine.* was absent and is "):
        weights(SID, tmp_path, EngineSettings(precision="bf16"))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (EngineSettings("dpp"), "engine strategy must be one of auto, single, ddp, fsdp2 (got 'dpp')"),
        (EngineSettings(precision="fp8"), "engine precision must be one of fp32, bf16, fp16 (got 'fp8')"),
    ],
)
def test_a_wrong_setting_is_one_sentence(settings: EngineSettings, sentence: str) -> None:
    with pytest.raises(Fault) as caught:
        Engine.here(settings)
    assert caught.value.sentences == [sentence]


def test_single_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(Fault, match="strategy single takes one process, and torchrun started 2"):
        Engine.here(EngineSettings("single"))


def test_a_batch_that_cant_be_shared_is_one_sentence() -> None:
    with pytest.raises(Fault, match="a batch of 333 can't be shared by 2 processes"):
        Engine(0, 2).share(333)


def test_bfloat16_keeps_float32_weights(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="dtype must be float32"):
        weights(SID, tmp_path, EngineSettings(precision="bf16"), dtype="bfloat16")


@pytest.mark.parametrize("method", [SID, VSD, DMD2], ids=lambda method: method.name)
def test_recomputed_blocks_train_the_same_bits(method: Any, tmp_path: Path) -> None:
    """With dropout's masks, and with adapters that were on in one pass and off in the next."""
    plain = weights(method, tmp_path / "plain", dropout=0.1)
    for given in ({"checkpointing": True}, {"split_backward": True}, {"checkpointing": True, "split_backward": True}):
        again = weights(method, tmp_path / "-".join(given), EngineSettings(**given), dropout=0.1)
        assert torch.equal(plain, again), given


def test_recomputed_blocks_are_not_remembered() -> None:
    """What the graph of a trained network keeps, and that of a frozen one, in bytes."""

    def remembered(settings: EngineSettings, trains: bool) -> int:
        denoiser, sizes = unet().requires_grad_(trains), []
        execution.prepare({"net": denoiser, "teacher": unet()}, Engine(settings=settings), torch.float32)
        x = torch.randn(4, 3, 16, 16, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(lambda value: sizes.append(value.nbytes) or value, lambda x: x):
            denoiser(x, torch.ones(4))
        return sum(sizes)

    blocks, split = EngineSettings(checkpointing=True), EngineSettings(split_backward=True)
    assert remembered(blocks, True) < 0.6 * remembered(FAITHFUL, True)
    assert remembered(split, False) < 0.05 * remembered(FAITHFUL, False)
    assert remembered(split, True) == remembered(FAITHFUL, True)


@pytest.mark.parametrize("method", [SID, VSD, DMD2], ids=lambda method: method.name)
def test_bfloat16_computes_low_and_keeps_high(method: Any, tmp_path: Path) -> None:
    seen: dict[str, set[torch.dtype]] = {"linear": set(), "teacher": set(), "trained": set(), "x0": set()}

    def watch(module: nn.Module, inputs: Any, output: Any) -> None:
        if not seen["trained"]:
            return  # a probe for a head's size, before the networks are as the engine wants them
        if isinstance(module, nn.Linear):
            seen["linear"].add(output.dtype)
        elif isinstance(module, Denoiser) and output.x0 is not None:
            seen["x0"].add(output.x0.dtype)

    class Looking(type(method)):  # type: ignore[misc]
        def players(self, options: Any) -> Any:
            def loss(player: Any, all_nets: Any, batch: Any) -> Any:
                trained = nets.trained_parameters(all_nets, player.trains)
                seen["trained"] |= {parameter.dtype for parameter in trained}
                frozen = set(all_nets["teacher"].parameters()) - set(trained)
                seen["teacher"] |= {parameter.dtype for parameter in frozen if parameter.ndim > 1}
                terms = player.loss(all_nets, batch)
                assert all(term.dtype == torch.float32 for term in terms.terms.values())
                return terms

            result = super().players(options)
            return tuple(replace(p, loss=lambda n, b, p=p: loss(p, n, b)) for p in result)

    handle = nn.modules.module.register_module_forward_hook(watch)
    try:
        trained = weights(Looking(), tmp_path, EngineSettings(precision="bf16"))
    finally:
        handle.remove()
    assert trained.dtype == torch.float32 and torch.isfinite(trained).all()
    assert seen["linear"] == {torch.bfloat16} and seen["x0"] == seen["trained"] == {torch.float32}
    assert torch.bfloat16 in seen["teacher"] and (method is VSD or seen["teacher"] == {torch.bfloat16})


def test_bfloat16_still_cancels_exactly(tmp_path: Path) -> None:
    """A critic that never trained equals the teacher, stored in half as it is: the generator stays where it was."""
    given = {"stop_players": {"critic": 0.0}, "ema_halflife": 1e-6}
    trained = weights(SID, tmp_path, EngineSettings(precision="bf16"), **given)
    assert torch.equal(trained, torch.cat([parameter.flatten() for parameter in toy.teacher().parameters()]))


def distil_unet(folder: Path, engine: EngineSettings) -> torch.Tensor:
    data = Data(toy.data(False).conditions, (3, 16, 16))
    settings = LoopSettings(images=12, batch=4, ema_halflife=50.0, save_seconds=1e9)
    options = SID.options("toy", "digits", {"lr": 1e-6, "lr_generator": 1e-6})
    return toy.weights(
        train(Training(SID, options, unet(), data, settings), Execution(folder, engine=engine, quiet=True))
    )


def test_channels_last_is_rounding(tmp_path: Path) -> None:
    seen = set()

    def watch(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4 and min(output.shape[1:]) > 1:
            seen.add(output.is_contiguous(memory_format=torch.channels_last))

    plain = distil_unet(tmp_path / "plain", FAITHFUL)
    with torch.no_grad():
        network = unet()
        execution.prepare({"teacher": network}, Engine(settings=EngineSettings(channels_last=True)), torch.float32)
        network.network.model.enc["16x16_conv"].register_forward_hook(watch)
        network(torch.randn(2, 3, 16, 16), torch.ones(2))
    assert seen == {True}
    other = distil_unet(tmp_path / "other", EngineSettings(channels_last=True))
    assert (plain - other).abs().max() <= 2 * 3 * 1e-6  # three steps of Adam each way, at most


def test_a_training_does_not_import_the_compiler() -> None:
    """It costs every start the better part of a second."""
    code = (
        "import sys, tempfile, pathlib\n"
        "from tests import toy\n"
        "from benchmarks.suite.components import methods\n"
        "sid = methods()['sid']\n"
        "toy.distil(sid, sid.options('toy', 'digits'), pathlib.Path(tempfile.mkdtemp()), save_seconds=0.0)\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("engine", [EngineSettings(first_moment=False), EngineSettings(eight_bit=True)])
def test_with_less_of_the_optimiser_a_run_resumes(engine: EngineSettings, tmp_path: Path) -> None:
    from tests.sid.two_engines import interrupted

    whole = weights(SID, tmp_path / "whole", engine)
    interrupted(SID, tmp_path / "cut", engine=engine)
    assert torch.equal(whole, weights(SID, tmp_path / "cut", engine, save_seconds=0.0))


def test_blocks_of_every_family_are_found() -> None:
    def names(root: nn.Module) -> set[str]:
        return {type(block).__name__ for block in sharding.blocks(root)}

    assert names(toy.teacher()) == {"MlpBlock"}
    assert names(unet()) == {"UNetBlock"}
    adapted = toy.teacher()
    before = len(sharding.blocks(adapted))
    adapt(adapted, 2, 2.0)
    assert len(sharding.blocks(adapted)) == before


def test_a_footprint_counts_every_parameter(tmp_path: Path) -> None:
    size = sum(parameter.numel() for parameter in toy.teacher().parameters())
    built = nets.materialise({**SID.build(SID.options("toy", "digits"))}, toy.teacher(), 0)
    built["ema"] = built["generator"]
    result = execution.footprint(built, SID.players(SID.options("toy", "digits")), ["ema"])
    assert result == Footprint(size, (size, size), (size, size), size)
    plain = result.bytes_each(FAITHFUL, 8)
    assert plain == 4 * size * (1 + 2 * 3 + 1 + 1)
    assert result.bytes_each(EngineSettings("fsdp2"), 8) == plain / 8
    assert result.bytes_each(EngineSettings(precision="bf16", first_moment=False), 8) == size * (2 + 4 * (2 * 2 + 2))
    coded = EngineSettings(precision="bf16", first_moment=False, eight_bit=True)
    assert result.bytes_each(coded, 8) == size * (2 + 4 * (2 + 2) + 2 * (1 + 4 / 256))


def test_sdxl_leaves_room_on_eight_gpus_and_on_a_large_one() -> None:
    """Few-step SiD on all 2.57 billion weights, as docs/engine.md says; the rest is for activations."""
    size = 2_567_463_684
    sdxl = Footprint(size, (size, size), (size, size), size)
    sparing = EngineSettings("fsdp2", precision="bf16", first_moment=False)
    assert sdxl.bytes_each(sparing, 8) == pytest.approx(8.3e9, rel=0.01)
    assert sdxl.bytes_each(replace(sparing, strategy="single"), 1) == pytest.approx(67e9, rel=0.01)


@pytest.mark.skipif(not SHARDS, reason="this torch is too old to shard networks")
def test_what_does_not_fit_is_sharded(monkeypatch: pytest.MonkeyPatch) -> None:
    large = Footprint(10**9, (10**9, 10**9), (10**9, 10**9), 10**9)
    gpu = Engine(0, 8, torch.device("cuda"))
    for room, strategy in ((large.bytes_each(FAITHFUL, 8) / ROOM, "ddp"), (10**9, "fsdp2")):
        card = type("Card", (), {"total_memory": room + 1})
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device, card=card: card)
        assert gpu.suited(large).settings.strategy == strategy
    assert Engine(0, 2).suited(large).settings.strategy == "ddp"  # a CPU has no memory of its own


def test_compiled_networks_train_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced and differentiated ahead as always; the generated kernels are left out, they take two minutes here."""
    traced, compiler = [], nn.Module.compile

    def fast(module: nn.Module, **given: Any) -> None:
        traced.append(module)
        compiler(module, backend="aot_eager", **given)

    plain = weights(SID, tmp_path / "plain", images=16, dtype="float64")
    monkeypatch.setattr(nn.Module, "compile", fast)
    compiled = weights(SID, tmp_path / "compiled", EngineSettings(compile=True), images=16, dtype="float64")
    assert len(traced) == 3  # teacher, critic, generator; the average is scored as it is
    assert (plain - compiled).abs().max() < 1e-9
    for saving in ("checkpointing", "split_backward"):
        both = EngineSettings(compile=True, **{saving: True})
        assert (plain - weights(SID, tmp_path / saving, both, images=16, dtype="float64")).abs().max() < 1e-9
    half = EngineSettings(compile=True, precision="bf16", channels_last=True)
    assert torch.isfinite(weights(SID, tmp_path / "half", half, images=16)).all()


def test_the_compiler_takes_no_adapters_that_are_run_again(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="compile can't be combined"):
        given = {"images": 8, "student": Adapters(4, 8.0)}
        weights(SID, tmp_path, EngineSettings(compile=True, checkpointing=True), **given)


def test_an_old_torch_shards_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for or chosen for want of room; ddp takes it."""
    monkeypatch.setattr("sid.parallel.engine.SHARDS", False)
    small = Footprint(frozen=1, trained=(1,), momentless=(0,), averaged=1)
    with pytest.raises(Fault, match=r"fsdp2 needs torch 2\.13 or newer"):
        Engine(0, 2, torch.device("cpu"), EngineSettings("fsdp2")).suited(small)
    assert Engine(0, 2, torch.device("cpu"), EngineSettings("ddp")).suited(small).settings.strategy == "ddp"
