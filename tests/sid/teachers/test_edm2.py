"""EDM2 from the paper's own claims: magnitudes are preserved, and only directions of weights count."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sid.condition import Condition
from sid.fault import Fault
from sid.teachers.edm2 import Edm2
from sid.teachers.edm_networks.edm2 import MpConv, MpFourier, mp_cat, mp_silu, mp_sum
from sid.teachers.pickles.edm_pickle import import_file
from tests.sid.teachers.pickle_opcodes import module_state, parameter, persistent, pickled, tensor

TINY = {
    "img_resolution": 16,
    "img_channels": 4,
    "label_dim": 10,
    "model_channels": 64,
    "channel_mult": [1, 2],
    "num_blocks": 1,
    "attn_resolutions": [8],
}


@pytest.fixture
def denoiser():
    torch.manual_seed(0)
    denoiser = Edm2().build(TINY)
    for value in denoiser.network.parameters():
        if value.ndim == 0:  # the gains start at zero
            torch.nn.init.ones_(value)
    return denoiser.eval()


# Millions of parameters by channels, of the ImageNet-512 models XS to XXL (2312.02696, table 2).
SIZES = {128: 124.7, 192: 280.2, 256: 497.8, 320: 777.5, 384: 1119.3, 448: 1523.2}


@pytest.mark.parametrize("channels", SIZES)
def test_the_published_sizes(channels):
    with torch.device("meta"):
        built = Edm2().build({"img_resolution": 64, "img_channels": 4, "label_dim": 1000, "model_channels": channels})
    assert sum(value.numel() for value in built.parameters()) / 1e6 == pytest.approx(SIZES[channels], abs=0.05)


def test_the_published_names(denoiser):
    """Of the publishers' module tree: one block of either kind, and what stands around the blocks."""
    names = set(denoiser.network.state_dict())
    around = {"unet.out_gain", "unet.out_conv.weight", "unet.emb_noise.weight", "unet.emb_label.weight"}
    around |= {f"{place}_fourier.{kind}" for place in ("unet.emb", "logvar") for kind in ("freqs", "phases")}
    block = {"emb_gain", *(f"{layer}.weight" for layer in ("conv_res0", "emb_linear", "conv_res1"))}
    down = {
        f"unet.enc.8x8_block0.{name}" for name in {*block, "conv_skip.weight", "attn_qkv.weight", "attn_proj.weight"}
    }
    up = {f"unet.dec.16x16_up.{name}" for name in block}
    assert around | down | up | {"logvar_linear.weight", "unet.enc.16x16_conv.weight"} <= names
    sides = {name.split(".")[2] for name in names if name.startswith(("unet.enc", "unet.dec"))}
    assert sides == {
        *("16x16_conv", "16x16_block0", "8x8_down", "8x8_block0"),
        *("8x8_in0", "8x8_in1", "8x8_block1", "16x16_up", "16x16_block1"),
    }


