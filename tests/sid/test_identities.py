"""Identities that hold for whole methods on a network."""

import copy

import pytest
import torch

from benchmarks.suite.components import methods
from sid.draws import Draws
from sid.loop import update as updates
from sid.loop.ema import decay, update
from sid.method import Batch, Player, Progress
from sid.nets import materialise
from tests import toy

SCORE_METHODS = {
    "sid-0.5": ("sid", {"alpha": 0.5}),
    "sid-1.0": ("sid", {"alpha": 1.0}),
    "sid-1.2": ("sid", {"alpha": 1.2}),
    "sim-squared": ("sim", {"distance": "squared"}),
    "sim-huber": ("sim", {"c": 0.03}),
    "diff-instruct": ("diff-instruct", {}),
    "dmd": ("dmd", {"regression": 0.0}),
    "dmd2": ("dmd2", {"gan_generator": 0.0, "gan_critic": 0.0}),
    "sid-lsg": ("sid-lsg", {"kappa": 2.0}),
    "few-step": ("sid-few-step", {"steps": 3}),
    "realuid": ("realuid", {"alpha": 1.0, "beta": 1.0}),
}


def generator_gradient(method, options, nets, dtype) -> torch.Tensor:
    player: Player = next(player for player in method.players(options) if player.name == "generator")
    draws = Draws(0, 0, range(16), "generator")
    like = torch.empty(0, dtype=dtype)
    condition = toy.data().conditions.draw(draws)
    batch = Batch(draws, condition, Progress(), toy.SHAPE, like, size=16)
    state = updates.player_states((player,), nets)[0]
    updates.set_modes(nets, state)
    for parameter in state.parameters:
        parameter.grad = None
    updates.total_loss(player.loss(nets, batch), 16).backward()
    return torch.cat([parameter.grad.flatten() for parameter in state.parameters if parameter.grad is not None])


@pytest.mark.parametrize("dtype,bound", [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("name,given", SCORE_METHODS.values(), ids=SCORE_METHODS.keys())
def test_the_gradient_vanishes_when_the_critic_is_the_teacher(name, given, dtype, bound):
    """A non-zero value reveals a different noise, time, label, guidance or dropout mask."""
    method = methods()[name]
    options = method.options("toy", "digits", given)
    nets = materialise(method.build(options), toy.teacher(dtype=dtype), seed=0)
    copied = generator_gradient(method, options, nets, dtype).norm()
    perturbed = dict(nets, critic=copy.deepcopy(nets["critic"]))
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in perturbed["critic"].parameters():
            parameter += (
                0.01
                * parameter.norm()
                / parameter.numel() ** 0.5
                * torch.randn(parameter.shape, generator=random, dtype=dtype)
            )
    assert copied <= bound * generator_gradient(method, options, perturbed, dtype).norm()


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.2])
def test_with_both_scores_detached_sid_is_dmd(alpha, monkeypatch):
    """At the same times, the same gradient up to the scale: DMD's is a mean over pixels, SiD's a sum times 100."""
    gradients = []
    for name, given in (("sid", {"alpha": alpha, "detach": True}), ("dmd", {"regression": 0.0}), ("sid", {})):
        method = methods()[name]
        options = method.options("toy", "digits", given)
        nets = materialise(method.build(options), toy.teacher(dtype=torch.float64), seed=0)
        with torch.no_grad():
            for parameter in nets["critic"].parameters():
                parameter *= 1.01
        process = type(nets["teacher"].process)
        monkeypatch.setattr(process, "generator_law", lambda self, _: self.uniform_law(20, 980))
        gradients.append(generator_gradient(method, options, nets, torch.float64))
    detached, dmd, sid = gradients
    elements = torch.Size(toy.SHAPE).numel()
    assert torch.allclose(detached, 100 * elements * dmd, rtol=1e-9)
    assert not torch.allclose(detached, sid, rtol=0.1), "the networks' own gradients are what sets SiD apart"


def test_ema_halflife_and_first_copy():
    assert decay(256, 0, 500_000, 0.05) == 0  # the first step copies
    beta = decay(100, 10**9, 1000, 0.05)
    assert beta ** (1000 / 100) == pytest.approx(0.5)
    assert decay(100, 2000, 1000, 0.05) == pytest.approx(0.5 ** (100 / 100))  # ramp: 5 % of 2000 images
    source, average = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    before = average.weight.detach().clone()
    update(average, source, 0.25)
    assert torch.allclose(average.weight, 0.25 * before + 0.75 * source.weight)
    update(average, source, 0.0)
    assert torch.equal(average.weight, source.weight)


