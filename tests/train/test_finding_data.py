"""Where data comes from that nobody names: the working directory, the user's cache, a server."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import ssl
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch")

from cases import SYSTEMS

from train.base.errors import DatasetError
from train.cli.network_command import main
from train.datasets import MODULES, find_dataset
from train.datasets.cache import main as cache
from train.datasets.command import main as prepare
from train.datasets.dataset import DataSet
from train.datasets.locations import cache_folder, find_folder
from train.nets.contract import find_system
from train.run_folder.fold_split import choose_data
from train.run_folder.run_options import make_parser

pytestmark = pytest.mark.train

QUICK = ["--epochs", "1", "--max-clips", "4", "--threads", "1", "--accelerator", "cpu"]


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A working directory with nothing in it, and a cache with nothing in it."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[tuple[Path, str]]:
    """The folder of a server on this machine whose certificate is trusted, and its address."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl, which makes the certificate")
    folder, certificate = tmp_path / "served", tmp_path / "certificate.pem"
    folder.mkdir()
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    command += f" -addext subjectAltName=DNS:localhost -keyout {certificate}.key -out {certificate}"
    subprocess.run(command.split(), check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("localhost", 0), handler) as httpd:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, f"{certificate}.key")
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield folder, f"https://localhost:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def serve(folder: Path, content: Path) -> None:
    """Put a folder into ``master.zip``, below a top folder as GitHub does."""
    with zipfile.ZipFile(folder / "master.zip", "w") as archive:
        for path in content.rglob("*"):
            archive.write(path, Path("ESC-50-master") / path.relative_to(content))


@pytest.mark.parametrize(
    ("network", "needs", "way"),
    [
        ("envnet", "ESC-50, environmental sounds", "--download fetches it (600 MB, CC BY-NC 3.0)"),
        ("pocket", "ESC-50, environmental sounds", "--download fetches it (600 MB, CC BY-NC 3.0)"),
        ("digits", "Free Spoken Digit Dataset", "--download fetches it (16 MB, CC BY-SA 4.0)"),
        ("melcnn", "UrbanSound8K", "get it from https://urbansounddataset.weebly.com/"),
        ("cough", "COUGHVID", "get it from https://zenodo.org/records/7024894"),
    ],
)
def test_a_network_alone_says_in_two_lines_what_it_needs(here, capsys, network, needs, way):
    assert main(network, []) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"error: {network} needs {needs}")
    assert str(cache_folder()) in first
    assert second.startswith(way)
    assert "--data" in second
    assert ("your own sounds" in second) == (network != "cough")
    assert not list(here.iterdir())


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_each_network_has_a_data_set_of_its_own_that_fits(system):
    dataset = find_dataset(system.dataset)
    assert dataset.places
    assert dataset.task == system.task
    shown = make_parser(system).format_help()
    assert f"({dataset.name}, looked for here" in " ".join(shown.split())


@pytest.mark.parametrize("place", ["ESC-50", "ESC-50-master", "esc50", ".", "CACHE"])
def test_a_network_takes_its_data_set_where_it_is_found(here, make_esc, capsys, place):
    made = make_esc()
    folder = cache_folder() / "ESC-50" if place == "CACHE" else here / place
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(made, folder, dirs_exist_ok=True)
    assert main("pocket", [*QUICK, "--save", "run"]) == 0
    said = capsys.readouterr().err
    assert f"pocket takes ESC-50, environmental sounds, from {folder.resolve()}\n" in said
    config = json.loads((here / "run" / "config.json").read_text())
    assert config["data"]["folder"] == str(folder.resolve())


def test_what_is_here_comes_before_what_is_in_the_cache(here, make_esc):
    made = make_esc()
    esc50 = find_dataset("esc50")
    assert find_folder(esc50) is None
    shutil.copytree(made, cache_folder() / "ESC-50")
    assert find_folder(esc50) == cache_folder() / "ESC-50"
    (here / "ESC-50").mkdir()
    assert find_folder(esc50) == cache_folder() / "ESC-50"
    shutil.copytree(made, here / "esc50")
    assert find_folder(esc50) == Path("esc50")


def test_a_run_goes_on_with_the_data_it_was_begun_with(here, make_esc, capsys):
    """Also where another folder would be found first."""
    data = make_esc()
    assert main("pocket", ["--data", str(data), *QUICK, "--save", "run"]) == 0
    shutil.copytree(make_esc(folder="another", per_class=1), here / "ESC-50")
    assert main("pocket", ["--resume", "--save", "run"]) == 0
    config = json.loads((here / "run" / "config.json").read_text())
    assert config["data"]["folder"] == str(data)
    assert "takes ESC-50" not in capsys.readouterr().err


def choose(*arguments: str, network: str = "envnet") -> Path:
    system_type = find_system(network)
    return choose_data(system_type, make_parser(system_type).parse_args(arguments))


