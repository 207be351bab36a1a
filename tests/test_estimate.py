"""The estimate of a suite's cost: without torch, weights or data, by hand-reckoned sums, in 100 columns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.cli import main
from benchmarks.estimate import devices, estimate, networks, table
from benchmarks.estimate.devices import OF_MEASURED, OF_PEAK, TERA
from benchmarks.estimate.networks import Network, Saved, footprint_of, memory_of
from benchmarks.suite.components import methods
from benchmarks.suite.config import Budget, EngineOptions
from benchmarks.suite.plan import load_plan
from sid.fault import Fault

ROOT = Path(__file__).resolve().parents[1]
SUITES = ("cifar10", "edm64", "sd15", "sdxl", "pixart", "sid-dit", "released", "paper", "mini")


pytestmark = pytest.mark.usefixtures("bare")


def one_row(**entry: Any) -> str:
    """A suite of a single row on SD 1.5 with 2,560 images and two points of the curve."""
    made = {
        "name": "own",
        "seeds": [0],
        "teachers": {
            "sd15": {
                "family": "stable-diffusion",
                "source": "stable-diffusion-v1-5/stable-diffusion-v1-5",
                "conditional": True,
                "resolution": 512,
            }
        },
        "tasks": {
            "coco": {
                "teacher": "sd15",
                "protocol": "gigagan-coco30k",
                "prompts": {"name": "hpsv2", "dtype": "float16"},
                "budget": {"images": 2560, "batch": 256, "micro_batch": 4, "observe": 2},
            }
        },
        "entries": {"row": entry},
    }
    Path("own.yaml").write_text(yaml.safe_dump(made))
    return "own.yaml"


def stages(suite: str) -> dict[str, estimate.Stage]:
    return estimate.estimate(load_plan(suite)).stages


def sd15() -> Network:
    network = networks.find("stable-diffusion", "stable-diffusion-v1-5/stable-diffusion-v1-5", 512)
    assert network is not None
    return network


def test_every_suite_is_estimated_without_torch_in_100_columns() -> None:
    """In one fresh process, with nothing there: no weights, no data, no calibration."""
    code = (
        "import sys; from benchmarks.cli import main\n"
        f"for suite in {SUITES}: assert main(['plan', suite, '--gpu', 'h100', '--gpus', '8']) == 0\n"
        "assert main(['plan', 'mini', '--outputs']) == 0\n"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.count("An estimate, by the table's NVIDIA H100 SXM") == len(SUITES) - 1
    )  # the miniature's is the CPU's
    shown = done.stdout.split("teacher    ")[0].splitlines()  # the list of jobs is as wide as its paths
    wide = [line for line in shown if len(line) > 100 and "/" not in line]
    assert not wide, wide
    assert not list(Path().iterdir()), "an estimate writes nothing"


def test_a_training_costs_its_declared_passes() -> None:
    """SiD-LSG at 1.5: 8 forward passes, 18 units of work; its curve and its score each take the whole protocol."""
    made, network = stages(one_row(method="sid-lsg", options={"kappa": 1.5})), sd15()
    training, sampling, scoring = (made[name] for name in ("training", "sampling", "scoring"))
    assert (training.jobs, training.images, training.passes) == (1, 2560, 2560 * 8)
    assert training.flops == {"fp32": pytest.approx(2560 * 18 * network.forward)}
    assert sampling.images == sampling.passes == scoring.images == 30_000 * 3
    assert sampling.flops["fp32"] == pytest.approx(90_000 * (network.forward + network.decode))
    towers = [networks.extractor_flops(name) or 0.0 for name in ("inception-clean", "clip-vit-g-14")]
    assert scoring.flops["fp32"] == pytest.approx(90_000 * sum(towers))
    assert made["prompts"].jobs == 2 and made["prompts"].disk == pytest.approx((30_000 + 3_200) * 77 * 768 * 2)
    state = 4 * (3 * 2 + 1) * network.parameters  # two networks with two moments each, and the average
    assert training.disk == 2 * state + 4 * network.parameters


@pytest.mark.parametrize(
    ("entry", "passes"),
    [
        ({"control": "teacher", "steps": 50, "kappa": 3}, 100),
        ({"control": "teacher", "steps": 50}, 50),
        ({"control": "teacher", "steps": 50, "kappa": 3, "sampler": "pndm"}, 102),
        ({"control": "untrained"}, 1),
        ({"released": "hyper-sd15-4step"}, 4),
        ({"released": "sid-lsg-sd15-1.5"}, 1),
    ],
)
def test_samples_cost_the_passes_of_their_sampler(entry: dict[str, Any], passes: int) -> None:
    made = stages(one_row(**entry))
    assert made["sampling"].passes == 30_000 * passes and not made["training"].jobs
    assert made["sampling"].flops["fp32"] == pytest.approx(30_000 * (passes * sd15().forward + sd15().decode))


def test_pixel_models_are_solved_by_heun_and_scored_in_ten_trials() -> None:
    made = stages("cifar10")
    teachers = 2 * 10 * 50_000 * 35
    assert made["sampling"].passes > teachers and made["pairs"].passes == (500_000 + 100_000) * 35


def test_hours_follow_from_the_device_and_half_precision_is_another_rate() -> None:
    training = stages(one_row(method="sid-lsg", budget={"engine": {"precision": "bf16"}}))["training"]
    device = devices.tabulated("h100")
    assert training.hours(device) == pytest.approx(training.flops["bf16"] / (OF_PEAK["bf16"] * 989.4 * TERA) / 3600)
    assert set(training.flops) == {"bf16"}


def test_a_wrong_gpu_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "mini", "--gpu", "h10"]) == 2
    assert "unknown GPU 'h10'; did you mean 'h100'?" in capsys.readouterr().err
    assert main(["plan", "mini", "--gpus", "0"]) == 2
    assert "--gpus must be at least 1 (got 0)" in capsys.readouterr().err


def test_a_calibration_is_measured_and_read(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.estimate import devices

    assert main(["calibrate", "--device", "cpu", "--size", "32"]) == 0
    calibration = json.loads(devices.calibration_file("results").read_text())
    assert calibration["device"] and calibration["versions"]["torch"] and min(calibration["rates"].values()) > 0
    device = devices.chosen(None, "results")
    assert device.rates["fp32"] == OF_MEASURED * calibration["rates"]["fp32"]
    capsys.readouterr()
    assert main(["plan", "sd15"]) == 0
    assert "measured by `sidbench calibrate`" in capsys.readouterr().out
    assert devices.chosen("a100", "results") == devices.tabulated("a100"), "what is asked for goes before"
    with pytest.raises(Fault, match="device must be one of cpu, cuda"):
        devices.measure("tpu")
    for broken in ("{}", "[", '{"device": "x", "memory_bytes": 1, "rates": {"fp32": 0, "bf16": 1}}'):
        devices.calibration_file("results").write_text(broken)
        with pytest.raises(Fault, match="`sidbench calibrate` writes it anew"):
            devices.calibrated("results")


def test_a_timed_step_takes_the_place_of_the_assumption(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU's calibration, with a step that says what share it reached."""
    measured = {"device": "a card", "memory_bytes": 8e10, "rates": {"fp32": 4e13, "bf16": 7e14}}
    monkeypatch.setattr(devices, "measure", lambda device, side: dict(measured))

    def timed(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        share = 0.6 if "precision=fp32" in words else 0.4
        assert words[2] == "benchmarks.speed.steps" and words[-2] == "--record"
        Path(words[-1]).write_text(json.dumps({"share of the matrix rate": share}))
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(devices.subprocess, "run", timed)
    assert main(["calibrate"]) == 0
    device = devices.chosen(None, "results")
    assert device.rates == {"fp32": pytest.approx(0.6 * 4e13), "bf16": pytest.approx(0.4 * 7e14)}
    assert "60% in fp32 and 40% in bf16" in device.origin and "assumed" not in device.origin
    assert main(["calibrate", "--no-step"]) == 0
    assert devices.chosen(None, "results").rates["bf16"] == OF_MEASURED * 7e14


def test_a_step_that_fails_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "Traceback\nOutOfMemoryError: no room")
    monkeypatch.setattr(devices.subprocess, "run", lambda words, **_: failed)
    with pytest.raises(Fault, match=r"no room.*--no-step"):
        devices.reached("cuda")


