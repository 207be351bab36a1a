"""The cost of an update in network passes of one sample, as each method declares it. Imports no torch.

A test counts the passes against the declarations; `sidbench plan` reads them before any network exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Passes:
    """Numbers of passes through networks of the teacher's size."""

    forward: float = 0.0
    backward: float = 0.0  # to weights and inputs
    inputs: float = 0.0  # back to the inputs alone
    encoder: float = 0.0  # forward, as far as the features
    encoder_backward: float = 0.0
    encoder_inputs: float = 0.0

    def __add__(self, other: Passes) -> Passes:
        return Passes(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, count: float) -> Passes:
        return Passes(*(number * count for number in astuple(self)))

    def cost(self, encoder: float = 0.5) -> float:
        """In forward passes, a backward pass being two of them and one to the inputs one.

        `encoder` is the share of a pass that its encoder takes.
        """
        early = self.encoder + 2 * self.encoder_backward + self.encoder_inputs
        return self.forward + 2 * self.backward + self.inputs + encoder * early

    @property
    def graphs(self) -> float:
        """Passes whose intermediate results wait for a backward pass."""
        return self.backward + self.inputs + (self.encoder_backward + self.encoder_inputs) / 2


@dataclass(frozen=True)
class Turn:
    """The cost and frequency of a player's updates."""

    passes: Passes  # of one update with all its terms, its image made in one step
    every: int = 1  # iterations from one update to the next
    more: float = 0.0  # mean forward passes on top: a chain's earlier steps, an image that no other player has made

    @property
    def mean(self) -> Passes:
        """The mean of one iteration."""
        return (self.passes + Passes(forward=self.more)) * (1 / self.every)


Turns = Mapping[str, Turn]


def earlier_steps(steps: int) -> float:
    """The mean number of steps before the last one of a chain whose last step is drawn uniformly."""
    return (steps - 1) / 2


def branches(*kappas: float) -> int:
    """Passes of one network that guidance at these scales takes: two, unless all are 0 or all are 1."""
    return 1 if all(kappa == 1 for kappa in kappas) or all(kappa == 0 for kappa in kappas) else 2


def denoising(networks: int = 1) -> Passes:
    """A trained network that sees an image once (or with guidance twice)."""
    return Passes(forward=networks, backward=networks)


def matching(kappa: float = 1.0) -> Passes:
    """A generator's update by two networks that no gradient enters; `kappa` guides the teacher."""
    return Passes(forward=2 + branches(kappa), backward=1)


def scores(teacher: int = 1, critic: int = 1) -> Passes:
    """A generator's update through teacher and critic, each in so many passes."""
    return Passes(forward=1 + teacher + critic, backward=1, inputs=teacher + critic)
