"""An archive in an object store: the same results as from a disk, whatever the store does."""

import io
import json
import random
import re
import sys
import tempfile
from dataclasses import replace

import object_store
import pyarrow.parquet as pq
import pytest
import soundfile
from test_archive_runs import melody, write_archive

from streamclf.archive import places, run_item
from streamclf.archive.hearing import Hearing
from streamclf.archive.manifest import read_manifest
from streamclf.archive.place import Patience
from streamclf.archive.run_item import Runner
from streamclf.core.settings import Settings
from streamclf.core.thresholds import ThresholdOptions
from streamclf.model.options import ModelOptions

QUICK = Patience(tries=8, first_s=0.001, limit_s=0.01, timeout_s=30.0)
SOUTH = "s3://field/2026/south"
OPTIONS = ("--shard", "1/1", "--model")


@pytest.fixture(scope="module")
def store():
    with object_store.serve_store() as served, pytest.MonkeyPatch.context() as patch:
        object_store.use_store(patch, served)
        patch.setattr(places, "Patience", lambda: QUICK)
        patch.setattr(run_item, "OUTAGE_S", 0.0)
        for bucket in ("field", "results"):
            object_store.make_bucket(bucket)
        yield served


@pytest.fixture(scope="module")
def archive(store, tmp_path_factory):
    """A folder, and the same in the store."""
    folder = write_archive(tmp_path_factory.mktemp("archive"))
    soundfile.write(folder / "south/20260603_040000.ogg", melody(8), 8000)
    object_store.upload(folder, "s3://field/2026")
    return folder


def objects() -> dict[str, bytes]:
    """All results in the store."""
    import s3fs

    there = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    return {name: there.cat_file(name) for name in there.find("results")}


def tables(files: dict[str, bytes]) -> dict[str, list[dict]]:
    """Rows of each table without the hash of the run, which stands for the plan as well."""
    found: dict[str, list[dict]] = {}
    for name, data in sorted(files.items()):
        if name.endswith(".parquet") and not name.startswith(("manifest", "pieces")):
            rows = pq.read_table(io.BytesIO(data)).to_pylist()
            kept = [{key: row[key] for key in row if key != "run"} for row in rows]
            found.setdefault(name.split("/")[0], []).extend(kept)
    return found


