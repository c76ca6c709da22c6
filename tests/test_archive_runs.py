"""Runs over an archive: each item once, by the names of its results, whatever happens."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import object_store
import prepared
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import toys
from stored import rows as stored_rows

from streamclf.archive.account import RunAccount, round_together
from streamclf.archive.manifest import read_manifest
from streamclf.archive.places import open_place
from streamclf.archive.run_item import Hearing, ItemReport, Runner, find_open_items
from streamclf.archive.shard import Shard
from streamclf.archive.tables import LEVELS, METADATA_KEY
from streamclf.core.card import Stem
from streamclf.core.errors import UsageError
from streamclf.core.settings import Settings
from streamclf.core.thresholds import ThresholdOptions
from streamclf.model.options import ModelOptions

TONES = list(toys.TONES.values())


def melody(seconds: float, rate: int = toys.RATE) -> np.ndarray:
    """Tones of some seconds, with pauses between them."""
    parts = [toys.silence(2, rate)]
    while sum(map(len, parts)) < seconds * rate:
        parts += [toys.tone(TONES[len(parts) % 3], 3, rate), toys.silence(2, rate)]
    return np.concatenate(parts)[: round(seconds * rate)]


def write_archive(folder: Path) -> Path:
    """Write recordings of two sites: short ones, a long one, one at another rate, one cut short."""
    for name, seconds, rate in [
        ("north/20260601_040000.wav", 20, 8000),
        ("north/20260601_040100.flac", 25, 8000),
        ("north/20260602_000000.wav", 130, 8000),
        ("south/a.wav", 10, 16_000),
        ("south/b.wav", 10, 8000),
        ("c.mp3", 12, 16_000),
    ]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, melody(seconds, rate), rate)
    cut = folder / "south/cut.wav"
    cut.write_bytes((folder / "south/b.wav").read_bytes()[:80_000])
    (folder / "south/empty.wav").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_archive(tmp_path_factory.mktemp("archive"))


def plan(streamclf, archive, out, minutes=1, *more):
    done = streamclf("archive", "plan", archive, "-o", out, "--item-minutes", minutes, *more)
    assert done.code == 0
    return out


def run_of(out, model, *options):
    return ("archive", "run", out, "--model", model, "--shard", "1/1", *options)


def result_files(out: Path) -> dict[str, bytes]:
    """All files of results by their names, without the manifest."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.relative_to(out).parts[0] not in ("manifest", "pieces")
    }


def rows(out: Path, table: str) -> list[dict]:
    """Rows of a table, over all items and runs."""
    files = sorted((out / table).rglob("*.parquet"))
    found = [row for path in files for row in pq.read_table(path).to_pylist()]
    return sorted(found, key=lambda row: (row["source"], row.get("onset", 0), str(row)))


@pytest.fixture(scope="module")
def expected(archive, tone_model, tmp_path_factory):
    """The results of one run in one process."""
    from streamclf.cli import main

    out = tmp_path_factory.mktemp("expected")
    assert main.run(["archive", "plan", str(archive), "-o", str(out), "--item-minutes", "1"]) == 0
    assert main.run([str(each) for each in run_of(out, tone_model)]) == 1
    return out


def copy_of_plan(expected: Path, out: Path) -> Path:
    """The same plan without results."""
    shutil.copytree(expected / "manifest", out / "manifest")
    return out


def test_a_run_hears_what_file_hears(streamclf, archive, expected, tone_model):
    events = rows(expected, "events")
    heard = streamclf("file", archive, "--model", tone_model, "--format", "jsonl").lines
    told = sorted(
        (os.path.relpath(line["source"], archive), line["onset"], line["offset"], line["label"],
         line["id"])
        for line in heard
        if line["type"] == "event"
    )  # fmt: skip
    assert told == sorted(
        (row["source"], row["onset"], row["offset"], row["label"], row["id"]) for row in events
    )
    assert len(told) > 30
    scores = {(line["source"], line["id"]): line["score"] for line in heard if "score" in line}
    for row in events:
        path = f"{archive}/{row['source']}"
        assert scores[path, row["id"]] == pytest.approx(row["score"], abs=1e-4)
    states = {row["source"]: row["state"] for row in rows(expected, "heard")}
    assert states["south/cut.wav"] == "part"
    assert set(states.values()) == {"whole", "part"}
    assert len(states) == 7


