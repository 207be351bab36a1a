"""`sidbench doctor`: every check finds what is broken, gives one line of advice, and is silent about nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from benchmarks.assets import DATA_ENV
from benchmarks.cli import main
from benchmarks.machine import doctor
from benchmarks.machine.doctor import Finding


def states(results: doctor.Findings) -> list[str]:
    findings = list(results)
    assert all(finding.advice and "\n" not in finding.line for finding in findings if finding.state != "ok")
    return [finding.state for finding in findings]


def test_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert states(doctor.python()) == ["ok"]
    for minor, state in ((9, "broken"), (11, "ok"), (14, "ok"), (15, "broken")):
        assert states(doctor.python(running=(3, minor))) == [state]
        # A wheel's metadata states the same, with the bounds the other way round.
        monkeypatch.setattr(doctor, "metadata", lambda name: {"Requires-Python": "<3.15,>=3.11"})
        assert states(doctor.python(tmp_path / "pyproject.toml", (3, minor))) == [state]

    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "metadata", absent)
    assert states(doctor.python(tmp_path / "pyproject.toml")) == ["advice"]


def test_packages_against_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "a==1.0 \\\n    --hash=sha256:0\nb==2.0 ; python_version < '3.12' \\\n    --hash=sha256:1\n"
        "b==3.0 ; python_version >= '3.12' \\\n    --hash=sha256:1\nwindows==1.0 ; sys_platform == 'win32'\n"
    )

    def installed(**present: str):
        def look(name: str) -> str:
            if name not in present:
                raise PackageNotFoundError(name)
            return present[name]

        return look

    assert states(doctor.packages(lock, installed(a="1.0+cpu", b="3.0"))) == ["ok"]
    (other,) = doctor.packages(lock, installed(a="1.1", b="3.0"))
    assert other.state == "advice" and "a 1.1 (locked: 1.0)" in other.what
    (missing,) = doctor.packages(lock, installed(b="2.0"))
    assert missing.state == "broken" and "1 packages of the lock are missing, a" in missing.what
    assert states(doctor.packages(lock, installed(b="4.0"))) == ["broken", "advice"]
    assert states(doctor.packages(tmp_path / "none")) == ["advice"]
    assert "broken" not in states(doctor.packages(installed=version))


def test_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert states(doctor.devices(tmp_path / "none")) == ["advice"]
    assert states(doctor.devices(tmp_path)) == ["broken"]  # a driver, and no device
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    facts = SimpleNamespace(name="H100")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: facts)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (doctor.GIB * (70 - 60 * index), doctor.GIB * 80))
    first, second = doctor.devices(tmp_path)
    assert first == Finding("ok", "cuda:0 H100, 80 GiB, 70 free") and second.state == "advice"
    monkeypatch.setitem(sys.modules, "torch", None)
    assert states(doctor.devices()) == ["broken"]


def test_weights_and_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, check in (("SIDBENCH_WEIGHTS", doctor.weights), (DATA_ENV, doctor.data)):
        assert states(check()) == ["ok"]
        assert states(check("mini")) == ["ok"]
        monkeypatch.setenv(name, str(tmp_path / "none"))
        assert states(check()) == ["broken", "ok"]
        monkeypatch.delenv(name)
    assert states(doctor.models("mini")) == ["ok"]


def test_a_suites_missing_and_damaged_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.machine import needs

    monkeypatch.chdir(tmp_path)
    listed = [needs.DataNeed("cifar10", "data set", splits=["train"]), needs.DataNeed("coco2014-30k", "prompts")]
    monkeypatch.setattr(needs, "data_of_suite", lambda suite: listed)
    (missing,) = doctor.data("mini")
    assert missing.state == "advice" and "0 of 2" in missing.what and "`sidbench data mini`" in missing.advice
    Path("data").mkdir()
    Path("data/captions.txt").write_text("one\n")
    assert states(doctor.data("mini")) == ["broken", "advice"]


def test_missing_models_of_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    Path("here").mkdir()
    Path("here/network.safetensors").write_bytes(b"")
    teachers = {
        name: {"family": "edm", "source": name, "data": "ffhq64"} for name in ("here", "nowhere", "unread", "elsewhere")
    }
    tasks: dict[str, dict] = {
        name: {"teacher": name, "protocol": "sid-fid50k-ffhq64", "entries": {"untrained": {"control": "untrained"}}}
        for name in ("here", "nowhere", "elsewhere")
    }
    tasks["elsewhere"]["entries"] = {"published": {"released": "sid-ffhq64"}}
    Path("own.yaml").write_text(yaml.safe_dump({"name": "own", "seeds": [0], "teachers": teachers, "tasks": tasks}))
    (finding,) = doctor.models("own.yaml")
    assert finding.state == "advice"
    assert "1 of 3 published models" in finding.what and "missing nowhere, UT-Austin-PML/SiD" in finding.what


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, state in (
        (doctor.ENOUGH_SPACE, "ok"),
        (doctor.ENOUGH_SPACE - 1, "advice"),
        (doctor.LEAST_SPACE - 1, "broken"),
    ):
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder, free=free: SimpleNamespace(free=free))
        assert states(doctor.disk(tmp_path / "not" / "yet")) == [state]
    (tmp_path / "file").write_text("")
    assert states(doctor.disk(tmp_path / "file" / "results")) == ["broken"]


def test_the_snakemake_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    monkeypatch.chdir(doctor.ROOT)
    assert states(doctor.profile()) == ["ok", "ok"]
    monkeypatch.chdir(tmp_path)
    assert states(doctor.profile()) == ["ok", "advice"]
    for text, state in (
        ("rerun-triggers: [mtime, input]\n", "broken"),
        ("cores: 4\n", "advice"),
        ("rerun-triggers: [params, mtime, input]\n", "ok"),
        ("- a\n", "broken"),
    ):
        (tmp_path / "profile.yaml").write_text(text)
        assert states(doctor.profile(tmp_path)) == ["ok", state]
        monkeypatch.setenv("SNAKEMAKE_PROFILE", str(tmp_path))
        assert states(doctor.profile()) == ["ok", state]
        monkeypatch.delenv("SNAKEMAKE_PROFILE")


def test_the_verbs_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    for state, status in (("ok", 0), ("advice", 0), ("broken", 1)):
        monkeypatch.setattr(doctor, "examine", lambda *_, state=state: iter([Finding(state, "what", "do")]))
        assert main(["doctor"]) == status
    assert "broken  what: do\n1 broken" in capsys.readouterr().out
    assert main(["doctor", "minni"]) == 2


def test_torch_is_imported_for_devices_only() -> None:
    code = (
        "import sys; from pathlib import Path; from benchmarks.machine import doctor\n"
        "for check in (doctor.python, doctor.packages, doctor.weights, doctor.data, doctor.disk, doctor.profile):\n"
        "    list(check())\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
