"""What every metric says of itself, so that a reader knows which number it is: checked for each one that is found."""

import re

import pytest

from benchmarks.features.base import Extractor
from benchmarks.scoring.requests import request, request_variant, split
from benchmarks.suite.components import extractors, metrics
from benchmarks.suite.strict import NAME
from sid.fault import Fault

METRICS = sorted(metrics())
ALL = [pytest.param(metrics()[name], id=name) for name in METRICS]


def test_the_metrics_of_the_papers_are_there():
    papers = {
        "fid",
        "fid-clean",
        "fid-pytorch",
        "fid-antialias",
        "fid-infinity",
        "fd-dinov2",
        "patch-fid",
        "kid",
        "cmmd",
    }
    papers |= {"inception-score", "precision", "recall", "density", "coverage"}
    assert papers | {"clip-score", "aesthetic", "hpsv2", "image-reward", "pickscore"} <= set(METRICS)


@pytest.mark.parametrize("metric", ALL)
def test_it_says_what_it_is(metric):
    assert re.fullmatch(NAME, metric.name)
    assert isinstance(metric.version, int) and metric.version >= 1
    assert metric.paper.strip() and "\n" not in metric.paper
    assert metric.verified in ("weights", "layout", "none")
    assert metric.direction in ("lower", "higher")
    assert isinstance(metric.reference, bool) and (metric.reference or not metric.from_statistics)


@pytest.mark.parametrize("metric", ALL)
def test_what_it_reads_exists(metric):
    """Every feature is an output of an extractor, or an embedding of captions that it makes."""
    for key in metric.features:
        name, _, output = key.rpartition(".")
        known = extractors()[name]
        assert output in known.outputs or (output == "text" and type(known).texts is not Extractor.texts)


@pytest.mark.parametrize("metric", ALL)
def test_its_published_variants_are_options_it_takes(metric):
    of_miniature = any(extractors()[name].trained_here for name in request(metric.name).extractors)
    assert metric.variants or of_miniature, "published under no rule"
    assert set(metric.variant_extractors) <= set(metric.variants)
    for variant in metric.variants:
        asked = request_variant(metric.name, variant)
        assert asked.options == metric.variants[variant]
        other = metric.variant_extractors.get(variant)
        assert asked.extractors == ([split(other)[0]] if other else request(metric.name).extractors)


@pytest.mark.parametrize("metric", ALL)
def test_an_option_that_is_mistyped_or_of_another_type_is_told(metric):
    for option in metric.options():
        assert "did you mean" in " ".join(metric.faults({f"{option}x": 1}))
        (fault,) = metric.faults({option: [1, 2]})
        assert f"{metric.name}.{option} must be" in fault
        with pytest.raises(Fault, match="must be"):
            request(metric.name, {option: [1, 2]})
    default = {option: metric.option(option, {}) for option in metric.options()}
    assert metric.faults(default) == []


def test_truth_is_no_number():
    assert metrics()["kid"].faults({"subsets": True}) == ["kid.subsets must be int (got True)"]
    assert metrics()["kid"].faults({"shrink": 1}) == ["kid.shrink must be bool (got 1)"]
    assert metrics()["inception-score"].faults({"shuffle": None}) == []


def files():
    """Every weight file of every metric and extractor, once."""
    weights = {weight for component in [*metrics().values(), *extractors().values()] for weight in component.weights}
    return [pytest.param(weight, id=weight.name) for weight in sorted(weights, key=lambda weight: weight.name)]


@pytest.mark.parametrize("weight", files())
def test_a_weight_file_has_a_licence_a_source_and_a_pin(weight, monkeypatch):
    monkeypatch.setenv("SIDBENCH_WEIGHTS", "weights")
    assert re.fullmatch(r"[\w.+-]+", weight.name) and weight.purpose and weight.files
    assert weight.licence and weight.source.startswith("https://")
    assert re.fullmatch(r"[0-9a-f]{8}([0-9a-f]{56})?", weight.sha256) or weight.pinned == "pinned on first use"
    assert weight.fetch_command.split()[0] in ("curl", "hf") and weight.files[0] in weight.fetch_command.replace(
        "%2B", "+"
    )


def test_two_files_never_share_a_name():
    names = [parameter.id for parameter in files()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["fid", "clip-score", "aesthetic", "hpsv2", "image-reward", "pickscore", "cmmd"])
def test_a_metric_needs_files_of_its_own_or_of_its_extractors(name):
    metric = metrics()[name]
    read = [extractors()[extractor] for extractor in request(name).extractors]
    assert [*metric.weights, *(weight for extractor in read for weight in extractor.weights)]
