"""What the types of a suite cannot check: entries fit their tasks, options their method, methods their teacher.

`suite_faults` yields every fault as (path, sentence). Nothing is opened here: whether files are present is checked
before a run, in benchmarks/machine/needs.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from benchmarks.assets import resolve_data
from benchmarks.data import prompts
from benchmarks.data.open import ImageSet, is_path, open_dataset
from benchmarks.suite import components, released
from benchmarks.suite.config import Entry, Suite, Task, TeacherSection
from benchmarks.suite.protocol import Column, PromptSource, Protocol
from benchmarks.suite.strict import Location, faults, given, model_of
from sid.discovery import unknown
from sid.fault import Fault
from sid.method import TeacherFacts
from sid.teacher import SAMPLERS

if TYPE_CHECKING:
    from benchmarks.data.base import Dataset
    from sid.method import Method


Faults = Iterator[tuple[Location, str]]


def suite_faults(suite: Suite, broken: Mapping[str, set[str]] | None = None) -> Faults:
    """Every fault beyond types, as (path, sentence).

    Args:
        suite: A suite whose types are right, or what is left of one whose types are not.
        broken: Section -> names of items that exist but could not be read; references to them are no faults.
    """
    teachers = {*suite.teachers, *(broken or {}).get("teachers", ())}
    tasks = {*suite.tasks, *(broken or {}).get("tasks", ())}
    for name, teacher in suite.teachers.items():
        at: Location = ("teachers", name)
        yield from _known((*at, "family"), "teacher family", teacher.family, components.teachers())
        if teacher.data is not None:
            yield from _data_faults((*at, "data"), teacher.data)
        yield from _teacher_faults(at, teacher)
    for name, settings in suite.tasks.items():
        yield from _known(("tasks", name, "teacher"), "teacher", settings.teacher, teachers)
        yield from _task_faults(suite, name, settings)
    for name, protocol in suite.protocols.items():
        yield from _protocol_faults(name, protocol)
    for name, entry in suite.entries.items():
        for task in entry.tasks or ():
            yield from _known(("entries", name, "tasks"), "task", task, tasks)
        on = [task for task in suite.tasks if suite.entries_of(task).get(name) is entry]
        yield from _entry_faults(suite, ("entries", name), name, entry, on)
    for task, settings in suite.tasks.items():
        for name, entry in settings.entries.items():
            at = ("tasks", task, "entries", name)
            if entry.tasks is not None:
                yield (*at, "tasks"), "an entry of one task names no tasks"
            yield from _entry_faults(suite, at, name, entry, [task])
    yield from _kind_faults(suite)
    yield from _across_faults(suite, tasks)
    for task in suite.tasks:
        if broken is None and not suite.entries_of(task):
            yield ("tasks", task), "no entry runs on it"


def player_faults(suite: Suite) -> Faults:
    """Names in `stop_players` that are no player of the entry's method. Asks the methods, so torch is imported."""
    checked: list[Entry] = []
    for task, name, entry in suite.rows:
        if entry.method is None or not entry.stop_players or any(entry is other for other in checked):
            continue
        checked.append(entry)
        at = ("tasks", task, "entries", name) if name in suite.tasks[task].entries else ("entries", name)
        method = components.methods()[entry.method]
        players = [player.name for player in method.players(options_of(suite, task, name))]
        for player in entry.stop_players:
            yield from _known((*at, "stop_players", player), f"player of {method.name}", player, players)


def options_of(suite: Suite, task: str, entry: str) -> Any:
    """The options an entry's method runs with on a task: a frozen instance of its Options."""
    settings = suite.entries_of(task)[entry]
    method = components.methods()[settings.method or ""]
    teacher = suite.teachers[suite.tasks[task].teacher]
    data = (teacher.data or "").partition("@")[0]  # a data set at a path has the defaults of its name
    return method.options(task, data or teacher.family, given(method.Options, settings.options))


def teacher_facts(suite: Suite, task: str) -> TeacherFacts:
    """What a method may know of a task's teacher and data before any network exists."""
    section, teacher = suite.tasks[task], suite.teachers[suite.tasks[task].teacher]
    return facts_of(
        section.teacher,
        teacher.family,
        conditional=teacher.conditional,
        published=teacher.source is not None,
        dropout=teacher.denoising.dropout,
        real=section.real is not None or (teacher.data is not None and teacher.resolution is None),
    )


