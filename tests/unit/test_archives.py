"""An image's archive is inspected without being run, in little memory, whatever it holds."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import random
import tarfile
import tracemalloc

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.challenges.archives import ArchiveLimits, inspect_archive
from evaluator.cli.challenge import challenge
from evaluator.errors import UserError
from tests.image_archives import LABELS, archive_bytes, file, image, sha, tar_bytes, write_archive


def inspect(tmp_path, content, **settings):
    path = tmp_path / "image.tar"
    path.write_bytes(content if isinstance(content, bytes) else archive_bytes(content))
    limits = ArchiveLimits(**settings.pop("limits", {}))
    return inspect_archive(path, limits, **settings)


@pytest.mark.parametrize("layout", ["legacy", "oci", "both"])
@pytest.mark.parametrize("packed", [False, True])
def test_an_honest_image_is_accepted_and_described(tmp_path, layout, packed):
    files = image(layout=layout, packed=packed)
    report = inspect(tmp_path, files)
    assert report.problems == ()
    (described,) = report.images
    config = next(body for body in files.values() if b"rootfs" in body)
    assert described.config.digest == f"sha256:{sha(config)}"
    assert (described.config.architecture, described.os) == ("amd64", "linux")
    assert described.config.entrypoint == ("/bin/model",)
    assert (described.contract, described.layers, described.entries) == ("1", 1, 1)
    assert described.unpacked_bytes == report.unpacked_bytes == 10240
    assert report.sha256 == sha(archive_bytes(files))


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_compressed_archive_is_read(tmp_path, pack):
    content = pack(archive_bytes(image()))
    report = inspect(tmp_path, content)
    assert report.accepted
    assert report.sha256 == sha(content)


def test_layers_that_lead_to_an_equal_one_are_read(tmp_path):
    """Docker before 25 writes an equal layer once, and a link in the place of the second."""
    layer = tar_bytes([file("a", b"a")])
    files = image([layer, layer])
    second = f"{1:064x}/layer.tar"
    del files[second]
    link = file(second, type=tarfile.SYMTYPE, linkname=f"../{0:064x}/layer.tar")
    content = tar_bytes([*(file(name, body) for name, body in files.items()), link])
    assert inspect(tmp_path, content).accepted


LAYER_TRICKS = {
    "whose path leaves": [file("../../etc/passwd", b"x")],
    "goes through a symbolic link": [
        file("a", type=tarfile.SYMTYPE, linkname="/etc"),
        file("a/passwd", b"x"),
    ],
    "hard links to a place outside": [file("b", type=tarfile.LNKTYPE, linkname="../../etc/shadow")],
    "device files of a kind": [file("dev/sda", type=tarfile.BLKTYPE, devmajor=8, devminor=0)],
    "whiteouts": [file("a/.wh...")],
    "of a kind that tar files": [file("x", type=b"Z")],
}


@pytest.mark.parametrize("sentence", LAYER_TRICKS)
def test_tricks_of_layers_are_problems(tmp_path, sentence):
    report = inspect(tmp_path, image([tar_bytes(LAYER_TRICKS[sentence])]))
    assert len(report.problems) == 1
    assert sentence in report.problems[0]


def test_what_is_usual_or_harmless_is_told(tmp_path):
    layer = tar_bytes(
        [
            file("/opt/x", b"x"),
            file("bin/su", b"x", mode=0o4755),
            file("dev/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
            file("tmp/.wh.old"),
            file("run/p", type=tarfile.FIFOTYPE),
            file("l", type=tarfile.SYMTYPE, linkname="../../x"),
        ]
    )
    report = inspect(
        tmp_path,
        image([layer], User="", Volumes={"/data": {}}, Env=["LD_PRELOAD=/x.so", "PATH=/bin"]),
    )
    assert report.accepted
    text = " ".join(report.notes)
    for words in (
        "absolute path",
        "setuid",
        "device files that most images have",
        "whiteouts",
        "named pipes",
        "more '..'",
        "names root",
        "volumes (/data)",
        "LD_PRELOAD",
    ):
        assert words in text, words


def with_member(*entries):
    """An honest archive with further members."""
    honest = [file(name, content) for name, content in image().items()]
    return tar_bytes([*honest, *entries])


ARCHIVE_TRICKS = {
    "a path that leaves": with_member(file("../../x", b"x")),
    "a path that leaves its": with_member(file("/etc/cron.d/x", b"x")),
    "a link that leaves": with_member(file("l", type=tarfile.SYMTYPE, linkname="../../etc/passwd")),
    "a link that leaves its": with_member(file("l", type=tarfile.LNKTYPE, linkname="/etc/passwd")),
    "something that is no file": with_member(file("d", type=tarfile.CHRTYPE)),
    "two files of the name": with_member(file("./manifest.json", b"[]")),
}


@pytest.mark.parametrize("sentence", ARCHIVE_TRICKS)
def test_tricks_of_the_archive_are_problems(tmp_path, sentence):
    report = inspect(tmp_path, ARCHIVE_TRICKS[sentence])
    assert [problem for problem in report.problems if sentence in problem]


def changed(name, change, **settings):
    """The honest archive with one JSON document changed."""
    files = image(**settings)
    (found,) = [key for key in files if name in key]
    body = json.loads(files[found])
    files[found] = json.dumps(change(body)).encode()
    return files


def changed_bytes(change):
    """The honest archive with another text of manifest.json."""
    files = image()
    text = change(files["manifest.json"].decode())
    return files | {"manifest.json": text if isinstance(text, bytes) else text.encode()}


def two_images():
    files = image()
    entry = json.loads(files["manifest.json"])[0]
    return files | {"manifest.json": json.dumps([entry, entry]).encode()}


def other_index():
    """manifest.json names an honest image and index.json another one."""
    honest, bad = image(layout="both"), image(layout="oci", Entrypoint=["/bin/evil"])
    return honest | bad


def equal_keys():
    files = image()
    entry = files["manifest.json"].decode()
    return files | {"manifest.json": entry.replace("[{", '[{"config": "x",', 1).encode()}


LIES = {
    "is not the one that the configuration names": lambda: (
        image() | {f"{0:064x}/layer.tar": tar_bytes([file("evil")])}
    ),
    "name different images": other_index,
    "holds 2 images": two_images,
    "differ in case only": equal_keys,
    "is missing": lambda: {k: v for k, v in image().items() if "layer" not in k},
    "does not name as many layers": lambda: image(body={"rootfs": {}}),
    "for the system 'windows'": lambda: image(body={"os": "windows"}),
    "--platform linux/amd64": lambda: image(body={"architecture": "arm64"}),
    "has no manifest.json": lambda: {"readme": b"x"},
    "contract 'alien' is not known": lambda: image(Labels={"umd.contract": "alien"}),
    "labels of the image cannot be used": lambda: image(Labels=LABELS | {"umd.memory": "much"}),
    "is not a JSON object": lambda: image(Labels=["umd.contract=1"]),
    "is not a list": lambda: image(Entrypoint="sh -c true"),
    "'utf-8' codec can't decode": lambda: changed_bytes(
        lambda body: body.replace("[{", '[{"é": 1, ').encode("latin-1")
    ),
    "as JSON: Expecting value": lambda: changed_bytes(lambda body: body.encode("utf-16-le")),
    "NaN is no number": lambda: changed_bytes(lambda body: body.replace("[{", '[{"x": NaN, ')),
    "which is no place for one": lambda: image(Volumes={"/input/requests": {}}),
    "the volume '/a,size=99g'": lambda: image(Volumes={"/a,size=99g": {}, "/data": {}}),
    "declares 17 volumes": lambda: image(Volumes={f"/v{number}": {} for number in range(17)}),
    "holds a NUL": lambda: image(Entrypoint=["/bin/\0sh"]),
    "cannot be read as JSON": lambda: image() | {"manifest.json": b"[" * 10**5},
}


@pytest.mark.parametrize("sentence", LIES)
def test_lies_about_the_image_are_problems(tmp_path, sentence):
    report = inspect(tmp_path, LIES[sentence]())
    assert [problem for problem in report.problems if sentence in problem], report.problems


@pytest.mark.parametrize("layout", ["legacy", "oci"])
def test_a_configuration_other_than_its_digest_is_a_problem(tmp_path, layout):
    files = image(layout=layout)
    (name,) = [key for key, body in files.items() if b"rootfs" in body]
    files[name] = files[name].replace(b"/bin/model", b"/bin/devil")
    report = inspect(tmp_path, files)
    assert [problem for problem in report.problems if "is not what its name says" in problem]


def test_a_second_submission_of_an_image_is_a_problem(tmp_path):
    first = inspect(tmp_path, image())
    digest = first.images[0].config.digest
    # another archive of the same image: other compression, same configuration
    report = inspect(tmp_path, gzip.compress(archive_bytes(image())), earlier={digest: "s-0007"})
    assert report.problems == ("This image was handed in before, as s-0007.",)


def test_the_contract_of_the_track_counts(tmp_path):
    report = inspect(tmp_path, image(), contract="cvpr25")
    assert report.accepted
    assert "Its label names contract '1', not cvpr25." in report.notes
    assert inspect(tmp_path, image(Labels={}), contract="cvpr25").accepted
    assert "no label umd.contract" in " ".join(inspect(tmp_path, image(Labels={})).notes)


def bomb(mebibytes: int) -> bytes:
    """A gzip file of a tar file of zeros."""
    info = tarfile.TarInfo("zeros")
    info.size = mebibytes * 2**20
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed:
        packed.write(info.tobuf())
        for _ in range(mebibytes):
            packed.write(bytes(2**20))
        packed.write(bytes(1024))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def zeros():
    return bomb(300)


def test_a_bomb_is_refused_and_takes_little_memory(tmp_path, zeros):
    files = image() | {f"{0:064x}/layer.tar": zeros}
    tracemalloc.start()
    report = inspect(tmp_path, files)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "more than 100 times as much" in report.problems[0]
    assert peak < 32 * 2**20
    report = inspect(
        tmp_path, gzip.compress(archive_bytes(files)), limits={"unpacked_bytes": 2**24}
    )
    assert report.problems == ("The archive unpacks to more than 0.015625 GiB.",)
    assert report.sha256 == ""


def test_bombs_of_entries_headers_sparse_files_and_packings_are_refused(tmp_path):
    many = tar_bytes([file(f"f{number}") for number in range(500)])
    report = inspect(tmp_path, image([many]), limits={"entries": 400})
    assert report.problems == ("The layers have more than 400 entries.",)

    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 10 * 2**30
    long = header.tobuf(tarfile.GNU_FORMAT) + bytes(10240)
    report = inspect(tmp_path, image([long]))
    assert "header of an entry is too long" in report.problems[0]

    sparse = tarfile.TarInfo("hole")
    raw = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
    raw[156:157] = tarfile.GNUTYPE_SPARSE
    raw[386:410] = b"00000000000\0" * 2
    raw[483:495] = b"77777777777\0"  # 8 GiB that are not there
    raw[148:156] = b" " * 8
    raw[148:155] = b"%06o\0" % sum(raw)
    report = inspect(tmp_path, image([bytes(raw) + bytes(1024)]))
    assert "more than 100 times as much" in report.problems[0]

    twice = image(packed=True)
    (name,) = [key for key in twice if "layer" in key]
    report = inspect(tmp_path, twice | {name: gzip.compress(twice[name])})
    assert "is compressed twice" in report.problems[0]
    report = inspect(tmp_path, twice | {name: b"\x28\xb5\x2f\xfd" + bytes(100)})
    assert "compressed with zstd" in report.problems[0]
    report = inspect(tmp_path, twice | {name: gzip.compress(b"") * 100_001})
    assert "compressed parts" in report.problems[0]


def test_a_file_that_is_cut_short_is_named(tmp_path):
    content = archive_bytes(image())
    for end in (len(content) // 2, 700, 513, 100):
        assert inspect(tmp_path, content[:end]).problems[0].startswith("The archive")
    packed = gzip.compress(content)
    assert "cut short" in inspect(tmp_path, packed[:-20]).problems[0]
    layer = image(packed=True)
    (name,) = [key for key in layer if "layer" in key]
    assert "cut short" in inspect(tmp_path, layer | {name: layer[name][:-12]}).problems[0]
    assert not inspect(tmp_path, b"").accepted


def test_limits_of_size_and_time(tmp_path):
    assert "allowed" in inspect(tmp_path, image(), limits={"packed_bytes": 10}).problems[0]
    assert "was not read within" in inspect(tmp_path, image(), limits={"seconds": 0.0}).problems[0]
    with pytest.raises(UserError, match="No such file"):
        inspect_archive(tmp_path / "none.tar")
    with pytest.raises(UserError, match="is not a file"):
        inspect_archive(tmp_path)


BASES = [archive_bytes(image(layout="legacy")), archive_bytes(image(layout="both", packed=True))]
BASES.append(gzip.compress(BASES[0]))


@settings(max_examples=150)
@given(base=st.integers(0, 2), seed=st.integers(0, 2**32), count=st.integers(1, 30))
def test_no_damage_raises_anything(tmp_path_factory, base, seed, count):
    """Random bytes, cuts, swaps of blocks and fixed header sums: a report, never an error."""
    chance, content = random.Random(seed), bytearray(BASES[base])
    for _ in range(count):
        place = chance.randrange(len(content))
        kind = chance.randrange(5)
        if kind == 0:
            content[place] = chance.randrange(256)
        elif kind == 1:
            block = 512 * (place // 512)
            field = chance.choice([(0, 100), (100, 8), (124, 12), (156, 1), (157, 100), (345, 40)])
            for offset in range(block + field[0], min(block + sum(field), len(content))):
                content[offset] = chance.choice(b"./\x00\x8007777xgLKS\xff")
            fix_sum(content, block)
        elif kind == 2:
            del content[place : place + chance.randrange(2000)]
        elif kind == 3:
            block = 512 * (place // 512)
            content[block:block] = content[: 512 * chance.randrange(4)]
        else:
            content[place : place + 4] = chance.choice([b'{"a"', b"null", b"[[[[", b"1e99"])
        if not content:
            break
    path = tmp_path_factory.getbasetemp() / "mutated.tar"
    path.write_bytes(content)
    report = inspect_archive(path, ArchiveLimits(seconds=20))
    assert report.accepted == (not report.problems)
    if report.accepted:
        assert len(report.images) == 1


def fix_sum(content, block):
    """Write the checksum of a header, so that the other fields are looked at."""
    header = bytearray(content[block : block + 512])
    if len(header) == 512:
        header[148:156] = b" " * 8
        content[block + 148 : block + 156] = b"%06o\0 " % sum(header)


def test_the_command_prints_a_report(tmp_path):
    path = write_archive(tmp_path / "a.tar", image(User=""))
    result = CliRunner().invoke(challenge, ["inspect", str(path)])
    assert result.exit_code == 0, result.output
    assert "platform  linux/amd64" in result.output
    assert result.output.endswith("accepted\n")
    path = write_archive(tmp_path / "b.tar", image(body={"os": "\x1b[31mplan9"}))
    result = CliRunner().invoke(challenge, ["inspect", str(path), "--json"])
    assert result.exit_code == 1
    body = json.loads(result.output)
    assert not body["accepted"]
    assert body["images"][0]["os"] == "plan9"
