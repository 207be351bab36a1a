"""The engine's settings: processes, precision, memory. Plain data, no torch.

The defaults are the paper-faithful preset: float32, nothing fused, nothing recomputed. They are in no digest.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass

STRATEGIES = ("auto", "single", "ddp", "fsdp2")
PRECISIONS = ("fp32", "bf16", "fp16")
# A state may be resumed with other values of these: sums in another order, or bit for bit the same training.
UNDECISIVE = ("strategy", "shard_over", "overlap", "offload", "checkpointing", "split_backward")


@dataclass(frozen=True)
class EngineSettings:
    """The options of an engine, each with what it costs in fidelity (docs/engine.md has the memory of each)."""

    strategy: str = "auto"
    """auto | single | ddp | fsdp2. No cost: sums run in another order, 1e-16 of float64. `auto` is ddp where all
    networks fit on one device and fsdp2 where they don't; one process is always `single`."""

    shard_over: int = 0
    """Under fsdp2: so many processes share one copy of the networks, and the copies are trained data parallel (HSDP);
    0: all processes share one. No cost: sums run in another order."""

    overlap: bool = False
    """Under ddp: gradients are summed over the processes in buckets while the last backward pass still runs. No cost:
    the same bits for two processes, sums in another order for more."""

    precision: str = "fp32"
    """fp32 | bf16 | fp16. fp32: also where a published file asks for float16 inside its network. fp16: EDM's and EDM2's
    own cast of activations inside the network, on CUDA alone; weights, losses and x0 stay in float32, and the SiD
    papers set Adam's eps to 1e-6 with it. bf16: networks run under autocast, the frozen teacher is stored in bfloat16;
    trained weights, optimisers, averages, losses and x0 conversions stay in float32. Either costs three digits in what
    a network says, which a difference of two near-equal networks (teacher - critic) feels most."""

    compile: bool = False
    """torch.compile with static shapes. Costs rounding: fused kernels sum in another order; the first steps take
    minutes. A micro-batch of another size (the last one of a share that doesn't divide) compiles once more."""

    channels_last: bool = False
    """Images and kernels in the memory order of convolution units. Costs rounding only."""

    checkpointing: bool = False
    """Blocks are run again in the backward pass instead of storing their activations. Bit for bit the same training; a
    third more time."""

    split_backward: bool = False
    """A frozen network that gradients run through (teacher and critic, in the generator's turn) is run again in the
    backward pass, so that only one of their graphs is in memory. Bit for bit the same training; a pass more each."""

    first_moment: bool = True
    """False: players whose Adam has beta1 = 0 store no first moment, which is then the gradient itself. Costs rounding
    at most. Players with another beta1 store theirs."""

    eight_bit: bool = False
    """Stores moments of parameters with at least 4096 numbers in a byte a number, rounded at random without bias.
    Single steps are off by up to a sixth; a state is saved decoded, so that saving needs that memory for a moment."""

    offload: bool = False
    """Adam's moments lie in the CPU's memory and come to the device for the step, bundle by bundle. Bit for bit the
    same training; all moments pass the bus twice in each step."""

    half_norms: bool = False
    """With bf16: group and layer norms read and write bfloat16, with sums in float32, where autocast gives them
    float32. Saves activations and traffic; costs a digit or two in what a norm passes on."""

    def faults(self) -> list[str]:
        """What is wrong with these settings, a sentence each."""
        faults = []
        for name, known in (("strategy", STRATEGIES), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                faults.append(f"engine {name} must be one of {', '.join(known)} (got '{getattr(self, name)}')")
        if self.half_norms and self.precision != "bf16":
            faults.append(f"engine half_norms needs precision bf16, whose autocast it changes (got '{self.precision}')")
        if self.shard_over < 0:
            faults.append(f"engine shard_over must be 0 or a number of processes (got {self.shard_over})")
        if self.shard_over and self.strategy in ("single", "ddp"):
            faults.append(f"engine shard_over shares networks under strategy fsdp2 (got '{self.strategy}')")
        if self.overlap and self.strategy == "fsdp2":
            faults.append("engine overlap is ddp's: sharded gradients are summed during the backward pass anyway")
        if self.offload and self.eight_bit:
            faults.append("engine offload and eight_bit are two ways to store the same moments: choose one")
        return faults

    def holders(self, processes: int) -> int:
        """Over how many of the processes one copy of the networks is divided."""
        return min(self.shard_over or processes, processes) if self.strategy == "fsdp2" else 1

    def decisive(self) -> dict[str, object]:
        """The settings that differ from the preset and move numbers, for digests: empty for the defaults."""
        plain = asdict(EngineSettings())
        return {name: value for name, value in asdict(self).items() if value != plain[name] and name not in UNDECISIVE}


FAITHFUL = EngineSettings()


def first_process() -> bool:
    """Whether this is rank 0 of torchrun's processes, or the only process."""
    return int(os.environ.get("RANK", 0)) == 0


@dataclass(frozen=True)
class Footprint:
    """Parameter counts of a run, from which its memory follows."""

    frozen: int  # the teacher's, also where the critic is adapters over it
    trained: tuple[int, ...]  # of each player
    momentless: tuple[int, ...]  # of the players whose beta1 is 0
    averaged: int  # of all averages
    base: int = 0  # a student's own, under its adapters: it stays in full precision, as the averages of it do

    def bytes_each(self, settings: EngineSettings, processes: int, itemsize: int = 4) -> float:
        """Bytes of weights, gradients and optimisers on each of `processes`; activations come on top.

        A trained parameter costs itself, its gradient (of one player at a time) and Adam's two moments.
        """
        frozen = self.frozen * (2 if settings.precision == "bf16" else itemsize)
        saved = 0 if settings.first_moment else sum(self.momentless)
        each = 0 if settings.offload else 1 + itemsize / 256 if settings.eight_bit else itemsize
        moments = (2 * sum(self.trained) - saved) * each
        floats = sum(self.trained) + max(self.trained, default=0) + self.averaged + self.base
        return (frozen + moments + floats * itemsize) / settings.holders(processes)