def facts_of(name: str, family: str, *, conditional: bool, published: bool, dropout: float, real: bool) -> TeacherFacts:
    """The facts of a teacher.

    Args:
        name: As messages name it.
        family: Its teacher family.
        conditional: Whether it reads labels or text.
        published: Whether others trained it.
        dropout: The share of dropped conditions in its training, if it was trained here.
        real: Whether there are real images in the space of its samples.
    """
    component = components.teachers()[family]
    # A published text-to-image model was trained with dropped captions; EDM's class-conditional ones were not.
    guidance = conditional and (component.text if published else dropout > 0)
    return TeacherFacts(
        name=name,
        process=component.process,
        conditional=conditional,
        text=component.text,
        guidance=guidance,
        features=component.features,
        augment=component.augment,
        real=real,
    )


def _known(at: Location, what: str, name: str, names: Iterable[str]) -> Faults:
    """A fault where the name is none of these, with the nearest of them."""
    if name not in names:
        yield at, unknown(what, name, names)


# Data sets and prompts


def _data_faults(at: Location, name: str, split: str | None = None) -> Faults:
    """A data set by its name or path, and its split. Images at a path are not opened."""
    try:
        splits = ImageSet.splits if is_path(name) else open_dataset(name).splits
    except Fault as fault:
        yield from ((at, sentence) for sentence in fault.sentences)
        return
    if split is not None and not (is_path(name) and not resolve_data(Path(name)).exists()):
        yield from _known((*at[:-1], "split"), "split", split, splits)


def _dataset(name: str | None) -> Dataset | None:
    """The data set as far as it is known without its files."""
    try:
        return open_dataset(name) if name else None
    except Fault:
        return None


def _prompt_faults(at: Location, source: PromptSource) -> Faults:
    """The list or the data set that prompts come from."""
    if source.name is not None:
        yield from _known((*at, "name"), "list of prompts", source.name, prompts.LISTS)
    if source.data is not None:
        yield from _data_faults((*at, "data"), source.data, source.split)
        if (dataset := _dataset(source.data)) is not None and not dataset.captioned:
            yield (*at, "data"), f"the data set {source.data} has no captions"


# Teachers and tasks


def _teacher_faults(at: Location, teacher: TeacherSection) -> Faults:
    """Whether the family fits the data it is trained on, or the published model it is read from."""
    family, dataset = components.teachers().get(teacher.family), _dataset(teacher.data)
    if family is None:
        return
    for key, sentence in family.setting_faults(teacher.settings).items():
        yield (*at, "settings", key), sentence
    if family.text:
        if not teacher.conditional:
            yield (*at, "conditional"), f"{teacher.family} reads text: it must be true"
        if teacher.source is None and dataset is not None and not dataset.vocabulary:
            what = f"the data set {teacher.data} has no captions of few words to train {teacher.family} on"
            yield (*at, "data"), what
        if teacher.source is not None and teacher.resolution is None:
            yield (*at, "resolution"), f"{teacher.family} makes images of any size: state the pixels a side"
    elif teacher.conditional and dataset is not None and not dataset.classes:
        yield (*at, "conditional"), f"the data set {teacher.data} has no classes"


def _task_faults(suite: Suite, name: str, task: Task) -> Faults:
    """Whether a task's prompts, real images and protocol fit its teacher."""
    at = ("tasks", name)
    if task.prompts is not None:
        yield from _prompt_faults((*at, "prompts"), task.prompts)
    teacher = suite.teachers.get(task.teacher)
    family = components.teachers().get(teacher.family) if teacher is not None else None
    if teacher is None or family is None:
        return
    protocol = suite.protocols.get(task.protocol)
    trains = any(entry.method for entry in suite.entries_of(name).values())
    if task.real is not None and teacher.resolution is None:
        yield (*at, "real"), f"the teacher {task.teacher} makes pixels: its real images are those of its data set"
    size, side = protocol.rules.size if protocol is not None else None, _side(teacher)
    if size is not None and side is not None and size != side and _samples_teacher(suite, name):
        what = f"{task.protocol} scores images of {size} pixels, and the teacher {task.teacher} makes {side}"
        yield (*at, "protocol"), what
    if family.text and trains and task.prompts is None:
        yield (*at, "prompts"), f"the teacher {task.teacher} reads text: name the prompts to train on"
    if family.text and protocol is not None and protocol.prompts is None:
        yield (*at, "protocol"), f"{task.protocol} has no prompts, and the teacher {task.teacher} reads text"


