"""What a suite's types cannot say: do entries fit their tasks, the options the method, the method the teacher?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from benchmarks.data import prompts
from benchmarks.data.open import open_dataset
from benchmarks.suite import components
from benchmarks.suite.config import Entry, Suite, Task, Teacher
from benchmarks.suite.protocol import Column, PromptSource, Protocol
from benchmarks.suite.released import released
from benchmarks.suite.strict import Location, faults, given, model_of
from sid.discovery import unknown
from sid.fault import Fault
from sid.method import TeacherFacts
from sid.teacher import SAMPLERS

if TYPE_CHECKING:
    from benchmarks.data.base import Dataset
    from sid.method import Method


def suite_faults(suite: Suite, broken: Mapping[str, set[str]] | None = None) -> Found:
    """Every fault beyond types, as (path, sentence). `broken` names what exists but cannot be checked."""
    teachers = {*suite.teachers, *(broken or {}).get("teachers", ())}
    tasks = {*suite.tasks, *(broken or {}).get("tasks", ())}
    for name, teacher in suite.teachers.items():
        at: Location = ("teachers", name)
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
        on = [task for task in suite.tasks if suite.entries_of(task).get(name) is entry]
        yield from _row_faults(suite, ("entries", name), name, entry, on)
    for task, settings in suite.tasks.items():
        for name, entry in settings.entries.items():
            at = ("tasks", task, "entries", name)
            if entry.tasks is not None:
                yield (*at, "tasks"), "an entry of one task names no tasks"
            yield from _row_faults(suite, at, name, entry, [task])
    yield from _kind_faults(suite)
    for task in suite.tasks:
        if broken is None and not suite.entries_of(task):
            yield ("tasks", task), "no entry runs on it"


def _row_faults(suite: Suite, at: Location, name: str, entry: Entry, on: Sequence[str]) -> Found:
    """One entry with the tasks it runs on."""
    yield from _init_faults(suite, (*at, "init"), name, entry, on)
    yield from _entry_faults(suite, at, name, entry, on)


def _kind_faults(suite: Suite) -> Found:
    """A name is a training on every task or on none: the workflow declares other files for the two."""
    trains: dict[str, bool] = {}
    for task, name, entry in suite.rows:
        if trains.setdefault(name, entry.method is not None) != (entry.method is not None):
            here = "trains here and not on another task" if entry.method else "trains on another task and not here"
            yield ("tasks", task, "entries", name), f"{here}: give it a name of its own"


def _init_faults(suite: Suite, at: Location, name: str, entry: Entry, on: Sequence[str]) -> Found:
    """An entry begins from another one that trains on the same tasks, and never in a circle."""
    if entry.init is None:
        return
    names = dict.fromkeys([*suite.entries, *(name for _, name, _ in suite.rows)])
    if entry.init not in names:
        yield at, unknown("entry", entry.init, names)
        return
    told: dict[str, None] = {}
    idle: dict[str, list[str]] = {}
    for task in on:
        entries, seen, current = suite.entries_of(task), [name], entry
        while current.init is not None:
            if current.init in seen:
                told[f"begins from itself: {' <- '.join([*seen, current.init])}"] = None
                break
            if current.init not in entries:
                idle.setdefault(current.init, []).append(task)
                break
            seen.append(current.init)
            current = entries[current.init]
            if current.method is None:
                told[f"{seen[-1]} is a control: it trains no generator"] = None
    told |= dict.fromkeys(f"{other} does not run on {', '.join(tasks)}" for other, tasks in idle.items())
    yield from ((at, sentence) for sentence in told)


def _entry_faults(suite: Suite, at: Location, name: str, entry: Entry, on: Sequence[str]) -> Found:
    """The method's name, its options, and what the method itself says of them for each task's teacher."""
    if entry.released is not None:
        yield from known((*at, "released"), "released generator", entry.released, released())
    if entry.control == "teacher":
        yield from _sampler_faults(suite, at, entry, on)
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
    for task in on:
        for sentence in _task_faults(suite, task, name, method):
            told.setdefault(sentence, []).append(task)
    for sentence, where in told.items():
        yield at, sentence if len(where) == len(on) else f"on {', '.join(where)}: {sentence}"


def _sampler_faults(suite: Suite, at: Location, entry: Entry, on: Sequence[str]) -> Found:
    """How the teacher is sampled must fit each task's teacher."""
    for task in on:
        teacher = suite.teachers.get(suite.tasks[task].teacher)
        if teacher is None or teacher.family not in components.teachers():
            continue
        facts = teacher_facts(suite, task)
        if entry.kappa != 1 and not facts.guidance:
            yield (*at, "kappa"), f"on {task}: its teacher has no unconditional branch to guide with"
        if entry.sampler is not None:
            what, fitting = f"sampler on the {facts.process} process", SAMPLERS[facts.process]
            yield from known((*at, "sampler"), what, entry.sampler, fitting)
        if entry.churn is not None and facts.process != "edm":
            yield (*at, "churn"), f"on {task}: only EDM's sampler adds noise between its steps"


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
    yield from (f"budget.{sentence}" for sentence in budget.executed.faults())
    if budget.student is not None and suite.entries[entry].init is not None:
        yield "a student of adapters begins from the teacher: it has no init"
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
        if "real" in method.needs_of(options) and teacher.resolution is not None and suite.tasks[task].real is None:
            yield f"{method.name} needs real images: give the task a section real: {{pairs: a folder or tars}}"
        yield from method.faults(options, teacher_facts(suite, task))