SIZED = Network(
    "made", 8, 1000, 1.0, 1.0, 0.5, Saved(100.0, 60.0, 70.0, 40.0, 2000.0, 0.25), (3, 8, 8)
)  # of which every figure below follows


def reckoned(batch: int, micro: int | None = None, gpus: int = 1, **engine: Any) -> networks.MemoryEstimate:
    """SiD on SIZED: teacher, critic, generator and an average of a thousand parameters each."""
    sid = methods()["sid"]
    budget = Budget(batch=batch, micro_batch=micro, engine=EngineOptions(**engine) if engine else None)
    return memory_of(sid, sid.options("", "", {"beta1_generator": 0.0}), SIZED, budget, gpus)


def test_the_most_memory_at_once_by_hand() -> None:
    """36 bytes a parameter, of which 4 are gradients; three graphs, of which two are of frozen networks."""
    plain = reckoned(10)
    assert plain.single == 36_000 and plain.activations == 10 * (100 + 2 * 60)
    assert plain.peak == 36_000  # gradients take what activations leave
    assert reckoned(100).peak == 32_000 + 100 * 220
    assert reckoned(100, micro=50).peak == 36_000 + 50 * 220  # the first micro-batch's gradients are there already
    assert reckoned(100, split_backward=True).activations == 100 * 160
    assert reckoned(100, checkpointing=True).activations == 100 * 220 / 4
    assert reckoned(100, precision="bf16").activations == 100 * (70 + 2 * 40) + 2 * 2000
    assert reckoned(100, first_moment=False).single == 28_000
    assert reckoned(100, gpus=2).fsdp2_peak == 18_000 - 2_000 + 50 * 220


