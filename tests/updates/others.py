"""SIM, distribution matching (Diff-Instruct, DMD, DMD2, VSD), consistency and plain pairs, from their papers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, group_norm, silu, softplus

from tests.updates.loop import ChainRule, Turn, without
from tests.updates.processes import total, wide


def implicit(w: Turn, c: float) -> Tensor:
    """SIM, pseudo-Huber in score space with w(t) = sigma^2 / a: -w y / sqrt(|y|^2 + c^2) . (s_psi - s_x)."""
    process, x = w.world.process, w.image()
    t = process.generator_times(w.u())
    a, sigma = process.levels(t)
    x_t = w.noised(x, t, w.noise("eps"))
    phi, psi = (w.f(name, x_t, t, w.condition) for name in ("teacher", "critic"))
    s_phi, s_psi, s_x = ((wide(a) * image - x_t) / wide(sigma**2) for image in (phi, psi, x))
    y = s_psi - s_phi
    return -(sigma**2 / a * total(y * (s_psi - s_x)) / (total(y**2) + c**2).sqrt()).sum() / w.size


def diff_instruct(w: Turn, chain: ChainRule, scale: float) -> Tensor:
    """sum sg[psi - phi] x; both networks drop out the same activations."""
    process, x = w.world.process, w.image(chain)
    t = process.critic_times(w.u())
    x_t = w.noised(x.detach(), t, w.noise("eps"))
    with torch.no_grad():
        masks = torch.get_rng_state()
        phi = w.f("teacher", x_t, t, w.condition)
        torch.set_rng_state(masks)
        psi = w.f("critic", x_t, t, w.condition)
    return scale * ((psi - phi) * x).sum() / w.size


def matching(w: Turn, x: Tensor, kappa: float, discrete: bool) -> Tensor:
    """DMD eq. 7 and 8 as published code has it: mean (x - sg[x - g])^2 / 2, g = (psi - phi) / mean |x - phi|."""
    t = w.world.process.indexed(w.u(), 20, 980, discrete)
    x_t = w.noised(x.detach(), t, w.noise("eps"))
    with torch.no_grad():
        phi = w.f("teacher", x_t, t, w.condition, kappa)
        psi = w.f("critic", x_t, t, w.condition)
        g = (psi - phi) / wide((x - phi).abs().flatten(1).mean(1))
    target = (x - g).detach()
    return 0.5 * ((x - target) ** 2).flatten(1).mean(1).sum() / w.size


def dmd_generator(w: Turn, chain: ChainRule, kappa: float, regression: float, discrete: bool) -> Tensor:
    x = w.image(chain)
    w.shared["x"] = x.detach()
    loss = matching(w, x, kappa, discrete)
    noise, image, given = w.pair
    again = w.image(chain, given, noise)
    return loss + regression * ((again - image) ** 2).flatten(1).mean(1).sum() / w.size


def logit(w: Turn, x: Tensor, stream: str, discrete: bool, given: object) -> Tensor:
    """DMD2's head on a noised image: convolutions of stride 2 to 4 x 4 on the critic's features, one to a pixel."""
    t = w.world.process.indexed(w.u(f"t{stream}"), 0, 999, discrete)
    return headed(w, w.features("critic", w.noised(x, t, w.noise(f"eps{stream}")), t, given))  # type: ignore[arg-type]


def headed(w: Turn, h: Tensor) -> Tensor:
    """The head's logit [B] on the critic's features."""
    head, stage = w.nets["head"].numbers, 0
    while h.shape[-1] > 1:
        stride, padding = (2, 1) if h.shape[-1] > 4 else (4, 0)
        h = conv2d(h, head[f"{stage}.weight"], head[f"{stage}.bias"], stride, padding)
        norm = (head[f"{stage + 1}.weight"], head[f"{stage + 1}.bias"])
        h, stage = silu(group_norm(h, min(32, h.shape[1] // 4), *norm)), stage + 3
    return conv2d(h, head[f"{stage}.weight"], head[f"{stage}.bias"]).flatten()


def dmd2_generator(w: Turn, chain: ChainRule, kappa: float, weight: float, discrete: bool) -> Tensor:
    x = w.image(chain)
    w.shared["x"] = x.detach()
    loss = matching(w, x, kappa, discrete)
    return loss + weight * softplus(-logit(w, x, "fake", discrete, w.condition)).sum() / w.size


def shared_image(w: Turn, chain: ChainRule) -> Tensor:
    """The generator's image of this iteration; the one it would have made where it rested."""
    if "x" not in w.shared:
        with torch.no_grad():
            return w.of("generator").image(chain)
    return w.shared["x"]


