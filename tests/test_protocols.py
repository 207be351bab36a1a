"""Shipped protocols: strict, complete, and what they fix decides the digest."""

import pytest

from benchmarks.suite import components, digests, files
from benchmarks.suite.protocol import Protocol

NAMES = files.names("protocol")


def read(name, **changes):
    content = files.resolve("protocol", name).content
    return Protocol.model_validate({**content, **changes})


@pytest.mark.parametrize("name", NAMES)
def test_a_protocol_names_metrics_outputs_and_options_that_exist(name):
    protocol = read(name)
    assert protocol.name == name
    for column in protocol.metrics.values():
        metric = components.metrics()[column.metric]
        assert metric.faults(column.options) == []
        assert column.output in components.extractors()[column.extractor].outputs
        assert (column.reference is not None) == metric.reference
        trained_here = components.extractors()[column.extractor].trained_here
        assert trained_here or not metric.features or column.features in metric.features


def test_the_published_protocols_are_there():
    assert {"sid-fid50k", "gigagan-coco30k", "dmd2-sdxl-10k", "sim-t2i"} <= set(NAMES)


def test_the_minimum_of_three_is_an_alternative_and_never_the_rule():
    protocol = read("sid-fid50k")
    assert (protocol.selection.trials, protocol.selection.rule) == (10, "mean")
    assert protocol.alternatives["edm-minimum-of-three"].rule == "minimum"


def test_rules_decide_the_digest_and_defaults_do_not():
    plain = digests.scored(read("digits"))
    assert set(plain) == {"samples", "seed", "metrics"}
    assert "geometry" not in plain["metrics"]["fd"]
    coco = digests.scored(read("gigagan-coco30k"))
    assert coco["metrics"]["fid"]["geometry"]["side"] == 256
    assert digests.scored(read("digits", rules={"quantiser": "truncate"})) != plain