def test_a_faulty_store_gives_the_results_of_a_disk(
    streamclf, store, archive, tone_model, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    assert streamclf("archive", "plan", archive, "-o", out, "--item-minutes", 1).code == 0
    assert streamclf("archive", "run", out, *OPTIONS, tone_model).code == 1
    here = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*.parquet")}
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    chance = random.Random(1)
    store.forget()
    said = []
    with store.failing(
        lambda request: chance.choice(["500", "cut"]) if chance.random() < 0.25 else ""
    ):
        for command in (
            ("plan", "s3://field/2026/", "--out", "s3://results/run1/", "--item-minutes", 1),
            ("run", "s3://results/run1/", *OPTIONS, tone_model),
            ("status", "s3://results/run1/"),
            ("check", "s3://results/run1", "--sample", 2),
        ):
            done = streamclf("archive", *command)
            said.append(done)
            assert done.code == (1 if command[0] == "run" else 0), done
    there = {name.removeprefix("results/run1/"): data for name, data in objects().items()}
    assert tables(there) == tables(here)
    assert said[1].out.startswith("s3://results/run1: 0:03:45 h = heard 0:03:40 h + gaps 0:00:05")
    assert "2 of 2 items heard again, the same bytes" in said[3].out
    assert list(temporary.iterdir()) == []  # of the Ogg file a copy was made
    assert json.loads(there["manifest/plan.json"])["root"] == "s3://field/2026"
    for secret in (object_store.SECRET, object_store.KEY):
        assert not [name for name, data in there.items() if secret.encode() in data]
        assert not [done for done in said if secret in done.out + done.err]


def test_a_store_that_stays_down_ends_a_run_with_one_line(
    streamclf, store, archive, tone_model, monkeypatch
):
    streamclf("archive", "plan", "s3://field/2026", "-o", "s3://results/down")
    with store.failing(lambda request: "500" if "/field/" in request["PATH_INFO"] else ""):
        done = streamclf("archive", "run", "s3://results/down", *OPTIONS, tone_model)
    assert done.code == 1
    assert re.search(r": cannot be looked for, 8 tries in \d+ s: ", done.err)
    assert done.out == ""
    assert not [name for name in objects() if "down/events" in name]
    again = streamclf("archive", "run", "s3://results/down", *OPTIONS, tone_model)
    assert "s3://results/down: 0:03:45 h = heard 0:03:40 h + gaps 0:00:05 h" in again.out


def test_a_run_waits_for_a_store_that_answered_before(
    streamclf, store, archive, tone_model, monkeypatch
):
    monkeypatch.setattr(run_item, "OUTAGE_S", 600.0)
    assert streamclf("archive", "plan", SOUTH, "-o", "s3://results/out").code == 0
    n_left = 0

    def fault(request):
        """Be down for 30 requests from the first result on, longer than the usual tries."""
        nonlocal n_left
        if request["REQUEST_METHOD"] == "PUT" and "/out/heard/" in request["PATH_INFO"]:
            n_left = n_left or 30
        if n_left > 1:
            n_left -= 1
            return "500"
        return ""

    with store.failing(fault):
        done = streamclf("archive", "run", "s3://results/out", *OPTIONS, tone_model)
    assert "s3://results/out: 0:00:38 h = heard 0:00:33 h + gaps 0:00:05 h" in done.out
    lines = [line for line in done.err.splitlines() if "again" in line]
    assert len(lines) == 2
    assert "cannot be written for " in lines[0]
    assert "it is asked again for up to 10 minutes" in lines[0]
    assert lines[1] == "streamclf: s3://results/out: answers again"


def test_an_interrupt_ends_the_wait_for_a_store(store, archive, tone_model, monkeypatch, streamclf):
    monkeypatch.setattr(run_item, "OUTAGE_S", 600.0)
    patience = replace(QUICK, limit_s=300.0)
    assert streamclf("archive", "plan", SOUTH, "-o", "s3://results/wait").code == 0
    hearing = Hearing(ModelOptions(str(tone_model), n_threads=1), Settings(), ThresholdOptions())
    runner = Runner("s3://results/wait", hearing, patience=patience)
    item = read_manifest(runner.results).item(0)
    said = []
    monkeypatch.setattr("streamclf.core.log.say", lambda line: (said.append(line), runner.stop()))
    with store.failing(lambda request: "500" if "/results/wait" in request["PATH_INFO"] else ""):
        assert runner.run_item(item).outcome == "stopped"
    runner.close()
    assert len(said) == 1


def test_credentials_that_end_in_the_middle_are_one_line(
    streamclf, store, archive, tone_model, monkeypatch
):
    assert streamclf("archive", "plan", SOUTH, "-o", "s3://results/ends").code == 0
    answer, n_put = store.answer, 0
    reason = b"<Message>The provided token has expired.</Message>"
    ended = b"<Error><Code>ExpiredToken</Code>" + reason + b"</Error>"

    def refuse(app, request, start):
        nonlocal n_put
        n_put += request["REQUEST_METHOD"] == "PUT" and "/ends/events/" in request["PATH_INFO"]
        if n_put < 2:
            return answer(app, request, start)
        start("400 Bad Request", [("Content-Type", "application/xml")])
        return [ended]

    run = ("archive", "run", "s3://results/ends", *OPTIONS, tone_model)
    with monkeypatch.context() as patched:
        patched.setattr(store, "answer", refuse)
        done = streamclf(*run)
    assert done.code == 1
    last = done.err.splitlines()[-1]
    assert "cannot be written: not allowed (The provided token has expired.)" in last
    again = streamclf(*run)
    assert "s3://results/ends: 0:00:38 h = heard 0:00:33 h + gaps 0:00:05 h" in again.out


def test_keys_that_are_refused_are_one_line(streamclf, store, archive):
    refused = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    with store.refusing(refused):
        done = streamclf("archive", "plan", "s3://field/2026", "-o", "s3://results/refused")
    assert done.code == 1
    assert done.err.startswith("streamclf: error: s3://results/refused/manifest/plan.json: cannot")
    assert "not allowed" in done.err
    assert done.err.count("\n") == 1


def test_a_missing_package_is_one_line(streamclf, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    done = streamclf("archive", "plan", "gs://nobody/x", "-o", tmp_path / "out")
    said = "gs://nobody/x: Please install gcsfs to access Google Storage"
    assert (done.code, done.err) == (2, f"streamclf: error: {said}\n")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    done = streamclf("archive", "plan", "s3://nobody/x", "-o", tmp_path / "out")
    said = "s3://nobody/x: needs fsspec: pip install 'streamclf[archive]', and the package of the"
    assert (done.code, done.err) == (2, f"streamclf: error: {said} store\n")
