"""Seconds of a training step, ours through the trainer itself and the straightforward one beside it.

Where both fit, one round of ours and one of the straightforward loop take turns in one process; on a GPU, where each
side's memory is measured, they run one after the other. A ratio is the median of the rounds'.
"""

from __future__ import annotations

import contextlib
import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.speed.kernels import Kernels

Clock = dict[str, float]  # wall and processor seconds, and "host": until everything was issued, before the device ended
CLOCKS = ("wall", "cpu")
SIDES = ("ours", "straightforward")


class Done(Exception):
    """Enough was timed: the trainer is left without saving anything."""


@dataclass(frozen=True)
class Wanted:
    """What a race measures."""

    rounds: int = 5  # that are timed; one goes before them and warms up
    sides: Sequence[str] = SIDES
    bare: bool = False  # also the bare passes of our networks, with nothing around them (sid alone)
    micro: int | None = None  # samples at once, of ours; None: all
    profile: bool = False  # one more round of ours, with every kernel counted


class Race:
    """The trainer calls an observer after every round: there the clock is read, and the other sides run.

    `write` is given all that is known so far, after each round.
    """

    def __init__(self, side: Any, engine: Any, wanted: Wanted, write: Callable[[dict[str, Any]], None]):
        self.side, self.engine, self.wanted, self.write = side, engine, wanted, write
        self.taken: dict[str, list[Clock]] = {name: [] for name in wanted.sides}
        if wanted.bare:
            self.taken["bare"] = []
        self.nets: dict[str, Any] = {}
        self.period = side.case.told.ratio  # iterations until every player has had its turn
        self.peaks: dict[str, int | str] = {}
        self.kernels: Kernels | None = None
        self.profile: dict[str, Any] | None = None
        self.loop: Any = None

    def run(self) -> dict[str, Any]:
        """Both sides; what they took."""
        if not self.side.apart and "ours" in self.wanted.sides:
            self.loop = self.side.straightforward() if "straightforward" in self.wanted.sides else None
            self._ours()
            return self.record()
        if "straightforward" in self.wanted.sides:  # first: ours changes the teacher in place
            self._peak("straightforward", self._straightforward)
            self.loop = None
            gc.collect()
        if "ours" in self.wanted.sides:
            self._peak("ours", self._ours)
        return self.record()

    def record(self) -> dict[str, Any]:
        """All that is known so far."""
        timed = {name: clocks for name, clocks in self.taken.items() if clocks}
        middle = {
            clock: {name: statistics.median(one[clock] for one in clocks) for name, clocks in timed.items()}
            for clock in (*CLOCKS, "host")
        }
        images = self.side.batch * self.period
        record: dict[str, Any] = {"seconds": middle, "all seconds": self.taken}
        record["images per second"] = {name: images / value for name, value in middle["wall"].items()}
        record |= {"peak bytes": self.peaks} if self.peaks else {}
        record |= {"profile": self.profile} if self.profile else {}
        return record | ratios(self.taken)

    def _ours(self) -> None:
        """A real training. The first round warms up, the last one is profiled where that is wanted."""
        from sid.loop.recipe import Recipe
        from sid.loop.trainer import train

        side, rounds = self.side, self.wanted.rounds + 1 + self.wanted.profile
        images = side.batch * self.period
        recipe = Recipe(
            images=images * (rounds + 1),
            batch=side.batch,
            micro_batch=self.wanted.micro,
            observe=tuple(images * number for number in range(1, rounds + 1)),
            save_seconds=1e9,
            log_images=10**9,
        )
        method: Any = _Watched(side.method, self.nets)
        data, teacher = side.data(), side.teacher
        if side.apart:
            side.text = None  # a training reads its prompts from a cache: no encoder lies beside it
        self.begin = self._now()
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Done):
            train(method, side.options, teacher, data, recipe, Path(folder), (self._between,), self.engine, quiet=True)

    def _between(self, images: int, generator: Any) -> dict[str, float]:
        """After each of our rounds: its time, then the other sides."""
        clock = since(self.begin, self._now())
        if self.kernels is not None:
            self.profile = self.kernels.stopped()
            self.write(self.record())
            raise Done
        self._note("ours", clock, images)
        if self.loop is not None:
            self._timed("straightforward", self._straightforward_once, images)
        if self.wanted.bare:
            self._timed("bare", lambda: bare_passes(self.nets, self.side), images)
        if len(self.taken["ours"]) == self.wanted.rounds:
            if not self.wanted.profile:
                raise Done
            self.kernels = Kernels(self.side.device)
        self.begin = self._now()
        return {}

    def _straightforward_once(self) -> None:
        for _ in range(self.period):
            self.loop.iterate()

    def _straightforward(self) -> None:
        """That side alone."""
        self.loop = self.side.straightforward()
        for number in range(self.wanted.rounds + 1):
            images = (number + 1) * self.side.batch * self.period
            self._timed("straightforward", self._straightforward_once, images)

    def _timed(self, name: str, run: Callable[[], None], images: int) -> None:
        begin = self._now()
        run()
        self._note(name, since(begin, self._now()), images)

    def _note(self, name: str, taken: Clock, images: int) -> None:
        print(f"{name}: {taken['wall']:.2f} s, cpu {taken['cpu']:.2f} s", flush=True)
        if images > self.side.batch * self.period:  # the first round of each is left out
            self.taken[name].append(taken)
        self._memory(name)
        self.write(self.record())

    def _peak(self, name: str, run: Callable[[], None]) -> None:
        """The side's run, and the most device memory that it used, or that there was not enough."""
        import torch

        if self.side.device == "cpu":
            self.peaks[name] = "not counted"
            run()
            return
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        try:
            run()
        except torch.OutOfMemoryError:
            self.taken[name].clear()
            self.peaks[name] = "does not fit"
            self.write(self.record())

    def _memory(self, name: str) -> None:
        if self.side.apart and self.side.device != "cpu":
            import torch

            self.peaks[name] = torch.cuda.max_memory_allocated()

    def _now(self) -> Clock:
        issued = time.perf_counter()
        if self.side.device != "cpu":
            import torch

            torch.cuda.synchronize()
        return {"wall": time.perf_counter(), "cpu": time.process_time(), "host": issued}


