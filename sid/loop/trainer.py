"""The one training loop. Methods describe, this loop trains: every distiller and the miniature's teachers too."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from sid.denoiser import Denoiser
from sid.discovery import UnknownName
from sid.draws import Draws, sent
from sid.fault import Fault, report
from sid.generator import Generator
from sid.loop import ema, update
from sid.loop.lock import Stopped, Watch, held, watched
from sid.loop.log import Log, Meter
from sid.loop.recipe import LOOP_VERSION, Data, Recipe
from sid.loop.state import TrainState
from sid.method import Batch, Ema, Method, Player, Progress, deciding
from sid.nets import kept, materialise
from sid.parallel import execution
from sid.parallel.engine import Agreement, Engine
from sid.parallel.settings import FAITHFUL, EngineSettings

BETWEEN = 20  # times as long as copying a state took, at least, until the next one
Observer = Callable[[int, Generator], dict[str, float]]


@dataclass
class Trained:
    """What a finished run leaves."""

    generator: Generator  # the averaged one
    curve: list[dict[str, float]]
    images: int
    seconds: float
    passes: float
    peak_memory: int


def train(
    method: Method,
    options: Any,
    teacher: Denoiser,
    data: Data,
    recipe: Recipe,
    folder: Path,
    observers: Sequence[Observer] = (),
    engine: EngineSettings = FAITHFUL,
    identity: str = "",
    quiet: bool = False,
    start: Generator | None = None,
    everywhere: bool = False,
) -> Trained:
    """Trains to the end of the recipe, or goes on from the folder's last state. To resume, call it again.

    `identity` is what else decides the result (the teacher's digest, say): a state of another identity is refused.
    `start` is a distilled generator to begin from instead of the teacher (SiD2A); the critic begins as the teacher.
    Started by torchrun, every process calls this; the first of them writes, talks and goes on with the result. The
    others leave by `Stopped` with status 0, unless the result is wanted `everywhere`.
    """
    here = Engine.here(engine)
    here.share(recipe.batch)  # refused before anything is made
    with contextlib.ExitStack() as stack, watched() as watch:
        here.together(lambda: stack.enter_context(held(folder / "run-0.lock")))
        run = _Run(method, options, teacher, data, recipe, folder, here, identity, start)
        stack.callback(run.state.join)
        run.resume()
        if here.first:
            run.log = Log(folder / "log.jsonl", run.state.counters.images)
            stack.callback(run.log.close)
        run.train(watch, observers, quiet)
        trained = run.result()
        if not (here.first or everywhere):
            raise Stopped("done: the first process goes on with the result", 0)
        return trained


class _Run:
    """The networks, players and state of one training run."""

    def __init__(
        self,
        method: Method,
        options: Any,
        teacher: Denoiser,
        data: Data,
        recipe: Recipe,
        folder: Path,
        engine: Engine,
        identity: str,
        start: Generator | None,
    ):
        self.name, self.data, self.recipe = method.name, data, recipe
        self.log: Log | None = None  # the first process's
        dtype = getattr(torch, recipe.dtype)
        teacher = teacher.to(engine.device, dtype)
        self.like = torch.empty(0, device=engine.device, dtype=dtype)
        self.averages = {
            **{name: net for name, net in method.build(options).items() if isinstance(net, Ema)},
            "ema": Ema("generator", recipe.ema_halflife, recipe.ema_ramp),
        }
        described = {**method.build(options), "ema": self.averages["ema"]}
        self.nets = materialise(described, teacher, recipe.seed, self._features, recipe.student)
        for net in self.nets.values():
            net.to(engine.device, dtype)
        if start is not None:
            self._begin_from(start)
        players = [update.clipped(player, recipe.clip_norm) for player in method.players(options)]
        self.engine = engine = engine.suited(execution.footprint(self.nets, players, self.averages))
        self.hollow = execution.blank(self.nets["ema"]) if engine.sharded else None
        execution.prepare(self.nets, engine, dtype)
        self.seats = update.seats(players, self.nets, engine)
        for name in recipe.stop_players:
            if name not in (names := [seat.player.name for seat in self.seats]):
                raise UnknownName(f"player of {method.name}", name, names)
        told = {
            "method": method.name,
            "version": method.version,
            "loop": LOOP_VERSION,
            "options": deciding(options),
            **method.parts(options),
            "recipe": asdict(recipe),
            "identity": identity,
            **({"engine": decisive} if (decisive := engine.settings.decisive()) else {}),
        }
        self.state = TrainState(folder, told, kept(self.nets), [seat.optimiser for seat in self.seats], engine)
        self._count_passes()

    def _features(self, teacher: Denoiser) -> Tensor:
        """The encoder's features of one sample."""
        draws = Draws(0, 0, range(1))
        condition = self.data.conditions.draw(draws).to(self.like)
        noise = draws.normal("probe", self.data.sample_shape, self.like)
        t = draws.time("probe-t", teacher.process.critic_law(), noise)
        with torch.no_grad():
            features = teacher(noise, t, condition, frozenset({"features"})).features
        assert features is not None
        return features

    def _count_passes(self) -> None:
        def count(module: nn.Module, inputs: tuple, output: Any) -> None:
            if not self.observing:
                self.state.counters.passes += len(inputs[0]) * self.engine.world

        self.observing = False

        found = {module for net in self.nets.values() for module in net.modules() if isinstance(module, Denoiser)}
        for module in found:
            module.register_forward_hook(count)

    def _begin_from(self, start: Generator) -> None:
        """The generator and its average take a distilled generator's weights."""
        if self.recipe.student is not None:
            raise Fault("a student of adapters begins from the teacher, not from another generator")
        for name in ("generator", "ema"):
            cast(Generator, self.nets[name]).denoiser.network.load_state_dict(start.denoiser.network.state_dict())

    def resume(self) -> None:
        self.state.check_recipe()
        if self.state.restore():
            if self.engine.first:
                report(f"going on from {self.state.counters.images} of {self.recipe.images} images")
            for seat in self.seats:
                seat.optimiser.steps = self.state.counters.steps.get(seat.player.name, 0)

    def train(self, watch: Watch, observers: Sequence[Observer], quiet: bool) -> None:
        """To the end of the recipe, saving every so often; leaves, saved, when one of the processes is told to."""
        recipe, engine, counters = self.recipe, self.engine, self.state.counters
        meter = Meter(self.name, recipe.images, counters.images, quiet or not engine.first)
        agreement = Agreement(engine)
        saved = started = time.monotonic()
        before, pause = counters.seconds, recipe.save_seconds
        while counters.images < recipe.images:
            self.iterate(observers)
            now = time.monotonic()
            counters.seconds = before + now - started
            meter.update(counters.images)
            reason = watch.reason()
            late = now - saved > pause
            stop, due, busy = agreement.ask(reason is not None, late, self.state.busy)
            if stop or (due and not busy):
                self.state.save()
                saved = time.monotonic()
                pause = max(recipe.save_seconds, BETWEEN * (saved - now)) if recipe.save_seconds else 0.0
            if stop:
                self._leave(reason or Stopped("another process stopped", 1))
        agreement.close()
        self.state.save()
        self.state.finish()
        meter.close()

    def _leave(self, reason: Stopped) -> None:
        self.state.finish()
        if self.engine.first:
            report(f"{reason}; the state is saved, the same command goes on from it")
        raise reason

    def iterate(self, observers: Sequence[Observer]) -> None:
        """One iteration: every player whose turn it is, then the averages, then whoever watches."""
        counters, recipe = self.state.counters, self.recipe
        progress = Progress(counters.iteration, counters.images, recipe.images)
        after = counters.images + recipe.batch
        watch = after // recipe.log_images > counters.images // recipe.log_images
        shared: dict[int, dict[str, Any]] = {}
        blocks: dict = {}
        for seat in self.seats:
            stopped = progress.fraction >= recipe.stop_players.get(seat.player.name, 2.0)
            if not stopped and seat.player.plays(progress):
                batches = self._batches(seat.player, progress, shared, blocks)
                update.play(seat, self.nets, batches, self.engine, progress, recipe.seed, watch)
                seat.release()
        for name, average in self.averages.items():
            beta = ema.decay(recipe.batch, counters.images, average.halflife, average.ramp)
            ema.update(self.nets[name], self.nets[average.of], beta)
        due = [count for count in recipe.observe if counters.images < count <= after]
        counters.iteration, counters.images = counters.iteration + 1, after
        counters.steps = {seat.player.name: seat.optimiser.steps for seat in self.seats}
        if self.log is not None and watch:
            self.log.write(self._row())
        if due:
            self._observe(observers)

    def _batches(self, player: Player, progress: Progress, shared: dict, blocks: dict) -> Iterator[Batch]:
        """The rank's share of the global batch, in micro-batches; each remembers what it shared this iteration."""
        share = self.engine.share(self.recipe.batch)
        size = self.recipe.micro_batch or len(share)
        for number, first in enumerate(range(share.start, share.stop, size)):
            rows = range(first, min(first + size, share.stop))
            draws = Draws(self.recipe.seed, progress.iteration, rows, player.name, blocks)
            batch = Batch(
                draws=draws,
                condition=self.data.conditions.draw(draws.of(player.conditions or player.name)).to(self.like),
                progress=progress,
                sample_shape=self.data.sample_shape,
                like=self.like,
                shared=shared.setdefault(number, {}),
                size=self.recipe.batch,
            )
            if self.data.real is not None:
                real, real_condition = self.data.real(draws)
                batch.real, batch.real_condition = self._sent(real), real_condition.to(self.like)
            if self.data.pairs is not None:
                noise, image, pairs_condition = self.data.pairs(draws)
                batch.pairs = (self._sent(noise), self._sent(image))
                batch.pairs_condition = pairs_condition.to(self.like)
            yield batch

    def _sent(self, image: Tensor) -> Tensor:
        return sent(image, self.like.device, self.like.dtype)

    def _row(self) -> dict[str, Any]:
        counters = self.state.counters
        played = {seat.player.name: update.figures(seat) for seat in self.seats if seat.seen}
        for seat in self.seats:
            seat.seen = []
        return {"images": counters.images, "seconds": round(counters.seconds, 3), "players": played}

    def _observe(self, observers: Sequence[Observer]) -> None:
        generator = cast(Generator, self.nets["ema"])
        row: dict[str, float] = {"images": self.state.counters.images}
        self.observing = True
        for observer in observers:
            row |= observer(self.state.counters.images, generator)
        self.observing = False
        if observers:
            self.state.counters.curve.append(row)

    def result(self) -> Trained:
        counters = self.state.counters
        if self.engine.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.engine.device)
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        counters.peak_memory = max(counters.peak_memory, peak)
        average = self.nets["ema"]
        if self.hollow is not None:
            average = execution.gathered(average, self.hollow)
        return Trained(
            cast(Generator, average.eval()),
            counters.curve,
            counters.images,
            counters.seconds,
            counters.passes,
            counters.peak_memory,
        )
