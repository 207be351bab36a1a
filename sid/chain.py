"""The chain of steps by which a student samples, as plain data. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

RENOISE = ("fresh", "fixed", "ddim")
# The noisiest time of the published teachers of each process: iDDPM's sigma (EDM's own is 80), the last of 1000 steps.
LATEST = {"edm": 160.0, "vp": 999.0, "flow": 1.0}


@dataclass(frozen=True)
class Chain:
    """K steps at the times t_init (1 - (k-1)/K). K = 1 is the one-step generator.

    `renoise` is the noise of step k > 1: fresh, the first step's (fixed), or the one implied by the previous
    step's input and output (ddim, deterministic given z). `unit_input` feeds z itself to the first step (DMD2 at
    t = 999), instead of sigma(t_init) z, which is the process's noising of an all-zero image (SiD, SiD-LSG); an EDM
    chain takes sigma(t_init) z either way.
    """

    steps: int = 1
    t_init: float | None = None  # None: the process's own (sigma 2.5 for EDM, timestep 625 for VP)
    renoise: str = "fresh"
    unit_input: bool = False

    def faults(self, process: str) -> list[str]:
        """What is wrong with the chain for a teacher on that process."""
        faults = []
        if self.steps < 1:
            faults.append(f"steps must be at least 1 (got {self.steps})")
        if self.renoise not in RENOISE:
            faults.append(f"renoise must be one of {', '.join(RENOISE)} (got '{self.renoise}')")
        if self.t_init is not None and not self.t_init > 0:
            faults.append(f"t_init must be above 0 (got {self.t_init})")
        latest = LATEST.get(process, float("inf"))
        if self.t_init is not None and self.t_init > latest:
            faults.append(f"t_init must be at most {latest:g} on the {process} process (got {self.t_init})")
        return faults
