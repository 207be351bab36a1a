"""Snakemake started from `sidbench reproduce`: its call, its lock, its end, and its output in brief (`Feed`).

It runs with this Python on this checkout, and a lock that a killed call has left is removed.
"""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from benchmarks.machine import ending
from benchmarks.suite import files
from sid.discovery import ALIKE, nearest
from sid.fault import Fault
from sid.loop.lock import Lock

if TYPE_CHECKING:
    from benchmarks.suite.job import Job
    from benchmarks.suite.plan import Plan


SNAKEFILE = Path(__file__).parents[2] / "Snakefile"
LOCKS = Path(".snakemake") / "locks"
OWN_LOCK = Path(".snakemake") / "reproduce.lock"
OURS = ("suite", "results", "rows", "gpus")  # words of the configuration that `command` sets
PATIENCE = 10.0  # seconds for a killed Snakemake to be gone
LEAVING = "whose jobs save their state and leave"

# Lines of Snakemake's output
NOISE = re.compile(
    r"\[\w{3} \w{3} +\d|Using (workflow|profile|shell)|Assuming unrestricted|Building DAG|Provided |Rules claiming|"
    r"Conda environments|Select jobs|Execute \d|\d+ of \d+ steps|Nothing to be done|SNAKEMAKE$|=+$|RuleException|"
    r"CalledProcessError in|Command '|Elapsed time|Exiting because|WorkflowError:$|At least one job did not|"
    r"Removing output files of failed|Job stats|Complete log|Job \d+ has been|Terminating processes|Touching|"
    r"Will exit after|Shutting down"
)
STARTED = re.compile(r"(?:local)?rule (\w+):$")
FINISHED = re.compile(r"Finished jobid: (\d+)")
FAILED = re.compile(r"Error in rule (\w+)")
LOG = re.compile(r"Logfile (.+?):?$")
FIELD = re.compile(r"\s+(jobid|wildcards): (.*)")
COUNT = re.compile(r"(\w+)\s+(\d+)$")
CORES = re.compile(r"Provided cores: (\d+)")
GOALS = ("all", "everything", "total")  # lines of the statistics that are no work


def require() -> None:
    """Raises what importing Snakemake would raise: it runs in a process of its own, and its absence is said before."""
    if importlib.util.find_spec("snakemake") is None:
        raise ModuleNotFoundError("No module named 'snakemake'", name="snakemake")


def lend_identity() -> None:
    """A home and a name where the user has none, as a container's arbitrary id: Snakemake won't start without."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(Path(".snakemake", "home").absolute())
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"uid-{os.getuid()}"


def check_flags(flags: Sequence[str], ours: Sequence[str]) -> None:
    """A Fault for flags that Snakemake lacks or can't read, which it answers with its whole usage; for a second suite.

    Args:
        flags: What the user wrote for Snakemake.
        ours: The options of `sidbench reproduce`, which a mistyped flag may have meant, too.
    """
    if not set(flags) - {"-n", "--dry-run", "--keep-going"}:
        return  # the usual call: Snakemake's parser takes a second
    from snakemake.cli import get_argument_parser
    from snakemake.exceptions import CliException

    def refuse(message: object) -> NoReturn:
        raise Fault(f"{message} (see snakemake --help)")

    parser = get_argument_parser()
    parser.error = refuse
    try:
        asked, strange = parser.parse_known_args(list(flags))
    except CliException as error:
        refuse(error)
    names = [*ours, *parser._option_string_actions]
    wrong = []
    for name in (word.partition("=")[0] for word in strange if word.startswith("-")):
        near = nearest(name, names, ALIKE)
        hint = f"; did you mean '{near}'?" if near else ""
        wrong.append(f"neither sidbench reproduce nor Snakemake has a flag '{name}'{hint}")
    again = [word for word in asked.config or () if word.partition("=")[0] in OURS]
    wrong += [f"--config {word}: reproduce says so itself, from its own words" for word in again]
    suites = [target for target in asked.targets if target in files.names("suite") or target.endswith(".yaml")]
    wrong += [f"reproduce makes one suite a call, and '{target}' is another" for target in suites]
    if wrong:
        raise Fault(wrong)


def writable(folder: Path) -> None:
    """A Fault if the folder can't be written; it is made if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise Fault(f"cannot write into the folder '{folder}': {error.strerror}") from None


