"""CleanStyle's settings and their faults. Imports no torch.

The paper's text was not read: values and rules are those of its public code (Westlake-AGI-Lab/CleanStyle), facts only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sid.discovery import unknown

SCHEDULES = ("published", "shifted", "noise")
PARTS = {"svd": (True, False), "cfg": (False, True), "both": (True, True)}  # name -> (CS-SVD, SS-CFG)


@dataclass(frozen=True)
class CleanStyle:
    """CS-SVD on the conditional row's style keys and values, SS-CFG on the unconditional row's.

    The damping of CS-SVD falls with the position p in the sampling: alpha (1 - 1 / (1 + exp(-gamma (p - c)))).

        published   p = step / steps, step = 1 .. steps: at one step p = 1, and nothing is damped
        shifted     p = (step - 1) / steps
        noise       p = 1 - noise level (the share of the process's times below): one step from t = 625 has p = 0.374
    """

    svd: bool = True  # CS-SVD
    cfg: bool = False  # SS-CFG, which needs guidance
    k: int = 1  # main components that are kept
    alpha: float = 0.01
    beta: float = 1.0
    gamma: float = 20.0
    c: float = 0.3
    alpha_unconditional: float | None = None  # SS-CFG's damping; None: 0.2 on SDXL (InstantStyle), else 0.1 (StyleShot)
    schedule: str = "published"

    def faults(self) -> list[str]:
        faults = [] if self.schedule in SCHEDULES else [unknown("style schedule", self.schedule, SCHEDULES)]
        if self.k < 0:
            faults.append(f"k must not be negative (got {self.k})")
        for name in ("alpha", "beta", "gamma", "alpha_unconditional"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                faults.append(f"{name} must be a number that is not negative (got {value})")
        return faults

    def damping(self, position: float) -> float:
        """a of CS-SVD at a position in [0, 1]: strong early, none late."""
        falling = self.gamma * (position - self.c)
        # 1 - s = 1 / (1 + e^falling), written so that neither end overflows.
        remaining = math.exp(-falling) / (1 + math.exp(-falling)) if falling > 0 else 1 / (1 + math.exp(falling))
        return self.alpha * remaining
