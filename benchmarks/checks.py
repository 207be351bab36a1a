"""What a suite's types cannot say: do the names exist, do the options fit the method, the method the teacher?"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from benchmarks import components, prompt_lists
from benchmarks.config import Entry, Suite, Task, Teacher
from benchmarks.protocol import Column, PromptSource, Protocol
from benchmarks.released import released
from benchmarks.strict import Location, faults, given, model_of, unknown
from sid.fault import Fault
from sid.method import TeacherFacts
from sid.teacher import SAMPLERS

if TYPE_CHECKING:
    from sid.method import Method

Found = Iterator[tuple[Location, str]]


def suite_faults(suite: Suite, broken: Mapping[str, set[str]] | None = None) -> Found:
    """Every fault beyond types, as (path, sentence). `broken` names what exists but cannot be checked."""
    teachers = {*suite.teachers, *(broken or {}).get("teachers", ())}
    tasks = {*suite.tasks, *(broken or {}).get("tasks", ())}
    for name, teacher in suite.teachers.items():
        at = ("teachers", name)
        yield from _known((*at, "family"), "teacher family", teacher.family, components.teachers())
        if teacher.data is not None:
            yield from _known((*at, "data"), "data set", teacher.data, components.datasets())
        yield from _teacher_faults(at, teacher)
    for name, settings in suite.tasks.items():
        yield from _known(("tasks", name, "teacher"), "teacher", settings.teacher, teachers)
        yield from _prompt_faults(suite, name, settings)
    for name, protocol in suite.protocols.items():
        yield from _protocol_faults(name, protocol)
    for name, entry in suite.entries.items():
        for task in entry.tasks or ():
            yield from _known(("entries", name, "tasks"), "task", task, tasks)
        yield from _init_faults(suite, name, entry)
        yield from _entry_faults(suite, name, entry)
    for task in suite.tasks:
        if broken is None and not suite.entries_of(task):
            yield ("tasks", task), "no entry runs on it"


def _known(at: Location, what: str, name: str, known: Iterable[str]) -> Found:
    if name not in known:
        yield at, unknown(what, name, known)


def _teacher_faults(at: Location, teacher: Teacher) -> Found:
    """Does the family fit the data it is to be trained on, or the published model it is to be read from?"""
    family, data = components.teachers().get(teacher.family), components.datasets().get(teacher.data or "")
    if family is None:
        return
    if family.text:
        if not teacher.conditional:
            yield (*at, "conditional"), f"{teacher.family} reads text: it must be true"
        if teacher.source is None and data is not None and not data.vocabulary:
            yield (
                (*at, "data"),
                f"the data set {teacher.data} has no captions of few words to train {teacher.family} on",
            )
        if teacher.source is not None and teacher.resolution is None:
            yield (*at, "resolution"), f"{teacher.family} makes pictures of any size: say how many pixels a side"
    elif teacher.conditional and data is not None and not data.classes:
        yield (*at, "conditional"), f"the data set {teacher.data} has no classes"


def _prompt_faults(suite: Suite, name: str, settings: Task) -> Found:
    """A model that reads text needs prompts to be trained on and to be scored on."""
    at = ("tasks", name)
    if settings.prompts is not None:
        yield from _source_faults((*at, "prompts"), settings.prompts)
    teacher = suite.teachers.get(settings.teacher)
    family = components.teachers().get(teacher.family) if teacher is not None else None
    if family is None:
        return
    protocol = suite.protocols.get(settings.protocol)
    if family.text and settings.prompts is None:
        yield (*at, "prompts"), f"the teacher {settings.teacher} reads text: name the prompts to train on"
    if family.text and protocol is not None and protocol.prompts is None:
        yield (*at, "protocol"), f"{settings.protocol} has no prompts, and the teacher {settings.teacher} reads text"


def _source_faults(at: Location, asked: PromptSource) -> Found:
    """The list or the data set that prompts come from."""
    if asked.name is not None:
        yield from _known((*at, "name"), "list of prompts", asked.name, prompt_lists.LISTS)
    if asked.data is not None:
        yield from _known((*at, "data"), "data set", asked.data, components.datasets())
        if (data := components.datasets().get(asked.data)) is not None:
            if not data.captioned:
                yield (*at, "data"), f"the data set {asked.data} has no captions"
            yield from _known((*at, "split"), "split", asked.split, data.splits)


def _protocol_faults(name: str, protocol: Protocol) -> Found:
    at = ("protocols", name)
    if protocol.name != name:
        yield (*at, "name"), f"must be '{name}' (got '{protocol.name}')"
    if protocol.prompts is not None:
        yield from _source_faults((*at, "prompts"), protocol.prompts)
    for title, column in protocol.metrics.items():
        yield from _column_faults((*at, "metrics", title), column)
        if column.only is not None:
            yield from _source_faults((*at, "metrics", title, "only"), column.only)


def _column_faults(at: Location, column: Column) -> Found:
    yield from _known((*at, "metric"), "metric", column.metric, components.metrics())
    yield from _known((*at, "features"), "extractor", column.extractor, components.extractors())
    if column.extractor in components.extractors():
        outputs = components.extractors()[column.extractor].outputs
        yield from _known((*at, "features"), f"output of {column.extractor}", column.output, outputs)
    if column.reference is not None:
        yield from _known((*at, "reference", "data"), "data set", column.reference.data, components.datasets())
        if column.reference.data in components.datasets():
            splits = components.datasets()[column.reference.data].splits
            yield from _known((*at, "reference", "split"), "split", column.reference.split, splits)
    if column.metric in components.metrics():
        metric = components.metrics()[column.metric]
        if metric.reference and column.reference is None:
            yield at, f"{column.metric} compares with a reference: name its data and split"
        parameters = inspect.signature(metric.compute).parameters
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            known = set(parameters) - {"self", "features", "reference"}
            for option in column.options:
                yield from _known((*at, "options", option), f"option of {column.metric}", option, known)


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
        yield from _known((*at, "released"), "released generator", entry.released, released())
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
            yield from _known(
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
    return method.options(task, teacher.data or teacher.family, given(method.Options, settings.options))


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
            yield from _known(("entries", name, "stop_players", player), f"player of {method.name}", player, players)
