"""Every method with one or more sets of options, and the reference loop's seats that say the same from the papers.

A method that claims `verified = "update"` must stand here (tests/updates/test_updates.py asserts both directions).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from baselines import vsd
from baselines.realuid import RealUid
from tests.updates import newer, others, score_identity
from tests.updates.loop import ChainRule, Follower, Seat, Turn
from tests.updates.optimiser import Rule
from tests.updates.score_identity import Gan, Identity
from tests.updates.worlds import WORLDS, World

BATCH = 4  # in two rounds
EPS, FAST, SLOW = 1e-3, 2e-3, 1e-3  # the rates of critic and generator
RATES = {"lr": FAST, "lr_generator": SLOW, "eps": EPS}
EVERYWHERE = ("edm", "eps", "v", "flow")
GENERATOR, CRITIC = frozenset({"generator"}), frozenset({"critic"})
Seats = Callable[[World], tuple[Seat, ...]]


@dataclass(frozen=True)
class Case:
    """A method, its options, and the same in the reference's words. `edm` holds what only EDM teachers take."""

    method: str
    given: dict[str, Any]
    seats: Seats
    worlds: tuple[str, ...] = EVERYWHERE
    edm: dict[str, Any] = field(default_factory=dict)
    followers: dict[str, Follower] = field(default_factory=dict)
    dropout: float | None = None  # of students and critics; the teacher's own

    def options(self, world: World) -> dict[str, Any]:
        return {**self.given, **(self.edm if world.facts.augment else {})}


def on_edm(world: World, share: float) -> float:
    return share if world.facts.augment else 0.0


def both(
    identity: Callable[[World], Identity],
    clip_value: float | None = None,
    beta1: float = 0.0,
    generator_from: int = 0,
    clip_generator: float | None = None,
) -> Seats:
    """SiD's order: the critic, then the generator."""

    def seats(world: World) -> tuple[Seat, ...]:
        s = identity(world)
        return (
            Seat(
                "critic",
                lambda w: score_identity.critic(w, s),
                Rule(FAST, eps=EPS, clip_value=clip_value),
                ("critic",),
                CRITIC,
            ),
            Seat(
                "generator",
                lambda w: score_identity.generator(w, s),
                Rule(SLOW, beta1, EPS, clip_value=clip_generator),
                ("generator",),
                GENERATOR,
                lambda iteration, images: images >= generator_from,
            ),
        )

    return seats


def few_step(k1: float, k2: float, k4: float, gan: bool, renoise: str = "fresh", dropout: float = 0.0) -> Seats:
    def identity(world: World) -> Identity:
        chain = ChainRule(3, renoise=renoise)
        part = Gan(1.0, per_sample=True, joined_from=BATCH, spatial=world.name == "flow") if gan else None
        return Identity(1.0, 100.0, chain, k1, k2, k4, dropout, gan=part)

    return both(identity)


def diff_instruct(world: World) -> tuple[Seat, ...]:
    s = Identity(1.0, 1.0, augment=on_edm(world, 0.6))
    return (
        Seat("critic", lambda w: score_identity.critic(w, s), Rule(FAST, eps=EPS), ("critic",), CRITIC),
        Seat(
            "generator",
            lambda w: others.diff_instruct(w, ChainRule(), 3.0),
            Rule(SLOW, eps=EPS),
            ("generator",),
            frozenset({"generator", "teacher", "critic"}),
            conditions="critic",
        ),
    )


def sim(world: World) -> tuple[Seat, ...]:
    critic, _ = both(lambda world: Identity(1.0, 1.0))(world)
    loss = lambda w: others.implicit(w, 0.02)  # noqa: E731
    return (critic, Seat("generator", loss, Rule(SLOW, eps=EPS), ("generator",), GENERATOR))


