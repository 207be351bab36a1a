"""`sidbench fetch`: from a server on this machine that cuts connections and sends wrong files."""

from __future__ import annotations

import errno
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import assets
from benchmarks.assets import Weight
from benchmarks.cli import main
from benchmarks.machine import fetch
from sid.fault import Fault

CONTENT = bytes(range(256)) * 40_000  # 10 MB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT at every path; each of the first `cuts` answers ends after a third of what it promised."""

    cuts = 0
    ranges = True
    content = CONTENT

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.path.endswith("absent"):
            self.send_error(404)
            return
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        rest = self.server.content[begin:]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if self.server.cuts:
            self.server.cuts -= 1
            rest = rest[: len(rest) // 3]
            self.close_connection = True
        self.wfile.write(rest)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as its:
        threading.Thread(target=its.serve_forever, daemon=True).start()
        yield its
        its.shutdown()


@pytest.fixture
def weight(server: Server, bare: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fetch.Download:
    monkeypatch.setenv("SIDBENCH_WEIGHTS", str(tmp_path / "weights"))
    weight = Weight("one", "a test", ("one.pth",), "MIT", f"{server.address}/one.pth", SHA256, len(CONTENT))
    return fetch.download_of(weight)


def part(download: fetch.Download) -> Path:
    assert download.to is not None
    return download.to.with_name(f".{download.to.name}.part")


def test_a_file_arrives_where_it_is_looked_for(weight: fetch.Download, server: Server) -> None:
    count: list[int] = []
    fetch.fetch(weight, count.append)
    assert weight.to is not None and weight.to.read_bytes() == CONTENT
    assert sum(count) == len(CONTENT) and not part(weight).exists()
    looked_for = Weight("one", "a test", ("one.pth",), "MIT", "https://example.org", SHA256)
    assert assets.locate(looked_for) == weight.to


def test_a_cut_connection_goes_on_where_it_was(weight: fetch.Download, server: Server) -> None:
    server.cuts = 2
    fetch.fetch(weight)
    assert weight.to is not None and weight.to.read_bytes() == CONTENT
    first = len(CONTENT) // 3
    assert server.asked == [None, f"bytes={first}-", f"bytes={first + (len(CONTENT) - first) // 3}-"]


def test_a_server_without_ranges_begins_again(weight: fetch.Download, server: Server) -> None:
    server.cuts, server.ranges = 1, False
    fetch.fetch(weight)
    assert weight.to is not None and weight.to.read_bytes() == CONTENT


def test_too_many_cuts_leave_a_part_and_the_next_call_ends_it(weight: fetch.Download, server: Server) -> None:
    server.cuts = fetch.TRIES
    with pytest.raises(Fault, match=rf"failed {fetch.TRIES} times .* goes on from [\d,]+ bytes"):
        fetch.fetch(weight)
    assert part(weight).is_file() and weight.to is not None and not weight.to.exists()
    fetch.fetch(weight)
    assert weight.to.read_bytes() == CONTENT and server.asked[-1] is not None


def test_a_wrong_file_is_refused_and_removed(weight: fetch.Download, server: Server) -> None:
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(Fault, match=f"published: .*{SHA256}; the file was removed"):
        fetch.fetch(weight)
    assert weight.to is not None and not weight.to.exists() and not part(weight).exists()


def test_a_missing_page_is_a_sentence(weight: fetch.Download, server: Server) -> None:
    with pytest.raises(Fault, match="answers 404"):
        fetch.fetch(fetch.Download("two", f"{server.address}/absent", "MIT", weight.to))


def test_a_disk_that_is_full_is_a_sentence(weight: fetch.Download, monkeypatch: pytest.MonkeyPatch) -> None:
    free = fetch.shutil.disk_usage("/")._replace(free=1000)
    with monkeypatch.context() as patch:
        patch.setattr(fetch.shutil, "disk_usage", lambda folder: free)
        with pytest.raises(Fault, match=r"are still to come, and the disk of .* has 1,000 free"):
            fetch.fetch(weight)

    def fills(download: fetch.Download, part: Path, progress: object) -> None:
        part.write_bytes(CONTENT[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(fetch, "_receive", fills)
        with pytest.raises(Fault, match=r"is full; free some, and .* goes on from 100 bytes"):
            fetch.fetch(weight)
    fetch.fetch(weight)
    assert weight.to is not None and weight.to.read_bytes() == CONTENT


def test_the_verb_lists_everything_and_needs_the_licences_accepted(
    server: Server, bare: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert main(["fetch", "cifar10", "--dry-run"]) == 2
    assert "$SIDBENCH_WEIGHTS is not set" in capsys.readouterr().err
    monkeypatch.setenv("SIDBENCH_WEIGHTS", str(tmp_path / "weights"))
    assert main(["fetch", "cifar10", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    for words in (
        "inception-2015-12-05",
        "url       https://",
        "licence   Apache-2.0",
        "by hand: cifar10",
        "to fetch:",
    ):
        assert words in shown
    assert main(["fetch", "cifar10"]) == 2
    assert "--accept-licences" in capsys.readouterr().err
    assert not (tmp_path / "weights").exists() and not server.asked
    item = fetch.Download("one", f"{server.address}/one", "MIT", tmp_path / "weights" / "one.pth", len(CONTENT), SHA256)
    monkeypatch.setattr(fetch, "wanted", lambda suite: [item])
    assert main(["fetch", "cifar10", "--accept-licences"]) == 0
    assert (tmp_path / "weights" / "one.pth").read_bytes() == CONTENT


def test_nothing_is_fetched_for_a_suite_that_reads_nothing(bare: None, capsys: pytest.CaptureFixture) -> None:
    assert main(["fetch", "mini"]) == 0
    assert capsys.readouterr().out == "0 to fetch: 0 bytes\n"


def test_a_get_line_uses_no_unset_variable(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for hub in ("", "maker/one"):
        weight = Weight("one", "a test", ("one.pth",), "MIT", "https://example.org/one.pth", hub=hub)
        monkeypatch.delenv("SIDBENCH_WEIGHTS", raising=False)
        assert weight.fetch_command.startswith('export SIDBENCH_WEIGHTS="$PWD/weights"; mkdir -p')
        monkeypatch.setenv("SIDBENCH_WEIGHTS", "here")
        assert weight.fetch_command.split()[0] in ("hf", "curl")
