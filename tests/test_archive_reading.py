"""Questions to an archive's results: the answers are those of a store that holds the same."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import ANY
from zoneinfo import ZoneInfo

import fsspec
import pytest
from results import RUN, make_both
from stores import Heard, Run

from streamclf.archive import index
from streamclf.archive.local_place import LocalPlace
from streamclf.archive.reading import open_results
from streamclf.store.database import connect_to_read
from streamclf.store.queries import list_levels
from streamclf.store.question import Question
from streamclf.store.report import make_report

ROOT = "/field/2026"
NIGHT = datetime(2026, 3, 28, 22, 30, 15)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(scope="module", autouse=True)
def in_berlin():
    """Recorders that tell no offset from UTC stand in the zone of the machine that asks."""
    if not hasattr(time, "tzset"):
        pytest.skip("the zone cannot be set here")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


def of(path: str, begun: datetime | None, heard_s: float, events=(), gaps=(), **more) -> Run:
    return Run(str(Path(ROOT, path).parent), begun, heard_s, events, gaps, f"{ROOT}/{path}", **more)


RUNS = [
    of("north/a.wav", NIGHT, 5400, [Heard("owl", 60.5, 2.5, 0.75), Heard("fox", 3700, 9, 0.625),
                                    Heard("owl", 5300.25, 4, 0.875)], [(100.5, 20, "damaged")],
       level=-40.0, display_names={"owl": "Tawny owl", "fox": "Fox", "bird": "Bird"},
       broader={"owl": ["bird"]}),
    of("north/b.wav", NIGHT + timedelta(hours=9), 600, [Heard("owl", 1, 2, 0.5)], level=-30.0,
       state="cut"),
    of("north/old.wav", None, 60, [Heard("crow", 2.5, 2)]),
    of("south/deep/c.wav", datetime(2026, 4, 2, 6, tzinfo=BERLIN), 1800,
       [Heard("wren", second, 3, 0.625 + second / 4096) for second in range(0, 1500, 100)],
       [(300, 30, "damaged"), (900, 15, "truncated")]),
    of("south/gone.wav", None, 0),
    of("z.wav", datetime(2026, 4, 3, 0, 0, 30, tzinfo=BERLIN), 40, [Heard("owl, barn", 1, 2)]),
]  # fmt: skip
QUESTIONS = [
    ("--by", "label"),
    ("--by", "source", "--by", "label"),
    ("--by", "source", "--format", "csv"),
    ("--by", "day", "--format", "csv"),
    ("--by", "hour"),
    ("--by", "day", "--by", "hour", "--format", "jsonl"),
    ("--by", "model", "--by", "source", "--format", "csv"),
    ("--by", "label", "--since", "2026-03-28", "--until", "2026-03-28"),
    ("--since", "2026-03-29", "--until", "2026-04-02 06:10"),
    ("--since", "2026-03-29", "--by", "label", "--label", "owl"),
    ("--since", "2026-03-28 22:31", "--until", "2026-03-28 22:33"),
    ("--by", "source", "--until", "2026-03-28 22:30:10"),
    ("--by", "source", "--min-score", "0.7", "--since", "2026-03-28", "--until", "2026-04-02"),
    ("--by", "day", "--source", "north"),
    ("--by", "label", "--source", "south/deep/c.wav"),
    ("--by", "hour", "--source", "*.wav", "--format", "csv"),
    ("--since", "2025-01-01 00:00", "--until", "2025-01-02"),
    ("--format", "text"),
    ("--format", "csv"),
    ("--format", "raven", "--min-score", "0.7"),
    ("--format", "audacity", "--source", "a.wav"),
    ("--format", "csv", "--since", "2026-04-02 06:10", "--label", "Wren"),
    ("--by", "label", "--label", "Bird"),
]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A store and a folder of results of the same recordings."""
    return make_both(tmp_path_factory.mktemp("both"), RUNS)