def dmd(world: World) -> tuple[Seat, ...]:
    chain = ChainRule(start=ENTRANCE[world.facts.process])
    rest: dict[str, Any] = {"beta1": 0.9, "eps": EPS, "decay": 0.01, "clip_norm": 0.05, "warmup": 2}
    return (
        Seat(
            "generator",
            lambda w: others.dmd_generator(w, chain, 1.5, 0.25, True),
            Rule(SLOW, **rest),
            ("generator",),
            GENERATOR,
        ),
        Seat(
            "critic",
            lambda w: others.shared_critic(w, chain, True),
            Rule(FAST, **rest),
            ("critic",),
            CRITIC,
            conditions="generator",
        ),
    )


def dmd2(world: World) -> tuple[Seat, ...]:
    chain = ChainRule(2, ENTRANCE[world.facts.process], unit=True)
    rest: dict[str, Any] = {"beta1": 0.9, "eps": EPS, "decay": 0.01, "clip_norm": 0.05, "warmup": 5, "calls": 3}
    return (
        Seat(
            "generator",
            lambda w: others.dmd2_generator(w, chain, 1.5, 3e-3, True),
            Rule(SLOW, **rest),
            ("generator",),
            GENERATOR,
            lambda iteration, images: iteration % 2 == 0,
        ),
        Seat(
            "critic",
            lambda w: others.shared_critic(w, chain, True, 1e-2),
            Rule(FAST, **rest),
            ("critic", "head"),
            CRITIC,
            conditions="generator",
        ),
    )


def f_distill(world: World) -> tuple[Seat, ...]:
    """DMD2's seats with another loss of the generator."""
    generator, critic = dmd2(world)
    chain = ChainRule(2, ENTRANCE[world.facts.process], unit=True)
    loss = lambda w: newer.f_distill_generator(w, chain, 1.5, 3e-3, lambda r: r / (r + 1))  # noqa: E731
    return (replace(generator, loss=loss), critic)


def uni_instruct(detach: bool) -> Seats:
    gan = Gan(0.01, False, 2 * BATCH)
    identity = Identity(1.0, 100.0, gan=gan)

    def seats(world: World) -> tuple[Seat, ...]:
        critic, generator = both(lambda world: identity, clip_value=0.5)(world)
        loss = lambda w: newer.uni_instruct(w, identity, gan, lambda r: r, detach)  # noqa: E731
        return (critic, replace(generator, loss=loss))

    return seats


def realuid(as_flow: bool, ratio: int, **rest: Any) -> Seats:
    def seats(world: World) -> tuple[Seat, ...]:
        return (
            Seat(
                "critic",
                lambda w: newer.real_critic(w, 0.9, 0.85, as_flow),
                Rule(FAST, eps=EPS, **rest),
                ("critic",),
                CRITIC,
            ),
            Seat(
                "generator",
                lambda w: newer.real_generator(w, 0.9, 0.85, as_flow),
                Rule(SLOW, eps=EPS, **rest),
                ("generator",),
                GENERATOR,
                lambda iteration, images: iteration % ratio == 0,
            ),
        )

    return seats


def swiftbrush(world: World) -> tuple[Seat, ...]:
    chain = ChainRule(start=ENTRANCE[world.facts.process], unit=True)
    rest: dict[str, Any] = {"beta1": 0.9, "eps": 1e-5, "clip_norm": 1.0}
    return (
        Seat(
            "generator",
            lambda w: others.vsd_generator(w, chain, 4.5),
            Rule(SLOW, **rest),
            ("generator",),
            GENERATOR,
        ),
        Seat(
            "critic",
            lambda w: others.vsd_critic(w, chain, 0.5),
            Rule(FAST, **rest),
            ("critic",),
            CRITIC,
            conditions="generator",
        ),
    )


def small_vsd(world: World) -> tuple[Seat, ...]:
    s = Identity(1.0, 1.0, every_time=True)
    return (
        Seat("critic", lambda w: score_identity.critic(w, s), Rule(FAST, eps=EPS), ("critic",), CRITIC),
        Seat("generator", others.variational, Rule(SLOW, eps=EPS), ("generator",), GENERATOR),
    )


