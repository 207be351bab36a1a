"""Verb `claims`: what the runs of a suite answer to the papers' claims."""

from __future__ import annotations

import argparse

HELP = "put the papers' claims to the test: supported, opposed or undecided by a suite's runs"
EXAMPLE = "sidbench claims mini-full"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("named", nargs="+", metavar="SUITE|FOLDER", help="suites, or folders of results to join")


def run(args: argparse.Namespace) -> int:
    from benchmarks.tables import answers_typeset
    from benchmarks.tables.gather import gather

    for suite in gather(args.named, args.results):
        answers, elsewhere = suite.answers()
        print(answers_typeset.as_markdown(suite.suite.title or suite.suite.name, answers, elsewhere))
    return 0