def shared_critic(w: Turn, chain: ChainRule, discrete: bool, gan: float | None = None) -> Tensor:
    """The mean over elements, at times uniform in the index; DMD2 adds softplus(l_fake) + softplus(-l_real)."""
    process, x = w.world.process, shared_image(w, chain)
    t, eps = process.indexed(w.u(), 0, 999, discrete), w.noise("eps")
    psi = w.f("critic", w.noised(x, t, eps), t, w.condition)
    loss = process.residual(x, eps, t, psi).sum() / x[0].numel() / w.size
    if gan is None:
        return loss
    fake = logit(w, x, "fake", discrete, w.condition)
    real = logit(w, w.real, "real", discrete, w.real_condition)
    return loss + gan * (softplus(fake) + softplus(-real)).sum() / w.size


def vsd_generator(w: Turn, chain: ChainRule, kappa: float) -> Tensor:
    """SwiftBrush: sigma^2 (eps_phi - eps_psi) dx, both guided, a mean over elements."""
    process, x = w.world.process, w.image(chain)
    w.shared["x"] = x.detach()
    t = process.indexed(w.u(), 20, 980, False)
    a, sigma = (wide(level) for level in process.levels(t))
    x_t = w.noised(x.detach(), t, w.noise("eps"))
    with torch.no_grad():
        phi, psi = (w.f(name, x_t, t, w.condition, kappa) for name in ("teacher", "critic"))
        eps_phi, eps_psi = ((x_t - a * image) / sigma for image in (phi, psi))
    return (sigma**2 * (eps_phi - eps_psi) * x).sum() / x[0].numel() / w.size


def vsd_critic(w: Turn, chain: ChainRule, drop: float) -> Tensor:
    """The adapters' loss on the same images, times alpha_t^2; in some turns the whole batch has no prompt."""
    process, x = w.world.process, shared_image(w, chain)
    given = without(w.condition) if w.draws.integer("drop", 0, 999_999) < 1_000_000 * drop else w.condition
    t, eps = process.every_time(w.u()), w.noise("eps")
    psi = w.f("critic", w.noised(x, t, eps), t, given)
    return (process.levels(t)[0] ** 2 * process.residual(x, eps, t, psi)).sum() / x[0].numel() / w.size


def variational(w: Turn) -> Tensor:
    """ProlificDreamer eq. 9 with w(t) = 1 and no guidance: (eps_phi - eps_psi) dx, a sum over elements."""
    process, x = w.world.process, w.image()
    t = process.indexed(w.u(), 20, 980, False)
    a, sigma = (wide(level) for level in process.levels(t))
    x_t = w.noised(x.detach(), t, w.noise("eps"))
    with torch.no_grad():
        phi, psi = (w.f(name, x_t, t, w.condition) for name in ("teacher", "critic"))
    return (a / sigma * (psi - phi) * x).sum() / w.size


def consistency(w: Turn, intervals: int, kappa: float, c: float) -> Tensor:
    """Pseudo-Huber between f(x_t, t) and sg f_target(x_s, s), x_s one DDIM step of the guided teacher.

    f = c_skip x_t / a + c_out x0 with the gap of noise levels sigma / a to the trajectory's clean end, times 10.
    """
    process, given = w.world.process, w.real_condition
    kind = torch.long if w.world.facts.process == "vp" else torch.float64
    grid = torch.tensor(process.trajectory(intervals + 1), dtype=kind)
    place = (w.u("interval") * intervals).long()
    t, s = grid[place], grid[place + 1]

    def mapped(name: str, x: Tensor, time: Tensor) -> Tensor:
        """With n = 10 (sigma - a sigma_end / a_end), a times the gap: pure noise, a = 0, gives x0 alone."""
        a, sigma = process.levels(time)
        last_a, last_sigma = process.levels(grid[-1:])
        n = 10 * (sigma - a * last_sigma / last_a)
        square = n**2 + 0.25 * a**2
        return wide(0.25 * a / square) * x + wide(n / square.sqrt()) * w.f(name, x, time, given)

    x_t = w.noised(w.real, t, w.noise("eps"))
    with torch.no_grad():
        phi = w.f("teacher", x_t, t, given, kappa)
        a, sigma = (wide(level) for level in process.levels(t))
        x_s = w.noised(phi, s, (x_t - a * phi) / sigma)
        target = mapped("target", x_s, s)
    mean = ((mapped("generator", x_t, t) - target) ** 2).flatten(1).mean(1)
    return ((mean + c**2).sqrt() - c).sum() / w.size


def regression(w: Turn, chain: ChainRule) -> Tensor:
    noise, image, given = w.pair
    return ((w.image(chain, given, noise) - image) ** 2).flatten(1).mean(1).sum() / w.size