def alone(loss: Callable[[World], Callable[[Turn], Any]]) -> Seats:
    """A generator without a critic."""
    rule = Rule(SLOW, 0.9, EPS)
    return lambda world: (Seat("generator", loss(world), rule, ("generator",), GENERATOR),)


ENTRANCE = {"edm": 80.0, "vp": 999.0, "flow": 0.999}  # the noisiest time, where pairs start
AUGMENTED = {"augment": 0.6}
DMD2 = {"ratio": 2, "steps": 2, "kappa": 1.5, "gan_generator": 3e-3, "gan_critic": 1e-2, "discrete": True}
SWIFTBRUSH = {**RATES, "eps": 1e-5, "rank": 3, "lora_alpha": 6.0, "drop_batch": 0.5}
SCHEDULE = {"beta1": 0.9, "weight_decay": 0.01, "clip_norm": 0.05}


def entered(options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The options with each process's entrance."""
    return {process: {**options, "t_init": time} for process, time in ENTRANCE.items()}


def by_process(method: str, options: dict[str, Any], seats: Seats, worlds: tuple[str, ...], **rest: Any) -> list[Case]:
    """One case per process, since the entrance differs."""
    cases = []
    for process, given in entered(options).items():
        of_it = tuple(name for name in worlds if WORLDS[name].facts.process == process)
        if of_it:
            cases.append(Case(method, given, seats, of_it, **rest))
    return cases


CASES: dict[str, list[Case]] = {
    "sid": [
        Case(
            "sid",
            {**RATES, "alpha": 1.2, "loss_scale": 100.0, "beta1_generator": 0.9},
            both(lambda world: Identity(1.2, 100.0, augment=on_edm(world, 0.6)), beta1=0.9),
            edm=AUGMENTED,
        )
    ],
    "sid, the recipe's dropout": [
        Case(
            "sid",
            {**RATES, "alpha": 1.0, "loss_scale": 100.0, "dropout": 0.3},
            both(lambda world: Identity(1.0, 100.0)),
            dropout=0.3,
        )
    ],
    "sida": [
        Case(
            "sida",
            {**RATES, "alpha": 1.0, "generator_from": BATCH, "adversarial_from": 2 * BATCH, "clip_value": 0.5},
            both(
                lambda world: Identity(1.0, 100.0, augment=on_edm(world, 0.6), gan=Gan(0.01, False, 2 * BATCH)),
                clip_value=0.5,
                generator_from=BATCH,
            ),
            edm=AUGMENTED,
        )
    ],
    "sid-lsg": [
        Case(
            "sid-lsg",
            {**RATES, "kappa": 2.0, "prompt_dropout": 0.4, "loss_scale": 1.0},
            both(lambda world: Identity(1.0, 1.0, k1=2.0, k2=2.0, k4=2.0, prompt_dropout=0.4)),
        )
    ],
    "sid-few-step, fresh and guided": [
        Case(
            "sid-few-step",
            {**RATES, "steps": 3, "guidance": "lsg", "kappa": 1.5, "prompt_dropout": 0.4},
            few_step(1.5, 1.5, 1.5, False, dropout=0.4),
        )
    ],
    "sid-few-step, ddim and Anti-CFG": [
        Case(
            "sid-few-step",
            {**RATES, "steps": 3, "guidance": "anti-cfg", "renoise": "ddim", "prompt_dropout": 0.0},
            few_step(-1.0, -1.0, 1.0, False, "ddim"),
        )
    ],
    "sid-few-step, fixed, Zero-CFG and adversarial": [
        Case(
            "sid-few-step",
            {
                **RATES,
                "steps": 3,
                "guidance": "zero-cfg",
                "renoise": "fixed",
                "adversarial": True,
                "pooling": pooling,
                "generator_from": 0,
                "adversarial_from": BATCH,
            },
            few_step(0.0, 0.0, 1.0, True, "fixed"),
            worlds,
        )
        for pooling, worlds in (("channels", ("edm", "eps", "v")), ("spatial", ("flow",)))
    ],
    "sid-few-step, as SiD-DiT": [
        Case(
            "sid-few-step",
            {
                **RATES,
                "steps": 3,
                "t_init": 1.0,
                "guidance": "lsg",
                "kappa": 4.5,
                "weight": "a",
                "clip_value": 0.5,
                "adversarial": True,
                "pooling": "spatial",
                "generator_from": 0,
                "adversarial_from": BATCH,
            },
            both(
                lambda world: Identity(
                    1.0,
                    100.0,
                    ChainRule(3, 1.0),
                    k1=4.5,
                    k2=4.5,
                    k4=4.5,
                    gan=Gan(1.0, per_sample=True, joined_from=BATCH, spatial=True),
                    weight="a",
                ),
                clip_value=0.5,
                clip_generator=0.5,
            ),
            ("flow",),
        )
    ],
    "sim": [Case("sim", {**RATES, "c": 0.02, "space": "score", "weight": "sigma2/a"}, sim)],
    "diff-instruct": [
        Case("diff-instruct", {**RATES, "t_init": None, "loss_scale": 3.0}, diff_instruct, edm=AUGMENTED)
    ],
    "dmd": by_process(
        "dmd",
        {**RATES, **SCHEDULE, "kappa": 1.5, "distance": "l2", "warmup": 2, "dropout": None, "discrete": True},
        dmd,
        EVERYWHERE,
    ),
    "dmd2": by_process("dmd2", {**RATES, **SCHEDULE, **DMD2, "warmup": 5, "warmup_calls": 3}, dmd2, EVERYWHERE),
    "f-distill": by_process(
        "f-distill",
        {**RATES, **SCHEDULE, **DMD2, "warmup": 5, "warmup_calls": 3, "divergence": "jensen-shannon"},
        f_distill,
        EVERYWHERE,
    ),
    **{
        f"uni-instruct, {word}": [
            Case(
                "uni-instruct",
                {
                    **RATES,
                    "generator_from": 0,
                    "adversarial_from": 2 * BATCH,
                    "clip_value": 0.5,
                    "detach_ratio": detach,
                },
                uni_instruct(detach),
            )
        ]
        for word, detach in (("as published", True), ("the ratio differentiated", False))
    },
    "realuid, as published": [
        Case(
            "realuid",
            {**RATES, "alpha": 0.9, "beta": 0.85, "ratio": 2, "warmup": 2, "clip_norm": 0.05},
            realuid(True, 2, warmup=2, clip_norm=0.05),
        )
    ],
    "realuid, of images": [
        Case(
            "realuid",
            {**RATES, **RealUid.SMALL, "alpha": 0.9, "beta": 0.85},
            realuid(False, 1),
        )
    ],
    "vsd, as SwiftBrush": [
        *by_process("vsd", {**SWIFTBRUSH, "layers": ("to_q", "to_v")}, swiftbrush, ("eps", "v", "flow")),
        *by_process("vsd", {**SWIFTBRUSH, "layers": ()}, swiftbrush, ("edm-mlp",)),
    ],
    "vsd, on images of its own": [
        Case(
            "vsd",
            {**RATES, **vsd.SMALL, "kappa": 1.0, "rank": 3, "lora_alpha": 6.0},
            small_vsd,
            ("edm-mlp", "eps", "v", "flow"),
        )
    ],
    "consistency": [
        Case(
            "consistency",
            {"intervals": 6, "kappa": 1.5, "c": 0.1, "target_halflife": 6.0, "lr_generator": SLOW, "eps": EPS},
            alone(lambda world: lambda w: others.consistency(w, 6, 1.5, 0.1)),
            followers={"target": Follower(6.0)},
        )
    ],
    "regression": by_process(
        "regression",
        {"distance": "l2", "lr_generator": SLOW, "eps": EPS},
        alone(lambda world: lambda w: others.regression(w, ChainRule(start=ENTRANCE[world.facts.process]))),
        EVERYWHERE,
    ),
}
ALL = [
    (f"{name}, {world}", case, WORLDS[world])
    for name, cases in CASES.items()
    for case in cases
    for world in case.worlds
]