def since(begin: Clock, end: Clock) -> Clock:
    """Of a round: the host's part begins where the device was last waited for, as the wall's does."""
    return {"wall": end["wall"] - begin["wall"], "cpu": end["cpu"] - begin["cpu"], "host": end["host"] - begin["wall"]}


def ratios(taken: dict[str, list[Clock]]) -> dict[str, Clock]:
    """Of the sides in each round, their median: a machine that grows faster or slower meanwhile moves all sides."""
    record: dict[str, Clock] = {}
    for other, name, less in (("straightforward", "ratio", 0), ("bare", "overhead over bare passes", 1)):
        pairs = list(zip(taken.get("ours", []), taken.get(other, []), strict=False))
        if pairs:
            record[name] = {
                clock: statistics.median(ours[clock] / theirs[clock] - less for ours, theirs in pairs)
                for clock in CLOCKS
            }
    return record


class _Watched:
    """The method itself; the trainer's networks are remembered when a player sees them."""

    def __init__(self, method: Any, nets: dict[str, Any]):
        self.method, self.nets = method, nets

    def __getattr__(self, name: str) -> Any:
        return getattr(self.method, name)

    def players(self, options: Any) -> tuple[Any, ...]:
        def watched(player: Any) -> Any:
            def loss(nets: Any, batch: Any) -> Any:
                self.nets.update(nets)
                return player.loss(nets, batch)

            return replace(player, loss=loss)

        return tuple(map(watched, self.method.players(options)))


@contextlib.contextmanager
def _training(net: Any) -> Iterator[None]:
    net.train().requires_grad_(True)
    yield
    net.eval().requires_grad_(False)
    for parameter in net.parameters():
        parameter.grad = None


def bare_passes(nets: dict[str, Any], side: Any) -> None:
    """The passes of one SiD iteration through the trainer's own networks, and nothing else at all."""
    import torch

    generator, critic, teacher = (nets[name] for name in ("generator", "critic", "teacher"))
    for net in (generator, critic):
        net.eval().requires_grad_(False)
    z = torch.randn(side.batch, *side.shape, device=side.device)
    t = torch.ones(side.batch, device=side.device)
    with torch.no_grad():
        x = generator([z])
    with _training(critic):
        critic(x, t).image.sum().backward()
    with _training(generator):
        x = generator([z])
        (x.sum() + teacher(x, t).image.sum() + critic(x, t).image.sum()).backward()
