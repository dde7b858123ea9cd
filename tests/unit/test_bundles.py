"""A bundle is fetched whole and of the right hashes, or not at all; and what broke off goes on."""

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

from evaluator.errors import HostError, ModelPartsError, UserError
from evaluator.zoo import download as download_module
from evaluator.zoo.build_context import build_context
from evaluator.zoo.bundles import Bundle, Fetch, fetch
from evaluator.zoo.docker_client import BuildClient
from evaluator.zoo.saved_images import save_base
from evaluator.zoo.sources import Sources
from evaluator.zoo.weights import Weights, check_mounted, choose_weights, unasked_weights
from evaluator.zoo.wheels import ImagePlatform, collect_wheels
from tests.tiny import PAINTER

BODY = bytes(range(256)) * 40_000
SHA = hashlib.sha256(BODY).hexdigest()
REFUSALS = {"gated": 403, "busy": 429}


class Server(BaseHTTPRequestHandler):
    """Gives files with Range and ETag; ``breaks`` is after how many bytes each of the next answers ends."""

    files: ClassVar[dict[str, bytes]] = {}
    breaks: ClassVar[list[int]] = []
    seen: ClassVar[list[tuple[str, dict[str, str]]]] = []
    #: a hub sends to its store
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
        asked, start = self.headers.get("Range"), 0
        if asked and self.ranges and self.headers.get("If-Range") == tag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
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


def sources(*weights, **more):
    return Sources.model_validate(
        {"base": "umd/torch", "code": {"origin": "x", "license": "y"}, "weights": weights} | more
    )


def one(server, **more):
    return {
        "into": "a.pth",
        "url": f"{server}/a",
        "sha256": SHA,
        "license": "MIT",
        "commercial": "yes",
    } | more


def bundle(tmp_path, made):
    return Bundle(
        model="m",
        root=tmp_path / "bundle",
        sources=made,
        image=ImagePlatform(flavour="cpu", machine="x86_64"),
    )


def test_it_fetches_once_and_says_the_licence(tmp_path, server, messages):
    own, seen = bundle(tmp_path, sources(one(server))), []
    fetch(own, Fetch(progress=lambda *told: seen.append(told)))
    assert (own.weights / "a.pth").read_bytes() == BODY
    assert any("MIT (commercial use allowed)" in line for line in messages)
    assert seen[-1] == ("a.pth", len(BODY), len(BODY))
    record = json.loads((own.folder / "bundle.json").read_text())["files"]["weights/a.pth"]
    assert (record["sha256"], record["hash"], record["bytes"]) == (
        SHA,
        "stated in sources.toml",
        len(BODY),
    )
    fetch(own, Fetch())
    assert len(Server.seen) == 1
    assert own.weight_hashes(("weights",)) == own.known_hashes(("weights",)) == {"a.pth": SHA}
    assert sorted(path.name for path in own.weights.iterdir()) == ["a.pth"]


def test_a_connection_that_breaks_is_gone_on_from(tmp_path, server):
    Server.breaks = [3_000_000, 3_000_000]
    own = bundle(tmp_path, sources(one(server)))
    fetch(own, Fetch())
    assert (own.weights / "a.pth").read_bytes() == BODY
    first, *later = [headers.get("Range") for _, headers in Server.seen]
    assert first is None
    assert [int(asked[6:-1]) // 2**20 for asked in later] == [2, 4]  # whole MiB that had come

    # a fetch that was given up, and another that goes on; a server that has no ranges; a file that changed meanwhile
    for again, changed in ((True, False), (False, False), (True, True)):
        other = bundle(tmp_path / f"{again}{changed}", sources(one(server, sha256="unverified")))
        Server.breaks, Server.ranges, Server.files["/a"] = [1_500_000] * 4, again, BODY
        with pytest.raises(ModelPartsError, match="run again, it goes on from there"):
            fetch(other, Fetch())
        Server.files["/a"], Server.breaks = BODY[::-1] if changed else BODY, []
        fetch(other, Fetch())
        assert (other.weights / "a.pth").read_bytes() == Server.files["/a"]


def test_a_fetch_that_was_stopped_after_the_last_byte_costs_none(tmp_path, server):
    own = bundle(tmp_path, sources(one(server)))
    part = own.weights / "a.pth.part"
    for there, requests in ((BODY, 1), (BODY + b"too much", 2)):
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(there)
        part.with_name("a.pth.part.version").write_text(f'"{SHA[:8]}"')
        Server.seen = []
        fetch(own, Fetch())
        assert (own.weights / "a.pth").read_bytes() == BODY
        assert len(Server.seen) == requests
        (own.weights / "a.pth").unlink()


def test_two_that_fetch_at_once_wait_for_each_other(tmp_path, server, messages):
    own = bundle(tmp_path, sources(one(server, sha256="unverified")))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: fetch(own, Fetch()), range(2)))
    assert len(Server.seen) == 1
    assert own.weight_hashes(("weights",)) == {"a.pth": SHA}