def test_the_settings_that_fit_one_gpu_are_named() -> None:
    smaller = dict(reckoned(100).smaller)
    first, *_, last = smaller
    assert first == "micro_batch=1" and last.startswith("micro_batch=1 split_backward=true checkpointing=true")
    assert list(smaller.values()) == sorted(smaller.values(), reverse=True)
    assert "precision=bf16" not in " ".join(dict(reckoned(100, precision="bf16").smaller))
    (shown,) = table._smaller(reckoned(1000), list(smaller.values())[2])
    assert shown.endswith("with micro_batch=1 split_backward=true checkpointing=true")
    (shown,) = table._smaller(reckoned(1000), 1.0)
    assert "does not fit" in shown
    assert not list(table._smaller(reckoned(1), 1e9))


def test_the_estimate_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "sd15", "--gpu", "a100", "--gpus", "4", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["estimate"] and shown["device"]["name"] == "NVIDIA A100 SXM 80 GB" and shown["gpus"] == 4
    assert shown["device_hours"] == pytest.approx(sum(stage["device_hours"] for stage in shown["stages"].values()))
    assert any("stable-diffusion-v1-5" in sentence for sentence in shown["missing"])


def test_a_miniature_is_told_by_its_last_record_where_there_is_one() -> None:
    plan = load_plan("smoke")
    before = estimate.estimate(plan)
    assert before.measured == 0 and before.reckoned > 0
    job = next(job for job in plan.of("run") if "method" in job.params)
    job.folder.mkdir(parents=True)
    (job.folder / "record.json").write_text(json.dumps({"seconds": 1234.5}))
    after = estimate.estimate(plan)
    gained = after.stages["training"].cpu_seconds - before.stages["training"].cpu_seconds
    assert after.measured == 1 and gained == pytest.approx(1234.5 - job.work / estimate.CPU_RATE)


