"""A small archive, heard by the room `archive` and by `file --store`: tables, answers, queries."""

from __future__ import annotations

import csv
import io
import json
import re
import socket
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb
import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest
import soundfile
from documents import ROOT, blocks
from toys import RATE, silence, tone

from streamclf.archive.manifest import PlannedRecording, read_manifest
from streamclf.archive.places import open_place
from streamclf.archive.plan import make_plan
from streamclf.archive.run_item import Hearing, Runner
from streamclf.archive.tables import (
    COLUMNS,
    TABLES,
    make_schema,
    make_tables,
    read_account,
    result_name,
)
from streamclf.archive.whole import Heard, HeardEvent, HeardMinute, HeardWindows
from streamclf.cli.main import run as command
from streamclf.core.records import StreamStarted
from streamclf.core.settings import Settings
from streamclf.core.stats import Statistics
from streamclf.core.thresholds import ThresholdOptions
from streamclf.model.options import ModelOptions

PAGE = ROOT / "docs" / "how-to" / "archive.md"


@dataclass
class Real:
    """An archive, its results and the model that heard it."""

    archive: Path
    results: Path
    model: Path

    def files(self, table: str) -> list[Path]:
        return sorted((self.results / table).rglob("*.parquet"))

    def put(self, results: Path) -> None:
        """Hear all items into a folder."""
        place = open_place(str(results))
        for name, data in make_plan(open_place(str(self.archive)), 1.0).files.items():
            place.put_whole(name, data)
        options = ModelOptions(str(self.model))
        hearing = Hearing(options, Settings(), ThresholdOptions(), scores=True)
        runner = Runner(str(results), hearing)
        manifest = read_manifest(place)
        reports = [runner.run_item(manifest.item(number)) for number in range(len(manifest))]
        runner.close()
        assert {report.outcome for report in reports} == {"done"}


@pytest.fixture(scope="module")
def real(tmp_path_factory, tone_model) -> Real:
    folder = tmp_path_factory.mktemp("archive")
    archive = folder / "field"

    def write(name: str, *parts: np.ndarray) -> Path:
        path = archive / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.concatenate(parts), RATE, subtype="PCM_16")
        return path

    low, high = tone(440, 4), tone(2500, 3)
    write("north/20260601_043000.wav", silence(10), low, silence(20), high, silence(8), low)
    cut = write("north/20260601_053000.wav", silence(5), low, silence(41))
    cut.write_bytes(cut.read_bytes()[: 30 * RATE * 2])
    write("south/20260602T060000+0200.flac", silence(50), high, silence(30), low, silence(40), low)
    write("south/20260603T221500+0200.flac", silence(20), high, silence(20))
    write("undated.wav", silence(3), low, silence(3))
    (archive / "south" / "20260604_000000.wav").write_bytes(b"no recording")
    made = Real(archive, folder / "run1", tone_model)
    made.put(made.results)
    return made


def test_each_file_has_the_columns_of_its_table(real):
    for table in TABLES:
        files = real.files(table)
        assert files or table == "features"
        for file in files:
            found = pq.read_schema(file)
            assert found.remove_metadata().equals(make_schema(table)), file
            assert json.loads(found.metadata[b"streamclf"])["format"] == 1


def test_the_account_of_each_item_adds_up(real):
    promised = 0.0
    for file in real.files("events"):
        account = read_account(file.read_bytes())
        assert account.promised + account.beyond == (
            account.heard + account.missing + account.failed
        )
        promised += account.seconds(account.promised)
        for table in ("gaps", "heard", "levels", "scores"):
            beside = real.results / table / file.relative_to(real.results / "events")
            assert pq.read_metadata(beside).num_rows == account.rows[table]
    assert promised == pytest.approx(read_manifest(open_place(str(real.results))).plan.seconds)


def test_the_same_item_gives_the_same_bytes_and_names_no_machine(real, tmp_path):
    real.put(tmp_path / "again")
    before = {path.relative_to(real.results): path for path in real.results.rglob("*.parquet")}
    after = {path.relative_to(tmp_path / "again"): path for path in tmp_path.rglob("*.parquet")}
    assert before.keys() == after.keys()
    secrets = [str(real.archive), str(real.results), socket.gethostname()]
    for name, path in before.items():
        data = path.read_bytes()
        assert data == after[name].read_bytes(), name
        assert not [each for each in secrets if each.encode() in data], name


