"""The audit attributes causes, reports broken peers and goes on, and labels every number with its data and weights."""

import csv
import io

import numpy as np
import pytest

from benchmarks.audit import peer, run, tables, write
from benchmarks.audit.attribute import AuditRow, attribute, sensitivity
from benchmarks.audit.bench import FeatureBench, distance
from benchmarks.audit.peer_recipe import PeerRecipe
from benchmarks.cli import main
from sid.fault import Fault

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((80, 24)) * 1.3, RNG.standard_normal((80, 24))
BENCH = FeatureBench(X, Y)


def test_a_known_cause_is_named_and_nothing_is_left():
    recipe = PeerRecipe(ddof=0, root="eigvals")
    row = attribute("peer", distance(X, Y, recipe), recipe, BENCH, PeerRecipe(), "made")
    assert row.verdict == "explained" and set(row.causes) == {"ddof: 0"}
    assert row.causes["ddof: 0"] == pytest.approx(row.deviation, rel=1e-9)
    assert abs(row.residue) < 1e-9


def test_an_unknown_cause_is_a_residue_with_a_hint():
    promised = attribute("peer", distance(X, Y, PeerRecipe(ddof=0)), PeerRecipe(), BENCH, PeerRecipe(), "made")
    assert promised.verdict == "unexplained" and "as if ddof: 0" in promised.note
    strange = attribute("peer", BENCH.value(PeerRecipe()) * 1.7, PeerRecipe(), BENCH, PeerRecipe(), "made")
    assert strange.verdict == "unexplained" and strange.note.startswith("not explained")


def test_every_factor_is_changed_alone():
    rows = {row.implementation: row.deviation for row in sensitivity(BENCH, PeerRecipe(), "made")}
    assert rows["ddof: 0"] == pytest.approx(-rows_covariance() / 80, rel=1e-9)
    assert rows["eps: 1e-06"] < 0 and abs(rows["root: sqrtm"]) < 1e-9 and rows["samples: half"] > 0


@pytest.mark.parametrize("count", [2, 3])
def test_a_factor_that_so_few_images_do_not_allow_is_left_out_with_its_reason(count):
    few = FeatureBench(X[:count], Y[:count])
    rows = {row.implementation: row for row in sensitivity(few, PeerRecipe(), "made")}
    half = rows.pop("samples: half")
    assert (half.value, half.verdict) == (None, "unavailable") and half.note.startswith(f"half of {count} images")
    assert all(row.value is not None for row in rows.values())
    assert "half of" in write.text([tables.AuditTable("Title", "unit", [half])])
    strange = attribute("peer", few.value(PeerRecipe()) * 1.7, PeerRecipe(), few, PeerRecipe(), "made")
    assert strange.verdict == "unexplained", "the search for a cause goes on without it"


def rows_covariance():
    from benchmarks.metrics import frechet

    return frechet.distance(frechet.moments(X), frechet.moments(Y)).covariance_term


def test_the_arithmetic_tables_hold_every_peer_and_agree():
    made = run.arithmetic()
    assert len(made) == 4
    for name in peer.peers():
        assert any(row.implementation.startswith(name) for row in made[0].rows)
    rows = [row for table in made for row in table.rows]
    assert {row.label for row in rows} == {"synthetic features"}
    assert {row.verdict for row in rows} <= {"ok", "explained"}
    assert all(abs(row.residue) < 1e-8 * row.value for row in made[0].rows), "features and peers are in float64"


class Broken(peer.Peer):
    """A peer that its own dependencies have left behind."""

    name, package = "broken", "numpy"

    def distances(self):
        def run(images, reference):
            raise AttributeError("module 'scipy' has no attribute 'gone'\nsecond line")

        return {"call": peer.PeerCall(run)}

    def kernels(self, subset):
        raise ImportError("cannot import name 'apply_chunking_to_forward'")


class Absent(peer.Peer):
    name, package = "absent", "no-such-package-here"