def test_a_second_run_hears_nothing_and_tells_the_account(streamclf, expected, tone_model):
    before = {path: path.stat().st_mtime_ns for path in expected.rglob("*")}
    again = streamclf(*run_of(expected, tone_model))
    assert again.code == 0
    assert again.err == ""
    assert again.out.startswith(f"{expected}: 0:03:37 h = heard 0:03:32 h + gaps 0:00:05 h + ")
    assert again.out.endswith(" in 7 recordings; 2 recordings failed\n")
    assert {path: path.stat().st_mtime_ns for path in expected.rglob("*")} == before


def test_shares_write_the_same_bytes(streamclf, expected, tone_model, tmp_path):
    out = copy_of_plan(expected, tmp_path)
    for share in ("2/3", "3/3", "1/3"):
        done = streamclf("archive", "run", out, "--model", tone_model, "--shard", share)
        left = "of 6 items left, for other shares of the run or for the next one"
        assert (left in done.err) == (share != "1/3")
    assert done.out.startswith(f"{out}: 0:03:37 h = heard")
    assert result_files(out) == result_files(expected)


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3"])
def test_shares_that_make_no_sense_are_told(text):
    with pytest.raises(UsageError, match=r"--shard .*: must be I/N, from 1/N to N/N, such as"):
        Shard.parse(text)