def test_adam_without_beta1_is_its_no_first_moment_form():
    """theta -= lr g / (sqrt(v / (1 - beta2^n)) + eps): the first moment is the gradient itself."""
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(5, dtype=torch.float64))
    plain, second = parameter.detach().clone(), torch.zeros(5, dtype=torch.float64)
    optimiser = torch.optim.Adam([parameter], lr=0.01, betas=(0.0, 0.999), eps=1e-8)
    for step in range(1, 8):
        gradient = torch.randn(5, dtype=torch.float64)
        parameter.grad = gradient.clone()
        optimiser.step()
        second = 0.999 * second + 0.001 * gradient**2
        plain -= 0.01 * gradient / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        assert torch.allclose(parameter, plain, rtol=1e-12)


BEGUN = Progress()


def first_terms(name, given, player, progress=BEGUN):
    return next(iter(all_terms(name, given, player, progress).terms.values()))


def all_terms(name, given, player, progress=BEGUN):
    method = methods()[name]
    options = method.options("toy", "digits", given)
    condition = toy.data().conditions.draw(Draws(0, 0, range(1)))
    nets = materialise(
        method.build(options),
        toy.teacher(),
        0,
        lambda probed: probed(torch.zeros(1, *toy.SHAPE), torch.ones(1), condition, {"features"}).features,
    )
    with torch.no_grad():
        for parameter in nets["critic"].parameters():
            parameter *= 1.01
    draws = Draws(0, 0, range(8), player)
    batch = Batch(draws, toy.data().conditions.draw(draws), progress, toy.SHAPE, torch.empty(0), size=8)
    batch.real, batch.real_condition = toy.data().real(draws)
    chosen = next(single for single in method.players(options) if single.name == player)
    return chosen.loss(nets, batch)


@pytest.mark.parametrize("player", ["critic", "generator"])
@pytest.mark.parametrize("other,given", [("sid-lsg", {"kappa": 1.0}), ("sid-few-step", {"steps": 1})])
def test_without_guidance_and_with_one_step_it_is_sid(other, given, player):
    """All four scales 1, or K = 1: bit for bit the same loss, in one pass."""
    assert torch.equal(first_terms("sid", {"alpha": 1.2}, player), first_terms(other, {**given, "alpha": 1.2}, player))


def same_terms(first, second):
    assert first.terms.keys() == second.terms.keys() and first.weights == second.weights
    return all(torch.equal(term, second.terms[name]) for name, term in first.terms.items())


@pytest.mark.parametrize("player", ["critic", "generator"])
def test_f_distill_with_weight_one_is_dmd2(player):
    """Reverse KL, h = 1: bit for bit; another divergence changes the matching term and leaves the GAN's alone."""
    dmd2 = all_terms("dmd2", {}, player)
    assert same_terms(dmd2, all_terms("f-distill", {"divergence": "reverse-kl"}, player))
    other = all_terms("f-distill", {"divergence": "forward-kl", "mean_one": False}, player)
    assert same_terms(dmd2, other) == (player == "critic") and torch.equal(dmd2.terms["gan"], other.terms["gan"])


@pytest.mark.parametrize("player", ["critic", "generator"])
@pytest.mark.parametrize("images", [0, 10**6])
def test_uni_instruct_with_weight_one_is_sida_and_before_the_gan_term_sid(player, images):
    """Reverse KL: SiDA's two terms bit for bit. Before the term joins every divergence is SiD at alpha = 1."""
    progress = Progress(images=images)
    sida = all_terms("sida", {}, player, progress)
    assert same_terms(sida, all_terms("uni-instruct", {"divergence": "reverse-kl"}, player, progress))
    forward = all_terms("uni-instruct", {}, player, progress)
    assert same_terms(sida, forward) == (player == "critic" or images == 0)
    if player == "generator" and images == 0:
        assert torch.equal(forward.terms["sid"], first_terms("sid", {"alpha": 1.0}, player))


def test_realuid_without_real_data_is_twice_sid_at_a_half():
    """As images with SiD's weight; its critic is SiD's."""
    given = {"alpha": 1.0, "beta": 1.0}
    ours, base = (
        first_terms(name, options, "generator") for name, options in (("realuid", given), ("sid", {"alpha": 0.5}))
    )
    torch.testing.assert_close(ours, 2 * base, rtol=1e-5, atol=1e-7)
    assert torch.equal(first_terms("realuid", given, "critic"), first_terms("sid", {}, "critic"))
    method = methods()["realuid"]
    assert not method.needs_of(method.options("toy", "digits", given))
    assert method.needs_of(method.options("toy", "digits")) == {"real"}
    scaled = method.options("toy", "digits").loss_scale, methods()["sid"].options("toy", "digits").loss_scale
    assert 2 * scaled[0] == scaled[1]


