"""Training steps against the straightforward ones, in one process: `python -m benchmarks.speed.steps`.

Never a timed test. Rounds alternate: one iteration of ours through the trainer itself, one of the straightforward loop,
and, where it is asked for, the bare passes of our networks with nothing around them. A ratio is the median of the
rounds', of wall time, and of processor time as well, which says more on a busy machine (with one thread).
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.options import parse_engine
from benchmarks.speed.machine import facts, limited_to
from sid import atomic

Clock = dict[str, float]  # wall and processor seconds
RECORDS = Path(__file__).parent / "records"


def main() -> int:
    args = _arguments()
    if args.device == "cpu" and os.environ.get("OMP_NUM_THREADS") != str(args.threads):
        again = [sys.executable, "-m", "benchmarks.speed.steps", *sys.argv[1:]]
        os.execve(sys.executable, again, limited_to(args.threads))
    import torch

    from benchmarks.speed import roofline
    from benchmarks.speed.cases import CASES, Side

    if args.device == "cpu":
        torch.set_num_threads(args.threads)
    side = Side(CASES[args.case], args.batch, args.tiny, args.device)
    engine = parse_engine(args.engine) if args.engine or args.device == "cpu" else side.case.engine
    found: dict[str, Any] = {"command": " ".join(["python -m benchmarks.speed.steps", *sys.argv[1:]])}
    found |= {**facts(args.threads), "case": args.case, "batch": side.batch, "tiny": args.tiny}
    found |= {
        "engine": asdict(engine),
        "straightforward": "float32, no compile, two-pass guidance, text encoded per call",
    }
    roof = roofline.measured(side, engine.precision, args.device, args.rounds)
    found |= {**roof, **Race(side, engine, args.rounds, args.bare).run()}
    if seconds := found["seconds"]["wall"].get("ours"):
        found["share of the matrix rate"] = roof["flops"] / seconds / roof["matrix rate"]
    found["load_after"] = os.getloadavg()
    name = f"{args.case}-{'tiny-' if args.tiny else ''}{args.device}.json"
    atomic.write_json(args.record or RECORDS / name, found)
    for told in ("ratio", "overhead over bare passes", "share of the matrix rate"):
        if told in found:
            print(f"{told}: {found[told]}")
    return 0


def _arguments() -> argparse.Namespace:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=("sid-ddpmpp-32", "sid-lsg-sd15", "sid-few-step-sdxl", "dmd2-sdxl"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, help="default: what suits a GPU")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engine", action="append", default=[], metavar="NAME=VALUE", help="as of `sidbench train`")
    parser.add_argument("--bare", action="store_true", help="also the bare passes of our networks (sid alone)")
    parser.add_argument("--tiny", action="store_true", help="small networks: to see that it runs")
    parser.add_argument("--record", type=Path)
    return parser.parse_args()


class Done(Exception):
    """Enough was timed: the trainer is left without saving anything."""


class Race:
    """Seconds of each side. The trainer calls an observer after every iteration: there the other sides run."""

    def __init__(self, side: Any, engine: Any, rounds: int, bare: bool):
        self.side, self.engine, self.rounds, self.bare = side, engine, rounds, bare
        self.taken: dict[str, list[Clock]] = {"ours": [], "straightforward": [], **({"bare": []} if bare else {})}
        self.nets: dict[str, Any] = {}
        self.period = side.case.told.ratio  # iterations until every player has had its turn

    def run(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.loop: Any = None
        if self.side.apart:  # theirs first: ours changes the teacher in place
            peaks = {"straightforward": self._peak(self._theirs)}
            self.loop = None
            gc.collect()
            found["peak bytes"] = {**peaks, "ours": self._peak(self._ours)}
        else:
            self.loop = self.side.straightforward()
            self._ours()
        middle = {
            clock: {name: statistics.median(one[clock] for one in taken) for name, taken in self.taken.items() if taken}
            for clock in ("wall", "cpu")
        }
        found |= {"seconds": middle, "all seconds": self.taken}
        images = self.side.batch * self.period
        found["images per second"] = {name: images / value for name, value in middle["wall"].items()}
        return found | ratios(self.taken)

    def _ours(self) -> None:
        """A real training. The first round warms up."""
        from sid.recipe import Recipe
        from sid.trainer import train

        side, rounds = self.side, self.rounds + 1
        images = side.batch * self.period
        recipe = Recipe(
            images=images * (rounds + 1),
            batch=side.batch,
            observe=tuple(images * number for number in range(1, rounds + 1)),
            save_seconds=1e9,
            log_images=10**9,
        )
        self.begin = self._now()
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Done):
            method: Any = _Watched(side.method, self.nets)
            data, teacher = side.data(), side.teacher
            train(method, side.options, teacher, data, recipe, Path(folder), (self._between,), self.engine, quiet=True)

    def _between(self, images: int, generator: Any) -> dict[str, float]:
        """After each of our rounds: its time, then the other sides."""
        self._note("ours", since(self.begin, self._now()), images)
        if not self.side.apart:
            self._timed("straightforward", self._theirs_once, images)
        if self.bare:
            self._timed("bare", lambda: bare_passes(self.nets, self.side), images)
        if len(self.taken["ours"]) == self.rounds:
            raise Done
        self.begin = self._now()
        return {}

    def _theirs_once(self) -> None:
        for _ in range(self.period):
            self.loop.iterate()

    def _theirs(self) -> None:
        """The straightforward side alone, where both at once don't fit."""
        self.loop = self.side.straightforward()
        for number in range(self.rounds + 1):
            self._timed("straightforward", self._theirs_once, (number + 1) * self.side.batch * self.period)

    def _timed(self, name: str, run: Callable[[], None], images: int) -> None:
        begin = self._now()
        run()
        self._note(name, since(begin, self._now()), images)

    def _note(self, name: str, taken: Clock, images: int) -> None:
        print(f"{name}: {taken['wall']:.2f} s, cpu {taken['cpu']:.2f} s", flush=True)
        if images > self.side.batch * self.period:  # the first round of each is left out
            self.taken[name].append(taken)

    def _peak(self, run: Callable[[], None]) -> int | str:
        """The most device memory that was used, or that there was not enough."""
        import torch

        if self.side.device == "cpu":
            run()
            return "not counted"
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        try:
            run()
        except torch.OutOfMemoryError:
            self.taken["straightforward" if run == self._theirs else "ours"].clear()
            return "does not fit"
        return torch.cuda.max_memory_allocated()

    def _now(self) -> Clock:
        if self.side.device != "cpu":
            import torch

            torch.cuda.synchronize()
        return {"wall": time.perf_counter(), "cpu": time.process_time()}


def since(begin: Clock, end: Clock) -> Clock:
    return {clock: end[clock] - begin[clock] for clock in begin}


def ratios(taken: dict[str, list[Clock]]) -> dict[str, Clock]:
    """Of the sides in each round, their median: a machine that grows faster or slower meanwhile moves all sides."""
    found: dict[str, Clock] = {}
    for other, name, less in (("straightforward", "ratio", 0), ("bare", "overhead over bare passes", 1)):
        pairs = list(zip(taken["ours"], taken.get(other, []), strict=False))
        if pairs:
            found[name] = {
                clock: statistics.median(ours[clock] / theirs[clock] - less for ours, theirs in pairs)
                for clock in ("wall", "cpu")
            }
    return found


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


if __name__ == "__main__":
    raise SystemExit(main())
