"""`sidbench VERB`: finds the verbs, runs one, and reports a user's mistakes as sentences instead of tracebacks."""

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

# Errors of the user's machine, as opposed to those of the program.
MACHINE_ERRORS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.ENAMETOOLONG}


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


def parser(verb_names: Sequence[str]) -> Parser:
    """The command line with these verbs; only their files are imported."""
    top = Parser(prog="sidbench", description="Score distillation, reproduced: published beside reproduced.")
    top.add_argument("--results", default="results", metavar="DIR", help="folder of all results (default: %(default)s)")
    sub = top.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)
    for name in verb_names:
        module = load(name)
        verb = sub.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            epilog=f"example:\n  {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(verb)
        if not any("--results" in action.option_strings for action in verb._actions):
            verb.add_argument("--results", default=argparse.SUPPRESS, metavar="DIR", help="folder of all results")
        verb.set_defaults(run=module.run)
    return top


def _verb(arguments: Sequence[str]) -> str | None:
    """The first argument that is no option; an unknown one is reported with the nearest name."""
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
    """Runs one command line and returns its exit status; faults are raised."""
    verb = _verb(arguments)
    if verb is None:
        parser(names()).parse_args(arguments)  # --help exits here
        parser(names()).print_help()
        return 0
    args = parser([verb]).parse_args(arguments)
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