def test_download_fetches_a_data_set_into_the_cache_once(
    here, make_esc, server, monkeypatch, capsys
):
    folder, address = server
    serve(folder, make_esc())
    monkeypatch.setattr("train.datasets.esc.URL", f"{address}/master.zip")
    assert main("pocket", ["--download", *QUICK, "--save", "run"]) == 0
    assert f"from {cache_folder() / 'ESC-50'}\n" in capsys.readouterr().err
    (folder / "master.zip").unlink()
    assert choose("--download") == cache_folder() / "ESC-50"
    assert sorted(path.name for path in here.iterdir()) == ["run"]
    # Whoever has a folder in mind names it; it is filled where it is missing or empty alone.
    serve(folder, make_esc(folder="again"))
    for name in ("new", "empty"):
        (here / "empty").mkdir(exist_ok=True)
        assert choose("--download", "--data", name) == Path(name)
        assert (here / name / "meta" / "esc50.csv").is_file()
    before = sorted((here / "new").iterdir())
    (folder / "master.zip").unlink()
    assert choose("--download", "--data", "new") == Path("new")
    assert sorted((here / "new").iterdir()) == before


def test_a_download_that_fails_leaves_nothing(here, server, monkeypatch):
    folder, address = server
    monkeypatch.setattr("train.datasets.esc.URL", f"{address}/master.zip")
    (folder / "master.zip").write_bytes(b"no archive")
    with pytest.raises(DatasetError, match=r"cannot be fetched into .*: File is not a zip"):
        choose("--download")
    with zipfile.ZipFile(folder / "master.zip", "w") as archive:
        archive.writestr("ESC-50-master/meta/esc50.csv", "a" * 1000)
    content = (folder / "master.zip").read_bytes()
    # Its checksum is wrong, which shows when half of it is on the disk.
    (folder / "master.zip").write_bytes(content.replace(b"a" * 1000, b"a" * 999 + b"b"))
    with pytest.raises(DatasetError, match="Bad CRC-32"):
        choose("--download")
    assert not list(cache_folder().iterdir())


@pytest.mark.parametrize("network", ["melcnn", "wavemxnet", "cough"])
def test_download_says_where_to_get_what_no_program_fetches(here, network):
    url = find_dataset(find_system(network).dataset).url
    with pytest.raises(DatasetError, match=f"--download: .* is not fetched from here; see {url}"):
        choose("--download", network=network)


def test_the_commands_of_data_sets_find_them_too(here, make_esc, capsys):
    assert prepare("esc", []) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "needs ESC-50" in first
    assert "DIR names its folder" in second
    shutil.copytree(make_esc(), here / "ESC-50")
    assert prepare("esc", []) == 0
    said = capsys.readouterr()
    assert "esc50: 18 clips" in said.out
    assert f"from {here / 'ESC-50'}" in said.err
    assert prepare("folder", ["--validate"]) == 1
    assert "DIR names its folder" in capsys.readouterr().err


def test_the_cache_is_listed_and_deleted_by_name(here, make_esc, capsys):
    assert cache([]) == 0
    assert "no data sets and no prepared clips" in capsys.readouterr().out
    data = make_esc()
    assert prepare("esc", [str(data)]) == 0
    assert f"prepared in {cache_folder()}" in capsys.readouterr().out
    shutil.copytree(data, cache_folder() / "ESC-50")
    (cache_folder() / ".prepared-esc50-8000-abc.partial").mkdir()
    (cache_folder() / "precious").mkdir()
    (prepared,) = cache_folder().glob("prepared-*")
    assert cache([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{cache_folder()}: 2 MB; --delete NAME")
    assert [line.split()[0] for line in lines[1:]] == [
        ".prepared-esc50-8000-abc.partial", "ESC-50", prepared.name,
    ]  # fmt: skip
    assert lines[3].endswith(f"1 MB  18 clips of {data}")
    assert cache(["--delete", prepared.name, "precious"]) == 2
    assert "'precious' is not in" in capsys.readouterr().err
    assert prepared.is_dir()
    assert cache(["--delete", prepared.name]) == 0
    assert not prepared.exists()
    assert cache(["--delete", "all"]) == 0
    assert [path.name for path in cache_folder().iterdir()] == ["precious"]
    assert data.is_dir()


@pytest.mark.parametrize("name", MODULES)
def test_no_two_kinds_of_data_share_a_place(name):
    """What is found under a name is fetched under it, and deleted by it."""

    def kind(dataset: DataSet) -> type:
        return type(dataset)

    own = find_dataset(name)
    for other in map(find_dataset, MODULES):
        if kind(other) is not kind(own):
            assert not set(own.places) & set(other.places)
            assert not any(place.startswith("prepared-") for place in own.places)