def test_a_base_image_is_of_its_own_machine(tmp_path):
    with pytest.raises(ModelPartsError, match="--no-base"):
        save_base(tmp_path, "torch", ImagePlatform(flavour="cpu", machine="pdp11"), None)


def test_a_wrong_hash_is_refused_and_what_was_there_stays(tmp_path, server):
    own = bundle(tmp_path, sources(one(server)))
    fetch(own, Fetch())
    other = bundle(tmp_path, sources(one(server, sha256="0" * 64)))
    with pytest.raises(ModelPartsError, match=f"has sha256 {SHA}; expected was 0000"):
        fetch(other, Fetch())
    assert (own.weights / "a.pth").read_bytes() == BODY
    assert sorted(path.name for path in own.weights.iterdir()) == ["a.pth"]
    with pytest.raises(ModelPartsError, match="of another version"):
        other.weight_hashes(("weights",))


def test_an_unstated_hash_is_trusted_once_and_loudly(tmp_path, server, messages):
    own = bundle(tmp_path, sources(one(server, sha256="unverified")))
    assert own.known_hashes(("weights",)) == {"a.pth": ""}
    fetch(own, Fetch())
    assert any(line.startswith("UNVERIFIED") and SHA in line for line in messages)
    assert json.loads((own.folder / "bundle.json").read_text())["files"]["weights/a.pth"][
        "hash"
    ].startswith("UNVERIFIED")
    (own.weights / "a.pth").unlink()
    Server.files["/a"] = BODY + b"changed"
    with pytest.raises(ModelPartsError, match="was discarded"):
        fetch(own, Fetch())


def test_what_main_stood_for_is_recorded(tmp_path, server, monkeypatch, messages):
    monkeypatch.setenv("HF_ENDPOINT", server)
    monkeypatch.setattr(Server, "moved", {"/w/r/resolve/main/f": "/a"})
    hub = one(server, hub="w/r", revision="main", path="f", sha256="unverified")
    hub.pop("url")
    own = bundle(tmp_path, sources(hub))
    fetch(own, Fetch())
    assert own.record()["weights/a.pth"]["commit"] == "0123abc"
    assert any(f"has {SHA}, at the hub's commit 0123abc" in line for line in messages)


def test_restricted_parts_must_be_accepted_before_anything_comes(tmp_path, server, messages):
    own = bundle(
        tmp_path,
        sources(
            one(server, license="CC-BY-NC-4.0", commercial="no"),
            one(server, into="b", license="?", commercial="not stated"),
        ),
    )
    with pytest.raises(
        ModelPartsError, match=r"--accept-licence \? --accept-licence CC-BY-NC-4\.0"
    ):
        fetch(own, Fetch())
    assert Server.seen == []
    assert any("NON-COMMERCIAL" in line for line in messages)
    fetch(own, Fetch(accepted=frozenset({"CC-BY-NC-4.0", "?"})))
    assert sorted(path.name for path in own.weights.iterdir()) == ["a.pth", "b"]
    fetch(
        bundle(tmp_path / "other", own.sources), Fetch(), ("packages", "upstream", "auxiliary")
    )  # random weights need no licence


