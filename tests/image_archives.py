"""Small archives of images, as ``docker save`` writes them, for tests; no engine is needed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path


def tar_bytes(entries: list[tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """A tar file of entries without or with content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for entry in entries:
            info, content = entry if isinstance(entry, tuple) else (entry, b"")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def file(name: str, content: bytes = b"", **attributes) -> tuple[tarfile.TarInfo, bytes]:
    """A regular file, or with ``type`` another entry."""
    info = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


LABELS = {
    "umd.contract": "1",
    "umd.name": "team",
    "umd.title": "Team",
    "umd.inputs": "CT | PT",
    "umd.prompts": "point",
    "umd.rounds": "many",
    "umd.session": "stdio",
}


def image(
    layers: list[bytes] | None = None,
    *,
    layout: str = "legacy",
    packed: bool = False,
    body: dict | None = None,
    **config,
) -> dict[str, bytes]:
    """The files of an archive with one image.

    Args:
        layers: unpacked layers.
        layout: "legacy" (Docker before 25), "oci" (index.json alone) or "both" (Docker from 25 on).
        packed: layers are compressed by gzip.
        body: replaces values of the configuration.
        config: replaces values of its part ``config``.
    """
    layers = (
        [tar_bytes([file("bin/model", b"#!/bin/sh\n", mode=0o755)])] if layers is None else layers
    )
    settings = {"User": "1000", "Entrypoint": ["/bin/model"], "Labels": LABELS} | config
    configuration = {
        "architecture": "amd64",
        "os": "linux",
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha(layer)}" for layer in layers]},
    } | (body or {})
    raw = json.dumps(configuration).encode()
    blobs = [gzip.compress(layer, mtime=0) if packed else layer for layer in layers]
    if layout == "legacy":
        names = [f"{number:064x}/layer.tar" for number, _ in enumerate(blobs)]
        files = {f"{sha(raw)}.json": raw, **dict(zip(names, blobs, strict=True))}
        entry = {"Config": f"{sha(raw)}.json", "RepoTags": ["team/model:1"], "Layers": names}
        return files | {"manifest.json": json.dumps([entry]).encode()}
    files = {f"blobs/sha256/{sha(blob)}": blob for blob in [raw, *blobs]}
    manifest = {
        "schemaVersion": 2,
        "config": {"digest": f"sha256:{sha(raw)}"},
        "layers": [{"digest": f"sha256:{sha(blob)}"} for blob in blobs],
    }
    content = json.dumps(manifest).encode()
    files[f"blobs/sha256/{sha(content)}"] = content
    index = {"schemaVersion": 2, "manifests": [{"digest": f"sha256:{sha(content)}"}]}
    files |= {"index.json": json.dumps(index).encode(), "oci-layout": b'{"a": 1}'}
    if layout == "both":
        names = [f"blobs/sha256/{sha(blob)}" for blob in blobs]
        entry = {"Config": f"blobs/sha256/{sha(raw)}", "RepoTags": None, "Layers": names}
        files["manifest.json"] = json.dumps([entry]).encode()
    return files


def archive_bytes(files: dict[str, bytes]) -> bytes:
    """The archive with these files."""
    return tar_bytes([file(name, content) for name, content in files.items()])


def write_archive(path: Path, files: dict[str, bytes]) -> Path:
    path.write_bytes(archive_bytes(files))
    return path