@pytest.fixture(scope="module")
def indexed(both, tmp_path_factory):
    """The same results with an index, of which a part is missing."""
    results = shutil.copytree(both[1], tmp_path_factory.mktemp("an [index]") / "it's")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(index, "LEAST_ITEMS", 1)
        patched.setattr(index, "N_ITEMS", 2)
        index.write_index(LocalPlace(results), RUN)
        parts = sorted((results / "index" / RUN).iterdir())
        assert len(parts) == 3
        (parts[1] / "events.parquet").unlink()
        yield results


@pytest.fixture
def asked(streamclf, both, indexed):
    """Ask both, and of each third question the index; the store knows recordings by their
    absolute paths."""

    def ask(command: str, *arguments: object):
        places = (*both, indexed) if arguments in QUESTIONS[::3] else both
        store, *results = (streamclf(command, "--store", each, *arguments) for each in places)
        return store.out.replace(f"{ROOT}/", "").replace(ROOT, "2026"), results

    return ask


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_answers_are_those_of_a_store(asked, question):
    expected, answers = asked("heard", *question)
    for answer in answers:
        assert (answer.code, answer.err) == (0, "")
        assert answer.out.splitlines() == expected.splitlines()
        assert answer.out


@pytest.mark.parametrize("with_index", [False, True])
def test_levels_and_a_report_are_those_of_a_store(both, indexed, with_index):
    store, results = both[0], indexed if with_index else both[1]
    since, until = datetime(2026, 3, 28, tzinfo=BERLIN), datetime(2026, 4, 4, tzinfo=BERLIN)
    question = Question(since, until)
    with (
        closing(connect_to_read(store)) as stored,
        open_results(str(results), question.since_us, question.until_us) as read,
    ):
        levels = [list_levels(each, question, step_h=24) for each in (stored, read)]
        pages = [
            make_report(each, question, "A week", Path("results"), datetime.now(UTC))
            for each in (stored, read)
        ]
    assert [(each.begun, each.laeq, each.lamax, each.heard_h) for each in levels[1]] == [
        (each.begun, each.laeq, each.lamax, each.heard_h) for each in levels[0]
    ]
    assert [each.laeq for each in levels[1]] == [None, pytest.approx(-40), ANY, None]
    plain = pages[0].replace(f"{ROOT}/", "").replace(ROOT, "2026").splitlines()
    assert [line for line in pages[1].splitlines() if line not in plain] == []
    assert "Tawny owl" in pages[1]