def options_of(suite: Suite, task: str, entry: str) -> Any:
    """The options an entry's method runs with on a task: a frozen instance of its Options."""
    settings = suite.entries_of(task)[entry]
    method = components.methods()[settings.method or ""]
    teacher = suite.teachers[suite.tasks[task].teacher]
    data = (teacher.data or "").partition("@")[0]  # at a path or not, it has the same defaults
    return method.options(task, data or teacher.family, given(method.Options, settings.options))


def teacher_facts(suite: Suite, task: str) -> TeacherFacts:
    """What a method may know of a task's teacher and data before any network exists."""
    settings = suite.tasks[task]
    teacher = suite.teachers[settings.teacher]
    family = components.teachers()[teacher.family]
    return TeacherFacts(
        name=settings.teacher,
        process=family.process,
        conditional=teacher.conditional,
        text=family.text,
        # A published text-to-image model was trained with dropped captions; EDM's class-conditional ones were not.
        guidance=teacher.conditional and (family.text if teacher.source else teacher.denoising.dropout > 0),
        features=family.features,
        augment=family.augment,
        real=settings.real is not None or (teacher.data is not None and teacher.resolution is None),
    )


def player_faults(suite: Suite) -> Found:
    """Players that an entry stops and its method does not have. Asks the methods themselves, so torch is imported."""
    seen: list[Entry] = []
    for task, name, entry in suite.rows:
        if entry.method is None or not entry.stop_players or any(entry is other for other in seen):
            continue
        seen.append(entry)
        at = ("tasks", task, "entries", name) if name in suite.tasks[task].entries else ("entries", name)
        method = components.methods()[entry.method]
        players = [player.name for player in method.players(options_of(suite, task, name))]
        for player in entry.stop_players:
            yield from known((*at, "stop_players", player), f"player of {method.name}", player, players)


Found = Iterator[tuple[Location, str]]


def known(at: Location, what: str, name: str, names: Iterable[str]) -> Found:
    """A name that must be one of these."""
    if name not in names:
        yield at, unknown(what, name, names)


def data_faults(at: Location, name: str, split: str | None = None) -> Found:
    """A data set by its name or path, and its split. Whether its files are there is asked before a run, not here."""
    try:
        data = open_dataset(name)
    except Fault as fault:
        if "/" not in name:
            yield from ((at, sentence) for sentence in fault.sentences)
        return
    if split is not None:
        yield from known((*at[:-1], "split"), "split", split, data.splits)


