# The suite's plan, and how a rule asks it. No torch is imported here.
import os
import re
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

CHECKOUT = Path(str(workflow.current_basedir)).parents[1]
sys.path.insert(0, str(CHECKOUT))

from benchmarks.machine import lease
from benchmarks.suite.job import FILES
from benchmarks.suite.plan import load_plan
from sid.fault import Fault

SUITE = str(config.get("suite", "mini"))
RESULTS = str(config.get("results", "results"))
try:
    PLAN = load_plan(SUITE, RESULTS)
except Fault as fault:
    raise WorkflowError(*fault.sentences)

NAME = PLAN.suite.name
SHARED = f"{RESULTS}/_shared"
HOME = f"{RESULTS}/{NAME}"

# Jobs run with this very Python and this checkout, wherever both were moved to.
os.environ.update(
    SIDBENCH_WATCH_PARENT="1",  # a killed Snakemake leaves no trainer behind
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    PYTHONPATH=os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")])),
    # A training on a CPU gives its activations back and asks for them again in every step: in pages of 4 KB that is
    # up to 400,000 faults in 20 iterations, in pages of 2 MB 500, and up to 7 % of the time.
    GLIBC_TUNABLES=os.environ.get("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"),
)


def sidbench(*words):
    """A `sidbench` line. It replaces the shell, so that a signal, or the end of Snakemake, reaches it."""
    fixed = shlex.join(["python", "-m", "benchmarks", "--results", RESULTS])
    return " ".join(["exec", fixed.replace("{", "{{").replace("}", "}}"), *words, "> {log} 2>&1"])


def quoted(word):
    """A word of a command that is no placeholder."""
    return shlex.quote(word).replace("{", "{{").replace("}", "}}")


def job(kind, wildcards):
    """The planned job that a rule's wildcards name."""
    if kind == "run":
        return PLAN.find("run", f"{wildcards.task}/{wildcards.entry}/{wildcards.seed}")
    return PLAN.find(kind, getattr(wildcards, "digest", NAME))


def inputs(kind):
    return lambda wildcards: list(job(kind, wildcards).inputs)


def digest(kind):
    return lambda wildcards: job(kind, wildcards).digest


def state(kind):
    return lambda wildcards: job(kind, wildcards).params["state"]


def given(kind, value):
    """What each job of a kind is given; plain where all get the same: Snakemake calls every function for every job."""
    values = {value(one.resources) for one in PLAN.of(kind)}
    return values.pop() if len(values) == 1 else lambda wildcards: value(job(kind, wildcards).resources)


def memory(kind):
    return given(kind, lambda resources: resources["mem_mb"])


def minutes(kind):
    return given(kind, lambda resources: resources["runtime"])


def gpus(kind):
    return given(kind, lambda resources: resources.get("gpu", 0))


def nodes(kind):
    return lambda wildcards: job(kind, wildcards).resources["nodes"]


def gres(kind):
    """GPUs per node, as SLURM counts them."""
    return lambda wildcards: f"gpu:{gpu}" if (gpu := job(kind, wildcards).resources.get("gpu", 0)) else ""


def cores(kind):
    """A GPU's process wants some for what is drawn, decoded and launched."""
    return given(kind, lambda resources: max(1, 4 * resources.get("gpu", 0)))


def first(kind):
    return lambda wildcards: PLAN.priority(job(kind, wildcards))


def one_of(names):
    """A wildcard's pattern: these names and no other."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


# Snakemake only counts GPUs: here as many as there are, where it runs the jobs itself. The jobs lease them by id.
if workflow.resource_settings.nodes is None and "gpu" not in workflow.global_resources and lease.gpus():
    workflow.register_resource("gpu", len(lease.gpus()))

# Tasks that are trained on several nodes: their runs have a rule of their own.
SPREAD = [name for name, task in PLAN.suite.tasks.items() if task.machine.nodes > 1]
TASKS = [name for name in PLAN.suite.tasks if name not in SPREAD]
METHODS = sorted({name for _, name, entry in PLAN.suite.rows if entry.method})
CONTROLS = sorted({name for _, name, entry in PLAN.suite.rows if not entry.method})
PUBLISHED = [job.id for job in PLAN.of("teacher") if job.params.get("source")]
TRAINED = [job.id for job in PLAN.of("teacher") if not job.params.get("source")]


wildcard_constraints:
    digest="[0-9a-f]{12}",
    task=one_of(PLAN.suite.tasks),
    seed=r"\d+",
