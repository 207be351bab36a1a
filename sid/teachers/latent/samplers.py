"""Teachers at full steps through the schedulers of diffusers: DDIM, PNDM, DPM-Solver++ and the flow's Euler."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sid.condition import Condition
from sid.denoiser import Denoiser
from sid.guidance import guided
from sid.noise import Process
from sid.teachers.latent.schedule import completed

# Schedulers clamp x0 to [-1, 1] by default, as for pixels: latents are not bounded by 1.
UNCLAMPED = {"clip_sample": False, "thresholding": False}


def scheduler_for(denoiser: Denoiser, name: str) -> Any:
    """The named scheduler on the model's own schedule. It takes x0, after guidance."""
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
        options: dict[str, Any] = {"use_flow_sigmas": True, "flow_shift": config.get("shift", 1.0)} if flow else {}
        config = {} if flow else config
        options |= {
            "algorithm_type": "dpmsolver++",
            "solver_order": 2,
            "lower_order_final": True,
            "thresholding": False,
        }
        return diffusers.DPMSolverMultistepScheduler.from_config(config, prediction_type="sample", **options)
    return diffusers.FlowMatchEulerDiscreteScheduler.from_config(config)


def _config_of(process: Process) -> dict[str, Any]:
    """The config for a teacher without one: its betas, with trailing spacing."""
    products = getattr(process, "alphas_cumprod", None)
    if products is None:
        return {}
    before = torch.cat([products.new_ones(1), products[:-1]])
    return {"trained_betas": (1 - products / before).tolist(), "timestep_spacing": "trailing"}


def times_of(denoiser: Denoiser, steps: int, name: str) -> list[float]:
    """The times at which the named scheduler asks the network."""
    scheduler = scheduler_for(denoiser, name)
    scheduler.set_timesteps(steps)
    flow = denoiser.process.kind == "flow"
    return [float(time) for time in (scheduler.sigmas[:-1] if flow else scheduler.timesteps)]


@torch.no_grad()
def scheduled(denoiser: Denoiser, z: Tensor, condition: Condition, steps: int, kappa: float, name: str) -> Tensor:
    """The image of unit noise z after `steps` steps of guided denoising by the scheduler `name`."""
    scheduler = scheduler_for(denoiser, name)
    scheduler.set_timesteps(steps, device=z.device)
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
