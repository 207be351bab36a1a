"""Seconds of our training steps and of the straightforward ones: `python -m benchmarks.speed.steps`. No test times it.

Where both sides fit into memory they alternate in one process: a round of ours through the trainer itself, one of the
straightforward loop and, with --bare, the bare passes of our networks with nothing around them. On a GPU, where each
side's memory is measured, they run one after the other. A ratio is the median of the rounds', of wall time and of
processor time, which says more on a busy machine (with one thread). The record is written after every round: that of a
killed measurement is marked `unfinished`.
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.speed.machine import Clock, Kernels, command, facts, limited_to, matrix_rate
from sid import atomic

RECORDS = Path(__file__).parent / "records"
MODULE = "benchmarks.speed.steps"
CLOCKS = ("wall", "cpu")  # a round's clocks also have "host": until all kernels were issued, before the device ended
SIDES = ("ours", "straightforward")
CHOICES = {"both": SIDES, **{name: (name,) for name in SIDES}}


def main() -> int:
    args = _arguments()
    if args.device == "cpu" and os.environ.get("OMP_NUM_THREADS") != str(args.threads):
        os.execve(sys.executable, [sys.executable, "-m", MODULE, *sys.argv[1:]], limited_to(args.threads))
    import torch

    from benchmarks.speed.cases import CASES, Side
    from benchmarks.suite.strict import parse_engine

    if args.device == "cpu":
        torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = args.benchmark
    begin = time.perf_counter()
    side = Side(CASES[args.case], args.batch, args.tiny, args.device)
    engine = parse_engine(args.engine) if args.engine or args.device == "cpu" else side.case.engine
    record: dict[str, Any] = {"command": command(MODULE), **facts(args.threads)}
    record |= {"case": args.case, "variant": args.variant, "batch": side.batch, "micro batch": args.micro}
    record |= {"tiny": args.tiny, "engine": asdict(engine), "cudnn benchmark": args.benchmark}
    record["straightforward"] = "float32, no compile, two-pass guidance, text encoded per call"
    record["seconds until built"] = time.perf_counter() - begin
    record |= matrix_rate(engine.precision, args.device, args.tiny)
    variant = f"{args.variant}-" if args.variant else ""
    path = args.record or RECORDS / f"{args.case}-{variant}{'tiny-' if args.tiny else ''}{args.device}.json"

    def write(measured: dict[str, Any], **more: Any) -> None:
        atomic.write_json(path, record | measured | _reached(record | measured) | more)

    scope = RaceSettings(args.rounds, CHOICES[args.side], args.bare, args.micro, args.profile)
    measured = Race(side, engine, scope, lambda measured: write(measured, unfinished=True)).run()
    write(measured, load_after=os.getloadavg())
    for name in ("ratio", "overhead over bare passes", "images per second", "peak bytes"):
        if name in measured:
            print(f"{name}: {measured[name]}")
    print(path)
    return 0


def _reached(record: dict[str, Any]) -> dict[str, Any]:
    """The counted FLOPs of a round, and the share of the matrix rate that our timed rounds reach."""
    from benchmarks.speed.cases import CASES, flops_of_round, recorded_flops

    counts = None if record["tiny"] else recorded_flops(record["case"])
    rounds = [clock["wall"] for clock in record["all seconds"].get("ours", ())]
    if counts is None or not rounds:
        return {"flops": None}
    flops = flops_of_round(counts, CASES[record["case"]].settings, len(rounds), record["batch"])
    return {"flops": flops, "share of the matrix rate": flops / statistics.mean(rounds) / record["matrix rate"]}


def _arguments() -> argparse.Namespace:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=("sid-ddpmpp-32", "sid-lsg-sd15", "sid-few-step-sdxl", "dmd2-sdxl"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, help="samples of an iteration (default: as suits a GPU)")
    parser.add_argument("--micro", type=int, help="our micro-batch size (default: the batch)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", choices=tuple(CHOICES), default="both")
    parser.add_argument("--engine", action="append", default=[], metavar="NAME=VALUE", help="as in `sidbench train`")
    parser.add_argument("--benchmark", action="store_true", help="let cuDNN choose its kernels by trying them")
    parser.add_argument("--bare", action="store_true", help="also time bare passes of our networks (method sid only)")
    parser.add_argument("--profile", action="store_true", help="count the kernels of one more round of ours")
    parser.add_argument("--variant", default="", help="a name for these settings, for the record")
    parser.add_argument("--tiny", action="store_true", help="small networks: a rehearsal")
    parser.add_argument("--record", type=Path)
    return parser.parse_args()


class RaceOver(Exception):
    """Enough was timed: the trainer is left without saving anything."""


@dataclass(frozen=True)
class RaceSettings:
    """What a race measures."""

    rounds: int = 5  # that are timed, after one that warms up
    sides: Sequence[str] = SIDES
    bare: bool = False  # also the bare passes of our networks (method sid only)
    micro: int | None = None  # our micro-batch size; None: the batch
    profile: bool = False  # one more round of ours under the profiler


class Race:
    """The trainer calls an observer after every round: there the clock is read, and the other sides run.

    Args:
        side: the case's networks, from which both sides are built.
        engine: engine settings of our side.
        settings: what is measured.
        write: takes all measurements so far, after each round.
    """

    def __init__(self, side: Any, engine: Any, settings: RaceSettings, write: Callable[[dict[str, Any]], None]):
        self.side, self.engine, self.settings, self.write = side, engine, settings, write
        self.taken: dict[str, list[Clock]] = {name: [] for name in settings.sides}
        if settings.bare:
            self.taken["bare"] = []
        self.nets: dict[str, Any] = {}
        self.period = side.case.settings.ratio  # iterations until every player was updated
        self.peaks: dict[str, int | str] = {}
        self.kernels: Kernels | None = None
        self.profile: dict[str, Any] | None = None
        self.loop: Any = None

    def run(self) -> dict[str, Any]:
        """Runs the sides and returns the record."""
        if not self.side.apart and "ours" in self.settings.sides:
            self.loop = self.side.straightforward() if "straightforward" in self.settings.sides else None
            self._ours()
            return self.record()
        if "straightforward" in self.settings.sides:  # first: ours changes the teacher in place
            self._with_peak("straightforward", self._straightforward)
            self.loop = None
            gc.collect()
        if "ours" in self.settings.sides:
            self._with_peak("ours", self._ours)
        return self.record()

    def record(self) -> dict[str, Any]:
        """All measurements so far."""
        timed = {name: clocks for name, clocks in self.taken.items() if clocks}
        middle = {
            clock: {name: statistics.median(row[clock] for row in clocks) for name, clocks in timed.items()}
            for clock in (*CLOCKS, "host")
        }
        images = self.side.batch * self.period
        record: dict[str, Any] = {"seconds": middle, "all seconds": self.taken}
        record["images per second"] = {name: images / value for name, value in middle["wall"].items()}
        record |= {"peak bytes": self.peaks} if self.peaks else {}
        record |= {"profile": self.profile} if self.profile else {}
        return record | ratios(self.taken)

    def _ours(self) -> None:
        """A real training. The first round warms up, the last one is profiled with --profile."""
        from sid.loop.settings import LoopSettings
        from sid.loop.trainer import Execution, Training, train

        side, rounds = self.side, self.settings.rounds + 1 + self.settings.profile
        images = side.batch * self.period
        recipe = LoopSettings(
            images=images * (rounds + 1),
            batch=side.batch,
            micro_batch=self.settings.micro,
            observe=tuple(images * number for number in range(1, rounds + 1)),
            save_seconds=1e9,
            log_images=10**9,
        )
        method: Any = _WatchedMethod(side.method, self.nets)
        data, teacher = side.data(), side.teacher
        if side.apart:
            side.text = None  # a training reads prompts from a cache: no encoder takes memory
        self.begin = self._now()
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(RaceOver):
            training = Training(method, side.options, teacher, data, recipe)
            train(training, Execution(Path(folder), (self._observe,), self.engine, quiet=True))

    def _observe(self, images: int, generator: Any) -> dict[str, float]:
        """After each of our rounds: its time, then the other sides."""
        clock = since(self.begin, self._now())
        if self.kernels is not None:
            self.profile = self.kernels.stopped()
            self.write(self.record())
            raise RaceOver
        self._note("ours", clock, images)
        if self.loop is not None:
            self._timed("straightforward", self._straightforward_once, images)
        if self.settings.bare:
            self._timed("bare", lambda: bare_passes(self.nets, self.side), images)
        if len(self.taken["ours"]) == self.settings.rounds:
            if not self.settings.profile:
                raise RaceOver
            self.kernels = Kernels(self.side.device)
        self.begin = self._now()
        return {}

    def _straightforward_once(self) -> None:
        for _ in range(self.period):
            self.loop.iterate()

    def _straightforward(self) -> None:
        """The straightforward side alone."""
        self.loop = self.side.straightforward()
        for number in range(self.settings.rounds + 1):
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

    def _with_peak(self, name: str, run: Callable[[], None]) -> None:
        """Runs a side and records its peak device memory, or that it does not fit."""
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
    """Seconds between two readings; the host's begin at the last synchronization, as the wall's do."""
    return {"wall": end["wall"] - begin["wall"], "cpu": end["cpu"] - begin["cpu"], "host": end["host"] - begin["wall"]}


def ratios(taken: dict[str, list[Clock]]) -> dict[str, Clock]:
    """Medians of the rounds' ratios: a machine that grows faster or slower meanwhile moves both sides of a round."""
    record: dict[str, Clock] = {}
    for other, name, less in (("straightforward", "ratio", 0), ("bare", "overhead over bare passes", 1)):
        pairs = list(zip(taken.get("ours", []), taken.get(other, []), strict=False))
        if pairs:
            record[name] = {
                clock: statistics.median(ours[clock] / theirs[clock] - less for ours, theirs in pairs)
                for clock in CLOCKS
            }
    return record


class _WatchedMethod:
    """The method itself; a player's loss records the trainer's networks."""

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
    """The passes of one SiD iteration through the trainer's own networks, and nothing else."""
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