def test_a_file_put_there_by_hand_is_taken_after_a_look(tmp_path, server, messages):
    own = bundle(tmp_path, sources(one(server)))
    own.weights.mkdir(parents=True)
    (own.weights / "a.pth").write_bytes(BODY[1:])
    with pytest.raises(ModelPartsError, match="put here by hand and has sha256"):
        fetch(own, Fetch())
    (own.weights / "a.pth").write_bytes(BODY)
    fetch(own, Fetch())
    assert Server.seen == []
    assert own.weight_hashes(("weights",)) == {"a.pth": SHA}
    assert (
        json.loads((own.folder / "bundle.json").read_text())["files"]["weights/a.pth"]["from"]
        == "put here by hand"
    )
    other = bundle(tmp_path / "other", sources(one(server, sha256="unverified")))
    other.weights.mkdir(parents=True)
    (other.weights / "a.pth").write_bytes(BODY)
    fetch(other, Fetch())
    assert any(line.startswith("UNVERIFIED") for line in messages)


def test_refusals_say_what_to_do(tmp_path, server, monkeypatch):
    with pytest.raises(ModelPartsError, match="HF_TOKEN"):
        fetch(bundle(tmp_path, sources(one(server, url=f"{server}/gated"))), Fetch())
    with pytest.raises(ModelPartsError, match="answered 404"):
        fetch(bundle(tmp_path, sources(one(server, url=f"{server}/gone"))), Fetch())
    with pytest.raises(ModelPartsError, match="429, too many requests"):
        fetch(bundle(tmp_path, sources(one(server, url=f"{server}/busy"))), Fetch())
    # with no hash known it would be trusted, and be found out when the image loads it
    Server.files["/login"] = b"<html>Who are you?</html>"
    own = bundle(tmp_path, sources(one(server, url=f"{server}/login", sha256="unverified")))
    with pytest.raises(ModelPartsError, match="a web page came instead of the file"):
        fetch(own, Fetch())
    assert own.record() == {}
    assert list(own.weights.iterdir()) == []
    monkeypatch.setenv("HF_TOKEN", "secret\n")
    monkeypatch.setenv("HF_ENDPOINT", server)
    Server.files["/w/r/resolve/main/f"] = BODY
    hub = one(server, hub="w/r", revision="main", path="f")
    hub.pop("url")
    fetch(
        bundle(tmp_path, sources(hub, one(server.replace("127.0.0.1", "localhost"), into="b"))),
        Fetch(),
    )
    monkeypatch.setenv("HF_TOKEN", "sec\nret")
    with pytest.raises(
        ModelPartsError, match=r"cannot be asked \(InvalidHeader\); see HF_ENDPOINT, HF_TOKEN"
    ) as refused:
        fetch(bundle(tmp_path / "token", sources(hub)), Fetch())
    assert "sec" not in str(refused.value)
    monkeypatch.setenv("HF_ENDPOINT", "hub.local")
    with pytest.raises(
        ModelPartsError, match=r"^hub\.local/w/r/resolve/main/f cannot be asked \(MissingSchema\)"
    ):
        fetch(bundle(tmp_path / "endpoint", sources(hub)), Fetch())
    tokens = {path: headers.get("Authorization") for path, headers in Server.seen}
    assert tokens["/w/r/resolve/main/f"] == "Bearer secret"
    assert tokens["/a"] is None