def _side(teacher: TeacherSection) -> int | None:
    """Pixels a side of the teacher's images, where that is known before it is opened."""
    if teacher.resolution is not None:
        return teacher.resolution
    dataset = _dataset(teacher.data)
    return dataset.shape[-1] if dataset is not None else None


def _samples_teacher(suite: Suite, task: str) -> bool:
    """Whether any entry's images have the teacher's size: released generators have their own."""
    return any(entry.released is None and entry.control != "heldout" for entry in suite.entries_of(task).values())


# Protocols


def _protocol_faults(name: str, protocol: Protocol) -> Faults:
    """A protocol's name, its prompts and its columns."""
    at = ("protocols", name)
    if protocol.name != name:
        yield (*at, "name"), f"must be '{name}' (got '{protocol.name}')"
    if protocol.prompts is not None:
        yield from _prompt_faults((*at, "prompts"), protocol.prompts)
    for title, column in protocol.metrics.items():
        yield from _column_faults((*at, "metrics", title), column)
        if column.only is not None:
            yield from _prompt_faults((*at, "metrics", title, "only"), column.only)


def _column_faults(at: Location, column: Column) -> Faults:
    """A column's metric with its options, its features and its reference."""
    yield from _known((*at, "metric"), "metric", column.metric, components.metrics())
    yield from _known((*at, "features"), "extractor", column.extractor, components.extractors())
    if column.extractor in components.extractors():
        outputs = components.extractors()[column.extractor].outputs
        yield from _known((*at, "features"), f"output of {column.extractor}", column.output, outputs)
    if column.reference is not None:
        yield from _data_faults((*at, "reference", "data"), column.reference.data, column.reference.split)
    if column.metric in components.metrics():
        metric = components.metrics()[column.metric]
        if metric.of_family and column.features not in metric.features:
            what = f"{column.metric} is a number of {metric.features[0]} (got {column.features})"
            yield (*at, "features"), f"{what}; the metric frechet takes any features"
        if metric.reference and column.reference is None:
            yield at, f"{column.metric} compares with a reference: name its data and split"
        for option, value in column.options.items():
            yield from (((*at, "options", option), sentence) for sentence in metric.faults({option: value}))


# Entries


def _entry_faults(suite: Suite, at: Location, name: str, entry: Entry, on: Sequence[str]) -> Faults:
    """An entry with the tasks it runs on: its start, its generator or sampler, its method and options."""
    yield from _init_faults(suite, (*at, "init"), name, entry, on)
    if entry.released is not None:
        known = released.names()
        yield from _known((*at, "released"), "released generator", entry.released, known)
        if entry.released in known and (lacks := released.describe(entry.released).lacks):
            yield (*at, "released"), f"'{entry.released}' cannot be opened here: {lacks}"
    if entry.released is None and entry.control != "heldout":
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
    tasks_of: dict[str, list[str]] = {}  # sentence -> tasks that it is true of
    for task in on:
        for sentence in _training_faults(suite, task, name, method):
            tasks_of.setdefault(sentence, []).append(task)
    for sentence, tasks in tasks_of.items():
        yield at, sentence if len(tasks) == len(on) else f"on {', '.join(tasks)}: {sentence}"


def _init_faults(suite: Suite, at: Location, name: str, entry: Entry, on: Sequence[str]) -> Faults:
    """An entry begins from another one that trains on the same tasks, and never in a circle."""
    if entry.init is None:
        return
    names = dict.fromkeys([*suite.entries, *(name for _, name, _ in suite.rows)])
    if entry.init not in names:
        yield at, unknown("entry", entry.init, names)
        return
    sentences: dict[str, None] = {}
    absent: dict[str, list[str]] = {}  # entry -> tasks on which it does not run
    for task in on:
        entries, chain, current = suite.entries_of(task), [name], entry
        while current.init is not None:
            if current.init in chain:
                sentences[f"begins from itself: {' <- '.join([*chain, current.init])}"] = None
                break
            if current.init not in entries:
                absent.setdefault(current.init, []).append(task)
                break
            chain.append(current.init)
            current = entries[current.init]
            if current.method is None:
                sentences[f"{chain[-1]} is a control: it trains no generator"] = None
    sentences |= dict.fromkeys(f"{other} does not run on {', '.join(tasks)}" for other, tasks in absent.items())
    yield from ((at, sentence) for sentence in sentences)