def test_a_killed_run_goes_on(expected, tone_model, tmp_path):
    out = copy_of_plan(expected, tmp_path)
    for _ in range(3):
        n_before = len(list(out.glob("*/*/*/*/*.parquet")))
        with prepared.begin(
            *run_of(out, tone_model), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as run:
            object_store.until(
                lambda n=n_before: (
                    len(list(out.glob("*/*/*/*/*.parquet"))) > n or run.poll() is not None
                )
            )
            run.kill()
    for path in out.glob("events/*/*/*/*.parquet"):
        pq.read_table(path)  # whole, if it is there
    done = prepared.run(*run_of(out, tone_model), capture_output=True, text=True)
    assert "0:03:37 h = heard 0:03:32 h + gaps 0:00:05 h" in done.stdout
    files = {name: data for name, data in result_files(out).items() if not name.endswith(".part")}
    assert files == result_files(expected)


def test_results_do_not_depend_on_the_time_zone(
    streamclf, expected, tone_model, tmp_path, monkeypatch
):
    out = copy_of_plan(expected, tmp_path)
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Kathmandu" if time.timezone != -20_700 else "UTC")
        time.tzset()
        try:
            assert streamclf(*run_of(out, tone_model)).code == 1
        finally:
            patch.undo()
            time.tzset()
    assert result_files(out) == result_files(expected)
    (levels,) = out.glob("levels/*/north/2026-06-01/*.parquet")
    assert pq.read_table(levels)["local_time"][0].as_py() == datetime(2026, 6, 1, 4)


def test_two_runs_at_once_write_the_same(expected, tone_model, tmp_path):
    out = copy_of_plan(expected, tmp_path)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with (
        prepared.begin(*run_of(out, tone_model), **streams) as first,
        prepared.begin(*run_of(out, tone_model), **streams) as second,
    ):
        said = [each.communicate(timeout=300) for each in (first, second)]
    assert {first.returncode, second.returncode} <= {0, 1}
    assert all("mistake" not in err for _, err in said)
    assert result_files(out) == result_files(expected)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_at_once_and_it_goes_on(expected, tone_model, tmp_path, number):
    out = copy_of_plan(expected, tmp_path)
    with prepared.begin(
        *run_of(out, tone_model), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        object_store.until(lambda: list(out.glob("*/*/*/*/*.parquet")))
        run.send_signal(number)
        _, said = run.communicate(timeout=120)
    assert run.returncode in (130, 1)  # it may have ended by itself just before
    if run.returncode == 130:
        assert said.endswith("interrupted: what is done stays; the same command goes on\n")
    assert not list(out.rglob("*.part"))
    there = result_files(out)
    assert there.items() <= result_files(expected).items()


def test_other_settings_are_another_run_beside_it(streamclf, expected, tone_model, tmp_path):
    out = shutil.copytree(expected, tmp_path / "out")
    before = result_files(out)
    done = streamclf(*run_of(out, tone_model, "--hop", "1", "--only", "low"))
    assert done.code == 1
    assert before.items() < result_files(out).items()
    told = json.loads(streamclf("archive", "status", out, "--json").out)
    by_hop = {run["settings"]["hop_s"]: run for run in told["runs"]}
    assert set(by_hop) == {0.5, 1.0}
    assert by_hop[1.0]["settings"]["labels"] == ["low"]
    assert by_hop[1.0]["events"] < by_hop[0.5]["events"]
    assert all(run["items_done"] == run["items"] == 6 for run in told["runs"])
    text = streamclf("archive", "status", out).out
    for run in told["runs"]:
        hop = f"{run['settings']['hop_s']:g}"
        assert f"run {run['run']}: tones 1, a window every {hop} s, averaged over 3 s: 6 of" in text
    root = told["plan"]["root"]
    again = "archive", "plan", root, "--out", out, "--item-minutes", 2
    refused = streamclf(*again)
    assert refused.code == 2
    assert f"holds a plan of {root} and 2 runs of it already: run it; " in refused.err
    assert "--overwrite, after which all is heard again" in refused.err
    replaced = streamclf(*again, "--overwrite")
    assert "warning: 2 runs of the plan before stay in" in replaced.err
    text = streamclf("archive", "status", out).out
    assert "\n2 runs of an earlier plan: no longer counted\nno run yet: " in text


def test_status_tells_what_is_heard_missing_and_left(streamclf, expected, tone_model, tmp_path):
    out = copy_of_plan(expected, tmp_path)
    assert f"no run yet: streamclf archive run {out}" in streamclf("archive", "status", out).out
    for shard in ("6/6", "3/6"):  # the second one is a piece of three
        streamclf("archive", "run", out, "--model", tone_model, "--shard", shard)
    assert "1 of 6 items done; 1 piece of long recordings heard, not yet joined\n" in (
        streamclf("archive", "status", out).out
    )
    told = json.loads(streamclf("archive", "status", out, "--json").out)
    (run,) = told["runs"]
    assert (told["plan"]["recordings"], told["plan"]["unopened"]) == (8, 1)
    assert (run["items"], run["items_done"], run["pieces_waiting"]) == (6, 1, 1)
    assert run["planned_s"] == pytest.approx(217, abs=0.2)
    assert run["left_s"] + run["promised_s"] == pytest.approx(run["planned_s"], abs=1e-3)
    whole = json.loads(streamclf("archive", "status", expected, "--json").out)["runs"][0]
    assert whole["left_s"] == 0
    came = whole["heard_s"] + whole["missing_s"] + whole["failed_s"]
    assert came == pytest.approx(whole["promised_s"] + whole["beyond_s"], abs=1e-5)
    assert whole["gaps"]["truncated"]["n_gaps"] == 1
    assert list(whole["failures"]) == ["south/cut.wav"]
    assert whole["unopened"] == {
        "south/empty.wav": "the file is empty (0 bytes): was it copied whole?"
    }
    text = streamclf("archive", "status", expected).out
    assert "1 gap of 0:00:05 h: truncated" in text
    assert "2 failed (1 is cut short; 1 the file is empty)" in text


def test_check_finds_all_in_order_and_hears_a_sample_again(streamclf, expected):
    done = streamclf("archive", "check", expected, "--sample", 20, "--seed", 1)
    assert (done.code, done.err) == (0, "")
    assert "fine: 4 results whole; 0:03:37 h = heard 0:03:32 h" in done.out
    assert done.out.endswith("; 4 of 4 items heard again, the same bytes\n")


def change_scores(path: Path, by: float) -> None:
    """Write a file of events anew, with other scores."""
    table = pq.read_table(path)
    place = table.schema.get_field_index("score")
    scores = pa.array([score + by for score in table["score"].to_pylist()], pa.float32())
    changed = table.set_column(place, "score", scores)
    metadata = pq.read_metadata(path).metadata[METADATA_KEY]
    pq.write_table(changed.replace_schema_metadata({METADATA_KEY: metadata}), path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("missing", "levels/.*/00000001.parquet: is not there, but the item counts as done"),
        ("torn", "events/.*/00000001.parquet: is not whole: "),
        ("moved", r"gaps/.*/00000001.parquet: says that it is item 5 of run \w+, not 1"),
        ("undone", r"1 item of 6 \(0:00:\d\d h\) not heard: streamclf archive run goes on"),
        ("strange", "events/.*/00000099.parquet: belongs to no item of the plan"),
        ("scores", "item 1: events: score of .* is .*, heard again "),
    ],
)
def test_check_finds_what_is_wrong(streamclf, expected, tmp_path, damage, said):
    out = shutil.copytree(expected, tmp_path / "out")
    paths = {path.parts[len(out.parts)]: path for path in out.rglob("00000001.parquet")}
    (other,) = out.glob("gaps/*/*/*/00000005.parquet")
    events = paths["events"]
    if damage == "missing":
        paths["levels"].unlink()
    elif damage == "torn":
        events.write_bytes(events.read_bytes()[:-100])
    elif damage == "moved":
        shutil.copy(other, paths["gaps"])
    elif damage == "undone":
        events.unlink()
    elif damage == "strange":
        shutil.copy(events, events.with_name("00000099.parquet"))
    else:
        change_scores(events, 0.01)
    sample = ("--sample", 20) if damage == "scores" else ()
    done = streamclf("archive", "check", out, *sample)
    assert done.code == 1
    assert re.search(said, done.out)
    assert done.err.startswith(f"streamclf: error: {out}: does not add up: ")


def test_scores_that_differ_by_rounding_are_said_and_no_fault(streamclf, expected, tmp_path):
    out = shutil.copytree(expected, tmp_path / "out")
    (events,) = out.glob("events/*/*/*/00000001.parquet")
    change_scores(events, 1e-6)
    done = streamclf("archive", "check", out, "--sample", 20)
    assert done.code == 0
    assert "item 1: events: the same rows, with values that differ by up to 1" in done.err


def test_check_wants_the_model_of_the_run(streamclf, expected):
    done = streamclf("archive", "check", expected, "--sample", 1, "--model", "pocket")
    assert done.code == 2
    assert "give the model of the run, " in done.err


def hearing(model: Path) -> Hearing:
    return Hearing(ModelOptions(str(model), n_threads=1), Settings(), ThresholdOptions())


def test_an_account_adds_up_as_it_is_written():
    thirds = [Fraction(1, 3)] * 3
    assert sorted(round_together(thirds)) == [0, 0, 1]
    assert round_together([Fraction(37, 5), Fraction(21, 10), Fraction()]) == [8, 2, 0]
    assert round_together([Fraction(33, 5), Fraction(12, 5), Fraction(2, 5)]) == [7, 2, 0]
    heard_s, missing_s = Fraction(37, 5), Fraction(21, 10)
    total = RunAccount(
        "r", {}, 1, n_done=1, promised_s=heard_s + missing_s, heard_s=heard_s, missing_s=missing_s
    )
    assert total.describe().startswith("0:00:10 h = heard 0:00:08 h + gaps 0:00:02 h + failed")


def test_a_worker_with_another_model_leaves_no_run_behind(expected, tone_model, tmp_path):
    out = copy_of_plan(expected, tmp_path)
    Runner(str(out), hearing(tone_model), describes=False).close()
    assert not (out / "runs").exists()
    Runner(str(out), hearing(tone_model)).close()
    assert len(list((out / "runs").iterdir())) == 1


def test_windows_that_share_no_work_are_told_of(expected, tmp_path):
    card = toys.toy_card(stem=Stem("gone", 160, 73, receptive_field=400))
    model = toys.write_tone_detector(tmp_path / "m.onnx", card)
    said = []
    Runner(str(copy_of_plan(expected, tmp_path)), hearing(model), say=said.append).close()
    assert [line for line in said if line.startswith(f"{model}: windows share no work: ")] == said
    assert len(said) == 1


def test_what_is_gone_fails_alone_and_where_all_is_gone_nothing_is_put(
    streamclf, tone_model, tmp_path
):
    archive = write_archive(tmp_path / "archive")
    out = plan(streamclf, archive, tmp_path / "out")
    (archive / "south/a.wav").unlink()
    os.utime(archive / "south/b.wav", ns=(1, 1))
    shutil.rmtree(archive / "north")
    done = streamclf(*run_of(out, tone_model))
    assert done.code == 1
    assert "streamclf: error: south/a.wav: is not there any more\n" in done.err
    assert "streamclf: error: south/b.wav: has changed since the plan: plan anew\n" in done.err
    assert "4 of 6 items could not be read, and are tried again by the next run:\n" in done.err
    assert "4 of 6 items left" in done.err
    states = {row["source"]: row["state"] for row in rows(out, "heard")}
    assert states == {
        "c.mp3": "whole", "south/a.wav": "failed", "south/b.wav": "failed", "south/cut.wav": "part"
    }  # fmt: skip
    told = json.loads(streamclf("archive", "status", out, "--json").out)["runs"][0]
    assert told["failed_s"] == 20.0
    moved = write_archive(tmp_path / "moved")  # with other times, as a copy may have
    (moved / "north/20260601_040000.wav").write_bytes(b"RIFF")
    place = open_place(str(out))
    manifest = read_manifest(place)
    runner = Runner(str(out), hearing(tone_model), archive=str(moved))
    left = find_open_items(place, manifest, runner.run)
    report = runner.run_item(manifest.item(left[0]))
    assert (report.outcome, report.heard_s, report.failed_s) == ("done", 25.0, 20.0)
    assert report.failures == {
        "north/20260601_040000.wav": "has changed since the plan: 4 bytes, planned 320044: "
        "plan anew"
    }


def test_reasons_are_counted_whatever_is_in_a_name():
    failures = {"a: b.wav": "is cut short: at 3 s", "c.wav": "is cut short: at 9 s"}
    assert ItemReport(0, "done", failures=failures).kinds == ["is cut short"] * 2


def test_pieces_that_were_joined_elsewhere_and_removed_are_no_failure(
    expected, tone_model, archive, tmp_path
):
    out = copy_of_plan(expected, tmp_path)
    place = open_place(str(out))
    manifest = read_manifest(place)
    runner = Runner(str(out), hearing(tone_model))
    pieces = [n for n in range(len(manifest)) if manifest.item(n).kind == "piece"]
    *first, last = (manifest.item(number) for number in pieces)
    for item in first:
        assert runner.run_item(item).outcome == "done"
    assert find_open_items(place, manifest, runner.run)[:4] == [0, 1, pieces[-1], 5]
    read, events = runner.results.read, next(expected.glob("events/*/north/2026-06-02/*"))

    def read_when_all_is_done(name: str) -> bytes:
        """Another worker joins the pieces and removes them at the very moment."""
        there = out / events.relative_to(expected)
        there.parent.mkdir(parents=True)
        shutil.copy(events, there)
        raise FileNotFoundError(name)

    runner.results.read = read_when_all_is_done
    assert runner.run_item(last).outcome == "skipped"
    runner.results.read = read
    next(out.glob("events/*/*/*/*")).unlink()
    # All pieces are there and no result: the first piece is open again, and is joined.
    assert find_open_items(place, manifest, runner.run) == [0, 1, pieces[0], 5]
    assert runner.run_item(manifest.item(pieces[0])).n_recordings == 1
    assert result_files(out).items() <= result_files(expected).items()


def test_a_piece_that_is_not_whole_is_heard_again(expected, tone_model, tmp_path):
    out = copy_of_plan(expected, tmp_path)
    manifest = read_manifest(open_place(str(out)))
    runner = Runner(str(out), hearing(tone_model))
    items = [manifest.item(n) for n in range(len(manifest)) if manifest.item(n).kind == "piece"]
    for item in items[:-1]:
        runner.run_item(item)
    torn = next(out.glob("pieces/*/*/0001.parquet"))
    torn.write_bytes(torn.read_bytes()[:-50])
    failed = runner.run_item(items[-1])
    assert failed.outcome == "failed"
    assert failed.reason.startswith(str(torn))
    assert find_open_items(runner.results, manifest, runner.run) == [0, 1, items[1].number, 5]
    assert runner.run_item(items[1]).n_recordings == 1
    assert result_files(out).items() <= result_files(expected).items()


def test_results_that_cannot_be_written_end_a_run(streamclf, archive, tone_model, tmp_path):
    out = plan(streamclf, archive, tmp_path / "out")
    (out / "levels").write_text("a file where a folder must be")
    done = streamclf(*run_of(out, tone_model))
    assert done.code == 1
    assert f"{out}/levels/" in done.err
    assert "cannot be written: " in done.err
    assert done.err.count("error") == 1


def test_a_run_without_a_plan_is_one_line(streamclf, tone_model, tmp_path):
    for command in ("run", "status", "check"):
        model = ("--model", tone_model, "--shard", "1/1") if command == "run" else ()
        done = streamclf("archive", command, tmp_path / "none", *model)
        assert (done.code, done.err) == (
            1,
            f"streamclf: error: {tmp_path}/none: holds no plan: make one with `streamclf archive "
            f"plan ARCHIVE --out {tmp_path}/none`\n",
        )


def test_a_run_that_is_done_gets_an_index(streamclf, expected, tone_model, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(expected, out)
    asked = ("heard", "--store", out, "--by", "label", "--by", "day")
    before = streamclf(*asked).out
    again = streamclf(*run_of(out, tone_model))
    assert not (out / "index").exists()  # a small one needs none
    monkeypatch.setattr("streamclf.archive.index.LEAST_ITEMS", 2)
    assert streamclf(*run_of(out, tone_model)) == again
    written = result_files(out)
    assert sum(name.startswith("index/") for name in written) == 4
    assert streamclf(*asked).out == before
    assert streamclf("archive", "check", out).code == 0
    (run,) = (out / "index").iterdir()
    shutil.copytree(next(run.iterdir()), run / "0ld")
    assert streamclf(*run_of(out, tone_model)).code == 0
    assert result_files(out) == written


@pytest.fixture
def as_streamclf(monkeypatch):
    """Let a streamclf of another version, with other event rules, go on from here."""

    def become(version: str, rules: int) -> None:
        for module in ("hearing", "run_description", "tables"):
            monkeypatch.setattr(f"streamclf.archive.{module}.EVENT_RULES", rules)
        for module in ("hearing", "run_description"):
            monkeypatch.setattr(f"streamclf.archive.{module}.__version__", version)

    return become


def test_a_run_does_not_go_on_by_other_event_rules_unless_told(
    streamclf, expected, tone_model, tmp_path, as_streamclf
):
    out = copy_of_plan(expected, tmp_path / "out")
    as_streamclf("0.9", 7)
    half = [*run_of(out, tone_model)[:-1], "1/2"]
    streamclf(*half)
    (begun,) = (path.stem for path in (out / "runs").iterdir())
    n_done = len(list((out / "events").rglob("*.parquet")))
    assert streamclf("archive", "status", out).out.count("rules") == 0

    as_streamclf("0.9.1", 7)  # another version with the same rules goes on, and a line says so
    again = streamclf(*half)
    assert (again.code, "event rules are the same (7)" in again.err) == (0, True)

    as_streamclf("1.0", 8)
    refused = streamclf(*run_of(out, tone_model))
    assert refused.code == 2
    assert f"run {begun} was begun by streamclf 0.9 with event rules 7" in refused.err
    assert "--event-rules 7 goes on" in refused.err
    assert "--event-rules 8 hears all anew" in refused.err
    assert refused.err.count("\n") == 1
    assert len(list((out / "events").rglob("*.parquet"))) == n_done
    for command in ("status", "check"):
        told = streamclf("archive", command, out)
        assert "--event-rules 7 goes on with it" in told.out + told.err, command
    missing = streamclf(*run_of(out, tone_model, "--event-rules", 6))
    assert missing.code == 2
    assert "there: 7" in missing.err

    mixed = streamclf(*run_of(out, tone_model, "--event-rules", 7))
    assert f"run {begun} has event rules 7 (streamclf 0.9) and goes on with rules 8" in mixed.err
    status = streamclf("archive", "status", out)
    n_items = len(read_manifest(open_place(str(out))))
    assert f"results {n_done} by rules 7, " in status.out
    assert f"{n_items} of {n_items} items done" in status.out

    anew = [*half, "--event-rules", 8]
    streamclf(*anew)
    assert len(list((out / "runs").iterdir())) == 2
    assert "rules" not in streamclf(*half).err  # both are there: no question is left


def test_without_levels_the_minutes_heard_stay_known(
    streamclf, archive, expected, tone_model, tmp_path
):
    out = copy_of_plan(expected, tmp_path / "out")
    assert streamclf(*run_of(out, tone_model, "--no-levels")).code == 1
    for table in ("events", "gaps", "heard", "levels"):
        unlike = {"run", *LEVELS}
        plain, bare = (
            [{key: row[key] for key in row if key not in unlike} for row in rows(each, table)]
            for each in (expected, out)
        )
        assert bare == plain, table
        assert bare
    assert {row[name] for row in rows(out, "levels") for name in LEVELS} == {None}
    assert None not in {row["laeq"] for row in rows(expected, "levels")}
    assert [path.stem for path in (out / "runs").iterdir()] != [
        path.stem for path in (expected / "runs").iterdir()
    ]
    for question in (("--by", "source"), ("--by", "hour", "--format", "csv")):
        full, answer = (streamclf("heard", "--store", each, *question) for each in (expected, out))
        assert answer.out == full.out
    assert streamclf("archive", "check", out, "--sample", 1).code == 0
    # A store of `file` likewise.
    stores = [tmp_path / "full.db", tmp_path / "bare.db"]
    for store, more in zip(stores, [(), ("--no-levels",)], strict=True):
        told = streamclf("file", archive / "north", "--model", tone_model, "--store", store, *more)
        assert told.code == 0
    minutes = [
        stored_rows(store, "SELECT minute_us, heard_samples, laeq FROM levels ORDER BY 1, 2")
        for store in stores
    ]
    assert [row[:2] for row in minutes[0]] == [row[:2] for row in minutes[1]]
    assert {row[2] for row in minutes[1]} == {None}
    assert None not in {row[2] for row in minutes[0]}
    assert streamclf("store", "check", stores[1]).code == 0
    asked = [streamclf("heard", "--store", each, "--by", "day", "--since", "2026-06-01").out
             for each in stores]  # fmt: skip
    assert asked[0] == asked[1]
    alone = streamclf("file", archive / "c.mp3", "--model", tone_model, "--no-levels")
    assert (alone.code, alone.err) == (
        2, "streamclf: error: --no-levels leaves levels out of a store: add --store FILE\n"
    )  # fmt: skip
