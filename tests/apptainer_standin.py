"""A program with the command line of apptainer, over bubblewrap. It is not apptainer.

No package of apptainer is at hand where the evaluator is tested. This program accepts the options
that the evaluator uses, refuses any other one, and gives a container the same view: a read-only
root, no network, the bound folders, a clean environment. A SIF file is a JSON file here that names
an unpacked tree beside it. ``write_program`` puts it on a search path as ``apptainer``.

    python tests/apptainer_standin.py build --force x.sif docker-archive:image.tar
    python tests/apptainer_standin.py run --containall ... x.sif ARGUMENTS
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "apptainer version 0.0-standin-over-bubblewrap"


def write_program(folder: Path) -> Path:
    """Write the program ``apptainer`` into a folder; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "apptainer"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} "$@"\n')
    path.chmod(0o755)
    return path


def fail(message: str) -> None:
    """End as apptainer does."""
    print(f"FATAL:   {message}", file=sys.stderr)
    raise SystemExit(255)


class Parser(argparse.ArgumentParser):
    """Unknown options end the program, as with apptainer."""

    def error(self, message):
        print(f"Error for command: {message}", file=sys.stderr)
        raise SystemExit(1)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = Parser(prog="apptainer", allow_abbrev=False)
    commands = parser.add_subparsers(dest="action", required=True)
    build = commands.add_parser("build", allow_abbrev=False)
    build.add_argument("--force", action="store_true")
    build.add_argument("sif", type=Path)
    build.add_argument("source")
    for name in ("run", "exec"):
        action = commands.add_parser(name, allow_abbrev=False)
        for flag in ("containall", "net", "no-home", "no-privs", "writable-tmpfs", "nv"):
            action.add_argument(f"--{flag}", action="store_true")
        for option in ("network", "home", "workdir", "pwd", "memory", "pids-limit", "cpus"):
            action.add_argument(f"--{option}")
        for option in ("bind", "mount", "env"):
            action.add_argument(f"--{option}", action="append", default=[])
        action.add_argument("sif", type=Path)
        action.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser.parse_args(arguments)


def build(sif: Path, source: str, *, force: bool) -> None:
    """Unpack the only image of a docker archive."""
    kind, _, name = source.partition(":")
    if kind != "docker-archive":
        fail(f"unable to build from {source}: the stand-in reads docker-archive only")
    if sif.exists() and not force:
        fail(f"build target {sif} already exists")
    tree = Path(tempfile.mkdtemp(prefix="tree-", dir=sif.parent))
    with tarfile.open(name) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))
        if len(manifest) != 1:
            fail(f"{name} holds {len(manifest)} images")
        config = json.load(archive.extractfile(manifest[0]["Config"]))["config"]
        for layer in manifest[0]["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(layer)) as files:
                unpack(files, tree)
    tree.chmod(0o755)
    sif.write_text(json.dumps({"tree": str(tree), "config": config}))


def unpack(layer: tarfile.TarFile, tree: Path) -> None:
    """Lay a layer over a tree; names that start with .wh. remove what is below."""
    for member in layer:
        path = Path(member.name)
        if path.name.startswith(".wh."):
            gone = tree / path.parent / path.name.removeprefix(".wh.")
            if gone.is_dir() and not gone.is_symlink():
                shutil.rmtree(gone)
            else:
                gone.unlink(missing_ok=True)
            continue
        target = tree / path
        if target.is_symlink() or (target.exists() and not member.isdir()):
            target.unlink()
        layer.extract(member, tree, filter="tar")


def binds(options: argparse.Namespace) -> list[tuple[str, str, bool]]:
    """Bound folders: source, target, whether it is read-only."""
    folders = []
    for text in options.bind:
        source, target, *mode = text.split(":")
        folders.append((source, target, mode == ["ro"]))
    for text in options.mount:
        (row,) = csv.reader([text])
        values = dict(part.partition("=")[::2] for part in row)
        if values.get("type") != "bind":
            fail(f"mount {text} is not a bind")
        folders.append((values["source"], values["destination"], "ro" in values))
    return folders


def run(options: argparse.Namespace) -> None:
    """Take the place of this process with bubblewrap's."""
    image = json.loads(options.sif.read_text())
    tree, config = Path(image["tree"]), image["config"]
    if not (options.containall and options.no_home and options.network == "none" and options.net):
        fail("the stand-in has --containall --no-home --net --network none only")
    if options.memory or options.pids_limit or options.cpus:
        fail("cannot use cgroups - system not supported")
    if options.writable_tmpfs:
        copy = Path(options.workdir) / "root"
        shutil.copytree(tree, copy, symlinks=True)
        tree = copy
    work = Path(options.workdir)
    folders = [(str(work / "tmp"), "/tmp", False), (str(work / "var_tmp"), "/var/tmp", False)]
    argv = ["bwrap", "--unshare-all", "--cap-drop", "ALL", "--die-with-parent"]
    argv += ["--bind" if options.writable_tmpfs else "--ro-bind", str(tree), "/"]
    argv += ["--dev", "/dev", "--proc", "/proc"]
    for name in ("dev", "proc"):
        (tree / name).mkdir(exist_ok=True)
    for source, target, read_only in [*folders, *binds(options)]:
        if not Path(source).is_dir():
            fail(f"mount source {source} doesn't exist")
        (tree / target.lstrip("/")).mkdir(parents=True, exist_ok=True)
        argv += ["--ro-bind" if read_only else "--bind", source, target]
    environment = dict(text.partition("=")[::2] for text in config.get("Env") or [])
    environment |= {"APPTAINER_CONTAINER": str(options.sif), "APPTAINER_NAME": options.sif.name}
    environment |= dict(text.partition("=")[::2] for text in options.env)
    environment["HOME"] = options.home
    argv += ["--chdir", options.pwd, "--clearenv"]
    for name, value in environment.items():
        argv += ["--setenv", name, value]
    program = options.arguments
    if options.action == "run":
        program = [
            *(config.get("Entrypoint") or []),
            *(options.arguments or config.get("Cmd") or []),
        ]
    os.execvp("bwrap", [*argv, "--", *program])  # noqa: S606


def main(arguments: list[str]) -> None:
    """Run the command."""
    if arguments == ["--version"]:
        print(VERSION)
        return
    options = parse(arguments)
    if options.action == "build":
        build(options.sif, options.source, force=options.force)
    else:
        run(options)


if __name__ == "__main__":
    main(sys.argv[1:])