def unit(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_magnitudes_are_preserved():
    a, b = unit(64, 64, 8, 8), torch.randn(64, 32, 8, 8, generator=torch.Generator().manual_seed(2))
    assert mp_silu(a).square().mean().sqrt().item() == pytest.approx(1, abs=0.01)
    assert mp_sum(a, a.flip(0), 0.3).std().item() == pytest.approx(1, abs=0.01)
    joined = mp_cat(a, b, 0.5)
    assert joined.square().mean().item() == pytest.approx(1, abs=0.02)
    # Each side contributes half of the total, however few channels it has.
    assert joined[:, :64].square().sum().item() == pytest.approx(joined[:, 64:].square().sum().item(), rel=0.02)
    assert MpFourier(512)(unit(256)).square().mean().item() == pytest.approx(1, abs=0.05)
    assert MpConv(64, 64, 3)(a)[:, :, 1:-1, 1:-1].std().item() == pytest.approx(1, abs=0.05)
    assert MpConv(64, 64, 0)(unit(512, 64)).std().item() == pytest.approx(1, abs=0.05)


def test_every_block_keeps_the_magnitude(denoiser):
    """At initialisation with unit-variance data, no block's output grows or dies."""
    seen = {}
    for name, layer in [*denoiser.network.unet.enc.items(), *denoiser.network.unet.dec.items()]:
        layer.register_forward_hook(lambda *call, name=name: seen.update({name: call[-1].std().item()}))
    sigma = torch.tensor([0.1, 1.0, 5.0, 50.0])
    x_t = unit(4, 4, 16, 16) * (0.25 + sigma**2).sqrt()[:, None, None, None]
    denoiser(x_t, sigma, Condition(labels=torch.arange(4)))
    assert all(0.5 < value < 2 for value in seen.values()), seen


def test_only_the_direction_of_a_weight_counts(denoiser):
    x, sigma, condition = unit(2, 4, 16, 16), torch.tensor([0.5, 3.0]), Condition(labels=torch.tensor([1, 2]))
    before = denoiser(x, sigma, condition).image
    with torch.no_grad():
        for layer in denoiser.modules():
            if isinstance(layer, MpConv):
                layer.weight.mul_(3.0)
    torch.testing.assert_close(denoiser(x, sigma, condition).image, before, atol=5e-3, rtol=5e-3)


def test_forced_normalisation_only_in_training():
    layer = MpConv(8, 4, 3, forced=True)
    torch.nn.init.normal_(layer.weight, std=5.0)
    before = layer.weight.detach().clone()
    layer.eval()(unit(1, 8, 4, 4))
    assert torch.equal(layer.weight, before)
    layer.train()(unit(1, 8, 4, 4))
    np.testing.assert_allclose(layer.weight.detach().square().mean((1, 2, 3)), 1, atol=1e-3)
    direction = F.cosine_similarity(layer.weight.flatten(1), before.flatten(1))
    np.testing.assert_allclose(direction.detach(), 1, atol=1e-5)


def test_a_new_network_predicts_the_skip():
    """The output gain starts at zero: x0 = c_skip x_t."""
    denoiser = Edm2().build(TINY).eval()
    x = unit(1, 4, 16, 16)
    out = denoiser(x, torch.tensor([2.0]), Condition(labels=torch.tensor([1]))).image
    torch.testing.assert_close(out, x * 0.25 / 4.25)


def test_features_stop_before_the_decoder(denoiser):
    call = unit(2, 4, 16, 16), torch.tensor([0.5, 2.0]), Condition(labels=torch.tensor([1, 3]))
    both = denoiser(*call, want={"x0", "features"})
    for layer in denoiser.network.unet.dec.values():
        layer.register_forward_hook(lambda *_: pytest.fail("the decoder ran"))
    alone = denoiser(*call, want={"features"})
    assert alone.x0 is None and torch.equal(alone.features, both.features) and both.features.shape == (2, 128, 8, 8)


def test_an_imported_file_is_loaded(denoiser, tmp_path):
    """A half-precision file of the published tree, through the importer, into the network."""
    arrays = {name: value.half().numpy() for name, value in denoiser.network.state_dict().items()}

    def branch(prefix: str, class_name: str, kwargs: dict | None = None):
        below = {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
        buffers = {name: tensor(below.pop(name)) for name in ("freqs", "phases") if name in below}
        own = {name: parameter(array) for name, array in below.items() if "." not in name}
        children = dict.fromkeys(name.split(".")[0] for name in below if "." in name)
        modules = {child: branch(f"{prefix}{child}.", "UNet" if child == "unet" else "Block") for child in children}
        return persistent(class_name, module_state(own, buffers, modules, _init_kwargs=kwargs or {}))

    path = tmp_path / "edm2.pkl"
    path.write_bytes(pickled({"ema": branch("", "Precond", {**TINY, "use_fp16": True})}))
    assert import_file(path, tmp_path / "out")["family"] == "edm2"
    loaded = Edm2().load(tmp_path / "out").network.state_dict()
    assert list(loaded) == list(denoiser.network.state_dict())
    assert all(np.array_equal(loaded[name].numpy(), array.astype(np.float32)) for name, array in arrays.items())


def test_wrong_settings_are_one_sentence():
    with pytest.raises(Fault, match="did you mean 'num_blocks'"):
        Edm2().build({**TINY, "num_block": 2})