def test_a_network_that_nobody_counted_is_said_to_be_unknown() -> None:
    assert networks.find("stable-diffusion", "stable-diffusion-v1-5/stable-diffusion-v1-5", 640) is None
    assert networks.find("edm", "weights/somebody.pkl", None) is None
    suite = yaml.safe_load(Path(one_row(control="untrained")).read_text())
    suite["teachers"]["sd15"] |= {"source": "somebody/fine-tuned"}
    Path("own.yaml").write_text(yaml.safe_dump(suite))
    result = estimate.estimate(load_plan("own.yaml"))
    assert "somebody/fine-tuned was not counted itself: sd15 stands for it" in result.unknown


@pytest.mark.parametrize("rank", [None, 4], ids=["whole student", "adapted student"])
@pytest.mark.parametrize("name", sorted(methods()))
def test_the_footprint_is_that_of_the_networks_that_are_built(name: str, rank: int | None) -> None:
    """All but a GAN's head, which is small."""
    from sid.lora import adapt, adapter_parameters
    from sid.method import Adapters, Ema, Head
    from sid.nets import materialise
    from sid.parallel import execution
    from tests import toy

    method, teacher = methods()[name], toy.teacher()
    options = method.options("toy", "digits", {"rank": 4} if name == "vsd" else {})
    whole = sum(part.numel() for part in teacher.parameters())
    adapted = toy.teacher()
    adapt(adapted, 4, 1.0)
    described = method.build(options)
    bare = {net: kind for net, kind in described.items() if not isinstance(kind, Head)}
    student = None if rank is None else Adapters(rank, 1.0)
    nets = materialise({**bare, "ema": Ema("generator", 1.0)}, teacher, 0, student=student)
    players = [player for player in method.players(options)]
    averages = ["ema", *(net for net, kind in described.items() if isinstance(kind, Ema))]
    trimmed = [
        type(player)(player.name, tuple(net for net in player.trains if net in nets), player.loss, player.optimiser)
        for player in players
    ]
    built = execution.footprint(nets, trimmed, averages)
    per_rank = sum(part.numel() for part in adapter_parameters(adapted)) / 4
    network = Network("toy", 4, whole, per_rank, 1.0, 1.0, Saved(0.0, 0.0, 0.0, 0.0, 0.0, 1.0), toy.SHAPE)
    footprint = footprint_of(method, options, network, rank)
    averaged = sum(part.numel() for net in averages for part in nets[net].parameters())
    assert sorted(footprint.momentless) == sorted(built.momentless)
    assert (footprint.frozen, sorted(footprint.trained), footprint.base) == (
        built.frozen,
        sorted(built.trained),
        built.base,
    )
    assert built.averaged == averaged and (rank is not None or footprint.averaged == averaged)


def test_the_record_holds_the_published_sizes() -> None:
    """Parameters as their publishers' files hold them; the smallest network is counted again here."""
    from benchmarks.estimate import flops

    record = networks.counted()
    sizes = {name: network["parameters"] for name, network in record["networks"].items()}
    assert (sizes["ddpmpp-32"], sizes["ddpmpp-64"], sizes["adm-64"]) == (
        55_733_891,
        61_805_571,
        295_899_267,
    )
    assert (sizes["sd15"], sizes["sd21-base"], sizes["sdxl"]) == (
        859_520_964,
        865_910_724,
        2_567_463_684,
    )
    assert record["decoders"]["kl-4"]["parameters"] == 83_653_863
    again = flops.pixels({"ddpmpp-32": flops.PIXELS["ddpmpp-32"]})
    assert again == {"ddpmpp-32": record["networks"]["ddpmpp-32"]}