def test_broken_and_absent_peers_are_reported_with_the_reason_and_the_audit_goes_on(monkeypatch):
    monkeypatch.setattr(tables, "peers", lambda: {"broken": Broken(), "absent": Absent()})
    made = run.arithmetic()
    broken = {row.implementation.split()[0]: row for row in made[0].rows if row.verdict == "unavailable"}
    assert "AttributeError: module 'scipy' has no attribute 'gone'" in broken["broken"].note
    assert broken["absent"].note == "not installed: no-such-package-here"
    assert any("apply_chunking" in row.note for row in made[1].rows)
    assert made[0].rows[0].value is not None


def test_users_of_sqrtm_find_disp_again(monkeypatch):
    """scipy 1.18 removed it."""
    import scipy.linalg

    now = scipy.linalg.sqrtm
    monkeypatch.setattr(scipy.linalg, "sqrtm", lambda A: now(A))
    with pytest.raises(TypeError):
        peer.peers()["clean-fid"].distances()["fid_from_feats"].run(X, Y)
    outcome = peer.guarded(peer.peers()["clean-fid"].distances()["fid_from_feats"].run, X, Y)
    assert outcome.value == pytest.approx(BENCH.value(PeerRecipe()), rel=1e-6)


def test_markdown_csv_and_html_hold_every_row_and_escape():
    rows = [
        AuditRow("a|b <script>", 1.0, 0.5, {"ddof: 0": 0.5}, 0.0, 1e-9, "explained", label="random weights, seed 0")
    ]
    gone = AuditRow("gone", None, verdict="unavailable", note="why", label="made")
    made = [tables.AuditTable("Title", "unit", [*rows, gone])]
    assert "a\\|b" in write.markdown(made)
    page = write.html(made)
    assert "<script>" not in page and "random weights, seed 0" in page and "why" in page
    read = list(csv.reader(io.StringIO(write.comma_separated(made))))
    assert [len(row) for row in read] == [10, 10, 10] and read[1][1] == "a|b <script>"
    for line in write.text(made).splitlines():
        assert "explained" not in line or "[random weights, seed 0]" in line


def test_mistakes_are_sentences(tmp_path, capsys):
    assert main(["audit", "--baseline", "inception-clen"]) == 2
    assert "did you mean 'inception-clean'" in capsys.readouterr().err
    assert main(["audit", "--reference", str(tmp_path)]) == 2
    assert "name both or neither" in capsys.readouterr().err


def test_only_the_first_images_are_taken_where_that_is_asked(tmp_path):
    from benchmarks.audit import synthetic
    from benchmarks.audit.subject import _folders

    images, reference = (synthetic.write(tmp_path / name, 6, seed, blur=0.0) for seed, name in enumerate("ab"))
    made = tmp_path / "made"
    made.mkdir()
    for folder in _folders(images, reference, made, 4):
        assert folder.parent == made and len(list(folder.iterdir())) == 4
    assert main(["audit", str(images), "--samples", "3"]) == 2
    with pytest.raises(Fault, match="holds 6 images, 7 were asked for"):
        _folders(images, reference, made, 7)


@pytest.mark.slow
def test_the_whole_audit_explains_every_implementation(tmp_path, monkeypatch, capsys):
    from benchmarks.audit import subject

    monkeypatch.setattr(subject, "SYNTHETIC", 6)
    assert main(["--results", str(tmp_path), "audit", "--random-weights", "3", "--tap", "192"]) == 0
    printed = capsys.readouterr().out
    assert "unexplained" not in printed
    whole = [line for line in printed.splitlines() if "random weights, seed 3" in line]
    assert len(whole) > 20
    assert sum("in the place of NVIDIA's TorchScript file" in line for line in printed.splitlines()) >= 2
    assert all((tmp_path / "audit" / f"audit.{kind}").stat().st_size > 3000 for kind in ("md", "csv", "html"))
