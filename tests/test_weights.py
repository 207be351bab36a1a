"""Weight files: found in order, pinned, refused when they differ, never downloaded."""

import hashlib
import json

import pytest
import yaml

from benchmarks import assets
from benchmarks.assets import Weight
from benchmarks.cli import main
from benchmarks.machine.needs import weights_of, weights_of_column
from benchmarks.scoring.protocol import read
from sid.fault import Fault

ONE = Weight("one", "a test", ("one.pth",), "MIT", "https://example.org/one.pth")
HUB = Weight("two", "a test", ("model.safetensors",), "MIT", "https://example.org", hub="maker/two")


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    for name in ("SIDBENCH_WEIGHTS", "TORCH_HOME", "HF_HOME", "HF_HUB_CACHE", "HOME", "XDG_CONFIG_HOME"):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setattr(assets.tempfile, "gettempdir", lambda: str(tmp_path / "shared"))
    return tmp_path


def test_the_projects_folder_comes_before_the_caches_and_an_explicit_path_before_all(empty):
    cache = empty / "TORCH_HOME" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    (cache / "one.pth").write_bytes(b"cached")
    assert assets.find(ONE) == cache / "one.pth"
    (empty / "SIDBENCH_WEIGHTS" / "one.pth").write_bytes(b"mine")
    assert assets.find(ONE).read_bytes() == b"mine"
    (empty / "given.pth").write_bytes(b"given")
    assert assets.find(ONE, empty / "given.pth").read_bytes() == b"given"
    with pytest.raises(Fault, match=r"one: no file .*nowhere"):
        assets.find(ONE, empty / "nowhere")


def test_files_of_hub_repositories_that_share_a_name_are_kept_apart(empty):
    (empty / "SIDBENCH_WEIGHTS" / "model.safetensors").write_bytes(b"whose?")
    assert assets.find(HUB) is None
    snapshot = empty / "HF_HUB_CACHE" / "models--maker--two" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"theirs")
    assert assets.find(HUB) == snapshot / "model.safetensors"
    (empty / "SIDBENCH_WEIGHTS" / "two").mkdir()
    (empty / "SIDBENCH_WEIGHTS" / "two" / "model.safetensors").write_bytes(b"mine")
    assert assets.find(HUB).read_bytes() == b"mine"


def test_a_file_without_a_published_sha256_is_pinned_on_first_use(empty, capsys):
    file = empty / "SIDBENCH_WEIGHTS" / "one.pth"
    file.write_bytes(b"first")
    assets.pin(ONE, assets.locate(ONE))
    assert "pinned on first use" in capsys.readouterr().out
    pins = empty / "SIDBENCH_WEIGHTS" / "pins.json"
    assert list(json.loads(pins.read_text())) == ["one"]
    assets.pin(ONE, assets.locate(ONE))
    assert capsys.readouterr().out == ""
    file.write_bytes(b"another")
    with pytest.raises(Fault, match="damaged or another one") as raised:
        assets.locate(ONE)
    assert f"take 'one' out of {pins}" in str(raised.value), "what to do where the new one is right"
    pins.write_text("{")
    with pytest.raises(Fault, match=r"pins\.json is damaged"):
        assets.locate(ONE)


def test_a_file_that_does_not_load_is_never_pinned(empty):
    """Pinned before it was read, a damaged file would be the only one accepted ever after."""
    from benchmarks.suite.components import extractors

    folder = empty / "SIDBENCH_WEIGHTS"
    (folder / "dinov2_vitl14_pretrain.pth").write_bytes(b"damaged")
    for name in ("dinov2", "image-reward"):
        weight = extractors()[name].weights[0]
        (folder / weight.name).mkdir()
        (folder / weight.name / weight.files[0]).write_bytes(b"damaged")
        with pytest.raises(Fault):
            extractors()[name].open(None)
    assert main(["weights", "dinov2", "image-reward", "--verify"]) == 0, "a sha256 that is told is no use of it"
    assert not (folder / "pins.json").exists()


