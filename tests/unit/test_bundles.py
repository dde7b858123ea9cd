"""Bundles: complete files of the right hash or none, and interrupted fetches resume."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import ClassVar

import pytest

from evaluator.cli.bundle_list import print_bundle
from evaluator.errors import HostError, ModelFilesError, UserError
from evaluator.zoo import download as download_module
from evaluator.zoo.build_context import build_context
from evaluator.zoo.bundles import Bundle
from evaluator.zoo.connection_faults import describe_fault
from evaluator.zoo.docker_client import BuildClient
from evaluator.zoo.fetching import Fetch, fetch
from evaluator.zoo.saved_images import save_base
from evaluator.zoo.sources import Sources
from evaluator.zoo.weights import Weights, check_mounted, choose_weights, default_weights
from evaluator.zoo.wheels import ImagePlatform, collect_wheels
from tests.tiny import PAINTER

BODY = bytes(range(256)) * 40_000
SHA = hashlib.sha256(BODY).hexdigest()
REFUSALS = {"gated": 403, "busy": 429}


class Server(BaseHTTPRequestHandler):
    """Serves files with Range and ETag; the next responses end after ``breaks`` bytes."""

    files: ClassVar[dict[str, bytes]] = {}
    breaks: ClassVar[list[int]] = []
    seen: ClassVar[list[tuple[str, dict[str, str]]]] = []
    #: redirects, as from a hub to its store
    moved: ClassVar[dict[str, str]] = {}
    ranges = True

    def do_GET(self):
        Server.seen.append((self.path, dict(self.headers)))
        if self.path in self.moved:
            self.send_response(302)
            self.send_header("Location", self.moved[self.path])
            self.send_header("X-Repo-Commit", "0123abc")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path not in self.files:
            self.send_error(
                next((code for word, code in REFUSALS.items() if word in self.path), 404)
            )
            return
        body = self.files[self.path]
        tag = f'"{hashlib.sha256(body).hexdigest()[:8]}"'
        byte_range, start = self.headers.get("Range"), 0
        if byte_range and self.ranges and self.headers.get("If-Range") == tag:
            start = int(byte_range.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(body) - start))
        if self.path.endswith("login"):
            self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        stop = start + self.breaks.pop(0) if self.breaks else len(body)
        self.wfile.write(body[start:stop])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    Server.files, Server.breaks, Server.seen, Server.ranges = {"/a": BODY}, [], [], True
    monkeypatch.setattr(download_module, "WAIT_SECONDS", (0, 0, 0))
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def make_sources(*weights, **fields):
    return Sources.model_validate(
        {"base": "umd/torch", "code": {"origin": "x", "license": "y"}, "weights": weights} | fields
    )


def weights_entry(server, **fields):
    return {
        "into": "a.pth",
        "url": f"{server}/a",
        "sha256": SHA,
        "license": "MIT",
        "commercial": "yes",
    } | fields


def make_bundle(tmp_path, sources):
    return Bundle(
        model="m",
        root=tmp_path / "bundle",
        sources=sources,
        image=ImagePlatform(flavour="cpu", machine="x86_64"),
    )


def test_files_are_fetched_once_and_licences_are_logged(tmp_path, server, messages):
    bundle, seen = make_bundle(tmp_path, make_sources(weights_entry(server))), []
    fetch(bundle, Fetch(progress=lambda *arguments: seen.append(arguments)))
    assert (bundle.weights / "a.pth").read_bytes() == BODY
    assert any("MIT (commercial use allowed)" in line for line in messages)
    assert seen[-1] == ("a.pth", len(BODY), len(BODY))
    record = json.loads((bundle.folder / "bundle.json").read_text())["files"]["weights/a.pth"]
    assert (record["sha256"], record["hash"], record["bytes"]) == (
        SHA,
        "stated in sources.toml",
        len(BODY),
    )
    fetch(bundle, Fetch())
    assert len(Server.seen) == 1
    assert bundle.weight_hashes(("weights",)) == bundle.known_hashes(("weights",)) == {"a.pth": SHA}
    assert sorted(path.name for path in bundle.weights.iterdir()) == ["a.pth"]


def test_an_interrupted_download_resumes(tmp_path, server):
    Server.breaks = [3_000_000, 3_000_000]
    bundle = make_bundle(tmp_path, make_sources(weights_entry(server)))
    fetch(bundle, Fetch())
    assert (bundle.weights / "a.pth").read_bytes() == BODY
    first, *later = [headers.get("Range") for _, headers in Server.seen]
    assert first is None
    assert [int(byte_range[6:-1]) // 2**20 for byte_range in later] == [
        2,
        4,
    ]  # whole MiB that had come

    # a second fetch resumes; a server without ranges; a file that changed in between
    for again, changed in ((True, False), (False, False), (True, True)):
        second = make_bundle(
            tmp_path / f"{again}{changed}", make_sources(weights_entry(server, sha256="unverified"))
        )
        Server.breaks, Server.ranges, Server.files["/a"] = [1_500_000] * 4, again, BODY
        with pytest.raises(ModelFilesError, match="run again, the download resumes"):
            fetch(second, Fetch())
        Server.files["/a"], Server.breaks = BODY[::-1] if changed else BODY, []
        fetch(second, Fetch())
        assert (second.weights / "a.pth").read_bytes() == Server.files["/a"]


def test_a_fetch_interrupted_after_the_last_byte_downloads_nothing(tmp_path, server):
    bundle = make_bundle(tmp_path, make_sources(weights_entry(server)))
    part = bundle.weights / "a.pth.part"
    for content, requests in ((BODY, 1), (BODY + b"too much", 2)):
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.with_name("a.pth.part.version").write_text(f'"{SHA[:8]}"')
        Server.seen = []
        fetch(bundle, Fetch())
        assert (bundle.weights / "a.pth").read_bytes() == BODY
        assert len(Server.seen) == requests
        (bundle.weights / "a.pth").unlink()


def test_simultaneous_fetches_wait_for_each_other(tmp_path, server, messages):
    bundle = make_bundle(tmp_path, make_sources(weights_entry(server, sha256="unverified")))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: fetch(bundle, Fetch()), range(2)))
    assert len(Server.seen) == 1
    assert bundle.weight_hashes(("weights",)) == {"a.pth": SHA}


def test_a_base_image_needs_the_same_kind_of_machine(tmp_path):
    with pytest.raises(ModelFilesError, match="--no-base"):
        save_base(tmp_path, "torch", ImagePlatform(flavour="cpu", machine="pdp11"), None)


def test_a_wrong_hash_is_refused_and_the_old_file_stays(tmp_path, server):
    bundle = make_bundle(tmp_path, make_sources(weights_entry(server)))
    fetch(bundle, Fetch())
    second = make_bundle(tmp_path, make_sources(weights_entry(server, sha256="0" * 64)))
    with pytest.raises(ModelFilesError, match=f"has sha256 {SHA}; expected was 0000"):
        fetch(second, Fetch())
    assert (bundle.weights / "a.pth").read_bytes() == BODY
    assert sorted(path.name for path in bundle.weights.iterdir()) == ["a.pth"]
    with pytest.raises(ModelFilesError, match=r"not the version that sources\.toml pins"):
        second.weight_hashes(("weights",))


def test_an_unpublished_hash_is_trusted_once_with_a_warning(tmp_path, server, messages):
    bundle = make_bundle(tmp_path, make_sources(weights_entry(server, sha256="unverified")))
    assert bundle.known_hashes(("weights",)) == {"a.pth": ""}
    fetch(bundle, Fetch())
    assert any(line.startswith("UNVERIFIED") and SHA in line for line in messages)
    assert json.loads((bundle.folder / "bundle.json").read_text())["files"]["weights/a.pth"][
        "hash"
    ].startswith("UNVERIFIED")
    (bundle.weights / "a.pth").unlink()
    Server.files["/a"] = BODY + b"changed"
    with pytest.raises(ModelFilesError, match="was discarded"):
        fetch(bundle, Fetch())


def test_the_commit_of_main_is_recorded(tmp_path, server, monkeypatch, messages):
    monkeypatch.setenv("HF_ENDPOINT", server)
    monkeypatch.setattr(Server, "moved", {"/w/r/resolve/main/f": "/a"})
    hub = weights_entry(server, hub="w/r", revision="main", path="f", sha256="unverified")
    hub.pop("url")
    bundle = make_bundle(tmp_path, make_sources(hub))
    fetch(bundle, Fetch())
    assert bundle.record()["weights/a.pth"]["commit"] == "0123abc"
    assert any(f"has {SHA}, at the hub's commit 0123abc" in line for line in messages)


def test_restricted_licences_must_be_accepted_before_any_download(tmp_path, server, messages):
    bundle = make_bundle(
        tmp_path,
        make_sources(
            weights_entry(server, license="CC-BY-NC-4.0", commercial="no"),
            weights_entry(server, into="b", license="?", commercial="not stated"),
        ),
    )
    with pytest.raises(
        ModelFilesError, match=r"--accept-licence \? --accept-licence CC-BY-NC-4\.0"
    ):
        fetch(bundle, Fetch())
    assert Server.seen == []
    assert any("NON-COMMERCIAL" in line for line in messages)
    fetch(bundle, Fetch(accepted=frozenset({"CC-BY-NC-4.0", "?"})))
    assert sorted(path.name for path in bundle.weights.iterdir()) == ["a.pth", "b"]
    fetch(
        make_bundle(tmp_path / "other", bundle.sources),
        Fetch(),
        ("packages", "upstream", "auxiliary"),
    )  # random weights need no licence


def test_a_manually_added_file_is_checked_and_used(tmp_path, server, messages):
    bundle = make_bundle(tmp_path, make_sources(weights_entry(server)))
    bundle.weights.mkdir(parents=True)
    (bundle.weights / "a.pth").write_bytes(BODY[1:])
    with pytest.raises(ModelFilesError, match="put here by hand and has sha256"):
        fetch(bundle, Fetch())
    (bundle.weights / "a.pth").write_bytes(BODY)
    fetch(bundle, Fetch())
    assert Server.seen == []
    assert bundle.weight_hashes(("weights",)) == {"a.pth": SHA}
    assert (
        json.loads((bundle.folder / "bundle.json").read_text())["files"]["weights/a.pth"]["from"]
        == "put here by hand"
    )
    second = make_bundle(
        tmp_path / "other", make_sources(weights_entry(server, sha256="unverified"))
    )
    second.weights.mkdir(parents=True)
    (second.weights / "a.pth").write_bytes(BODY)
    fetch(second, Fetch())
    assert any(line.startswith("UNVERIFIED") for line in messages)


def test_messages_of_refusals_say_what_to_do(tmp_path, server, monkeypatch):
    with pytest.raises(ModelFilesError, match="HF_TOKEN"):
        fetch(
            make_bundle(tmp_path, make_sources(weights_entry(server, url=f"{server}/gated"))),
            Fetch(),
        )
    with pytest.raises(ModelFilesError, match="answered 404"):
        fetch(
            make_bundle(tmp_path, make_sources(weights_entry(server, url=f"{server}/gone"))),
            Fetch(),
        )
    with pytest.raises(ModelFilesError, match="429, too many requests"):
        fetch(
            make_bundle(tmp_path, make_sources(weights_entry(server, url=f"{server}/busy"))),
            Fetch(),
        )
    # without a known hash it would be trusted, and fail only when the image loads it
    Server.files["/login"] = b"<html>Who are you?</html>"
    bundle = make_bundle(
        tmp_path, make_sources(weights_entry(server, url=f"{server}/login", sha256="unverified"))
    )
    with pytest.raises(ModelFilesError, match="a web page instead of the file"):
        fetch(bundle, Fetch())
    assert bundle.record() == {}
    assert list(bundle.weights.iterdir()) == []
    monkeypatch.setenv("HF_TOKEN", "secret\n")
    monkeypatch.setenv("HF_ENDPOINT", server)
    Server.files["/w/r/resolve/main/f"] = BODY
    hub = weights_entry(server, hub="w/r", revision="main", path="f")
    hub.pop("url")
    fetch(
        make_bundle(
            tmp_path,
            make_sources(hub, weights_entry(server.replace("127.0.0.1", "localhost"), into="b")),
        ),
        Fetch(),
    )
    monkeypatch.setenv("HF_TOKEN", "sec\nret")
    with pytest.raises(
        ModelFilesError, match=r"is invalid \(InvalidHeader\); check HF_ENDPOINT, HF_TOKEN"
    ) as refused:
        fetch(make_bundle(tmp_path / "token", make_sources(hub)), Fetch())
    assert "sec" not in str(refused.value)
    monkeypatch.setenv("HF_ENDPOINT", "hub.local")
    with pytest.raises(
        ModelFilesError,
        match=r"the request to hub\.local/w/r/resolve/main/f is invalid \(MissingSchema\)",
    ):
        fetch(make_bundle(tmp_path / "endpoint", make_sources(hub)), Fetch())
    tokens = {path: headers.get("Authorization") for path, headers in Server.seen}
    assert tokens["/w/r/resolve/main/f"] == "Bearer secret"
    assert tokens["/a"] is None


def test_a_server_that_cannot_be_reached_is_told_in_words(tmp_path, server):
    sources = make_sources(weights_entry(server, url="http://127.0.0.1:1/a"))
    message = r"a cannot be reached: 127\.0\.0\.1:1 refuses connections\. .* with --list"
    with pytest.raises(ModelFilesError, match=message):
        fetch(make_bundle(tmp_path, sources), Fetch())
    long = describe_fault(ValueError("word " * 100), "http://host/a")
    assert long.endswith("word ...")
    assert len(long) <= 160


def test_a_list_names_every_file_for_carrying_by_hand(tmp_path, server, capsys):
    entries = (weights_entry(server, bytes=2500000), weights_entry(server, into="b.pth"))
    bundle = make_bundle(tmp_path, make_sources(*entries))
    bundle.weights.mkdir(parents=True)
    (bundle.weights / "b.pth").write_bytes(BODY)
    print_bundle(bundle)
    first, address, sha256, second = capsys.readouterr().out.splitlines()[:4]
    assert first == f"{bundle.weights / 'a.pth'}  (missing, 2.5 MB, MIT)"
    assert address.split() == ["from", f"{server}/a"]
    assert sha256.split() == ["sha256", SHA]
    assert second.startswith(f"{bundle.weights / 'b.pth'}  (there, ")


def test_a_full_disk_is_a_host_error_and_loses_nothing(tmp_path, server, monkeypatch):
    bundle = make_bundle(tmp_path, make_sources(weights_entry(server, bytes=2**60)))
    with pytest.raises(HostError, match="MB free"):
        fetch(bundle, Fetch())
    assert Server.seen == []
    # few models state a size, but the server does: a file that does not fit is not started, and
    # bytes that exist already count
    free = len(BODY) - 1
    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    bundle = make_bundle(tmp_path, make_sources(weights_entry(server)))
    with pytest.raises(HostError, match="MB free"):
        fetch(bundle, Fetch())
    assert (bundle.weights / "a.pth.part").stat().st_size == 0
    (bundle.weights / "a.pth.part").write_bytes(BODY[:5])
    fetch(bundle, Fetch())
    assert (bundle.weights / "a.pth").read_bytes() == BODY
    monkeypatch.undo()
    # a limit on file sizes simulates a disk that becomes full during the download
    code = (
        "import resource, sys, pathlib\n"
        "from evaluator.zoo.download import download\n"
        "from evaluator.errors import HostError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, resource.RLIM_INFINITY))\n"
        f"to = pathlib.Path(r'{tmp_path}/full/a')\n"
        "options = dict(sha256=None, size=None, headers={}, progress=lambda *_: None)\n"
        f"try: download('{server}/a', to, **options)\n"
        "except HostError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "run again, the download resumes" in done.stdout, done.stderr
    assert 0 < (tmp_path / "full/a.part").stat().st_size <= 4_000_000
    download_module.download(
        f"{server}/a",
        tmp_path / "full/a",
        sha256=SHA,
        size=None,
        headers={},
        progress=lambda *_: None,
    )
    assert Server.seen[-1][1]["Range"].startswith("bytes=")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def make_zip(how=zipfile.ZIP_STORED, **files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def test_archives_are_unpacked_and_checked(tmp_path, server):
    Server.files["/a"] = make_zip(Dataset1__fold_0__w="weights", plans="{}")
    bundle = make_bundle(
        tmp_path, make_sources(weights_entry(server, into="nets", unpack=True, sha256="unverified"))
    )
    fetch(bundle, Fetch())
    assert (bundle.weights / "nets/Dataset1/fold_0/w").read_text() == "weights"
    assert not (bundle.folder / "archives/nets.zip").exists()
    fetch(bundle, Fetch())
    assert len(Server.seen) == 1
    assert check_mounted(bundle.weights, "m", bundle.sources) == bundle.weight_hashes(("weights",))
    (bundle.weights / "nets/plans").write_text("tampered")
    with pytest.raises(ModelFilesError, match="was changed after unpacking"):
        bundle.weight_hashes(("weights",))
    fetch(bundle, Fetch())
    assert (bundle.weights / "nets/plans").read_text() == "{}"
    damaged = bytearray(make_zip(w="weights" * 1000, how=zipfile.ZIP_DEFLATED))
    damaged[40:60] = bytes(20)
    damaged = bytes(damaged)
    for number, (body, message) in enumerate(
        {
            make_zip(**{"..__evil": "x"}): "leave its folder",
            b"PK not": "is not a readable zip archive",
            damaged: "is not a readable zip archive",
        }.items()
    ):
        Server.files["/a"] = body
        with pytest.raises(ModelFilesError, match=message):
            fetch(make_bundle(tmp_path / str(number), bundle.sources), Fetch())
        assert not (tmp_path / "evil").exists()


def test_mounted_weights_are_the_published_ones(tmp_path, server, messages):
    sources = make_sources(weights_entry(server))
    folder = tmp_path / "weights"
    folder.mkdir()
    with pytest.raises(ModelFilesError, match=r"does not contain a\.pth.*umd models fetch m"):
        check_mounted(folder, "m", sources)
    (folder / "a.pth").write_bytes(BODY)
    assert check_mounted(folder, "m", sources) == {"a.pth": SHA}
    (folder / "a.pth").write_bytes(BODY[1:])
    with pytest.raises(ModelFilesError, match="Other weights make another model"):
        check_mounted(folder, "m", sources)
    (folder / "a.pth").write_bytes(b"<html>sign in</html>")
    with pytest.raises(
        ModelFilesError, match=r"has sha256 .* a web page, .* the right file is http"
    ):
        check_mounted(folder, "m", sources)
    (folder / "a.pth").write_bytes(BODY[1:])
    check_mounted(folder, "m", make_sources(weights_entry(server, sha256="unverified")))
    assert messages[0].startswith("UNVERIFIED")


def test_the_choice_of_weights(tmp_path):
    sources = make_sources(weights_entry("http://x"))
    assert choose_weights("published", "m", sources) == Weights(kind="published")
    assert (
        choose_weights("published", "m", make_sources())
        == choose_weights("published", "m", None)
        == Weights(kind="none")
    )
    assert choose_weights("random", "m", sources).label == "random:small"
    assert choose_weights("random:full", "m", sources).labels["umd.weights"] == "random:full"
    assert choose_weights(str(tmp_path), "m", sources).folder == tmp_path
    for text, owner in (
        ("random:huge", sources),
        ("/no/such/folder", sources),
        ("random", make_sources()),
    ):
        with pytest.raises(UserError, match="weights"):
            choose_weights(text, "m", owner)


def test_weights_supplied_by_the_user(tmp_path):
    supplied = Sources(
        base="umd/base", code={"origin": "x", "license": "y"}, brought="a folder of plans"
    )
    with pytest.raises(UserError, match=r"--weights DIR, with a folder of plans"):
        choose_weights("published", "m", supplied)
    assert choose_weights("random", "m", supplied).label == "random:small"
    assert default_weights(supplied) == Weights(kind="mounted")
    assert default_weights(make_sources()) == Weights(kind="none")
    folder = tmp_path / "mine"
    (folder / "CT").mkdir(parents=True)
    with pytest.raises(ModelFilesError, match="must contain a folder of plans"):
        check_mounted(folder, "m", supplied)
    (folder / "CT/plans.json").write_text("{}")
    first = check_mounted(folder, "m", supplied)
    assert list(first) == ["CT/plans.json"]
    (folder / "CT/plans.json").write_text("[]")
    assert check_mounted(folder, "m", supplied) != first
    with pytest.raises(ValueError, match="not both"):
        Sources(
            **(
                supplied.model_dump()
                | {"weights": make_sources(weights_entry("http://x")).model_dump()["weights"]}
            )
        )


def test_the_build_context_contains_the_files_of_the_bundle(tmp_path, server, project, monkeypatch):
    root = project({"m": PAINTER})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("SAT-0123/model/net.py")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"net\n"))
    commit = "0123456789" * 4
    Server.files[f"/sat/archive/{commit}.tar.gz"] = buffer.getvalue()
    upstream = {
        "git": "https://forge/sat",
        "commit": commit,
        "sha256": "unverified",
        "into": "sat",
        "license": "MIT",
        "commercial": "yes",
    }
    sources = make_sources(
        weights_entry(server),
        upstream=[upstream],
        auxiliary=[weights_entry(server, into="text/tower.bin")],
    )
    bundle = make_bundle(tmp_path, sources)
    fetch(bundle, Fetch(), ("auxiliary", "weights"))
    source = bundle.folder / "upstream" / sources.upstream[0].file
    download_module.download(
        f"{server}/sat/archive/{commit}.tar.gz",
        source,
        sha256=None,
        size=None,
        headers={},
        progress=lambda *_: None,
    )
    bundle.note(
        {f"upstream/{source.name}": {"sha256": hashlib.sha256(source.read_bytes()).hexdigest()}}
    )
    for weights, inside in (
        (Weights(kind="published"), {"a.pth", "text/tower.bin"}),
        (Weights(kind="random", size="small"), {"text/tower.bin"}),
    ):
        with build_context(root / "dockerfiles/m.Dockerfile", bundle, weights) as folder:
            assert (folder / "parts/upstream/sat/model/net.py").read_text() == "net\n"
            assert (folder / "models/m/adapter.py").exists()
            files = {
                str(path.relative_to(folder / "parts/weights"))
                for path in (folder / "parts/weights").rglob("*")
                if path.is_file()
            }
            assert files == inside

    # a bundle on another disk is copied; a full disk is a host error, whichever copy fails
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a")

    for function in ("copy", "copytree"):
        with monkeypatch.context() as patch:
            patch.setattr(os, "link", full)
            patch.setattr(shutil, function, full)
            with (
                pytest.raises(
                    HostError,
                    match=r"could not be written in .*: No space left on device\. Free some",
                ),
                build_context(root / "dockerfiles/m.Dockerfile", bundle, Weights(kind="published")),
            ):
                pass
    (bundle.weights / "a.pth").write_bytes(b"short")
    with (
        pytest.raises(ModelFilesError, match="was changed"),
        build_context(root / "dockerfiles/m.Dockerfile", bundle, Weights(kind="published")),
    ):
        pass
    with source.open("r+b") as file:
        file.truncate(60)
    bundle.note(
        {f"upstream/{source.name}": {"sha256": hashlib.sha256(source.read_bytes()).hexdigest()}}
    )
    with (
        pytest.raises(ModelFilesError, match="cannot be unpacked"),
        build_context(root / "dockerfiles/m.Dockerfile", bundle, Weights(kind="published")),
    ):
        pass


def test_an_image_can_be_read_by_any_user_whatever_the_umask(tmp_path):
    """Under umask 077, only root could read the weights in an image that never runs as root."""
    context, packed = tmp_path / "context", {}

    class Engine:
        def build(self, *, fileobj, dockerfile, **_):
            with tarfile.open(fileobj=fileobj) as archive:
                packed.update({member.name: (member.mode, member.uid) for member in archive})
                assert archive.extractfile(dockerfile).read() == b"FROM scratch"
            return []

        def get(self, reference):
            return SimpleNamespace(id=reference)

    before = os.umask(0o077)
    try:
        (context / "parts/weights").mkdir(parents=True)
        (context / "parts/weights/a.pth").write_bytes(b"weights")
        (context / "Dockerfile").write_bytes(b"FROM scratch")
        (context / "run").touch(0o700)
    finally:
        os.umask(before)
    engine = Engine()
    info = {"MemTotal": 2**33}
    client = BuildClient(SimpleNamespace(api=engine, images=engine, info=lambda: info))
    assert client.build(context, "Dockerfile", "m:1", what="m") == "m:1"
    assert packed == {
        "Dockerfile": (0o644, 0), "run": (0o755, 0), "parts": (0o755, 0),
        "parts/weights": (0o755, 0), "parts/weights/a.pth": (0o644, 0),
    }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["context"]


def test_a_full_disk_during_pip_is_a_host_error(tmp_path, monkeypatch):
    lock, pip = tmp_path / "requirements.lock", tmp_path / "python"
    lock.write_text(f"monai==1.6.1 --hash=sha256:{SHA}\n")
    monkeypatch.setattr(sys, "executable", str(pip))
    for output, error, message in (
        (
            "OSError: [Errno 28] No space left on device: 'a' -> 'b'",
            HostError,
            "^no space left while pip worked in .*run again",
        ),
        (
            "ERROR: No matching distribution",
            ModelFilesError,
            "could not be collected .*\n.*No matching distribution",
        ),
    ):
        pip.write_text(f'#!/bin/sh\necho "{output}"\nexit 1\n')
        pip.chmod(0o755)
        with pytest.raises(error, match=message):
            collect_wheels(lock, (), ImagePlatform(flavour="cpu"), tmp_path)


def test_everything_that_a_bundle_lacks_is_named_before_anything_is_built(
    tmp_path, server, monkeypatch
):
    from types import SimpleNamespace

    from evaluator.errors import ModelFilesError
    from evaluator.zoo import image_builder
    from evaluator.zoo.image_builder import ImageBuildConfig, _require_bundle
    from evaluator.zoo.weights import Weights

    bundle = make_bundle(tmp_path, make_sources(weights_entry(server)))
    monkeypatch.setattr(image_builder, "open_bundle", lambda *_: bundle)
    order = ImageBuildConfig(weights=Weights(kind="published"), bundle=bundle.root)
    model, builder = SimpleNamespace(name="m"), SimpleNamespace(find=lambda _: None)
    with pytest.raises(ModelFilesError) as raised:
        _require_bundle(model, "FROM umd/base\n", order, builder)
    assert "base image umd/base" in str(raised.value)
    assert "weights/a.pth" in str(raised.value)
    fetch(bundle, Fetch())
    _require_bundle(model, "FROM umd/base\n", order, SimpleNamespace(find=lambda _: "sha256:0"))
