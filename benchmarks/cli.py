"""`sidbench <verb>`: finds the verbs, runs one, and tells a user's mistake in sentences instead of tracebacks."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from benchmarks import verbs
from sid.discovery import UnknownName
from sid.fault import Fault
from sid.parallel.settings import first_process

# What the user's machine refuses, as opposed to what the program does wrong.
REFUSALS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.ENAMETOOLONG}


def names() -> list[str]:
    """The verbs: one file each."""
    return sorted(_files())


def load(verb: str) -> ModuleType:
    """The file of a verb."""
    return importlib.import_module(f"benchmarks.verbs.{_files()[verb]}")


def _files() -> dict[str, str]:
    """Verb -> module; `import_.py` is the verb `import`, a word that Python keeps for itself."""
    modules = [found.name for found in pkgutil.iter_modules(verbs.__path__)]
    return {name.rstrip("_").replace("_", "-"): name for name in modules}


class Parser(argparse.ArgumentParser):
    """Reports a wrong argument as every other fault is reported."""

    def error(self, message: str) -> Any:
        raise Fault(f"{message} (try {self.prog} --help)")


def parser(wanted: Sequence[str]) -> Parser:
    """The command line with the wanted verbs; only their files are imported."""
    top = Parser(prog="sidbench", description="Score distillation, reproduced: published beside reproduced.")
    top.add_argument("--results", default="results", metavar="DIR", help="where results lie (default: %(default)s)")
    sub = top.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)
    for name in wanted:
        module = load(name)
        one = sub.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            epilog=f"example:\n  {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(one)
        if not any("--results" in action.option_strings for action in one._actions):
            one.add_argument("--results", default=argparse.SUPPRESS, metavar="DIR", help="where results lie")
        one.set_defaults(run=module.run)
    return top


def _verb(arguments: Sequence[str]) -> str | None:
    """The first argument that is no option; a mistyped one is told with its nearest neighbour."""
    rest = iter(arguments)
    for argument in rest:
        if argument == "--results":
            next(rest, None)
        elif not argument.startswith("-"):
            if argument not in names():
                raise UnknownName("verb", argument, names())
            return argument
    return None


def run(arguments: Sequence[str]) -> int:
    """One command line; faults are raised."""
    verb = _verb(arguments)
    if verb is None:
        parser(names()).parse_args(arguments)  # --help leaves here
        parser(names()).print_help()
        return 0
    args = parser([verb]).parse_args(arguments)
    return int(args.run(args) or 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 done, 1 the answer is no, 2 a user's mistake, 130 interrupted."""
    try:
        status = run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
        return status
    except Fault as fault:
        for sentence in fault.sentences if first_process() else ():
            print(f"sidbench: {sentence}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sidbench: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has left, for example `sidbench list | head`: nobody is there to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        print(f"sidbench: cannot use {error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
        return 2