def test_a_full_disk_is_the_hosts_fault_and_costs_nothing(tmp_path, server, monkeypatch):
    own = bundle(tmp_path, sources(one(server, bytes=2**60)))
    with pytest.raises(HostError, match="MB free"):
        fetch(own, Fetch())
    assert Server.seen == []
    # nearly no model states a size: the server does, and what does not fit is not begun; what is there already counts
    free = len(BODY) - 1
    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    own = bundle(tmp_path, sources(one(server)))
    with pytest.raises(HostError, match="MB free"):
        fetch(own, Fetch())
    assert (own.weights / "a.pth.part").stat().st_size == 0
    (own.weights / "a.pth.part").write_bytes(BODY[:5])
    fetch(own, Fetch())
    assert (own.weights / "a.pth").read_bytes() == BODY
    monkeypatch.undo()
    # a limit on file sizes stands for a disk that fills up on the way
    code = (
        "import resource, sys, pathlib\nfrom evaluator.zoo.download import download\nfrom evaluator.errors import HostError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, resource.RLIM_INFINITY))\n"
        f"try: download('{server}/a', pathlib.Path(r'{tmp_path}/full/a'), sha256=None, size=None, headers={{}}, progress=lambda *_: None)\n"
        "except HostError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "run again, it goes on from there" in done.stdout, done.stderr
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


def zipped(how=zipfile.ZIP_STORED, **files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def test_archives_are_unpacked_and_watched(tmp_path, server):
    Server.files["/a"] = zipped(Dataset1__fold_0__w="weights", plans="{}")
    own = bundle(tmp_path, sources(one(server, into="nets", unpack=True, sha256="unverified")))
    fetch(own, Fetch())
    assert (own.weights / "nets/Dataset1/fold_0/w").read_text() == "weights"
    assert not (own.folder / "archives/nets.zip").exists()
    fetch(own, Fetch())
    assert len(Server.seen) == 1
    assert check_mounted(own.weights, "m", own.sources) == own.weight_hashes(("weights",))
    (own.weights / "nets/plans").write_text("tampered")
    with pytest.raises(ModelPartsError, match="not as it was unpacked"):
        own.weight_hashes(("weights",))
    fetch(own, Fetch())
    assert (own.weights / "nets/plans").read_text() == "{}"
    damaged = bytearray(zipped(w="weights" * 1000, how=zipfile.ZIP_DEFLATED))
    damaged[40:60] = bytes(20)
    damaged = bytes(damaged)
    for number, (body, said) in enumerate(
        {
            zipped(**{"..__evil": "x"}): "leave its folder",
            b"PK not": "no zip archive that can be unpacked",
            damaged: "no zip archive that can be unpacked",
        }.items()
    ):
        Server.files["/a"] = body
        with pytest.raises(ModelPartsError, match=said):
            fetch(bundle(tmp_path / str(number), own.sources), Fetch())
        assert not (tmp_path / "evil").exists()


def test_mounted_weights_are_the_published_ones(tmp_path, server, messages):
    made = sources(one(server))
    folder = tmp_path / "weights"
    folder.mkdir()
    with pytest.raises(ModelPartsError, match=r"does not hold a\.pth.*umd models fetch m"):
        check_mounted(folder, "m", made)
    (folder / "a.pth").write_bytes(BODY)
    assert check_mounted(folder, "m", made) == {"a.pth": SHA}
    (folder / "a.pth").write_bytes(BODY[1:])
    with pytest.raises(ModelPartsError, match="Other weights are another model"):
        check_mounted(folder, "m", made)
    check_mounted(folder, "m", sources(one(server, sha256="unverified")))
    assert messages[0].startswith("UNVERIFIED")


def test_the_choice_of_weights(tmp_path):
    made = sources(one("http://x"))
    assert choose_weights("published", "m", made) == Weights(kind="published")
    assert (
        choose_weights("published", "m", sources())
        == choose_weights("published", "m", None)
        == Weights(kind="none")
    )
    assert choose_weights("random", "m", made).label == "random:small"
    assert choose_weights("random:full", "m", made).labels["umd.weights"] == "random:full"
    assert choose_weights(str(tmp_path), "m", made).folder == tmp_path
    for text, who in (("random:huge", made), ("/no/such/folder", made), ("random", sources())):
        with pytest.raises(UserError, match="weights"):
            choose_weights(text, "m", who)


def test_weights_that_each_user_brings(tmp_path):
    own = Sources(
        base="umd/base", code={"origin": "x", "license": "y"}, brought="a folder of plans"
    )
    with pytest.raises(UserError, match=r"--weights DIR, with a folder of plans"):
        choose_weights("published", "m", own)
    assert choose_weights("random", "m", own).label == "random:small"
    assert unasked_weights(own) == Weights(kind="mounted")
    assert unasked_weights(sources()) == Weights(kind="none")
    folder = tmp_path / "mine"
    (folder / "CT").mkdir(parents=True)
    with pytest.raises(ModelPartsError, match="must hold a folder of plans"):
        check_mounted(folder, "m", own)
    (folder / "CT/plans.json").write_text("{}")
    first = check_mounted(folder, "m", own)
    assert list(first) == ["CT/plans.json"]
    (folder / "CT/plans.json").write_text("[]")
    assert check_mounted(folder, "m", own) != first
    with pytest.raises(ValueError, match="not both"):
        Sources(
            **(own.model_dump() | {"weights": sources(one("http://x")).model_dump()["weights"]})
        )


def test_the_build_context_holds_what_the_bundle_brings(tmp_path, server, project, monkeypatch):
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
    made = sources(one(server), upstream=[upstream], auxiliary=[one(server, into="text/tower.bin")])
    own = bundle(tmp_path, made)
    fetch(own, Fetch(), ("auxiliary", "weights"))
    source = own.folder / "upstream" / made.upstream[0].file
    download_module.download(
        f"{server}/sat/archive/{commit}.tar.gz",
        source,
        sha256=None,
        size=None,
        headers={},
        progress=lambda *_: None,
    )
    own.note(
        {f"upstream/{source.name}": {"sha256": hashlib.sha256(source.read_bytes()).hexdigest()}}
    )
    for weights, inside in (
        (Weights(kind="published"), {"a.pth", "text/tower.bin"}),
        (Weights(kind="random", size="small"), {"text/tower.bin"}),
    ):
        with build_context(root / "dockerfiles/m.Dockerfile", own, weights) as folder:
            assert (folder / "parts/upstream/sat/model/net.py").read_text() == "net\n"
            assert (folder / "models/m/adapter.py").exists()
            files = {
                str(path.relative_to(folder / "parts/weights"))
                for path in (folder / "parts/weights").rglob("*")
                if path.is_file()
            }
            assert files == inside

    # a bundle on another disk is copied; a disk that is full is the host's fault, whatever was copied when it was
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a")

    for function in ("copy", "copytree"):
        with monkeypatch.context() as patch:
            patch.setattr(os, "link", full)
            patch.setattr(shutil, function, full)
            with (
                pytest.raises(
                    HostError,
                    match=r"could not be laid out in .*: No space left on device\. Free some",
                ),
                build_context(root / "dockerfiles/m.Dockerfile", own, Weights(kind="published")),
            ):
                pass
    (own.weights / "a.pth").write_bytes(b"short")
    with (
        pytest.raises(ModelPartsError, match="was changed"),
        build_context(root / "dockerfiles/m.Dockerfile", own, Weights(kind="published")),
    ):
        pass
    with source.open("r+b") as file:
        file.truncate(60)
    own.note(
        {f"upstream/{source.name}": {"sha256": hashlib.sha256(source.read_bytes()).hexdigest()}}
    )
    with (
        pytest.raises(ModelPartsError, match="cannot be unpacked"),
        build_context(root / "dockerfiles/m.Dockerfile", own, Weights(kind="published")),
    ):
        pass


def test_an_image_can_be_read_by_any_user_whatever_the_umask(tmp_path):
    """Under umask 077 weights came as root's alone into an image that never runs as root."""
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
    client = BuildClient(SimpleNamespace(api=engine, images=engine))
    assert client.build(context, "Dockerfile", "m:1", what="m") == "m:1"
    assert packed == {
        "Dockerfile": (0o644, 0), "run": (0o755, 0), "parts": (0o755, 0), "parts/weights": (0o755, 0),
        "parts/weights/a.pth": (0o644, 0),
    }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["context"]


def test_a_full_disk_under_pip_is_told_as_that(tmp_path, monkeypatch):
    lock, pip = tmp_path / "requirements.lock", tmp_path / "python"
    lock.write_text(f"monai==1.6.1 --hash=sha256:{SHA}\n")
    monkeypatch.setattr(sys, "executable", str(pip))
    for said, kind, told in (
        (
            "OSError: [Errno 28] No space left on device: 'a' -> 'b'",
            HostError,
            "^no space left while pip worked in .*run again",
        ),
        (
            "ERROR: No matching distribution",
            ModelPartsError,
            "could not be collected .*\n.*No matching distribution",
        ),
    ):
        pip.write_text(f'#!/bin/sh\necho "{said}"\nexit 1\n')
        pip.chmod(0o755)
        with pytest.raises(kind, match=told):
            collect_wheels(lock, (), ImagePlatform(flavour="cpu"), tmp_path)