def _sampler_faults(suite: Suite, at: Location, entry: Entry, on: Sequence[str]) -> Faults:
    """How a teacher or a student is sampled must fit each task's teacher."""
    for task in on:
        teacher = suite.teachers.get(suite.tasks[task].teacher)
        if teacher is None or teacher.family not in components.teachers():
            continue
        facts = teacher_facts(suite, task)
        if entry.kappa != 1 and not facts.guidance:
            yield (*at, "kappa"), f"on {task}: its teacher has no unconditional branch to guide with"
        if entry.sampler is not None:
            what, fitting = f"sampler on the {facts.process} process", SAMPLERS[facts.process]
            yield from _known((*at, "sampler"), what, entry.sampler, fitting)
        if entry.churn is not None and facts.process != "edm":
            yield (*at, "churn"), f"on {task}: only EDM's sampler adds noise between its steps"


def _option_faults(method: Method, options: Mapping[str, Any]) -> Faults:
    """Names and types of a method's options."""
    try:
        given(method.Options, dict(options))
    except ValidationError as error:
        for at, what in faults(error, model_of(method.Options, partial=True)):
            yield at, what.replace("unknown key", f"unknown option of {method.name}", 1) if len(at) == 1 else what


def _training_faults(suite: Suite, task: str, name: str, method: Method) -> Iterator[str]:
    """What speaks against training the entry of that name on a task: its budget, its data, the method's own checks."""
    entry, budget = suite.entries_of(task)[name], suite.budget(task, name)
    if budget.images < budget.batch:
        yield f"its budget of {budget.images} images is less than one batch of {budget.batch}"
    if budget.micro_batch is not None and budget.batch % budget.micro_batch:
        yield f"its batch of {budget.batch} is not a whole number of micro-batches of {budget.micro_batch}"
    yield from (f"budget.{sentence}" for sentence in budget.executed.faults())
    if budget.student is not None and entry.init is not None:
        yield "a student of adapters begins from the teacher: it has no init"
    teacher = suite.teachers.get(suite.tasks[task].teacher)
    if teacher is None or teacher.family not in components.teachers():
        return
    try:
        options = options_of(suite, task, name)
    except Fault as fault:
        yield from fault.sentences
    except (TypeError, ValueError) as error:  # from a dataclass's own checks
        yield str(error)
    else:
        if "pairs" in method.needs_of(options) and suite.tasks[task].pairs is None:
            yield f"{method.name} needs the teacher's pairs: give the task a section pairs: {{count: ..., steps: ...}}"
        if "real" in method.needs_of(options) and teacher.resolution is not None and suite.tasks[task].real is None:
            yield f"{method.name} needs real images: give the task a section real: {{pairs: a folder or tars}}"
        if entry.prompts == "real" and suite.tasks[task].real is None:
            yield "prompts: real takes the captions of real pairs: give the task a section real: {pairs: ...}"
        yield from method.faults(options, teacher_facts(suite, task))


def _kind_faults(suite: Suite) -> Faults:
    """A name is a training on every task or on none: the workflow declares other files for the two."""
    trains: dict[str, bool] = {}
    for task, name, entry in suite.rows:
        if trains.setdefault(name, entry.method is not None) != (entry.method is not None):
            here = "trains here and not on another task" if entry.method else "trains on another task and not here"
            yield ("tasks", task, "entries", name), f"{here}: give it a name of its own"


def _across_faults(suite: Suite, tasks: Iterable[str]) -> Faults:
    """The table over several tasks names tasks, and for each of them an entry that runs there."""
    if suite.across is None:
        return
    for task in suite.across.tasks:
        yield from _known(("across", "tasks"), "task", task, tasks)
    for label, entries in suite.across.rows.items():
        at: Location = ("across", "rows", label)
        if len(entries) != len(suite.across.tasks):
            yield at, f"has {len(entries)} entries for {len(suite.across.tasks)} tasks: it needs one each"
        for task, entry in zip(suite.across.tasks, entries, strict=False):
            if task in suite.tasks:
                yield from _known(at, f"entry on {task}", entry, suite.entries_of(task))
