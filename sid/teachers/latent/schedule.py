"""From a pipeline's scheduler config to the noise process it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sid.discovery import UnknownName
from sid.noise import Flow, Process, VpDiscrete

PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0", "flow_prediction": "flow"}
SCHEDULE = ("beta_start", "beta_end", "beta_schedule", "trained_betas")
BETA_KEYS = (*SCHEDULE, "num_train_timesteps", "rescale_betas_zero_snr")


def is_flow(config: Mapping[str, Any]) -> bool:
    return (
        str(config.get("_class_name", "")).startswith("FlowMatch") or config.get("prediction_type") == "flow_prediction"
    )


def process_of(config: Mapping[str, Any]) -> Process:
    """The process, with the very alpha products diffusers computes (float32): x0 at t = 999 magnifies a difference."""
    import diffusers

    if is_flow(config):
        return Flow()
    given: dict[str, Any] = {key: config[key] for key in BETA_KEYS if config.get(key) is not None}
    scheduler: Any = diffusers.DDPMScheduler(**given)
    products = scheduler.alphas_cumprod
    return VpDiscrete(
        beta_start=given.get("beta_start", 1e-4),
        beta_end=given.get("beta_end", 0.02),
        steps=len(products),
        schedule=given.get("beta_schedule", "linear"),
        alphas_cumprod=products,
    )


def prediction_of(config: Mapping[str, Any]) -> str:
    """What the network says: eps, v, x0 or flow."""
    told = "flow_prediction" if is_flow(config) else config.get("prediction_type", "epsilon")
    if told not in PREDICTIONS:
        raise UnknownName("prediction_type", told, PREDICTIONS)
    return PREDICTIONS[told]