def test_a_known_sha256_or_its_prefix_is_checked(empty):
    file = empty / "SIDBENCH_WEIGHTS" / "one.pth"
    file.write_bytes(b"")
    prefix = Weight("one", "a test", ("one.pth",), "MIT", "", sha256="e3b0c442")
    assert assets.locate(prefix) == file
    file.write_bytes(b"x")
    with pytest.raises(Fault, match="published: e3b0c442"):
        assets.locate(prefix)


def test_a_file_known_by_a_prefix_is_pinned_in_full(empty):
    """Eight digits can be met by another file on purpose."""
    file = empty / "SIDBENCH_WEIGHTS" / "one.pth"
    file.write_bytes(b"")
    prefix = Weight("one", "a test", ("one.pth",), "MIT", "", sha256="e3")
    assets.pin(prefix, assets.locate(prefix))
    assert len(json.loads((empty / "SIDBENCH_WEIGHTS" / "pins.json").read_text())["one"]) == 64
    number = next(n for n in range(9999) if hashlib.sha256(str(n).encode()).hexdigest().startswith("e3"))
    file.write_text(str(number))
    with pytest.raises(Fault, match="pinned on first use in"):
        assets.locate(prefix)
    full = Weight("two", "a test", ("one.pth",), "MIT", "", sha256=assets.sha256(file))
    assets.pin(full, assets.locate(full))
    assert "two" not in json.loads((empty / "SIDBENCH_WEIGHTS" / "pins.json").read_text())


def test_a_name_of_its_own_is_found_without_a_folder_of_its_own(empty, monkeypatch):
    """HPS_v2.1_compressed.pt can be nobody else's; hpsv2 and ImageReward keep theirs where they always did."""
    from benchmarks.suite.components import extractors

    hps, reward = (extractors()[name].weights[0] for name in ("clip-vit-h-14-hps-2.1", "image-reward"))
    monkeypatch.delenv("HPS_ROOT", raising=False)
    homes = {hps: empty / "HOME" / ".cache" / "hpsv2", reward: empty / "HOME" / ".cache" / "ImageReward"}
    for weight, home in homes.items():
        assert assets.find(weight) is None and str(home) in assets.searched_folders(weight)
        for place in (home, empty / "SIDBENCH_WEIGHTS", empty / "SIDBENCH_WEIGHTS" / weight.name):
            place.mkdir(parents=True, exist_ok=True)
            (place / weight.files[0]).write_bytes(b"theirs")
            assert assets.find(weight) == place / weight.files[0]
    (empty / "elsewhere").mkdir()
    (empty / "elsewhere" / hps.files[0]).write_bytes(b"moved")
    for place in (homes[hps], empty / "SIDBENCH_WEIGHTS", empty / "SIDBENCH_WEIGHTS" / hps.name):
        (place / hps.files[0]).unlink()
    monkeypatch.setenv("HPS_ROOT", str(empty / "elsewhere"))
    assert assets.find(hps).read_bytes() == b"moved"


def test_the_verb_tells_every_wrong_file(empty, capsys):
    wrong = ("sac+logos+ava1-l14-linearMSE", "ava+logos-l14-reluMSE")
    for name in wrong:
        (empty / "SIDBENCH_WEIGHTS" / f"{name}.pth").write_bytes(b"damaged")
    assert main(["weights", "aesthetic", "--verify"]) == 2
    printed = capsys.readouterr()
    assert printed.out.count("wrong, see below") == 2 and "2 of 4 missing" in printed.out
    assert [line.split()[1] for line in printed.err.splitlines()] == [f"{name}:" for name in wrong]