def _dataset(name: str | None) -> Dataset | None:
    """What is known of a data set without its files."""
    try:
        return open_dataset(name) if name else None
    except Fault:
        return None


def teacher_faults(at: Location, teacher: Teacher) -> Found:
    """Does the family fit the data it is to be trained on, or the published model it is to be read from?"""
    family, data = components.teachers().get(teacher.family), _dataset(teacher.data)
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


def prompt_faults(suite: Suite, name: str, settings: Task) -> Found:
    """A model that reads text needs prompts to be trained on and to be scored on."""
    at = ("tasks", name)
    if settings.prompts is not None:
        yield from _source_faults((*at, "prompts"), settings.prompts)
    teacher = suite.teachers.get(settings.teacher)
    family = components.teachers().get(teacher.family) if teacher is not None else None
    if family is None:
        return
    protocol = suite.protocols.get(settings.protocol)
    trains = any(entry.method for entry in suite.entries_of(name).values())
    if settings.real is not None and (teacher is None or teacher.resolution is None):
        yield (*at, "real"), f"the teacher {settings.teacher} makes pixels: its real images are those of its data set"
    size, made = protocol.rules.size if protocol is not None else None, _side(teacher)
    if size is not None and made is not None and size != made and _samples_teacher(suite, name):
        what = f"{settings.protocol} scores pictures of {size} pixels, and the teacher {settings.teacher} makes {made}"
        yield (*at, "protocol"), what
    if family.text and trains and settings.prompts is None:
        yield (*at, "prompts"), f"the teacher {settings.teacher} reads text: name the prompts to train on"
    if family.text and protocol is not None and protocol.prompts is None:
        yield (*at, "protocol"), f"{settings.protocol} has no prompts, and the teacher {settings.teacher} reads text"


def _side(teacher: Teacher | None) -> int | None:
    """Pixels a side of what it makes, where that is known before it is opened."""
    if teacher is None or teacher.resolution is not None:
        return teacher.resolution if teacher is not None else None
    data = _dataset(teacher.data)
    return data.shape[-1] if data is not None else None


def _samples_teacher(suite: Suite, task: str) -> bool:
    """Whether anything of the task has the teacher's size: what others published has its own."""
    return any(entry.released is None and entry.control != "heldout" for entry in suite.entries_of(task).values())


def _source_faults(at: Location, asked: PromptSource) -> Found:
    """The list or the data set that prompts come from."""
    if asked.name is not None:
        yield from known((*at, "name"), "list of prompts", asked.name, prompts.LISTS)
    if asked.data is not None:
        yield from data_faults((*at, "data"), asked.data, asked.split)
        if (data := _dataset(asked.data)) is not None and not data.captioned:
            yield (*at, "data"), f"the data set {asked.data} has no captions"


def protocol_faults(name: str, protocol: Protocol) -> Found:
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
    yield from known((*at, "metric"), "metric", column.metric, components.metrics())
    yield from known((*at, "features"), "extractor", column.extractor, components.extractors())
    if column.extractor in components.extractors():
        outputs = components.extractors()[column.extractor].outputs
        yield from known((*at, "features"), f"output of {column.extractor}", column.output, outputs)
    if column.reference is not None:
        yield from data_faults((*at, "reference", "data"), column.reference.data, column.reference.split)
    if column.metric in components.metrics():
        metric = components.metrics()[column.metric]
        if metric.of_family and column.features not in metric.features:
            said = f"{column.metric} is a number of {metric.features[0]}"
            yield (*at, "features"), f"{said} (got {column.features}); the metric frechet takes any features"
        if metric.reference and column.reference is None:
            yield at, f"{column.metric} compares with a reference: name its data and split"
        for option, value in column.options.items():
            yield from (((*at, "options", option), sentence) for sentence in metric.faults({option: value}))
