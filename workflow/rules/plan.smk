# The suite's plan, and the functions by which rules read it. Imports no torch.
import os
import re
import shlex
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod
from snakemake.utils import validate

# The code lies beside these rules; where they come from a git repository alone (`module:`), it is what is installed.
CODE = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1]
if not (CODE / "benchmarks").is_dir():
    try:
        from sidbench.rooms import TREE as CODE
    except ImportError:
        raise WorkflowError("these rules need sidbench itself: pip install 'sidbench[all]' of the same version")
sys.path.insert(0, str(CODE))

from benchmarks.machine import config_words, ending, launch, lease
from benchmarks.suite.job import FILES
from benchmarks.suite.plan import load_plan
from sid.fault import Fault
from sid.loop import parent

ending.obey()
try:
    WORDS = config_words.texts(config, workflow.config_settings.config_args or ())
    SUITE, RESULTS = WORDS["suite"], config_words.nameable(WORDS["results"])
    ROWS = WORDS["rows"].split(",") if WORDS["rows"] else None  # task/entry; None: all
    MOST_GPUS = int(WORDS["gpus"]) if WORDS["gpus"] else None  # for one job; None: as planned
    validate({**config, **{name: word for name, word in WORDS.items() if word}}, "../schemas/config.schema.yaml")
    PLAN = load_plan(SUITE, RESULTS, ROWS)
except Fault as fault:
    raise WorkflowError(*fault.sentences)

NAME = PLAN.suite.name
SHARED = f"{RESULTS}/_shared"
HOME = f"{RESULTS}/{NAME}"

# Jobs run with this Python and this code, wherever both are.
IMPORTED_FROM = os.pathsep.join(filter(None, [str(CODE), os.environ.get("PYTHONPATH")]))
os.environ.update(
    {parent.WATCH: str(os.getpid())},  # a killed Snakemake leaves no job behind
    **{launch.BEGAN: os.environ.get(launch.BEGAN) or str(time.time())},
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    SIDBENCH_LOCK=str(workflow.source_path("../../requirements.lock")),  # for the environment of `--sdm conda`
    PYTHONPATH=IMPORTED_FROM,
    # A training on a CPU frees its activations and allocates them again in every step: with pages of 4 KB that is up to
    # 400,000 page faults in 20 iterations, with pages of 2 MB 500, and up to 7 % of the time.
    GLIBC_TUNABLES=os.environ.get("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"),
)


def sidbench(*words):
    """A `sidbench` command. It replaces the shell, so that signals and the end of Snakemake reach it.

    Files lie where Snakemake wants the outputs: with a bucket as storage, in a copy of the results on this machine.
    """
    code = f"PYTHONPATH={quoted(IMPORTED_FROM)}"  # said again: Snakemake takes it away from a conda's jobs
    fixed = f"{code} exec python -m benchmarks --results={quoted(RESULTS)}"
    return " ".join([fixed, *words, "--output {output:q}", "> {log:q} 2>&1"])


def quoted(word):
    """A word of a command, safe from the shell and from Snakemake's placeholders; no file's name is an option."""
    word = f"./{word}" if word.startswith("-") else word
    return shlex.quote(word).replace("{", "{{").replace("}", "}}")


def job(kind, wildcards):
    """The planned job of a rule's wildcards."""
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
    """A resource of a kind's jobs: a constant if all get the same, since Snakemake calls every function for every job."""
    values = {value(planned.resources) for planned in PLAN.of(kind)}
    return values.pop() if len(values) == 1 else lambda wildcards: value(job(kind, wildcards).resources)


def memory(kind):
    return given(kind, lambda resources: resources["mem_mb"])


def minutes(kind):
    return given(kind, lambda resources: resources["runtime"])


def granted(planned):
    """The GPUs of a job: as planned, at most `gpus=N`; one that trains nothing takes those that this machine has."""
    limits = [planned.resources.get("gpu", 0)]
    if MOST_GPUS is not None:
        limits.append(MOST_GPUS)
    if workflow.resource_settings.nodes is None and lease.gpus() and "method" not in planned.params:
        limits.append(len(lease.gpus()))
    return min(limits)


def gpus(kind):
    counts = {planned.id: granted(planned) for planned in PLAN.of(kind)}
    values = set(counts.values())
    return values.pop() if len(values) == 1 else lambda wildcards: counts[job(kind, wildcards).id]


def nodes(kind):
    return lambda wildcards: job(kind, wildcards).resources["nodes"]


def gres(kind):
    """GPUs per node, as SLURM counts them."""
    return lambda wildcards: f"gpu:{gpu}" if (gpu := job(kind, wildcards).resources.get("gpu", 0)) else ""


def cores(kind):
    """Cores for the processes of the GPUs, which draw, decode and launch."""
    return given(kind, lambda resources: max(1, 4 * resources.get("gpu", 0)))


def first(kind):
    return lambda wildcards: PLAN.priority(job(kind, wildcards))


def one_of(names):
    """A wildcard's pattern that matches these names alone."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


# Snakemake only counts GPUs: if it runs the jobs itself, it gets the number of this machine's. Jobs lease them by id.
if workflow.resource_settings.nodes is None and "gpu" not in workflow.global_resources and lease.gpus():
    workflow.register_resource("gpu", len(lease.gpus()))

# Runs of tasks that are trained on several nodes have a rule of their own.
SPREAD = [name for name, task in PLAN.suite.tasks.items() if task.machine.nodes > 1]
TASKS = [name for name in PLAN.suite.tasks if name not in SPREAD]
METHODS = sorted({name for _, name, entry in PLAN.suite.rows if entry.method})
CONTROLS = sorted({name for _, name, entry in PLAN.suite.rows if not entry.method})
PUBLISHED = [job.id for job in PLAN.of("teacher") if job.params.get("source")]
TRAINED = [job.id for job in PLAN.of("teacher") if not job.params.get("source")]


# An image with the locked packages (Dockerfile), for `--sdm apptainer`; nobody publishes one.
IMAGE = os.environ.get("SIDBENCH_IMAGE")
if IMAGE:

    container: IMAGE

elif DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method:
    raise WorkflowError("--sdm apptainer: SIDBENCH_IMAGE names no image (docs/deployment.md)")


wildcard_constraints:
    digest="[0-9a-f]{12}",
    task=one_of(PLAN.suite.tasks),
    seed=r"\d+",
