"""What a suite's types cannot say: do entries fit their tasks, the options the method, the method the teacher?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from benchmarks import components
from benchmarks.config import Entry, Suite
from benchmarks.partchecks import Found, data_faults, known, prompt_faults, protocol_faults, teacher_faults
from benchmarks.released import released
from benchmarks.strict import faults, given, model_of, unknown
from sid.fault import Fault
from sid.method import TeacherFacts
from sid.teacher import SAMPLERS

if TYPE_CHECKING:
    from sid.method import Method


def suite_faults(suite: Suite, broken: Mapping[str, set[str]] | None = None) -> Found:
    """Every fault beyond types, as (path, sentence). `broken` names what exists but cannot be checked."""
    teachers = {*suite.teachers, *(broken or {}).get("teachers", ())}
    tasks = {*suite.tasks, *(broken or {}).get("tasks", ())}
    for name, teacher in suite.teachers.items():
        at = ("teachers", name)
        yield from known((*at, "family"), "teacher family", teacher.family, components.teachers())
        if teacher.data is not None:
            yield from data_faults((*at, "data"), teacher.data)
        yield from teacher_faults(at, teacher)
    for name, settings in suite.tasks.items():
        yield from known(("tasks", name, "teacher"), "teacher", settings.teacher, teachers)
        yield from prompt_faults(suite, name, settings)
    for name, protocol in suite.protocols.items():
        yield from protocol_faults(name, protocol)
    for name, entry in suite.entries.items():
        for task in entry.tasks or ():
            yield from known(("entries", name, "tasks"), "task", task, tasks)
        yield from _init_faults(suite, name, entry)
        yield from _entry_faults(suite, name, entry)
    for task in suite.tasks:
        if broken is None and not suite.entries_of(task):
            yield ("tasks", task), "no entry runs on it"


def _init_faults(suite: Suite, name: str, entry: Entry) -> Found:
    """An entry begins from another one that trains on the same tasks, and never in a circle."""
    at, seen, current = ("entries", name, "init"), [name], entry
    while current.init is not None:
        if current.init not in suite.entries:
            if current is entry:
                yield at, unknown("entry", current.init, suite.entries)
            return
        if current.init in seen:
            yield at, f"begins from itself: {' <- '.join([*seen, current.init])}"
            return
        seen.append(current.init)
        current = suite.entries[current.init]
        if current.method is None:
            yield at, f"{seen[-1]} is a control: it trains no generator"
            return
        idle = [
            task for task in suite.tasks if name in suite.entries_of(task) and seen[-1] not in suite.entries_of(task)
        ]
        if idle:
            yield at, f"{seen[-1]} does not run on {', '.join(idle)}"


def _entry_faults(suite: Suite, name: str, entry: Entry) -> Found:
    """The method's name, its options, and what the method itself says of them for each task's teacher."""
    at = ("entries", name)
    if entry.released is not None:
        yield from known((*at, "released"), "released generator", entry.released, released())
    if entry.control == "teacher":
        yield from _sampler_faults(suite, name, entry)
    if entry.method is None:
        return
    if entry.method not in components.methods():
        yield (*at, "method"), unknown("method", entry.method, components.methods())
        return
    method = components.methods()[entry.method]
    wrong = list(_option_faults(method, entry.options))
    yield from ((((*at, "options", *inner)), what) for inner, what in wrong)
    if wrong:
        return
    told: dict[str, list[str]] = {}
    tasks = [task for task in suite.tasks if entry.tasks is None or task in entry.tasks]
    for task in tasks:
        for sentence in _task_faults(suite, task, name, method):
            told.setdefault(sentence, []).append(task)
    for sentence, where in told.items():
        yield at, sentence if len(where) == len(tasks) else f"on {', '.join(where)}: {sentence}"


def _sampler_faults(suite: Suite, name: str, entry: Entry) -> Found:
    """How the teacher is sampled must fit each task's teacher."""
    for task in suite.tasks:
        teacher = suite.teachers.get(suite.tasks[task].teacher)
        if name not in suite.entries_of(task) or teacher is None or teacher.family not in components.teachers():
            continue
        facts = teacher_facts(suite, suite.tasks[task].teacher)
        if entry.kappa != 1 and not facts.guidance:
            yield ("entries", name, "kappa"), f"on {task}: its teacher has no unconditional branch to guide with"
        if entry.sampler is not None:
            yield from known(
                ("entries", name, "sampler"),
                f"sampler on the {facts.process} process",
                entry.sampler,
                SAMPLERS[facts.process],
            )
        if entry.churn is not None and facts.process != "edm":
            yield ("entries", name, "churn"), f"on {task}: only EDM's sampler adds noise between its steps"


def _option_faults(method: Method, options: Mapping[str, Any]) -> Found:
    try:
        given(method.Options, dict(options))
    except ValidationError as error:
        for at, what in faults(error, model_of(method.Options, partial=True)):
            yield at, what.replace("unknown key", f"unknown option of {method.name}", 1) if len(at) == 1 else what


def _task_faults(suite: Suite, task: str, entry: str, method: Method) -> Iterator[str]:
    """What stands against the entry on one task."""
    budget = suite.budget(task, entry)
    if budget.images < budget.batch:
        yield f"its budget of {budget.images} images is less than one batch of {budget.batch}"
    if budget.micro_batch is not None and budget.batch % budget.micro_batch:
        yield f"its batch of {budget.batch} is not a whole number of micro-batches of {budget.micro_batch}"
    teacher = suite.teachers.get(suite.tasks[task].teacher)
    if teacher is None or teacher.family not in components.teachers():
        return
    try:
        options = options_of(suite, task, entry)
    except Fault as fault:
        yield from fault.sentences
    except (TypeError, ValueError) as error:  # from a dataclass's own checks
        yield str(error)
    else:
        if "pairs" in method.needs_of(options) and suite.tasks[task].pairs is None:
            yield f"{method.name} needs the teacher's pairs: give the task a section pairs: {{count: ..., steps: ...}}"
        yield from method.faults(options, teacher_facts(suite, suite.tasks[task].teacher))


def options_of(suite: Suite, task: str, entry: str) -> Any:
    """The options an entry's method runs with on a task: a frozen instance of its Options."""
    settings = suite.entries[entry]
    method = components.methods()[settings.method or ""]
    teacher = suite.teachers[suite.tasks[task].teacher]
    data = (teacher.data or "").partition("@")[0]  # at a path or not, it has the same defaults
    return method.options(task, data or teacher.family, given(method.Options, settings.options))


def teacher_facts(suite: Suite, name: str) -> TeacherFacts:
    """What a method may know of a suite's teacher before any network exists."""
    teacher = suite.teachers[name]
    family = components.teachers()[teacher.family]
    return TeacherFacts(
        name=name,
        process=family.process,
        conditional=teacher.conditional,
        text=family.text,
        # A published text-to-image model was trained with dropped captions; EDM's class-conditional ones were not.
        guidance=teacher.conditional and (family.text if teacher.source else teacher.denoising.dropout > 0),
        features=family.features,
        augment=family.augment,
        real=teacher.data is not None,
    )


def player_faults(suite: Suite) -> Found:
    """Players that an entry stops and its method does not have. Asks the methods themselves, so torch is imported."""
    for name, entry in suite.entries.items():
        if entry.method is None or not entry.stop_players:
            continue
        task = next(task for task in suite.tasks if name in suite.entries_of(task))
        method = components.methods()[entry.method]
        players = [player.name for player in method.players(options_of(suite, task, name))]
        for player in entry.stop_players:
            yield from known(("entries", name, "stop_players", player), f"player of {method.name}", player, players)
