"""Teachers at full steps through the schedulers of diffusers: DDIM, PNDM, DPM-Solver++ and the flow's Euler."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sid.condition import Condition
from sid.denoiser import Denoiser
from sid.guidance import guided
from sid.noise import Process
from sid.teachers.latent.flow_networks import PACKED
from sid.teachers.latent.schedule import completed

# Schedulers clamp x0 to [-1, 1] by default, as for pixels: latents are not bounded by 1.
UNCLAMPED = {"clip_sample": False, "thresholding": False}


def scheduler_for(denoiser: Denoiser, name: str, shape: tuple[int, ...] = ()) -> Any:
    """The named scheduler on the model's own schedule, for latents of that shape. It takes x0, after guidance."""
    import diffusers

    stated = (denoiser.settings or {}).get("scheduler")
    config = completed(stated) if stated else _config_of(denoiser.process)
    config.pop("_class_name", None)
    if name == "ddim":
        return diffusers.DDIMScheduler.from_config(config, **UNCLAMPED, prediction_type="sample")
    if name == "pndm":  # it extrapolates what the network predicts; Stable Diffusion's config skips Runge-Kutta steps
        predicts = "v_prediction" if denoiser.prediction == "v" else "epsilon"
        return diffusers.PNDMScheduler.from_config(config, prediction_type=predicts, skip_prk_steps=True)
    if name == "dpm++":
        flow = denoiser.process.kind == "flow"
        options: dict[str, Any] = {"use_flow_sigmas": True, "flow_shift": shift_of(config, shape)} if flow else {}
        config = {} if flow else config
        options |= {
            "algorithm_type": "dpmsolver++",
            "solver_order": 2,
            "lower_order_final": True,
            "thresholding": False,
        }
        return diffusers.DPMSolverMultistepScheduler.from_config(config, prediction_type="sample", **options)
    shifted = {"shift": shift_of(config, shape), "use_dynamic_shifting": False}
    return diffusers.FlowMatchEulerDiscreteScheduler.from_config(config, **shifted)


def shift_of(config: Mapping[str, Any], shape: tuple[int, ...]) -> float:
    """The shift s of t' = s t / (1 + (s - 1) t): stated, or grown with the number of tokens (FLUX) on a line."""
    if not config.get("use_dynamic_shifting"):
        return float(config.get("shift", config.get("flow_shift", 1.0)))
    low, high = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    least, most = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
    tokens = shape[-2] * shape[-1] / PACKED**2
    grown = least + (most - least) * (tokens - low) / (high - low)
    return grown if config.get("time_shift_type") == "linear" else math.exp(grown)


def set_steps(scheduler: Any, denoiser: Denoiser, steps: int, device: torch.device | None = None) -> None:
    """The scheduler's times: its own, or for a schedule that grows with the picture 1 - k/steps before the shift."""
    stated = (denoiser.settings or {}).get("scheduler") or {}
    if stated.get("use_dynamic_shifting") and not getattr(scheduler.config, "use_flow_sigmas", False):
        scheduler.set_timesteps(sigmas=[1 - step / steps for step in range(steps)], device=device)
    else:
        scheduler.set_timesteps(steps, device=device)


def _config_of(process: Process) -> dict[str, Any]:
    """The config for a teacher without one: its betas, with trailing spacing."""
    products = getattr(process, "alphas_cumprod", None)
    if products is None:
        return {}
    before = torch.cat([products.new_ones(1), products[:-1]])
    return {"trained_betas": (1 - products / before).tolist(), "timestep_spacing": "trailing"}


def times_of(denoiser: Denoiser, steps: int, name: str, shape: tuple[int, ...]) -> list[float]:
    """The times at which the named scheduler asks the network about latents of that shape."""
    scheduler = scheduler_for(denoiser, name, shape)
    set_steps(scheduler, denoiser, steps)
    flow = denoiser.process.kind == "flow"
    return [float(time) for time in (scheduler.sigmas[:-1] if flow else scheduler.timesteps)]


@torch.no_grad()
def scheduled(denoiser: Denoiser, z: Tensor, condition: Condition, steps: int, kappa: float, name: str) -> Tensor:
    """The image of unit noise z after `steps` steps of guided denoising by the scheduler `name`."""
    scheduler = scheduler_for(denoiser, name, tuple(z.shape))
    set_steps(scheduler, denoiser, steps, z.device)
    flow = denoiser.process.kind == "flow"
    x = z * getattr(scheduler, "init_noise_sigma", 1.0)
    for step, tick in enumerate(scheduler.timesteps):
        # A flow's ticks may be rounded to integers; its sigmas, which are t, are not.
        t = (scheduler.sigmas[step] if flow else tick.long()).to(z.device).expand(len(x))
        x0 = guided(denoiser, x, t, condition, kappa).image
        process = denoiser.process
        pndm = process.v_from_x0 if denoiser.prediction == "v" else process.eps_from_x0
        convert = {"euler": process.flow_from_x0, "pndm": pndm}
        output = convert[name](x, x0, t) if name in convert else x0
        x = scheduler.step(output.to(x.dtype), tick, x, return_dict=False)[0]
    return x