def command(
    suite: str,
    results: str,
    flags: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    again: Sequence[str] = (),
) -> list[str]:
    """The call of Snakemake for a suite.

    Args:
        suite: Its name or file.
        results: The folder of all results.
        flags: Snakemake's own.
        settings: `rows` to be made, as "task/entry", and `gpus` that one job may have; None or absent: no limit.
        again: Files that are made anew, whatever Snakemake knows of how they were made.
    """
    settings = settings or {}
    limits = [f"rows={','.join(settings['rows'])}"] if settings.get("rows") else []
    limits += [f"gpus={settings['gpus']}"] if settings.get("gpus") else []
    # --config takes every word up to the next option: it stands first, so that it takes no target among the flags.
    forced = ["--forcerun", *again] if again else []
    fixed = ["--config", f"suite={suite}", f"results={results}", *limits, *forced, "--snakefile", str(SNAKEFILE)]
    return [sys.executable, "-m", "snakemake", *fixed, *flags]


@contextlib.contextmanager
def alone(suite: str) -> Iterator[None]:
    """Holds the lock of the working folder for a suite; another call there is named and waited for."""
    lock = Lock(OWN_LOCK)
    with contextlib.closing(lock):
        lock.wait("which is at work in this folder", patience=1.0)  # a killed one frees it in a moment
        lock.sign(f"sidbench reproduce {suite}")
        try:
            yield
        except (ending.Stopped, KeyboardInterrupt):
            lock.sign(f"sidbench reproduce {suite}, {LEAVING}")
            raise


def unlock(suite: str, results: str) -> None:
    """Removes the locks of a killed Snakemake. One that is leaving is waited for; another living one is a Fault."""
    until, announced = time.monotonic() + PATIENCE, False
    while (holder := next(ending.working(), None)) is not None:
        if (leaving := ending.leaving_snakemake()) is not None and not announced:
            print(f"waiting for Snakemake (process {leaving}), whose jobs save their state and leave", flush=True)
            announced = True
        if leaving is None and time.monotonic() > until:
            raise Fault(f"Snakemake is at work in this folder already (process {holder.pid})")
        time.sleep(0.2)
    if not LOCKS.is_dir() or not any(LOCKS.iterdir()):
        return
    done = subprocess.run([*command(suite, results), "--unlock"], capture_output=True, text=True)
    if done.returncode:
        raise Fault(f"cannot unlock this folder: {done.stderr.strip().splitlines()[-1:]}")


def run(words: Sequence[str], read: Callable[[str], None]) -> int:
    """Runs Snakemake and passes each line to `read`. A request to end reaches its jobs, which save their state.

    Snakemake stands in a process group of its own: what a terminal sends comes to it once, from here.
    """
    environment = os.environ | {"PYTHONUNBUFFERED": "1", ending.STARTER: str(os.getpid())}
    child = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        process_group=0,
    )
    assert child.stdout is not None
    try:
        for line in child.stdout:
            read(line)
        return child.wait()
    except BaseException:
        _end(child)
        raise


def _end(child: subprocess.Popen[str]) -> None:
    """Asks Snakemake and its jobs to leave, and waits for them."""
    if child.poll() is None:
        child.send_signal(ending.LEAVE)
    child.communicate()


