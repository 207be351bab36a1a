"""Every setting of a row's training, as one flat list of names and values: what its recipe sheet must explain.

`settings_of` imports no torch. `player_settings` asks the method for its players and does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.suite import components
from benchmarks.suite.checks import options_of
from benchmarks.suite.digests import taken_networks
from sid.scales import preset

if TYPE_CHECKING:
    from benchmarks.suite.config import Suite, Task
    from sid.method import Method

# Keys of a budget that are no setting here: where it is observed decides nothing, and the engine has names of its own.
LEFT_OUT = frozenset({"observe", "engine"})
# Settings of Adam beside rate and eps, which every method offers as options.
ADAM = ("betas", "weight_decay", "warmup", "warmup_calls", "decay_from", "clip_value", "clip_norm")


def settings_of(suite: Suite, task: str, entry: str) -> dict[str, Any]:
    """All that the suite and its method's defaults decide of a row's training, resolved."""
    row, place = suite.entries_of(task)[entry], suite.tasks[task]
    method, options = components.methods()[row.method or ""], options_of(suite, task, entry)
    budget, teacher = suite.budget(task, entry), suite.teachers[place.teacher]
    engine = budget.executed
    settings: dict[str, Any] = {"method": method.name}
    settings |= _under("options", asdict(options))
    if hasattr(options, "guidance"):
        settings |= _under("scales", asdict(preset(options.guidance, getattr(options, "kappa", 1.0))))
    split = set() if method.split_matters else {"micro_batch"}
    settings |= _under("budget", budget.model_dump(mode="json", exclude={*LEFT_OUT, *split}))
    settings |= _under("engine", {"precision": engine.precision, **engine.decisive()})
    source = {"source": teacher.source} if teacher.source else {"data": teacher.data}
    settings |= _under("teacher", {**source, "resolution": teacher.resolution, **teacher.settings}, unset=False)
    settings |= _data(place, teacher.data, method.needs_of(options), row.prompts)
    settings |= {"init": row.init} | ({"init.takes": taken_networks(suite, task, entry)} if row.init else {})
    settings |= _under("stop_players", row.stop_players)
    return {name: plain(value) for name, value in settings.items()}


def _data(place: Task, data: str | None, needs: frozenset[str], prompts: str | None) -> dict[str, Any]:
    """What a training reads beside the teacher: prompts, real images, the teacher's pairs."""
    settings: dict[str, Any] = {}
    if prompts is not None:
        settings["prompts.of"] = prompts
    elif place.prompts is not None:
        settings |= _under("prompts", place.prompts.model_dump(mode="json", exclude_defaults=True), unset=False)
        settings["prompts.dtype"] = place.prompts.dtype
    if "real" in needs:
        settings |= _under("real", {"data": data} if place.real is None else place.real.model_dump(mode="json"))
    if "pairs" in needs and place.pairs is not None:
        settings |= _under("pairs", place.pairs.model_dump(mode="json"))
    return settings


def player_settings(method: Method, options: Any) -> dict[str, Any]:
    """The players in playing order, and what their Adams have that is no option of the method. Imports torch.

    A setting that all players share has one name, as `adam.betas`; else it has one for each player, as
    `adam.critic.betas`. One that follows from an option of its name stands there alone.
    """
    players = {player.name: player.optimiser for player in method.players(options)}
    settings: dict[str, Any] = {"players": list(players)}
    for name in ADAM:
        if name == "warmup_calls" and not any(adam.warmup for adam in players.values()):
            continue
        values = {player: getattr(adam, name) for player, adam in players.items()}
        if hasattr(options, name):
            values = {player: value for player, value in values.items() if value != getattr(options, name)}
        if len(values) == len(players) and len(set(values.values())) == 1:
            settings[f"adam.{name}"] = next(iter(values.values()))
        else:
            settings |= {f"adam.{player}.{name}": value for player, value in values.items()}
    return {name: plain(value) for name, value in settings.items()}


def plain(value: Any) -> Any:
    """As YAML has it: a list for a tuple."""
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def _under(section: str, values: Mapping[str, Any], unset: bool = True) -> dict[str, Any]:
    """The values by dotted names; without those that are None unless `unset`."""
    return {f"{section}.{name}": value for name, value in values.items() if unset or value is not None}
