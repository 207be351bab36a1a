"""The four guidance scales of score distillation, as values. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from sid.discovery import nearest


@dataclass(frozen=True)
class Guidance:
    """The four scales of long-short guidance (SiD-LSG, arXiv 2406.01561).

    k1 trains the critic; k2 is the critic in the difference teacher - critic of the generator's loss and k3 in its
    difference critic - x; k4 is the teacher. With an expressive critic, g(k1) of the critic becomes the generator's
    true denoiser, so k1 = k2 = k3 is the unbiased choice.
    """

    k1: float = 1.0  # the critic, in its own training
    k2: float = 1.0  # the critic, in teacher - critic
    k3: float = 1.0  # the critic, in critic - x
    k4: float = 1.0  # the teacher

    @property
    def needs_null(self) -> bool:
        """Whether any network is asked without its condition."""
        return any(kappa != 1 for kappa in (self.k1, self.k2, self.k3, self.k4))


NONE = Guidance()
ZERO_CFG = Guidance(0.0, 0.0, 0.0, 1.0)  # the critic never sees text (few-step SiD, arXiv 2505.12674)
# Anti-CFG's scales were not found in the paper; its abstract has a negative scale in the critic. Ours: -1, 1.
ANTI_CFG = Guidance(-1.0, -1.0, -1.0, 1.0)


def lsg(kappa: float) -> Guidance:
    """Long-short guidance: all four scales equal."""
    return Guidance(kappa, kappa, kappa, kappa)


def long(kappa: float) -> Guidance:
    """The teacher alone is guided, an ablation of long-short guidance."""
    return Guidance(k4=kappa)


PRESETS = ("none", "long", "lsg", "zero-cfg", "anti-cfg")


def preset(name: str, kappa: float = 1.0) -> Guidance:
    """The guidance of that name; `kappa` is the scale of `long` and `lsg`."""
    return {"none": NONE, "long": long(kappa), "lsg": lsg(kappa), "zero-cfg": ZERO_CFG, "anti-cfg": ANTI_CFG}[name]


def preset_faults(name: str, kappa: float, has_null: bool, teacher: str) -> list[str]:
    """Why this guidance can't be used with a teacher, a sentence each."""
    if name not in PRESETS:
        near = nearest(name, PRESETS)
        return [
            f"unknown guidance '{name}'; " + (f"did you mean '{near}'?" if near else f"known: {', '.join(PRESETS)}")
        ]
    if preset(name, kappa).needs_null and not has_null:
        return [f"guidance '{name}' needs an unconditional branch, and {teacher} was trained without condition dropout"]
    return []