def test_tensors_are_refused_in_our_own_words(empty):
    import torch

    torch.save({"a": ONE}, empty / "objects.pth")
    (empty / "garbage.pth").write_bytes(b"garbage")
    (empty / "garbage.safetensors").write_bytes(b"garbage")
    for name, reason in (
        ("objects.pth", "it holds Python objects, which are never loaded"),
        ("garbage.pth", "it is damaged, or no file of tensors"),
        ("garbage.safetensors", "it is damaged, or no file of tensors"),
    ):
        with pytest.raises(Fault, match=reason) as raised:
            assets.tensors(empty / name)
        assert "weights_only" not in str(raised.value) and "trust" not in str(raised.value)


def test_the_verb_says_where_a_suites_teachers_are_told_and_lists_the_head_that_is_read(capsys):
    assert main(["weights", "released"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert "published teachers and generators: `sidbench plan released` names the missing ones" in printed[-1]
    assert main(["weights", "sdxl"]) == 0
    printed = capsys.readouterr().out
    assert "sac+logos+ava1-l14-linearMSE: missing" in printed and "ava+logos-l14" not in printed
    (column,) = [entry for entry in read("sdxl-10k").metrics.values() if entry.metric == "aesthetic"]
    assert [weight.name for weight in weights_of_column(column)] == ["sac+logos+ava1-l14-linearMSE", "clip-vit-l-14"]
    assert main(["weights", "smoke"]) == 0
    assert "doctor" not in capsys.readouterr().out


def test_a_prefix_is_no_sha256_and_an_unset_folder_is_told(monkeypatch):
    prefix = Weight("one", "a test", ("one.pth",), "MIT", "", sha256="e3b0c442")
    assert prefix.pinned == "begins with e3b0c442" and ONE.pinned == "pinned on first use"
    assert "not set" not in " ".join(assets.searched_folders(ONE))
    monkeypatch.delenv("SIDBENCH_WEIGHTS")
    assert assets.searched_folders(ONE)[0] == "$SIDBENCH_WEIGHTS (not set)"


def test_missing_says_everything_and_nothing_is_downloaded(empty, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *args: pytest.fail("a download"))
    with pytest.raises(Fault, match=r"one \(a test\) is missing: one.pth, MIT.*looked in .*get it with: curl"):
        assets.locate(ONE)


def test_the_verb_lists_every_file_with_licence_and_way_to_get_it(capsys):
    assert main(["weights"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("  get       ") == len(weights_of([])) >= 12
    assert "0 missing" not in printed and "Apache-2.0" in printed and "hf download laion/CLIP-ViT-g-14" in printed
    assert main(["weights", "fid"]) == 0
    assert "1 missing" in capsys.readouterr().out
    assert main(["weights", "fidd"]) == 2
    assert "did you mean 'fid'" in capsys.readouterr().err


def test_the_verb_lists_what_a_protocol_or_a_suite_needs(capsys, tmp_path):
    assert main(["weights", "dmd2-sdxl-10k"]) == 0
    printed = capsys.readouterr().out
    assert (
        "inception-2015-12-05: missing" in printed
        and "clip-vit-g-14: missing" in printed
        and "2 of 2 missing" in printed
    )
    assert main(["weights", "smoke"]) == 0
    assert "smoke: no published weights are needed" in capsys.readouterr().out
    column = {"metric": "aesthetic", "features": "clip-vit-l-14.image"}
    protocol = {"name": "faces", "samples": 10, "metrics": {"aes": column}}
    tasks = {"digits-cond": {"protocol": "faces"}}
    suite = {"name": "mine", "extends": "smoke", "protocols": {"faces": protocol}, "tasks": tasks}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(suite))
    assert main(["weights", str(tmp_path / "mine.yaml")]) == 0
    printed = capsys.readouterr().out
    assert "sac+logos+ava1-l14-linearMSE: missing" in printed and "clip-vit-l-14: missing" in printed
    assert "3,714,759 bytes, Apache-2.0" in printed and "pinned on first use" in printed
    assert main(["weights", "smok"]) == 2
    assert "did you mean 'smoke'" in capsys.readouterr().err