def test_what_is_not_known_is_null():
    """Neither time nor site, silence that has no features, a recording that was not heard."""
    windows = HeardWindows(
        np.array([0, 4000]), np.array([12_000, 16_000]), None,
        np.array([[0.5, 1.0], [np.nan, np.nan]], np.float32),
    )  # fmt: skip
    stream = StreamStarted("a.wav", RATE, ["low"], "single-label")
    event = HeardEvent("low", 800, 8000, 0.75, True, 0.5, 12_000)
    minute = HeardMinute(0, 16_000, None, None, None)
    heard = Heard(stream, RATE, 2.0, [event], minutes=[minute], windows=windows,
                  statistics=Statistics(RATE, 16_000, 16_000))  # fmt: skip
    pair = [PlannedRecording(number, name, 99, rate=RATE, samples=16_000)
            for number, name in enumerate(["a.wav", "b.wav"])]  # fmt: skip
    made = make_tables(list(zip(pair, [heard, "is gone"], strict=True)), run="r", item=3,
                       sample_rate=RATE)  # fmt: skip
    assert list(made) == ["gaps", "heard", "levels", "features", "events"]
    rows = {name: pq.read_table(io.BytesIO(data)).to_pylist() for name, data in made.items()}
    assert rows["gaps"] == []
    assert [row["features"] for row in rows["features"]] == [[0.5, 1.0], None]
    (told,) = rows["events"]
    unknown = ("time", "local_time", "utc_offset_min", "site", "date")
    assert [told.pop(name) for name in unknown] == [None] * 5
    assert told == {
        "source": "a.wav", "label": "low", "onset": 0.1, "offset": 1.0, "score": 0.75,
        "id": "low-800", "recording": 0, "onset_sample": 800, "offset_sample": 8000,
        "begin_score": 0.5, "short": True, "run": "r",
    }  # fmt: skip
    assert [rows["levels"][0][name] for name in ("laeq", "local_time")] == [None, None]
    states = [(row["state"], row["reason"], row["failed_s"]) for row in rows["heard"]]
    assert states == [("whole", None, 0.0), ("failed", "is gone", 2.0)]
    assert read_account(made["events"]).failures == {"b.wav": "is gone"}
    assert result_name("heard", "r", "", "", 3) == "heard/r/unknown/unknown/00000003.parquet"
    long, other = (result_name("heard", "r", 40 * "声" + end, "", 3).split("/")[2] for end in "ab")
    assert len(long) < 250
    assert long != other
    assert result_name("heard", "r", "a/ü b", "2026-06-01", 3) == (
        "heard/r/a%2F%C3%BC b/2026-06-01/00000003.parquet"
    )
    with pytest.raises(ValueError, match="is no file of events"):
        read_account(made["heard"])


ASKED = [
    ("--by", "label", "--format", "csv"),
    ("--by", "source", "--by", "day", "--format", "csv"),
    ("--by", "hour", "--format", "csv"),
    ("--since", "2026-06-01", "--until", "2026-06-02 06:01", "--format", "csv"),
    ("--format", "csv"),
    ("--by", "label"),
]


def test_answers_are_those_of_file(real, streamclf, tmp_path):
    store = tmp_path / "s.db"
    code = command(["file", str(real.archive), "--model", str(real.model), "--store", str(store),
                    "-q", "-o", str(tmp_path / "x.csv")])  # fmt: skip
    assert code == 1  # of two recordings
    for question in ASKED:
        expected, answer = (
            streamclf("heard", "--store", each, *question).out for each in (store, real.results)
        )
        plain = expected.replace(f"{real.archive}/", "").replace(str(real.archive), "field")
        if "csv" not in question:
            assert answer == plain
            continue
        rows, right = (list(csv.DictReader(io.StringIO(text))) for text in (answer, plain))
        scores = [[float(row.pop("score") or 0) for row in each] for each in (rows, right)]
        assert rows == right, question
        assert rows
        assert scores[0] == pytest.approx(scores[1], abs=2e-4)


@pytest.fixture
def as_the_page_has_it(real, tmp_path, monkeypatch):
    """The results where the page says that they are."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "run1").symlink_to(real.results, target_is_directory=True)
    monkeypatch.chdir(tmp_path)


def test_the_ten_queries_of_the_page_give_answers(as_the_page_has_it):
    queries = blocks(PAGE, "sql")
    answers = [duckdb.sql(query).fetchall() for query in queries]
    assert len(answers) == 10
    assert all(answers)
    by_label, by_hour, rates, days, best, together, levels, missing, went, failed = answers
    assert by_label[1] == ("low", 6, 0.4, pytest.approx(0.67))
    assert ("low", 4, 2) in by_hour
    assert [row[:2] for row in rates if row[1] == "low"] == [
        ("", "low"), ("north", "low"), ("south", "low"),
    ]  # fmt: skip
    assert days[1] == (
        "north", date(2026, 6, 1), "low",
        datetime(2026, 6, 1, 4, 30, 10), datetime(2026, 6, 1, 5, 30, 5), 3,
    )  # fmt: skip
    assert {row[1][:6] for row in best} == {"north/"}
    assert ("high", "low", 2) in together
    assert [row[:2] for row in levels] == [("north", 4), ("north", 5), ("south", 6), ("south", 22)]
    assert missing == [("truncated", 1, 20.0)]
    assert [row[:2] for row in went] == [("north", 2), ("south", 2), (None, 1)]
    for _, _, promised, *parts in went:
        assert promised == pytest.approx(sum(parts))
    assert [row[:2] for row in failed] == [
        ("north/20260601_053000.wav", "part"), ("south/20260604_000000.wav", "unopened"),
    ]  # fmt: skip


def test_pandas_and_polars_read_the_folder_as_one_table(as_the_page_has_it, capsys):
    for code in blocks(PAGE, "python"):
        if "s3://" not in code:
            exec(compile(code, "page", "exec"), {})
    out = capsys.readouterr().out
    assert re.search(r"north +high +1\n +low +3\n", out)
    assert "local_time" in out
    events = pandas.read_parquet("results/run1/events")
    assert [each.name for each in COLUMNS["events"]] == list(events)
    assert str(events["time"].dtype) == "datetime64[us, UTC]"
    assert events["time"].isna().sum() == events["utc_offset_min"].isna().sum() == 12
