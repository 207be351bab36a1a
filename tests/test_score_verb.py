"""`sidbench score` and `sidbench statistics` as commands: lines, status, protocols, mistakes."""

import json

import pytest
import yaml

from benchmarks.cli import main
from benchmarks.images.geometry import Geometry
from benchmarks.images.reading import Array
from benchmarks.scoring.requests import request
from benchmarks.scoring.score import score
from tests.made_images import folder, made
from tests.stand_ins import stand_in


@pytest.fixture(autouse=True)
def network(monkeypatch):
    stand_in(monkeypatch)


@pytest.fixture
def towers(monkeypatch):
    stand_in(monkeypatch, "clip-vit-b-32")


IMAGES, REFERENCE = made(60, 16, 16, seed=0), made(64, 16, 16, seed=1)


def test_the_verb_prints_a_line_a_metric_and_says_random_weights_on_each(tmp_path, capsys):
    folders = [folder(tmp_path / name, part) for name, part in (("a", IMAGES), ("b", REFERENCE))]
    command = ["--results", str(tmp_path), "score", str(folders[0]), "--reference", str(folders[1])]
    assert main([*command, "--metrics", "fid,kid", "--random-weights", "5", "--json", str(tmp_path / "s.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all("random weights, seed 5" in line for line in lines if line.startswith(("fid", "kid")))
    assert all("on inception-tf.pool3" in line for line in lines if line.startswith(("fid", "kid")))
    assert lines[-1] == "60 images against 64"
    written = json.loads((tmp_path / "s.json").read_text())
    assert written["random_weights"] == 5 and written["weights"] == {"inception-tf": "random-5"}
    assert main([*command, "--metrics", "fid", "--options", "fid.ddof=0"]) == 0
    assert "random" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--metrics", "fud"], "did you mean 'fid'"),
        (["--metrics", ","], "--metrics names no metric (got ',')"),
        (["--metrics", ""], "--metrics names no metric (got '')"),
        (["--metrics", ",", "--protocol", "sid-fid50k"], "--metrics names no metric (got ',')"),
        (["--options", "fid.dof=0"], "did you mean 'ddof'"),
        (["--options", "kid.subsets=3"], "unknown metric in --options 'kid'"),
        (["--variant", "sid-metric"], "did you mean 'sid-metrics'"),
        (["--samples", "99"], "holds 60 images, 99 were asked for"),
        (["--samples", "0"], "--samples must be at least 1 (got 0)"),
        (["--filter", "lanczo"], "did you mean 'lanczos'"),
        (["--captions", "none.txt"], "there is no file of captions"),
        (["--device", "tpu"], "there is no device 'tpu' here"),
        (["--device", "cuda:99"], "there is no device 'cuda:99' here"),
        (["--batch", "0"], "--batch must be at least 1 (got 0)"),
        (["--options", "fid.ddof=one"], "fid.ddof must be int (got 'one')"),
        (["--options", "fid.ddof"], "--options takes METRIC.NAME=VALUE (got 'fid.ddof')"),
        (["--extractor", "fud=inception-clean"], "unknown metric in --extractor 'fud'; did you mean 'fid'"),
        (["--extractor", "fid"], "--extractor takes METRIC=EXTRACTOR (got 'fid')"),
        (["--weights", "inception-ft=a.pth"], "unknown extractor in --weights 'inception-ft'"),
        (["--protocol", "gigagan-coco"], "did you mean 'gigagan-coco30k'"),
        (["--protocol", "sid-fid50k"], "holds 60 images, 50,000 were asked for"),
        (["--protocol", "sid-fid50k", "--side", "32"], "the protocol sid-fid50k fixes --side"),
        (["--protocol", "sid-fid50k", "--metrics", "fdi"], "unknown column of sid-fid50k 'fdi'; did you mean 'fid'"),
    ],
)
def test_mistakes_are_sentences(tmp_path, capsys, arguments, told):
    path = folder(tmp_path / "a", IMAGES)
    assert main(["--results", str(tmp_path), "score", str(path), *arguments]) == 2
    assert told in capsys.readouterr().err


def test_required_metrics_decide_the_status(tmp_path, monkeypatch):
    monkeypatch.setenv("SIDBENCH_WEIGHTS", str(tmp_path))
    path = str(folder(tmp_path / "a", IMAGES))
    command = ["--results", str(tmp_path), "score", path, "--reference", path, "--metrics", "fid,fd-dinov2"]
    assert main(command) == 0
    assert main([*command, "--required"]) == 1
    assert main([*command[:-1], "fd-dinov2"]) == 1  # nothing at all was computed


def protocol_file(tmp_path, **changes):
    """Three columns under two geometries, for 60 images with captions."""
    fid = {"metric": "fid", "features": "inception-tf.pool3", "reference": {"data": "coco2014", "split": "val"}}
    geometry = {"crop": "centre", "side": 8, "filter": "box"}
    options = {"template": "A photo depicts ", "scale": 1.0}
    columns = {
        "fid": {**fid, "geometry": geometry},
        "whole": fid,
        "clip": {"metric": "clip-score", "features": "clip-vit-b-32.image", "geometry": geometry, "options": options},
    }
    content = {"name": "mine", "samples": 60, "selection": {"trials": 3, "rule": "minimum"}, "metrics": columns}
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({**content, **changes}, sort_keys=False))
    return str(file)