class Feed:
    """Reads Snakemake's lines one by one and reports what a user wants to know.

    Args:
        plan: Of the suite.
        tell: Called with every line for the user.
        clock: In seconds.
    """

    def __init__(self, plan: Plan, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic):
        self.plan, self.tell, self.clock = plan, tell, clock
        self.to_do: Counter[str] = Counter()  # by rule, started ones included
        self.running: dict[str, tuple[str, str, float]] = {}  # jobid -> rule, wildcards, start
        self.finished: list[tuple[Job | None, str, float]] = []  # job, rule, seconds
        self.cores = 1
        self.begin = clock()
        self._section = ""
        self._since = self.begin
        self._quoting = False  # inside a log that Snakemake shows between two ruled lines
        self._rule = self._jobid = self._wildcards = ""

    def read(self, line: str) -> None:
        """Takes one line of Snakemake's output."""
        line = line.rstrip("\n")
        if self._continues(line):
            return
        if match := CORES.match(line):
            self.cores = int(match[1])
        if line.startswith("Job stats"):
            self._section = "statistics"
        elif line == "SNAKEMAKE":
            self._section = "banner"
        elif match := STARTED.match(line):
            self._section, self._rule, self._since = "start", match[1], self.clock()
        elif match := FINISHED.match(line):
            self._finish(match[1])
        elif match := FAILED.match(line):
            self._section, self._rule = "error", match[1]
        elif match := LOG.match(line):
            self.tell(f"  {match[1]} says:")
            self._section = "log"
        elif line and not NOISE.match(line):
            self.tell(line)

    def _continues(self, line: str) -> bool:
        """Whether the line belongs to a block that an earlier one has opened."""
        section = self._section
        if section == "banner":
            self._section = section if line else ""
        elif section == "statistics":
            if match := COUNT.match(line):
                if match[1] not in GOALS:
                    self.to_do[match[1]] = int(match[2])
            elif not line:
                self._section = ""
                self._announce()
        elif section == "log":
            if line.startswith("====="):
                self._quoting = not self._quoting
                self._section = "log" if self._quoting else ""
            else:
                self.tell(f"    {line}")
        elif section in ("start", "error") and line.startswith(" "):
            if match := FIELD.match(line):
                setattr(self, f"_{match[1]}", match[2])
        elif section in ("start", "error"):
            self._close()
            return False
        else:
            return False
        return True

    def _close(self) -> None:
        """Ends the block of a job that has started or failed."""
        if self._section == "start":
            self.running[self._jobid] = (self._rule, self._wildcards, self._since)
        else:
            rule, wildcards, _ = self.running.pop(self._jobid, (self._rule, self._wildcards, 0.0))
            self.tell(f"failed: {self._name(rule, wildcards)}")
        self._section = self._jobid = self._wildcards = ""

    def _announce(self) -> None:
        count = sum(self.to_do.values())
        if count:
            self.tell(f"{count} job{'s' * (count > 1)} to do on {self.cores} core{'s' * (self.cores > 1)}")

    def _finish(self, jobid: str) -> None:
        if self._section:
            self._close()
        rule, wildcards, start = self.running.pop(jobid, ("", "", self.clock()))
        if rule in GOALS or not rule:
            return
        seconds = self.clock() - start
        self.finished.append((self._job(rule, wildcards), rule, seconds))
        done, total = len(self.finished), max(sum(self.to_do.values()), len(self.finished))
        left = self.remaining()
        rest = "" if left is None or done == total else f"  about {duration(left)} left"
        width = len(str(total))
        self.tell(f"[{done:>{width}}/{total}] {self._name(rule, wildcards):<40} {duration(seconds):>12}{rest}")

    def remaining(self) -> float | None:
        """Seconds to the end, by what finished jobs of each rule took for their work; None before the first."""
        if not self.finished:
            return None
        took: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for job, rule, seconds in self.finished:
            for key in (rule, ""):  # "" is the sum, for rules without a finished job
                took[key][0] += seconds
                took[key][1] += job.work if job else 0.0
        left = 0.0
        done = Counter(rule for _, rule, _ in self.finished)
        for rule, count in self.to_do.items():
            seconds, work = took[rule] if took[rule][1] else took[""]
            mean = self._mean_work(rule)
            left += (count - done[rule]) * (seconds / work * mean if work else 0.0)
        left -= sum(min(self.clock() - start, left) for *_, start in self.running.values())
        return max(left, 0.0) / max(min(self.cores, sum(self.to_do.values()) - len(self.finished)), 1)

    def _mean_work(self, rule: str) -> float:
        """The mean work of a rule's unfinished jobs."""
        finished = {job.id for job, _, _ in self.finished if job}
        jobs = [job for job in self.plan.jobs if rule_of(job) == rule and job.id not in finished]
        return sum(job.work for job in jobs) / len(jobs) if jobs else 0.0

    def _job(self, rule: str, wildcards: str) -> Job | None:
        """The planned job of a rule with these wildcards."""
        values = dict(part.split("=", 1) for part in wildcards.split(", ") if "=" in part)
        id = values.get("digest") or "/".join(values[key] for key in ("task", "entry", "seed") if key in values)
        return next((job for job in self.plan.jobs if rule_of(job) == rule and job.id == (id or job.id)), None)

    def _name(self, rule: str, wildcards: str) -> str:
        job = self._job(rule, wildcards)
        if job is None:
            return rule
        if job.kind == "teacher":
            seed = f"/{job.params['seed']}" if rule == "teacher" else ""
            return f"teacher {job.params['name']}{seed}"
        return job.id if job.kind == "run" else f"{job.kind} {job.params.get('name', job.id)}"


def rule_of(job: Job) -> str:
    """The rule that makes a job; runs without training and published teachers have rules of their own."""
    if job.kind == "run":
        several = job.resources.get("nodes", 1) > 1
        return ("run_nodes" if several else "run") if "method" in job.params else "control"
    return "published" if job.kind == "teacher" and job.params.get("source") else job.kind


def duration(seconds: float) -> str:
    """A time as a person reads it."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    return f"{round(whole / 60)} min" if whole < 6000 else f"{whole // 3600} h {whole % 3600 // 60} min"
