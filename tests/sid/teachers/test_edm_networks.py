"""DDPM++, NCSN++ and ADM against the published layouts and outputs, and their parts against slow constructions."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.signal import convolve2d

from sid.condition import Condition
from sid.teachers.edm import EdmTeacher
from sid.teachers.edm_networks.blocks import Conv, Init, Style, UNetBlock
from sid.teachers.edm_networks.network import class_vector
from tests.sid.teachers.plain_networks import weights_by_formula

DATA = Path(__file__).parents[2] / "data"
LAYOUTS = json.loads((DATA / "edm_layouts.json").read_text())
OUTPUTS = json.loads((DATA / "edm_outputs.json").read_text())["outputs"]
XAVIER = Init("xavier-uniform", bias=0.5)
COUNTS = {  # parameters, state-dict entries
    "ddpmpp-32-uncond": (55_733_891, 425),
    "ddpmpp-32-cond10": (55_735_299, 427),
    "ncsnpp-32-uncond": (56_397_827, 432),
    "ddpmpp-64-uncond": (61_805_571, 553),
    "adm-64-cond1000": (295_899_267, 553),
}
TINY = {
    "img_resolution": 16,
    "img_channels": 3,
    "label_dim": 4,
    "model_type": "SongUNet",
    "model_channels": 16,
    "channel_mult": [1, 2],
    "num_blocks": 1,
    "augment_dim": 9,
}
TINY_ADM = {**TINY, "model_type": "DhariwalUNet", "model_channels": 32, "attn_resolutions": [8], "channel_mult": [1, 2]}
TINY_NCSN = {
    **TINY,
    "embedding_type": "fourier",
    "encoder_type": "residual",
    "channel_mult_noise": 2,
    "resample_filter": [1, 3, 3, 1],
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_names_and_shapes_are_the_published_ones(name):
    layout = LAYOUTS[name]
    with torch.device("meta"):
        network = EdmTeacher().build(layout["settings"]).network
    shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert list(shapes.items()) == list(layout["entries"].items())  # in the published order, too
    parameters = sum(value.numel() for value in network.parameters())
    assert (parameters, len(shapes)) == COUNTS[name] == (layout["parameters"], len(layout["entries"]))


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in OUTPUTS])
def test_outputs_are_the_published_ones(name):
    settings = LAYOUTS[name]["settings"]
    with torch.device("meta"):
        denoiser = EdmTeacher().build(settings)
    state = denoiser.network.state_dict()
    filters = {key: torch.full(value.shape, 0.25) for key, value in state.items() if key.endswith("resample_filter")}
    denoiser.network.load_state_dict({**weights_by_formula(state), **filters}, assign=True)
    denoiser.eval()
    side, classes = settings["img_resolution"], settings["label_dim"]
    x = (2 * torch.sin(0.1 * torch.arange(2 * 3 * side * side, dtype=torch.float64))).float().reshape(2, 3, side, side)
    for case in OUTPUTS[name]:
        labels = torch.tensor([3, classes - 1]) if classes else None
        augment = torch.linspace(-1, 1, 18).reshape(2, 9) if case["case"] == "augment" else None
        with torch.no_grad():
            out = denoiser(x, torch.full((2,), case["sigma"]), Condition(labels=labels, augment=augment)).image
        assert abs(out.mean().item() - case["mean"]) < 1e-4 * case["std"]
        assert abs(out.std().item() - case["std"]) < 1e-4 * case["std"]
        for index, value in case["elements"].items():
            assert abs(out.flatten()[int(index)].item() - value) < 1e-4 * case["std"]


@pytest.mark.parametrize("settings", [TINY, TINY_NCSN, TINY_ADM], ids=["ddpmpp", "ncsnpp", "adm"])
class TestNetworks:
    @pytest.fixture
    def denoiser(self, settings):
        torch.manual_seed(0)
        denoiser = EdmTeacher().build(settings)
        for value in denoiser.network.parameters():  # initial zeros would hide every mistake
            torch.nn.init.normal_(value, std=0.1)
        return denoiser.eval()

    @pytest.fixture
    def call(self):
        x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
        return x, torch.tensor([0.5, 2.0]), Condition(labels=torch.tensor([1, 3]))

    def test_features_are_the_encoders_last_map_and_stop_there(self, denoiser, call):
        both = denoiser(*call, want={"x0", "features"})
        last = {}
        layers = list(denoiser.network.model.enc.values())
        layers[-1].register_forward_hook(lambda *arguments: last.update(map=arguments[-1]))
        for layer in denoiser.network.model.dec.values():
            layer.register_forward_hook(lambda *_: pytest.fail("the decoder ran"))
        alone = denoiser(*call, want={"features"})
        assert alone.x0 is None and both.features.shape[2:] == (8, 8)
        assert torch.equal(alone.features, last["map"]) and torch.equal(alone.features, both.features)

    def test_memory_format_changes_nothing(self, denoiser, call):
        x, sigma, condition = call
        plain = denoiser(*call).image
        denoiser = denoiser.to(memory_format=torch.channels_last)
        last = denoiser(x.contiguous(memory_format=torch.channels_last), sigma, condition).image
        torch.testing.assert_close(last, plain, atol=1e-5, rtol=1e-5)

    def test_a_missing_label_is_the_zero_vector(self, denoiser, call):
        x, sigma, condition = call
        null = denoiser(x, sigma, condition.unconditional()).image
        assert torch.allclose(denoiser(x, sigma).image, null, atol=1e-6)
        assert not torch.allclose(denoiser(*call).image, null, atol=1e-4)

    def test_augmentation_labels_arrive_and_zero_ones_are_none(self, denoiser, call):
        x, sigma, condition = call
        zero = Condition(labels=condition.labels, augment=torch.zeros(2, 9))
        some = Condition(labels=condition.labels, augment=torch.ones(2, 9))
        assert torch.allclose(denoiser(x, sigma, zero).image, denoiser(*call).image, atol=1e-6)
        assert not torch.allclose(denoiser(x, sigma, some).image, denoiser(*call).image, atol=1e-4)

    def test_dropout_only_in_training(self, denoiser, call):
        assert torch.equal(denoiser(*call).image, denoiser(*call).image)
        denoiser.train()
        assert not torch.equal(denoiser(*call).image, denoiser(*call).image)

    def test_every_parameter_gets_a_gradient(self, denoiser, call):
        x, sigma, condition = call
        labelled = Condition(labels=condition.labels, augment=torch.ones(2, 9))
        denoiser(x, sigma, labelled).image.square().sum().backward()
        for name, value in denoiser.network.named_parameters():
            assert value.grad is not None and value.grad.abs().max() > 0, name

    def test_a_saved_network_is_loaded(self, denoiser, call, settings, tmp_path):
        from safetensors.torch import save_file

        half = {name: value.half() for name, value in denoiser.network.state_dict().items()}
        save_file(half, tmp_path / "network.safetensors")
        (tmp_path / "teacher.json").write_text(json.dumps({"family": "edm", "settings": settings}))
        loaded = EdmTeacher().load(tmp_path)
        assert all(value.dtype == torch.float32 for value in loaded.network.state_dict().values())
        torch.testing.assert_close(loaded(*call).image, denoiser(*call).image, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("taps", [[1, 1], [1, 3, 3, 1]])
def test_resampling_against_plain_convolution(taps):
    """Down: filter, then every second pixel. Up: zeros between the pixels, then 4 times the filter."""
    image = torch.randn(1, 2, 8, 6, generator=torch.Generator().manual_seed(2))
    kernel = np.outer(taps, taps) / sum(taps) ** 2
    down = Conv(2, 2, 0, XAVIER, "down", taps)(image)
    up = Conv(2, 2, 0, XAVIER, "up", taps)(image)
    assert down.shape == (1, 2, 4, 3) and up.shape == (1, 2, 16, 12)
    pad = (len(taps) - 1) // 2
    for channel in range(2):
        plain = image[0, channel].numpy()
        filtered = convolve2d(np.pad(plain, pad), kernel, mode="valid")[::2, ::2]
        np.testing.assert_allclose(down[0, channel], filtered, atol=1e-6)
        spread = np.zeros((15, 11))
        spread[::2, ::2] = plain
        full = convolve2d(spread, 4 * kernel)
        np.testing.assert_allclose(up[0, channel], full[pad : pad + 16, pad : pad + 12], atol=1e-6)


def test_fused_downsampling_is_the_convolution_then_the_filter():
    """On the padded plane the two commute: away from the border, fused and unfused are the same."""
    torch.manual_seed(3)
    fused = Conv(3, 5, 3, XAVIER, "down", (1, 3, 3, 1), fused=True)
    image = torch.randn(1, 3, 16, 16)
    out = fused(image)
    assert out.shape == (1, 5, 8, 8)
    kernel = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
    convolved = F.conv2d(F.pad(image, (2, 2, 2, 2)), fused.weight, fused.bias).detach().numpy()  # 16 + 2 pixels
    for channel in range(5):
        expected = convolve2d(convolved[0, channel], kernel, mode="valid")[::2, ::2]
        np.testing.assert_allclose(out[0, channel].detach(), expected, atol=1e-5)
    plain = Conv(3, 5, 3, XAVIER, "down", (1, 3, 3, 1))
    plain.load_state_dict(fused.state_dict())
    assert not torch.allclose(plain(image), out, atol=1e-2)  # the order of the two strides does matter


def test_attention_is_written_out():
    """Heads, head channels and (q, k, v) share the channel axis in that order."""
    style = Style(8, XAVIER, XAVIER, XAVIER, head_channels=16)
    torch.manual_seed(4)
    block = UNetBlock(32, 32, style, attention=True)
    qkv = torch.randn(2, 96, 3, 5)
    out = block._attend(qkv)
    for head in range(2):
        part = qkv[:, 48 * head : 48 * (head + 1)].flatten(2)
        q, k, v = part[:, 0::3], part[:, 1::3], part[:, 2::3]
        weight = torch.softmax(torch.einsum("bcq,bck->bqk", q, k) / 4, dim=2)
        expected = torch.einsum("bqk,bck->bcq", weight, v).reshape(2, 16, 3, 5)
        torch.testing.assert_close(out[:, 16 * head : 16 * (head + 1)], expected, atol=1e-5, rtol=1e-5)


def test_initial_values():
    """Xavier-uniform with almost-zero last layers in DDPM++; Kaiming-uniform over sqrt(3) with zeros in ADM."""
    torch.manual_seed(6)
    song = EdmTeacher().build(TINY).network.model
    block = song.enc["16x16_block0"]
    bound = math.sqrt(6 / (9 * 16 + 9 * 16))
    assert 0.9 * bound < block.conv0.weight.abs().max() <= bound
    assert 0.9e-5 * bound < block.conv1.weight.abs().max() <= 1e-5 * bound
    assert 0.9 < block.qkv.weight.abs().max() / math.sqrt(0.2 * 6 / (16 + 48)) <= 1
    assert song.dec["16x16_aux_conv"].weight.abs().max() < 1e-5
    assert not any(value.any() for name, value in song.named_parameters() if name.endswith("bias"))
    adm = EdmTeacher().build(TINY_ADM).network.model
    block = adm.enc["16x16_block0"]
    bound = math.sqrt(1 / (9 * 32))  # sqrt(3 / fan in) times sqrt(1/3), for biases as for weights
    assert 0.9 * bound < block.conv0.weight.abs().max() <= bound
    assert 0.5 * bound < block.conv0.bias.abs().max() <= bound
    assert not block.conv1.weight.any() and not block.conv1.bias.any() and not adm.out_conv.weight.any()
    assert adm.map_label.weight.std().item() == pytest.approx(math.sqrt(4 / 4), rel=0.1)


def test_class_vector():
    x = torch.zeros(3, 1)
    assert class_vector(Condition(labels=torch.tensor([0, -1, 1])), 2, x).tolist() == [[1, 0], [0, 0], [0, 1]]
    assert class_vector(Condition(), 2, x).tolist() == [[0, 0]]
    assert class_vector(Condition(labels=torch.tensor([1])), 0, x) is None


@pytest.mark.parametrize("wrapper", ["VPPrecond", "VEPrecond", "iDDPMPrecond"])
def test_older_wrappers(wrapper):
    """x0 = x + c_out F(c_in x, label), with the published constants written out."""
    torch.manual_seed(5)
    denoiser = EdmTeacher().build({**TINY_ADM, "wrapper": wrapper}).eval()
    for value in denoiser.network.parameters():
        torch.nn.init.normal_(value, std=0.1)
    x, sigma, labels = torch.randn(1, 3, 16, 16), 1.7, torch.tensor([2])
    vector = F.one_hot(labels, 4).float()
    out = denoiser(x, torch.tensor([sigma]), Condition(labels=labels)).image
    if wrapper == "VEPrecond":
        c_out, c_in, label = sigma, 1.0, math.log(sigma / 2)
    else:
        c_out, c_in = -sigma, 1 / math.sqrt(sigma**2 + 1)
        time = (math.sqrt(0.1**2 + 2 * 19.9 * math.log(1 + sigma**2)) - 0.1) / 19.9
        assert math.exp(19.9 * time**2 / 2 + 0.1 * time) - 1 == pytest.approx(sigma**2)
        label = 999 * time
    if wrapper == "iDDPMPrecond":
        alpha_bar = np.sin(np.pi / 2 * np.arange(1001) / 1000 / 1.008) ** 2
        levels = np.sqrt(alpha_bar[-1] / np.maximum(alpha_bar, 1e-12) - 1)  # where no ratio is floored
        assert np.allclose(denoiser.network.u[50:].numpy(), levels[50:], rtol=1e-3, atol=1e-4)
        label = 999.0 - np.abs(denoiser.network.u.numpy() - sigma).argmin()
    raw, _ = denoiser.network.model(torch.tensor(c_in) * x, torch.tensor([label], dtype=torch.float32), vector)
    torch.testing.assert_close(out, x + c_out * raw[:, :3], atol=1e-4, rtol=1e-4)
