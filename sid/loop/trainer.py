"""The one training loop: it trains every method, and the miniature's teachers too."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from sid import stages
from sid.denoiser import Denoiser
from sid.discovery import UnknownName
from sid.draws import Draws, sent
from sid.fault import Fault, report
from sid.generator import Generator
from sid.loop import ema, update
from sid.loop.lock import TrainingStopped, Watch, locked, watched
from sid.loop.log import Log, Meter
from sid.loop.memory import peak_memory
from sid.loop.settings import LOOP_VERSION, Data, LoopSettings
from sid.loop.state import TrainState
from sid.method import Batch, Ema, Method, Player, Progress, deciding
from sid.nets import materialise, stored
from sid.parallel import execution
from sid.parallel.engine import Agreement, Engine
from sid.parallel.settings import FAITHFUL, EngineSettings

SAVE_SPACING = 20  # the pause between two states is at least this many times as long as copying one took
Observer = Callable[[int, Generator], dict[str, float]]


@dataclass
class Trained:
    """The result of a training."""

    generator: Generator  # the averaged one
    curve: list[dict[str, float]]
    images: int
    seconds: float
    passes: float
    peak_memory: int
    networks: dict[str, dict[str, Tensor]] = field(default_factory=dict)  # those of `Execution.leaves`


@dataclass(frozen=True)
class Training:
    """What is trained. Everything here decides the result.

    Args:
        method: Describes the networks and the players; see `sid.method`.
        options: The method's options, an instance of its `Options`.
        teacher: The denoiser that is distilled, or the blank network that a teacher's training fills.
        data: Conditions and shape of the samples; real images and pairs where the method needs them.
        settings: The loop's settings: seed, budget, batch, averages.
        identity: What else decides the result (the teacher's digest, say): a state of another identity is refused.
        start: A distilled generator to begin from instead of the teacher; its averages begin there too (SiD2A).
        networks: Further networks of the stage that `start` comes from, by name, to go on from (DMD2); a generator
            among them takes the place of `start`. All others begin as the teacher.
    """

    method: Method
    options: Any
    teacher: Denoiser
    data: Data
    settings: LoopSettings
    identity: str = ""
    start: Generator | None = None
    networks: Mapping[str, stages.State] = field(default_factory=dict)


@dataclass(frozen=True)
class Execution:
    """Where and how it is trained.

    Args:
        folder: Holds the state and the log. A training with a state there goes on from it.
        observers: Called with (images, averaged generator) at the image counts of `settings.observe`; what they return
            is a row of the curve.
        engine: Processes, precision and memory. The defaults change no number.
        quiet: Shows no progress.
        everywhere: Ranks above 0 return the result too, instead of leaving by `TrainingStopped` with status 0.
        leaves: Networks whose last weights the result holds, for a second stage.
        device: As torch names it; auto: the GPU of this process where there is one.
    """

    folder: Path
    observers: Sequence[Observer] = ()
    engine: EngineSettings = FAITHFUL
    quiet: bool = False
    everywhere: bool = False
    leaves: Sequence[str] = ()
    device: str = "auto"


def train(training: Training, execution: Execution) -> Trained:
    """Trains to the end of the budget, or goes on from the folder's last state. To resume, call it again.

    Started by torchrun, every process calls this. Rank 0 writes the files and messages and returns the result; the
    others leave by `TrainingStopped`, unless `execution.everywhere` is set.
    """
    engine = Engine.here(execution.engine, execution.device)
    engine.share(training.settings.batch)  # refused before anything is made
    folder = execution.folder
    with contextlib.ExitStack() as stack, watched() as watch:
        engine.together(lambda: stack.enter_context(locked(folder / "run-0.lock")))
        run = _Run(training, folder, engine, execution.leaves)
        stack.callback(run.state.join)
        run.resume()
        if engine.first:
            run.log = Log(folder / "log.jsonl", run.state.counters.images)
            stack.callback(run.log.close)
        run.train(watch, execution.observers, execution.quiet)
        trained = run.result()
        if not (engine.first or execution.everywhere):
            raise TrainingStopped("done: the first process goes on with the result", 0)
        return trained


class _Run:
    """The networks, players and state of one training run."""

    def __init__(self, training: Training, folder: Path, engine: Engine, leaves: Sequence[str] = ()):
        method, options, settings = training.method, training.options, training.settings
        self.name, self.data, self.settings = method.name, training.data, settings
        self.log: Log | None = None  # rank 0's
        dtype = getattr(torch, settings.dtype)
        teacher = training.teacher.to(engine.device, dtype)
        self.like = torch.empty(0, device=engine.device, dtype=dtype)
        self.averages = {
            **{name: net for name, net in method.build(options).items() if isinstance(net, Ema)},
            "ema": Ema("generator", settings.ema_halflife, settings.ema_ramp),
        }
        described = {**method.build(options), "ema": self.averages["ema"]}
        self.nets = materialise(described, teacher, settings.seed, self._features, settings.student)
        for net in self.nets.values():
            net.to(engine.device, dtype)
        if training.start is not None:
            self._begin_from(training.start, training.networks)
        players = [update.clipped(player, settings.clip_norm) for player in method.players(options)]
        self.engine = engine = engine.suited(execution.footprint(self.nets, players, self.averages))
        self.leaves = leaves
        self.empty_copies = {name: execution.blank(self.nets[name]) for name in ("ema", *leaves) if engine.sharded}
        execution.prepare(self.nets, engine, dtype)
        self.players = update.player_states(players, self.nets, engine)
        for name in settings.stop_players:
            if name not in (names := [state.player.name for state in self.players]):
                raise UnknownName(f"player of {method.name}", name, names)
        recipe = {
            "method": method.name,
            "version": method.version,
            "loop": LOOP_VERSION,
            "options": deciding(options),
            **method.parts(options),
            "recipe": asdict(settings),
            "identity": training.identity,
            **({"engine": decisive} if (decisive := engine.settings.decisive()) else {}),
        }
        optimisers = [state.optimiser for state in self.players]
        extendable = not settings.stop_players and all(player.optimiser.decay_from >= 1 for player in players)
        self.state = TrainState(folder, recipe, stored(self.nets), optimisers, engine, extendable)
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

        denoisers = {module for net in self.nets.values() for module in net.modules() if isinstance(module, Denoiser)}
        for module in denoisers:
            module.register_forward_hook(count)

    def _begin_from(self, start: Generator, networks: Mapping[str, stages.State]) -> None:
        """The generator, the networks of an earlier stage and all their averages take its weights."""
        if self.settings.student is not None:
            raise Fault("a student of adapters begins from the teacher, not from another generator")
        begun = {"generator": start.denoiser.network.state_dict(), **networks}
        for name, average in self.averages.items():
            if average.of in begun:
                begun[name] = begun[average.of]
        for name, state in begun.items():
            stages.body(self.nets[name]).load_state_dict(state)

    def resume(self) -> None:
        self.state.check_recipe()
        if self.state.restore():
            if self.engine.first:
                report(f"going on from {self.state.counters.images} of {self.settings.images} images")
            for state in self.players:
                state.optimiser.steps = self.state.counters.steps.get(state.player.name, 0)

    def train(self, watch: Watch, observers: Sequence[Observer], quiet: bool) -> None:
        """To the end of the budget, saving now and then; when any process is asked to stop, all save and leave."""
        settings, engine, counters = self.settings, self.engine, self.state.counters
        meter = Meter(self.name, settings.images, counters.images, quiet or not engine.first)
        agreement = Agreement(engine)
        saved = started = time.monotonic()
        before, pause = counters.seconds, settings.save_seconds
        while counters.images < settings.images:
            self.iterate(observers)
            now = time.monotonic()
            counters.seconds = before + now - started
            meter.update(counters.images)
            reason = watch.reason()
            late = now - saved > pause
            stop, due, busy = agreement.any(reason is not None, late, self.state.busy)
            if stop or (due and not busy):
                self.state.save()
                saved = time.monotonic()
                pause = max(settings.save_seconds, SAVE_SPACING * (saved - now)) if settings.save_seconds else 0.0
            if stop:
                self._leave(reason or TrainingStopped("another process stopped", 1))
        agreement.close()
        self.state.save()
        self.state.finish()
        meter.close()

    def _leave(self, reason: TrainingStopped) -> None:
        self.state.finish()
        if self.engine.first:
            report(f"{reason}; the state is saved, the same command goes on from it")
        raise reason

    def iterate(self, observers: Sequence[Observer]) -> None:
        """One iteration: every player whose turn it is, then the averages, then the log and the observers."""
        counters, settings = self.state.counters, self.settings
        progress = Progress(counters.iteration, counters.images, settings.images)
        after = counters.images + settings.batch
        watch = after // settings.log_images > counters.images // settings.log_images
        shared: dict[int, dict[str, Any]] = {}
        blocks: dict = {}
        for state in self.players:
            stopped = progress.fraction >= settings.stop_players.get(state.player.name, 2.0)
            if not stopped and state.player.plays(progress):
                batches = self._batches(state.player, progress, shared, blocks)
                update.play(state, self.nets, batches, self.engine, progress, settings.seed, watch)
                state.release()
        for name, average in self.averages.items():
            beta = ema.decay(settings.batch, counters.images, average.halflife, average.ramp)
            ema.update(self.nets[name], self.nets[average.of], beta)
        due = [count for count in settings.observe if counters.images < count <= after]
        counters.iteration, counters.images = counters.iteration + 1, after
        counters.steps = {state.player.name: state.optimiser.steps for state in self.players}
        if self.log is not None and watch:
            self.log.write(self._row())
        if due:
            self._observe(observers)

    def _batches(self, player: Player, progress: Progress, shared: dict, blocks: dict) -> Iterator[Batch]:
        """The rank's share of the global batch, in micro-batches.

        `shared` holds each micro-batch's tensors of this iteration, `blocks` the last drawn blocks; both are common to
        all players.
        """
        share = self.engine.share(self.settings.batch)
        size = self.settings.micro_batch or len(share)
        for number, first in enumerate(range(share.start, share.stop, size)):
            rows = range(first, min(first + size, share.stop))
            draws = Draws(self.settings.seed, progress.iteration, rows, player.name, blocks)
            batch = Batch(
                draws=draws,
                condition=self.data.conditions.draw(draws.of(player.conditions or player.name)).to(self.like),
                progress=progress,
                sample_shape=self.data.sample_shape,
                like=self.like,
                shared=shared.setdefault(number, {}),
                size=self.settings.batch,
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
        played = {state.player.name: update.figures(state) for state in self.players if state.terms}
        for state in self.players:
            state.terms = []
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
        counters.peak_memory = max(counters.peak_memory, peak_memory(self.engine.device))
        networks = {name: stages.state_of(self._whole(name)) for name in self.leaves}
        return Trained(
            cast(Generator, self._whole("ema").eval()),
            counters.curve,
            counters.images,
            counters.seconds,
            counters.passes,
            counters.peak_memory,
            networks,
        )

    def _whole(self, name: str) -> nn.Module:
        """A network with all its weights; every process must ask."""
        net = self.nets[name]
        return execution.gathered(net, self.empty_copies[name]) if name in self.empty_copies else net