def test_a_protocol_fixes_crop_resize_features_and_template(tmp_path, capsys, towers):
    folders = [folder(tmp_path / name, part) for name, part in (("a", IMAGES), ("b", REFERENCE))]
    (tmp_path / "captions.txt").write_text("dog\n" * 60)
    command = ["--results", str(tmp_path), "score", str(folders[0]), "--reference", str(folders[1]), "--captions"]
    command += [str(tmp_path / "captions.txt"), "--json", str(tmp_path / "s.json"), "--protocol"]
    assert main([*command, protocol_file(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert [line.split()[0] for line in told.splitlines() if " on " in line] == ["fid", "whole", "clip"]
    assert "on clip-vit-b-32.image, clip-vit-b-32.text" in told and "template 'A photo depicts '" in told
    assert "mine reports the minimum of 3 trials: this is one of them" in told
    found = {name: one["value"] for name, one in json.loads((tmp_path / "s.json").read_text())["metrics"].items()}
    small = Geometry("centre", 8, "box")
    plain = score(Array(IMAGES), {"fid": request("fid", geometry=small)}, Array(REFERENCE))
    assert found["fid"] == plain.scores["fid"].value != found["whole"]
    assert main([*command, protocol_file(tmp_path), "--metrics", "whole"]) == 0
    assert capsys.readouterr().out.startswith(f"whole  {found['whole']:.6g}")


def test_captions_that_are_not_the_protocols_are_refused(tmp_path, capsys, towers):
    (tmp_path / "captions.txt").write_text("dog\n" * 60)
    path = str(folder(tmp_path / "a", IMAGES))
    command = ["--results", str(tmp_path), "score", path, "--reference", path]
    command += ["--captions", str(tmp_path / "captions.txt"), "--protocol"]
    for prompts, told in (
        ({"name": "p", "sha256": "0" * 64, "count": 60}, "the captions have sha256"),
        ({"name": "p", "count": 61}, "mine has 61 captions (p), the file holds 60"),
    ):
        assert main([*command, protocol_file(tmp_path, prompts=prompts)]) == 2
        assert told in capsys.readouterr().err
    assert main([*command, protocol_file(tmp_path, samples="many")]) == 2
    assert "mine.yaml: samples:" in capsys.readouterr().err


def test_images_of_another_size_than_the_protocols_are_refused_or_told(tmp_path, capsys):
    """Refused where they would be scored as they are; told where the protocol resizes them anyway."""
    path, other = (folder(tmp_path / name, part) for name, part in (("a", IMAGES), ("b", made(60, 16, 20))))
    command = ["--results", str(tmp_path), "score", str(path), "--reference", str(path), "--protocol"]
    sized = protocol_file(tmp_path, rules={"size": 32})
    assert main([*command, sized]) == 2
    assert "mine scores images of 32 x 32, these are 16 x 16: whole would be another score" in capsys.readouterr().err
    assert main([*command, sized, "--metrics", "fid"]) == 0
    assert "! mine scores images of 32 x 32, these are 16 x 16, resized as it says" in capsys.readouterr().out
    right = protocol_file(tmp_path, rules={"size": 16})
    assert main([*command, right, "--metrics", "whole"]) == 0
    assert "mine scores images of" not in capsys.readouterr().out
    mixed = folder(tmp_path / "mixed", [*IMAGES[:59], made(1, 16, 20)[0]])
    assert main([*command[:3], str(mixed), *command[4:], right]) == 2
    assert main([*command[:3], str(other), *command[4:], right]) == 2
    assert "these are 20 x 16: whole would be another score" in capsys.readouterr().err


def test_a_reference_that_is_not_the_protocols_data_set_is_told(tmp_path, capsys):
    path = folder(tmp_path / "images", IMAGES)
    reference, moved = (folder(tmp_path / name, part) for name, part in (("b", REFERENCE), ("c", REFERENCE[::-1])))

    def said(given, data):
        column = {"metric": "fid", "features": "inception-tf.pool3", "reference": {"data": data, "split": "all"}}
        command = ["--results", str(tmp_path), "score", str(path), "--reference", str(given), "--protocol"]
        assert main([*command, protocol_file(tmp_path, metrics={"fid": column})]) == 0
        return [line for line in capsys.readouterr().out.splitlines() if "compares with" in line]

    assert said(reference, str(reference)) == []
    (told,) = said(path, str(reference))
    assert f"mine compares with {reference}, all, 64 images; {path} has 60: the score is no score of mine" in told
    assert "is not the same byte for byte" in said(moved, str(reference))[0]
    assert "which is not here: whether" in said(reference, str(tmp_path / "gone"))[0]
    target = tmp_path / "reference.safetensors"
    assert main(["statistics", str(reference), "--output", str(target)]) == 0
    capsys.readouterr()
    assert said(target, str(reference)) == [] and "byte for byte" in said(target, str(moved))[0]


def test_statistics_written_by_the_verb_are_read_back(tmp_path, capsys):
    path = folder(tmp_path / "b", REFERENCE)
    target = tmp_path / "reference.safetensors"
    assert main(["statistics", str(path), "--output", str(target)]) == 0
    found, plain = (score(Array(IMAGES), {"fid": request("fid")}, one) for one in (target, Array(REFERENCE)))
    assert found.scores["fid"].value == pytest.approx(plain.scores["fid"].value, rel=1e-9)
    assert main(["statistics", str(path), "--output", str(target), "--features", "inception-tf.pool4"]) == 2
    assert "did you mean 'pool3'" in capsys.readouterr().err
    assert main(["statistics", str(path), "--output", str(target), "--features", "inception-tf"]) == 2
    assert "--features takes EXTRACTOR.OUTPUT, for example inception-tf.pool3" in capsys.readouterr().err
    assert main(["statistics", str(path), "--output", str(target), "--features", "inception-ft.pool3"]) == 2
    assert "did you mean 'inception-tf'" in capsys.readouterr().err
    assert main(["statistics", str(path), "--output", str(tmp_path / "a.npz")]) == 2
