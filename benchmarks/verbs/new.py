"""Writes a new component as a commented file that already works."""

from __future__ import annotations

import argparse
import keyword
import re
from pathlib import Path
from string import Template

from sid import atomic
from sid.discovery import UnknownName
from sid.fault import Fault

HELP = "write a commented file for a new method; it already trains"
EXAMPLE = "sidbench new method my-method"
KINDS = ("method",)

# The template passes the contract tests (tests/contract).
METHOD = Template('''\
"""$title: one line on the idea. Cite the paper and the equation of every loss.

A method stays one file. One thought a file; past 450 lines ask why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

# No torch up here: `sidbench list` imports this file, and torch alone takes seconds. Import it inside functions.
from sid.method import Batch, Copy, Method, Net, Optimiser, Player, Student, TeacherFacts, Terms, positive


@dataclass(frozen=True)
class Options:
    """Values of `options:` in a suite. Types are checked; an unknown name is refused with the nearest one."""

    power: float = 0.5  # of a/sigma, which weighs the samples: 0 is Diff-Instruct, 1 is VSD
    t_max: float = 800.0  # the noisiest time the generator is trained at, of 1000
    lr: float = 1e-5  # the critic's
    lr_generator: float = 1e-5


class $class_name(Method):
    name = "$name"
    version = 1  # a bump re-runs what was trained with this file, and nothing else
    paper = "unpublished"  # "Authors, Title, arXiv id"
    Options = Options
    # By task or data set of a suite; other options keep their defaults.
    defaults: ClassVar[dict[str, dict[str, Any]]] = {"digits": {"lr": 1e-3, "lr_generator": 1e-3}}

    def faults(self, options: Options, teacher: TeacherFacts) -> list[str]:
        """One sentence per mistake, reported before any work. `teacher` states what the teacher supports."""
        return positive(options, "t_max", "lr", "lr_generator")

    def build(self, options: Options) -> dict[str, Net]:
        """The networks beside the frozen teacher: a critic that starts as its copy, and a one-step generator."""
        from sid.generator import Chain

        return {"critic": Copy(), "generator": Student(Chain(steps=1))}

    def players(self, options: Options) -> tuple[Player, ...]:
        """The players in order of their updates. The loop owns modes, freezing, optimisers, averages and state."""
        import torch

        from sid import losses
        from sid.players import critic_player, generate, health, noised

        def loss(nets: Mapping[str, Any], batch: Batch) -> Terms:
            """Terms [B], one a sample, never reduced here: the loop masks, weights and averages them."""
            x = generate(nets, batch)
            at = noised(nets, batch, x.detach(), nets["teacher"].process.generator_law(options.t_max))
            with torch.no_grad():  # matching needs the gradient of neither network
                teacher = nets["teacher"](at.x_t, at.t, batch.condition).image
                critic = nets["critic"](at.x_t, at.t, batch.condition).image
            term = losses.weighted((at.a / at.sigma) ** options.power, losses.matching(x, teacher, critic))
            return Terms({"matching": term}, health=health(x, teacher, critic))

        adam = Optimiser(options.lr_generator)
        generator = Player("generator", ("generator",), loss, adam, train_mode=("generator",))
        return (critic_player(Optimiser(options.lr)), generator)
''')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("name", metavar="NAME", help="its name in suites: lower-case words with hyphens")
    parser.add_argument("--folder", metavar="DIR", type=Path, help="folder for the file (default: baselines/)")


def run(args: argparse.Namespace) -> int:
    import baselines

    if args.kind not in KINDS:
        raise UnknownName("kind", args.kind, KINDS)
    default_folder = Path(baselines.__path__[0])
    path = write(args.name, args.folder or default_folder)
    print(f"{path} is written and already trains; `sidbench list methods` shows it", end="")
    if path.parent == default_folder:
        print(f", and `pytest tests/contract -k {args.name}` checks it")
    else:
        print(" once its package names it under the entry point group sidbench.methods")
    return 0


def write(name: str, folder: Path) -> Path:
    """Writes the file of a new method; a name that is taken or that Python can't import is refused."""
    from benchmarks.suite.components import methods

    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise Fault(f"'{name}' can't name a method: use lower-case words and digits joined by hyphens, as in my-method")
    if name in methods():
        raise Fault(f"there already is a method called '{name}'")
    if not folder.is_dir():
        raise Fault(f"there is no folder {folder}")
    path = folder / f"{name.replace('-', '_')}.py"
    if path.exists() or path.with_suffix("").exists():
        raise Fault(f"{path} already exists; choose another name")
    words = name.split("-")
    title, class_name = " ".join(words).capitalize(), "".join(word.capitalize() for word in words)
    atomic.write_text(path, METHOD.substitute(name=name, title=title, class_name=class_name))
    return path
