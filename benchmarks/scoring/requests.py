"""What is asked of images: each metric with its options and the features it reads, by hand or by a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.features.base import Extractor
from benchmarks.suite import components
from sid.discovery import UnknownName, pick
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.metrics.base import Metric


TEXT = ("text", "truncated")  # outputs that captions give


@dataclass(frozen=True)
class Asked:
    """One metric on the features it reads: its own, or those that were named in their place."""

    metric: Metric
    features: tuple[str, ...]  # "<extractor>.<output>"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def extractors(self) -> list[str]:
        """Each once, in the order of the features."""
        return list(dict.fromkeys(key.rpartition(".")[0] for key in self.features))

    @property
    def outputs(self) -> dict[str, list[str]]:
        """extractor -> what is read of the images; where it reads pairs, which captions were cut too."""
        found: dict[str, list[str]] = {}
        for key in self.features:
            extractor, _, output = key.rpartition(".")
            pairs = components.extractors()[extractor].pairs
            found.setdefault(extractor, []).extend([output, "truncated"] if pairs else [output])
        return {name: kept for name, read in found.items() if (kept := [one for one in read if not _text(name, one)])}

    @property
    def towers(self) -> list[str]:
        """The extractors that embed captions for it."""
        return [key.rpartition(".")[0] for key in self.features if key.endswith(".text")]

    @property
    def reads_captions(self) -> bool:
        return bool(self.towers) or any(components.extractors()[name].pairs for name in self.extractors)

    @property
    def template(self) -> str:
        """What stands before every caption: only a metric that has the option puts anything there."""
        return str(self.metric.option("template", self.options) or "")


def ask(name: str, options: Mapping[str, Any] | None = None, reads: str = "") -> Asked:
    """A metric by name; `reads` names an extractor, or one output of it, in the place of the metric's own."""
    metric = pick("metric", dict(components.metrics()), name)
    options = options or {}
    if faults := metric.faults(options):
        raise Fault(faults)
    return Asked(metric, _features(metric, reads) if reads else metric.features, options)


def ask_variant(name: str, variant: str, options: Mapping[str, Any] | None = None, reads: str = "") -> Asked:
    """A metric as published under that name, with the network it was published with; its own where it has none such."""
    metric = pick("metric", dict(components.metrics()), name)
    published = dict(metric.variants.get(variant, {}))
    return ask(name, {**published, **(options or {})}, reads or metric.variant_extractors.get(variant, ""))


def split(reads: str) -> tuple[str, str]:
    """(extractor, output) of "<extractor>.<output>" or of an extractor alone, whose name may hold dots too."""
    known = components.extractors()
    name, output = (reads, "") if reads in known else reads.rpartition(".")[::2]
    if name not in known:
        raise UnknownName("extractor", name or reads, known)
    return name, output


def _features(metric: Metric, reads: str) -> tuple[str, ...]:
    """The metric's features with the extractor in the place of its own."""
    known = components.extractors()
    name, output = split(reads)
    if known[name].trained_here:
        raise Fault(f"{name} is trained inside a suite: it scores no images from elsewhere")
    if output:
        wanted = [output]
        if len(metric.features) > 1:
            raise Fault(f"{metric.name} reads {', '.join(metric.features)}: name an extractor without an output")
    elif not metric.features:
        first = known[name].outputs[0]
        raise Fault(f"{metric.name} reads any features: name the output too, for example {name}.{first}")
    else:
        wanted = [key.rpartition(".")[2] for key in metric.features]
    for one in wanted:
        readable = (*known[name].outputs, *(TEXT if _embeds(known[name]) else ()))
        if one not in readable:
            raise UnknownName(f"output of {name}", one, readable)
    return tuple(f"{name}.{one}" for one in wanted)


def _embeds(extractor: Extractor) -> bool:
    """It reads captions by themselves."""
    return type(extractor).texts is not Extractor.texts


def _text(extractor: str, output: str) -> bool:
    """An output of captions, not of images."""
    return output in TEXT and not components.extractors()[extractor].pairs