def test_an_archive_is_asked_for_all_of_it(streamclf, both, tmp_path):
    out = streamclf("heard", "--store", both[1]).out
    assert out.startswith("All that was heard, from 28 Mar 2026 to 3 Apr 2026\n")
    page = tmp_path / "all.html"
    assert streamclf("report", "--store", both[1], "-o", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert "<h1>Sat 28 Mar, 22:30 to Fri 3 Apr 2026</h1>" in text


def test_results_in_a_store_are_asked_by_their_url(streamclf, both, monkeypatch):
    store = fsspec.filesystem("memory")
    store.put(f"{both[1]}/", "/run1/", recursive=True)
    here = streamclf("heard", "--store", both[1], "--format", "csv")
    there = streamclf("heard", "--store", "memory://run1/", "--format", "csv")
    assert (there.code, there.out) == (0, here.out)


def test_an_index_answers_in_place_of_the_items_that_it_stands_for(
    streamclf, both, indexed, tmp_path
):
    question = ("--by", "label", "--since", "2026-03-28", "--until", "2026-04-05")
    expected = streamclf("heard", "--store", both[1], *question).out
    results = shutil.copytree(indexed, tmp_path / "results")
    store = fsspec.filesystem("memory")
    store.put(f"{results}/", "/run2/", recursive=True)
    items = LocalPlace(results).names("events")
    parts = index.find_parts(LocalPlace(results), RUN, items)
    covered = [item for part in parts for item in part.items]
    assert (len(parts), len(covered)) == (2, 4)
    for table in ("heard", "gaps"):  # what an index has is not looked for elsewhere
        for item in covered:
            (results / table / item).unlink()
    for place in (results, "memory://run2/"):
        assert streamclf("heard", "--store", place, *question).out == expected, place
    # Items that are not as they were are read by themselves.
    changed = results / "events" / covered[0]
    changed.write_bytes(changed.read_bytes() + b" ")
    missing = streamclf("heard", "--store", results, *question)
    assert f"{results}/heard/{covered[0]}: is not there" in missing.err
    changed.write_bytes(changed.read_bytes()[:-1])
    for part in parts:
        path = results / part.name("heard")
        path.write_bytes(path.read_bytes()[:-20])
    damaged = streamclf("heard", "--store", results, *question)
    assert damaged.code == 1
    assert "heard.parquet: is missing or damaged: delete the folder index/" in damaged.err
    assert damaged.err.count("\n") == 1


def test_levels_are_fetched_of_the_time_that_is_asked_for(both, tmp_path, streamclf):
    results = shutil.copytree(both[1], tmp_path / "results")
    (old,) = (results / "levels" / RUN / "north" / "2026-03-29").iterdir()
    old.unlink()
    april = ("--by", "day", "--since", "2026-04-01")
    assert streamclf("heard", "--store", results, *april).code == 0
    result = streamclf("heard", "--store", results, "--by", "day")
    assert result.code == 1
    assert result.err == (
        f"streamclf: error: {results}/levels/{RUN}/north/2026-03-29/{old.name}: is not there, "
        "though the item is done: delete its file in events/ and run again\n"
    )


REFUSED = [
    (("heard", "--reviewed", "right"), "--reviewed right: results of an archive have no reviews"),
    (("heard", "--groups"), "--groups: compares features beside a store"),
    (("search", "--like", "x.wav"), "is a folder of an archive's results, which heard and report"),
    (("heard", "--label", "yeti"), "--label yeti: the store has no event of this name"),
    (("heard", "--source", "yeti"), "--source yeti: the store has no source of this name"),
]


@pytest.mark.parametrize(("command", "told"), REFUSED, ids=lambda each: str(each[0]))
def test_what_results_cannot_answer_is_refused_in_a_line(streamclf, both, command, told):
    name, *arguments = command
    result = streamclf(name, "--store", both[1], *arguments)
    assert result.code == 2
    assert told in result.err
    assert result.err.count("\n") == 1


def test_results_of_two_runs_are_not_mixed(streamclf, both, tmp_path):
    results = shutil.copytree(both[1], tmp_path / "results")
    shutil.copytree(results / "events" / RUN, results / "events" / ("f" * 16))
    told = f"holds 2 runs ({RUN}, {'f' * 16}; each is of another model, settings or plan)"
    assert told in streamclf("heard", "--store", results).err
    assert "has no run 77 (" in streamclf("heard", "--store", f"{results}#77").err
    one = streamclf("heard", "--store", f"{results}#{RUN[:4]}")
    assert (one.code, one.out) == (0, streamclf("heard", "--store", both[1]).out)
    shutil.rmtree(results / "events")
    assert "has no results yet: `streamclf archive run" in (
        streamclf("heard", "--store", results).err
    )


def test_a_damaged_file_is_named(streamclf, both, tmp_path):
    results = shutil.copytree(both[1], tmp_path / "results")
    file = next((results / "events").rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-100])
    result = streamclf("heard", "--store", results)
    assert result.code == 1
    assert f"{file}: is damaged: delete it" in result.err
    assert result.err.count("\n") == 1


def test_a_missing_package_is_told_without_the_password(streamclf, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    result = streamclf("heard", "--store", "sftp://lab:secret@host/run1")
    assert result.code == 2
    assert result.err == (
        "streamclf: error: --store sftp://lab:***@host/run1: needs DuckDB and pyarrow: pip install "
        "'streamclf[archive]'\n"
    )
