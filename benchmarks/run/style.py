"""Sampling after a style reference: an IP-Adapter with or without CleanStyle, on a teacher or on a student."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.images.reading import decode_whole
from sid.fault import Fault
from sid.style.network import StyledConditions, StyledNetwork
from sid.style.projection import Moment
from sid.style.settings import CleanStyle
from sid.teachers.latent import ip_adapter

if TYPE_CHECKING:
    from benchmarks.run.artefacts import Origin
    from sid.condition import Conditions
    from sid.denoiser import Denoiser

UNSEEN = 1e-6  # a damping below it changes no singular value of the usual sizes in float32


@dataclass(frozen=True)
class StyleReference:
    """What a user asks for.

    Args:
        image: The reference.
        adapter: An IP-Adapter's safetensors.
        encoder: The folder of its image encoder; None: image_encoder beside the adapter, or in the model's folder.
        scale: Of the style branch.
        cleaned: CleanStyle; None: the adapter as it is.
    """

    image: Path
    adapter: Path
    encoder: Path | None = None
    scale: float = 1.0
    cleaned: CleanStyle | None = None


def dress(
    denoiser: Denoiser, origin: Origin, wanted: StyleReference, times: Sequence[float], kappa: float
) -> tuple[Callable[[Conditions], Conditions], list[str]]:
    """Puts the style into the denoiser. Gives what makes conditions styled, and what a user should know.

    Args:
        denoiser: Changed in place.
        origin: Of the model, whose folder may hold the image encoder.
        wanted: The reference and how it is used.
        times: The sampler's.
        kappa: The sampler's guidance.
    """
    cleaned, unet = wanted.cleaned, ip_adapter.unet_of(denoiser)
    if cleaned is not None and (faults := cleaned.faults()):
        raise Fault(faults)
    if kappa == 0:
        raise Fault("--style and --kappa 0: without its condition the model sees no style reference")
    if cleaned is not None and cleaned.cfg and kappa == 1:
        raise Fault(
            "--cleanstyle cfg and both replace the style of the unconditional row, and at --kappa 1 there is none: "
            "give a guidance scale, or --cleanstyle svd"
        )
    pixels, moment = _pixels(wanted.image), Moment()
    ip_adapter.attach(unet, wanted.adapter, wanted.scale, cleaned, moment)
    encoder = ip_adapter.ImageEncoder(_encoder_folder(wanted, origin))
    embedding, null = encoder.encode(pixels, unet.encoder_hid_proj.image_projection_layers[0])
    network = StyledNetwork(denoiser.network, denoiser.process, times, null, moment, cleaned)
    denoiser.network = network
    return lambda conditions: StyledConditions(conditions, embedding), _remarks(network, cleaned)


def _remarks(network: StyledNetwork, cleaned: CleanStyle | None) -> list[str]:
    if cleaned is None or not cleaned.svd or not network.times:
        return []
    strongest = max(cleaned.damping(network.position(time)) for time in network.times)
    if strongest >= UNSEEN:
        return []
    steps = f"{len(network.times)} step{'s' * (len(network.times) > 1)}"
    return [
        f"CS-SVD changes nothing here: with {steps} its {cleaned.schedule} schedule damps by {strongest:.1e} at most; "
        "--style-schedule noise or shifted acts on a student of few steps"
    ]


def _encoder_folder(wanted: StyleReference, origin: Origin) -> Path:
    if wanted.encoder is not None:
        return wanted.encoder
    beside = wanted.adapter.parent / "image_encoder"
    inside = origin.place / "image_encoder" if origin.place is not None else beside
    return beside if beside.is_dir() or not inside.is_dir() else inside


def _pixels(image: Path) -> Any:
    """uint8 [3, H, W]; grey becomes three equal channels, transparency has no colour to guess."""
    try:
        content = image.read_bytes()
    except OSError:
        raise Fault(f"--style {image}: there is no such image") from None
    decoded = decode_whole(content, str(image))
    if decoded.mode in ("RGBA", "LA", "PA", "RGBa", "La") or any("transparen" in what for what in decoded.unused):
        raise Fault(
            f"--style {image} is transparent in places (mode {decoded.mode}): lay it on a background of your choice"
        )
    return decoded.pixels
