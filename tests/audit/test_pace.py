"""The audit announces its steps with the time that is left: what it counts beforehand is what it then extracts."""

import pytest

from benchmarks.audit import bench, pipelines, tables
from benchmarks.audit.pipelines import Pace, Subject
from tests.photos import mixed, write


@pytest.fixture
def folders(tmp_path):
    same = mixed(3, 0)
    return write(tmp_path / "images", same), write(tmp_path / "reference", [*mixed(2, 1), same[0]])


@pytest.mark.parametrize("options", [{}, {"all_factors": True}, {"reported": 1e9}], ids=lambda options: str(*options))
def test_every_image_is_counted_once_a_way(folders, state, monkeypatch, options):
    """Without peers, what is announced is what our network then reads."""
    passed, paces = [], []

    def counted(network, images, *rest):
        passed.append(len(images))
        return original(network, images, *rest)

    class Watched(Pace):
        def __init__(self, *given):
            super().__init__(*given)
            paces.append(self)

    original = bench.pixels_to_features
    monkeypatch.setattr(bench, "pixels_to_features", counted)
    monkeypatch.setattr(pipelines, "Pace", Watched)
    monkeypatch.setattr(tables, "peers", dict)
    seen = []
    subject = Subject(*folders, state, "photos", "photos", 64)
    pipelines.pipelines(subject, "inception-tf", lambda what, left: seen.append((what, left)), **options)
    (pace,) = paces
    assert sum(passed) == pace.images == pace.passed > 0
    assert ("the reported value" in dict(seen)) == ("reported" in options)
    assert seen[0][1] is None and all(left is not None for _, left in seen[1:])
    assert seen[-1][1] <= max(left for _, left in seen[1:])
