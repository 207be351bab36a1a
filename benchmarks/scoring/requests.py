"""What is asked of images: a metric with its options, its features and everything else that decides the number.

A request is built from the command line (`request`, `request_variant`) or from a protocol's column
(`benchmarks.scoring.protocol.request_column`); `benchmarks.scoring.score.Scorer` computes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from benchmarks.features.base import Extractor
from benchmarks.images.geometry import AS_IS, Geometry
from benchmarks.suite import components
from benchmarks.suite.digests import seeded
from sid.discovery import UnknownName, pick
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.metrics.base import Metric
    from benchmarks.suite.protocol import PromptSource, Reference


TEXT = ("text", "truncated")  # outputs that are computed from captions


@dataclass(frozen=True)
class Request:
    """One metric on the features it reads: its own, or those that were named in their place."""

    metric: Metric
    features: tuple[str, ...]  # "<extractor>.<output>"
    options: Mapping[str, Any] = field(default_factory=dict)
    geometry: Geometry = AS_IS  # crop and first resize, of images and reference
    seed: int = 0  # of an extractor that is trained here
    only: PromptSource | None = None  # score the images of these prompts alone
    reference: Reference | None = None  # the data set to compare with, unless a reference is given by hand
    by_code_points: bool = False  # files in the order of their names as text, img10 before img2: seeded draws see it

    @property
    def extractors(self) -> list[str]:
        """Each once, in the order of the features."""
        return list(dict.fromkeys(key.rpartition(".")[0] for key in self.features))

    @property
    def outputs(self) -> dict[str, list[str]]:
        """extractor -> outputs computed from images; for extractors of pairs also which captions were truncated."""
        read: dict[str, list[str]] = {}
        for key in self.features:
            extractor, _, output = key.rpartition(".")
            if not _is_text(extractor, output):
                pairs = components.extractors()[extractor].pairs
                read.setdefault(extractor, []).extend([output, "truncated"] if pairs else [output])
        return read

    @property
    def towers(self) -> list[str]:
        """The extractors that embed captions for it."""
        return [key.rpartition(".")[0] for key in self.features if key.endswith(".text")]

    @property
    def needs_captions(self) -> bool:
        return bool(self.towers) or any(components.extractors()[name].pairs for name in self.extractors)

    @property
    def template(self) -> str:
        """The words before every caption: the option, else the metric's default; empty for a metric without it."""
        return str(self.metric.option("template", self.options) or "")

    def network(self, extractor: str) -> str:
        """The extractor's name among the opened networks: NAME, or NAME@SEED."""
        return seeded(extractor, self.seed)


def request(
    name: str, options: Mapping[str, Any] | None = None, reads: str = "", geometry: Geometry = AS_IS
) -> Request:
    """A metric by name, for images given by hand.

    Args:
        name: of the metric.
        options: of the metric; those left out have its defaults.
        reads: an extractor, or one output of it, in the place of the metric's own features.
        geometry: crop and first resize, of images and reference.
    """
    metric = pick("metric", dict(components.metrics()), name)
    options = options or {}
    if faults := metric.faults(options):
        raise Fault(faults)
    return Request(metric, _features(metric, reads) if reads else metric.features, options, geometry)


def request_variant(
    name: str,
    variant: str,
    options: Mapping[str, Any] | None = None,
    reads: str = "",
    geometry: Geometry = AS_IS,
) -> Request:
    """Options and features of the published variant; defaults if the metric has none. Those given come before both."""
    metric = pick("metric", dict(components.metrics()), name)
    published = dict(metric.variants.get(variant, {}))
    options = {**published, **(options or {})}
    asked = request(name, options, reads or metric.variant_extractors.get(variant, ""), geometry)
    return replace(asked, by_code_points=variant in metric.by_code_points)


def split(reads: str) -> tuple[str, str]:
    """(extractor, output) of "<extractor>.<output>" or of an extractor alone, whose name may contain dots too."""
    known = components.extractors()
    name, output = (reads, "") if reads in known else reads.rpartition(".")[::2]
    if name not in known:
        raise UnknownName("extractor", name or reads, known)
    return name, output


def check_output(name: str, output: str) -> None:
    """Refuses what is no output of the extractor, with the nearest one."""
    extractor = components.extractors()[name]
    readable = (*extractor.outputs, *(TEXT if _embeds_text(extractor) else ()))
    if output not in readable:
        raise UnknownName(f"output of {name}", output, readable)


def _features(metric: Metric, reads: str) -> tuple[str, ...]:
    """The metric's features with the extractor in the place of its own."""
    name, output = split(reads)
    if output:
        outputs = [output]
        if len(metric.features) > 1:
            raise Fault(f"{metric.name} reads {', '.join(metric.features)}: name an extractor without an output")
    elif not metric.features:
        first = components.extractors()[name].outputs[0]
        raise Fault(f"{metric.name} reads any features: name the output too, for example {name}.{first}")
    else:
        outputs = [key.rpartition(".")[2] for key in metric.features]
    for output in outputs:
        check_output(name, output)
    return tuple(f"{name}.{output}" for output in outputs)


def _embeds_text(extractor: Extractor) -> bool:
    """Whether it embeds captions by themselves."""
    return type(extractor).texts is not Extractor.texts


def _is_text(extractor: str, output: str) -> bool:
    """Whether the output is computed from captions, not from images."""
    return output in TEXT and not components.extractors()[extractor].pairs
