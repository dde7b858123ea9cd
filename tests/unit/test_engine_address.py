"""The engine that is asked is the one that the user chose; a wrong choice is refused."""

from __future__ import annotations

import gc
import hashlib
import json
import warnings
from types import SimpleNamespace

import pytest

from evaluator.containers.engines.address import USUAL_SOCKET, docker_address
from evaluator.containers.engines.docker import DockerEngine
from evaluator.containers.engines.docker_connection import CALL_SECONDS
from evaluator.errors import EngineUnavailableError
from evaluator.zoo.docker_client import COPY_SECONDS, BuildClient


def make_context(folder, name, body=None):
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    body = body or {"Name": name, "Endpoints": {"docker": {"Host": f"unix:///{name}.sock"}}}
    (meta / "meta.json").write_text(json.dumps(body))


def test_docker_host_comes_first_then_the_context_then_the_usual_socket(tmp_path):
    config = {"DOCKER_CONFIG": str(tmp_path)}
    make_context(tmp_path, "lab")
    assert docker_address(config).url == USUAL_SOCKET
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "lab"}))
    assert docker_address(config).url == "unix:///lab.sock"
    assert "'lab'" in docker_address(config).origin
    make_context(tmp_path, "other")
    chosen = config | {"DOCKER_CONTEXT": "other"}
    assert docker_address(chosen).url == "unix:///other.sock"
    assert docker_address(config | {"DOCKER_CONTEXT": "default"}).url == USUAL_SOCKET
    both = chosen | {"DOCKER_HOST": "tcp://lab:2375"}
    assert docker_address(both).url == "tcp://lab:2375"


def test_a_context_needs_no_config_json(tmp_path):
    make_context(tmp_path, "lab")
    address = docker_address({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "lab"})
    assert address.url == "unix:///lab.sock"


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("nosuch", None, "there is no Docker context 'nosuch'.*lab"),
        ("broken", {"Name": "broken"}, "'broken' cannot be read"),
        ("broken", {"Name": "broken", "Endpoints": []}, "'broken' cannot be read"),
    ],
)
def test_a_wrong_context_is_refused(tmp_path, name, body, message):
    make_context(tmp_path, "lab")
    if body:
        make_context(tmp_path, name, body)
    with pytest.raises(EngineUnavailableError, match=message):
        docker_address({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": name})


def test_a_broken_config_json_and_missing_certificates_are_refused(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(EngineUnavailableError, match=r"config\.json cannot be read"):
        docker_address({"DOCKER_CONFIG": str(tmp_path)})
    with pytest.raises(EngineUnavailableError, match=r"lacks one of cert\.pem"):
        docker_address(
            {"DOCKER_HOST": "tcp://x", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
        )


def test_an_engine_that_does_not_answer_leaves_no_socket_open(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with pytest.raises(EngineUnavailableError, match=r"answers at unix:.*none\.sock"):
            DockerEngine.connect()
        gc.collect()
    assert [warning for warning in found if issubclass(warning.category, ResourceWarning)] == []


def test_a_saved_image_may_take_long_until_its_first_byte(tmp_path):
    """Docker packs the whole image before it sends a byte; other calls keep their limit."""
    waited = []
    api = SimpleNamespace(timeout=CALL_SECONDS)

    def save(named):
        waited.append((named, api.timeout))
        yield b"image"

    images = SimpleNamespace(get=lambda _: SimpleNamespace(save=save))
    BuildClient(SimpleNamespace(api=api, images=images)).save("team:1", tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_bytes() == b"image"
    assert waited == [("team:1", COPY_SECONDS)]
    assert api.timeout == CALL_SECONDS < COPY_SECONDS
