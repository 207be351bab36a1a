"""The noise process and prediction that a pipeline's scheduler config states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sid.discovery import UnknownName
from sid.fault import Fault
from sid.noise import Flow, Process, VpDiscrete

PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0", "flow_prediction": "flow"}
SCHEDULE = ("beta_start", "beta_end", "beta_schedule", "trained_betas")
BETA_KEYS = (*SCHEDULE, "num_train_timesteps", "rescale_betas_zero_snr")


def is_flow(config: Mapping[str, Any]) -> bool:
    return (
        str(config.get("_class_name", "")).startswith("FlowMatch") or config.get("prediction_type") == "flow_prediction"
    )


def scheduler_of(config: Mapping[str, Any]) -> Any:
    """The scheduler that a config names. Its class fills in what the config leaves out: defaults of betas differ."""
    import diffusers

    named = str(config.get("_class_name", "DDPMScheduler"))
    kind = getattr(diffusers, named, None) if named.endswith("Scheduler") else None
    if kind is None:
        raise Fault(f"the scheduler config names the class {named}, which diffusers does not have")
    scheduler = kind.from_config(dict(config))
    if not hasattr(scheduler, "alphas_cumprod"):
        raise Fault(f"a {named} states no alphas: no noise schedule can be read from it")
    return scheduler


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with its own class's default betas, from which another class can be made."""
    if is_flow(config):
        return dict(config)
    assumed = scheduler_of(config).config
    return {**config, **{key: assumed[key] for key in BETA_KEYS if assumed.get(key) is not None}}


def process_of(config: Mapping[str, Any]) -> Process:
    """The process, with the alpha products that diffusers computes (float32): x0 at t = 999 magnifies differences."""
    if is_flow(config):
        return Flow()
    scheduler = scheduler_of(config)
    products, given = scheduler.alphas_cumprod, scheduler.config
    return VpDiscrete(
        beta_start=given["beta_start"],
        beta_end=given["beta_end"],
        steps=len(products),
        schedule=given["beta_schedule"],
        alphas_cumprod=products,
    )


def prediction_of(config: Mapping[str, Any]) -> str:
    """The network's prediction: eps, v, x0 or flow."""
    named = "flow_prediction" if is_flow(config) else config.get("prediction_type", "epsilon")
    if named not in PREDICTIONS:
        raise UnknownName("prediction_type", named, PREDICTIONS)
    return PREDICTIONS[named]