def test_fgm_is_sid_at_a_half_on_flow():
    """|v* - v_x|^2 - |v - v_x|^2 = 2 / t^2 times SiD at alpha = 1/2 in images."""
    from sid import losses
    from sid.noise import Flow

    random = torch.Generator().manual_seed(1)
    x, eps, teacher, critic = (torch.randn(6, 3, 4, 4, generator=random, dtype=torch.float64) for _ in range(4))
    t = torch.linspace(0.1, 0.95, 6, dtype=torch.float64)
    process = Flow()
    x_t = process.add_noise(x, eps, t)
    flows = [process.flow_from_x0(x_t, image, t) for image in (x, teacher, critic)]
    ours = losses.inverse_distillation(*flows, 1.0, 1.0)
    torch.testing.assert_close(ours, 2 / t**2 * losses.sid(x, teacher, critic, 0.5), rtol=1e-10, atol=1e-10)


def test_realuids_target_is_the_mixture():
    """alpha |f - (b/a) x|^2 + (1 - a) |f - (1-b)/(1-a) y|^2 at one place is least at b x + (1 - b) y; so at a = 1."""
    from sid import losses

    x, y = torch.tensor([[2.0]]).double(), torch.tensor([[-1.0]]).double()
    for alpha, beta in ((0.9, 0.85), (0.5, 1.0), (1.0, 0.8)):
        f = torch.tensor([[beta * 2.0 + (1 - beta) * -1.0]], dtype=torch.float64, requires_grad=True)
        loss = losses.share_of_target(f, x, alpha, beta) + losses.share_of_target(f, y, 1 - alpha, 1 - beta)
        (gradient,) = torch.autograd.grad(loss.sum(), f)
        assert abs(gradient.item()) < 1e-12


def test_the_zero_cfg_critic_never_sees_the_condition():
    """Zero-CFG: the critic's loss does not depend on its condition, the teacher's does."""
    from sid.condition import Condition
    from sid.guidance import guided

    denoiser = toy.teacher()
    x_t, t = torch.randn(3, *toy.SHAPE), torch.full((3,), 0.7)
    first, second = (Condition(labels=torch.tensor(labels)) for labels in ([0, 1, 2], [2, 0, 1]))
    assert torch.equal(guided(denoiser, x_t, t, first, 0.0).image, guided(denoiser, x_t, t, second, 0.0).image)
    assert not torch.equal(guided(denoiser, x_t, t, first, 1.0).image, guided(denoiser, x_t, t, second, 1.0).image)


def test_guidance_is_affine_and_the_same_in_x0_and_eps():
    from sid.condition import Condition
    from sid.guidance import guided

    denoiser = toy.teacher(dtype=torch.float64)
    x_t, t = torch.randn(3, *toy.SHAPE, dtype=torch.float64), torch.full((3,), 0.7, dtype=torch.float64)
    condition = Condition(labels=torch.tensor([0, 1, 2]))
    without, given, anti = (guided(denoiser, x_t, t, condition, kappa).image for kappa in (0.0, 1.0, -1.0))
    assert torch.allclose(anti, 2 * without - given)
    to_eps = denoiser.process.eps_from_x0
    eps = [to_eps(x_t, x0, t) for x0 in (without, given)]
    guided_eps = eps[0] + 3.0 * (eps[1] - eps[0])
    expected = denoiser.process.x0_from_eps(x_t, guided_eps, t)
    assert torch.allclose(guided(denoiser, x_t, t, condition, 3.0).image, expected)


def test_a_truncated_chain_is_the_full_chains_own_step():
    """K steps with k forced to 1 are one step at tau_1; ddim re-noising is a function of z alone."""
    from sid.chain import Chain
    from sid.condition import Condition
    from sid.generator import Generator

    z = [torch.randn(2, *toy.SHAPE) for _ in range(4)]
    condition = Condition(labels=torch.tensor([0, 1]))
    single, four = Generator(toy.teacher(), Chain(1)), Generator(toy.teacher(), Chain(4))
    assert torch.equal(single(z, condition), four(z, condition, steps=1))
    ddim = Generator(toy.teacher(), Chain(4, renoise="ddim"))
    assert torch.equal(ddim(z, condition), ddim(z[:1], condition)) and ddim.noises_needed() == 1
    assert not torch.equal(four(z, condition), four([z[0], *z[:3]], condition))


def test_gradients_flow_through_the_last_step_alone():
    from sid.chain import Chain
    from sid.generator import Generator

    generator = Generator(toy.teacher(conditional=False).requires_grad_(True), Chain(2))
    z = [torch.randn(2, *toy.SHAPE) for _ in range(2)]
    generator(z).sum().backward()
    through_chain = [parameter.grad.clone() for parameter in generator.parameters() if parameter.grad is not None]
    generator.zero_grad()
    with torch.no_grad():
        first = generator(z, steps=1)
    t = torch.full((2,), generator.times[1])
    generator.denoiser(generator.denoiser.process.add_noise(first, z[1], t), t).image.sum().backward()
    last_alone = [parameter.grad for parameter in generator.parameters() if parameter.grad is not None]
    assert all(torch.equal(single, other) for single, other in zip(through_chain, last_alone, strict=True))
