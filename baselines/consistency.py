"""Consistency distillation, as latent consistency models do it: Song et al. 2023 (arXiv 2303.01469), Luo et al. 2023
(LCM, arXiv 2310.04378). No critic and no score matching: an averaged target instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sid.chain import Chain
from sid.method import Batch, Ema, Method, Net, Optimiser, Player, Student, TeacherFacts, Terms, positive
from sid.passes import Passes, Turn, Turns, branches, denoising

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ConsistencySettings:
    intervals: int = 50  # of the teacher's trajectory; one is solved per update
    kappa: float = 1.0  # of the teacher
    target_halflife: float = 5_000.0  # images, of the averaged target
    c: float = 1e-3  # of the pseudo-Huber distance, as LCM's
    sigma_data: float = 0.5  # of the boundary condition f(x, t_min) = x
    time_scaling: float = 10.0
    steps: int = 1
    t_init: float | None = None  # None: the end of the trajectory
    lr_generator: float = 1e-5
    beta1: float = 0.9
    eps: float = 1e-8


class Consistency(Method):
    name = "consistency"
    version = 2
    paper = "Song et al., Consistency Models, arXiv 2303.01469; Luo et al., Latent Consistency Models, arXiv 2310.04378"
    verified = "update"
    covers = "EDM, VP, flow"
    needs = frozenset({"real"})
    Options = ConsistencySettings
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "cifar10": {"t_init": 80.0},
        "sd15-coco": {"t_init": 999.0, "kappa": 7.5, "lr_generator": 1e-6},
        "digits": {"lr_generator": 2e-3, "t_init": 80.0, "intervals": 18, "c": 0.1},
        "shapes": {"lr_generator": 1e-3, "t_init": 999.0, "intervals": 25, "c": 0.1, "kappa": 1.5},
    }

    def faults(self, options: ConsistencySettings, teacher: TeacherFacts) -> list[str]:
        faults = positive(options, "lr_generator", "target_halflife", "c", "sigma_data", "time_scaling")
        faults += Chain(options.steps, options.t_init).faults(teacher.process)
        if options.intervals < 2:
            faults.append(f"intervals must be at least 2 (got {options.intervals})")
        if not teacher.real:
            faults.append("a consistency distiller starts from real images, and there are none")
        if options.kappa != 1 and not teacher.guidance:
            faults.append(f"kappa {options.kappa} needs an unconditional branch, and {teacher.name} has none")
        return faults

    def build(self, options: ConsistencySettings) -> dict[str, Net]:
        return {
            "generator": Student(Chain(options.steps, options.t_init)),
            "target": Ema(of="generator", halflife=options.target_halflife),
        }

    def passes(self, options: ConsistencySettings) -> Turns:
        """The student, the teacher's step and the averaged target's answer."""
        return {"generator": Turn(denoising() + Passes(forward=1 + branches(options.kappa)))}

    def players(self, options: ConsistencySettings) -> tuple[Player, ...]:
        import torch

        from sid import losses
        from sid.draws import constant, sent
        from sid.guidance import guided

        def consistent(denoiser: Any, x_t: Tensor, t: Tensor, condition: Any) -> Tensor:
            """c_skip x_t / a + c_out x0, the identity at the trajectory's clean end."""
            process = denoiser.process
            a, _ = process.coefficients(t)
            clean = constant((process.trajectory(options.intervals + 1)[-1],), t.device, t.dtype)
            gap = options.time_scaling * (process.log_noise_level(t).exp() - process.log_noise_level(clean).exp())
            total = gap**2 + options.sigma_data**2
            c_skip, c_out = options.sigma_data**2 / total, gap / total.sqrt()
            noise = a == 0  # a flow's first time: the quotients' limits are x0 alone
            x0 = denoiser(x_t, t, condition).image
            skipped = losses.weighted(torch.where(noise, 0.0, c_skip / a), x_t)
            return skipped + losses.weighted(torch.where(noise, 1.0, c_out), x0)

        def loss(nets: Mapping[str, Any], batch: Batch) -> Terms:
            """d(f(x_t, t), sg[f_target(x_s, s)]), x_s one deterministic teacher step from x_t."""
            assert batch.real is not None and batch.real_condition is not None
            process, condition = nets["teacher"].process, batch.real_condition
            grid = process.trajectory(options.intervals + 1)
            index = (batch.draws.uniform("interval") * options.intervals).long()
            dtype = torch.long if process.kind == "vp" else torch.float64
            times = torch.tensor(grid, dtype=dtype)
            place = None if dtype is torch.long else batch.like.dtype
            t, s = (sent(times[at], batch.like.device, place) for at in (index, index + 1))
            x_t = process.add_noise(batch.real, batch.noise("eps"), t).to(batch.real.dtype)
            with torch.no_grad():
                x0 = guided(nets["teacher"], x_t, t, condition, options.kappa).image
                x_s = process.add_noise(x0, process.eps_from_x0(x_t, x0, t), s).to(x_t.dtype)
                target = consistent(nets["target"].denoiser, x_s, s, condition)
            student = consistent(nets["generator"].denoiser, x_t, t, condition)
            squared = losses.per_sample((student - target) ** 2) / x_t[0].numel()
            return Terms({"consistency": (squared + options.c**2).sqrt() - options.c})

        adam = Optimiser(options.lr_generator, (options.beta1, 0.999), options.eps)
        return (Player("generator", ("generator",), loss, adam, train_mode=("generator",)),)
