"""`sidbench import`: what it writes, what it says, and how it refuses."""

import numpy as np

from benchmarks import cli
from sid.teachers.edm import EdmTeacher
from tests.sid.teachers.pickle_opcodes import Call, Global, module_tree, pickled
from tests.sid.teachers.published_files import TINY
from tests.sid.teachers.test_edm_pickle import made_weights


def test_import_writes_what_the_suite_loads(tmp_path, capsys):
    path = tmp_path / "edm-tiny.pkl"
    path.write_bytes(pickled({"ema": module_tree(made_weights(TINY), "EDMPrecond", TINY)}))
    assert cli.main(["import", str(path)]) == 0
    said = capsys.readouterr().out
    assert "EDMPrecond of the family edm" in said and "note:" not in said
    assert EdmTeacher().load(tmp_path / "edm-tiny").settings["wrapper"] == "EDMPrecond"


def test_an_incomplete_network_is_imported_with_a_note(tmp_path, capsys):
    weights = {name: array for name, array in made_weights(TINY).items() if "aux" not in name}
    path = tmp_path / "half.pkl"
    path.write_bytes(pickled({"ema": module_tree(weights, "EDMPrecond", TINY)}))
    assert cli.main(["import", str(path), "--to", str(tmp_path / "out")]) == 0
    assert "tensors are missing, the first is model.dec.16x16_aux_norm.weight" in capsys.readouterr().out


def test_a_hostile_file_is_refused_in_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickled({"ema": Call(Global("posix", "system"), ("touch owned",)), "x": float(np.pi)}))
    assert cli.main(["import", str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "it names posix.system" in said.err
    assert [file.name for file in tmp_path.iterdir()] == ["evil.pkl"]
