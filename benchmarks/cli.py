"""`sidbench VERB`: finds the verbs, runs one, and reports a user's mistakes as sentences instead of tracebacks."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import pkgutil
import shlex
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from benchmarks import verbs
from sid.discovery import ALIKE, UnknownName, nearest
from sid.fault import Fault
from sid.parallel.settings import first_process

# Errors of the user's machine, as opposed to those of the program.
MACHINE_ERRORS = {
    errno.EEXIST,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
}


# What a user comes for, in the order of the help; a verb that is in no group is listed last.
GROUPS = {
    "make a suite": ("reproduce", "plan", "check", "doctor", "data", "weights", "fetch"),
    "look at it": ("table", "report", "claims", "recipe", "compare", "published", "released", "list", "watch", "clean"),
    "by hand": ("train", "sample", "score", "statistics", "audit", "export", "import", "new"),
    "one job of a suite, and calibration": ("run", "prepare", "calibrate"),
}
TOP = ("--results", "--version", "--help", "-h")  # options that stand before a verb
# What a plain `pip install sidbench` leaves out: a package by its import name, and the extra that brings it.
EXTRAS = {
    **dict.fromkeys(("snakemake", "psutil", "matplotlib"), "workflow"),
    **dict.fromkeys(("diffusers", "accelerate", "peft", "sentencepiece", "huggingface_hub"), "models"),
    **dict.fromkeys(("open_clip", "torchvision", "transformers"), "clip"),
    **dict.fromkeys(("cleanfid", "torch_fidelity", "torchmetrics", "pytorch_fid"), "peers"),
    **dict.fromkeys(("sklearn", "pyarrow"), "data"),
}


def names() -> list[str]:
    """The names of the verbs."""
    return sorted(_files())


def load(verb: str) -> ModuleType:
    """The module of a verb."""
    return importlib.import_module(f"benchmarks.verbs.{_files()[verb]}")


def _files() -> dict[str, str]:
    """Verb -> module; the verb `import` is `import_.py`, since Python reserves the word."""
    modules = [module.name for module in pkgutil.iter_modules(verbs.__path__)]
    return {name.rstrip("_").replace("_", "-"): name for name in modules}


class Parser(argparse.ArgumentParser):
    """Reports a wrong argument as a Fault, like every other mistake."""

    def error(self, message: str) -> Any:
        raise Fault(f"{message} (try {self.prog} --help)")

    def strangers(self, arguments: Sequence[str]) -> list[str]:
        """A sentence for each argument that this verb does not take: an option is told its nearest neighbour."""
        sentences = []
        words = [word for word in arguments if not word.startswith("-")]
        for option in (word.partition("=")[0] for word in arguments if word.startswith("-")):
            near = nearest(option, self._option_string_actions, ALIKE)
            hint = f"; did you mean '{near}'?" if near else ""
            sentences.append(f"unknown option '{option}'{hint} (try {self.prog} --help)")
        if words and not sentences:
            sentences.append(f"more arguments than it takes: {shlex.join(words)} (try {self.prog} --help)")
        return sentences


def parser(verb_names: Sequence[str]) -> Parser:
    """The command line with these verbs; only their files are imported."""
    top = Parser(
        prog="sidbench",
        description="Score distillation, reproduced: published beside reproduced.",
        usage="sidbench [--results DIR] VERB ...",
        epilog=_grouped(verb_names),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"sidbench {_version()}")
    top.add_argument("--results", default="results", metavar="DIR", help="folder of all results (default: %(default)s)")
    sub = top.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser, prog="sidbench", help=argparse.SUPPRESS)
    for name in verb_names:
        module = load(name)
        verb = sub.add_parser(
            name,
            description=module.HELP,
            epilog=f"example:\n  {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(verb)
        if not any("--results" in action.option_strings for action in verb._actions):
            verb.add_argument("--results", default=argparse.SUPPRESS, metavar="DIR", help="folder of all results")
        verb.set_defaults(run=module.run, parser=verb)
    return top


def _grouped(verb_names: Sequence[str]) -> str:
    """One line a verb, by what a user wants to do."""
    rest = [name for name in verb_names if not any(name in group for group in GROUPS.values())]
    groups = {title: [name for name in group if name in verb_names] for title, group in GROUPS.items()} | {"more": rest}
    blocks = [
        "\n".join([f"{title}:", *(f"  {name:<11} {load(name).HELP}" for name in group)])
        for title, group in groups.items()
        if group
    ]
    return "\n\n".join([*blocks, "`sidbench VERB --help` shows the options and an example."])


def _version() -> str:
    """Of a checkout pyproject.toml's, which a `git pull` moves without an installation; else the distribution's."""
    import re
    from importlib.metadata import version
    from pathlib import Path

    project = Path(__file__).parents[1] / "pyproject.toml"
    if project.is_file():
        return re.findall(r'^version = "(.+)"', project.read_text(encoding="utf-8"), flags=re.MULTILINE)[0]
    return version("sidbench")


def _verb(arguments: Sequence[str]) -> str | None:
    """The first argument that is no option; an unknown one is reported with the nearest name."""
    rest = iter(arguments)
    for argument in rest:
        if argument == "--results":
            next(rest, None)
        elif argument.startswith("-") and argument.partition("=")[0] not in TOP:
            raise UnknownName("option", argument.partition("=")[0], TOP)
        elif not argument.startswith("-"):
            if argument not in names():
                raise UnknownName("verb", argument, names())
            return argument
    return None


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit status; faults are raised."""
    verb = _verb(arguments)
    if verb is None:
        parser(names()).parse_args(arguments)  # --help exits here
        if arguments:
            raise Fault(f"a verb is missing after {shlex.join(arguments)} (sidbench --help lists them)")
        parser(names()).print_help()
        return 0
    args, strange = parser([verb]).parse_known_args(arguments)
    if strange:
        raise Fault(args.parser.strangers(strange))
    if args.results and os.path.exists(args.results) and not os.path.isdir(args.results):
        raise Fault(f"--results: '{args.results}' is a file, and a folder is needed")
    return int(args.run(args) or 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Status 0: done; 1: the answer is no; 2: a user's mistake; 130: interrupted."""
    try:
        status = run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
        return status
    except Fault as fault:
        for sentence in fault.lines if first_process() else ():
            print(f"sidbench: {sentence}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        install = f"pip install 'sidbench[{EXTRAS[package]}]' (or sidbench[all])"
        print(f"sidbench: this needs the package {package}, which is not installed: {install}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sidbench: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has closed the pipe, as in `sidbench list | head`: nobody reads an error message.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno not in MACHINE_ERRORS:
            raise
        print(f"sidbench: cannot use {error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
        return 2
