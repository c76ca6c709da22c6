"""Batches that go on in one table of all recordings, whatever ended them."""

import csv
import hashlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import prepared
import pytest
import soundfile
import toys

from streamclf.core.errors import UsageError
from streamclf.core.redaction import one_line
from streamclf.sinks.shared_tables import SharedTable

NAMES = ["a.wav", "quiet.wav", 'odd, "b"\nc.wav', "cut.wav", "e.wav"]


@pytest.fixture
def recordings(write_wav):
    """Some with events, one with none, one with a strange name, one cut short."""
    low, high = toys.tone(440, 3), toys.tone(2500, 3)
    both = np.concatenate([low, high])
    paths = [write_wav(sound, f"day/{name}") for name, sound in zip(
        NAMES, [both, toys.silence(2), high, both, low], strict=True
    )]  # fmt: skip
    paths[3].write_bytes(paths[3].read_bytes()[:60_000])
    for path in paths:
        os.utime(path, ns=(0, 0))
    return paths


@pytest.fixture
def run(streamclf, recordings, tone_model):
    def run(*arguments, paths=recordings):
        return streamclf("file", *paths, "--model", tone_model, "--except", "quiet", *arguments)

    return run


def shown(recordings):
    """As a row of CSV names them."""
    return [one_line(str(path)) for path in recordings]


def marks(text: str) -> list[str]:
    return [row[1] for row in csv.reader(text.splitlines(keepends=True)) if row[0] == "heard"]


def test_a_table_says_itself_what_is_done(run, recordings, tone_model, tmp_path):
    table, lines = tmp_path / "all.csv", tmp_path / "all.jsonl"
    first = run("-o", table, "-o", lines, "--resume")
    assert first.code == 1  # one is cut short
    assert marks(table.read_text()) == shown(recordings)
    heard = [json.loads(line) for line in lines.read_text().splitlines()]
    heard = [line for line in heard if line["type"] == "heard"]
    assert [line["events"] for line in heard] == [2, 0, 1, 1, 1]
    assert heard[1] == {
        "type": "heard", "schema": 1, "source": str(recordings[1]),
        "onset": 0.0, "offset": 2.0, "events": 0, "model": "tones 1",
        "model_sha256": hashlib.sha256(tone_model.read_bytes()).hexdigest(),
        "bytes": recordings[1].stat().st_size, "modified": "1970-01-01T00:00:00.000000+00:00",
    }  # fmt: skip
    before = table.read_bytes(), lines.read_bytes()
    again = run("-o", table, "-o", lines, "--resume")
    assert (again.code, again.out) == (0, "")
    assert again.err == "streamclf: 5 of 5 recordings had been done before\n"
    assert (table.read_bytes(), lines.read_bytes()) == before


def test_without_resume_a_table_has_no_such_rows(run, tmp_path):
    run("-o", tmp_path / "all.csv")
    assert marks((tmp_path / "all.csv").read_text()) == []


@pytest.mark.parametrize("name", ["all.csv", "all.jsonl"])
def test_a_table_cut_anywhere_keeps_whole_recordings_alone(run, recordings, tmp_path, name):
    table = tmp_path / name
    run("-o", table, "--resume")
    whole = table.read_bytes()
    ends = [whole.index(b"\n") + 1 if name == "all.csv" else 0]
    rows = whole.splitlines(keepends=True)
    for number, row in enumerate(rows):
        if b"heard" in row[:16]:
            ends.append(len(b"".join(rows[: number + 1])))
    assert len(ends) == 6
    assert ends[-1] == len(whole)
    for size in range(len(whole) + 1):
        table.write_bytes(whole[:size])
        state = SharedTable(table)
        done = [path for path in recordings if state.holds(path)]
        rest = [path for path in recordings if path not in done]
        state.check(rest)
        state.remove_rows(rest)
        n_whole = sum(end <= size for end in ends[1:])
        assert done == recordings[:n_whole]
        assert table.read_bytes() == whole[: max(ends[n_whole] if size >= ends[0] else 0, 0)]


@pytest.fixture(scope="module")
def long_batch(tone_model, tmp_path_factory):
    """A batch that takes a while, and the folder of its tables, begun and ended once."""
    folder, chance, paths = tmp_path_factory.mktemp("long"), random.Random(1), []
    for number in range(12):
        tones = [toys.tone(hz, 2) for hz in chance.choices([440, 1000, 2500], k=8)]
        paths.append(folder / f"{number:02}.wav")
        sound = toys.silence(30) if number == 5 else np.concatenate(tones)
        soundfile.write(paths[-1], sound, toys.RATE)
    command = ["file", *map(str, paths), "--model",
               str(tone_model), "--hop", "0.01", "--average", "0", "--except", "quiet",
               "--resume"]  # fmt: skip
    whole = folder / "whole"
    whole.mkdir()
    prepared.run(*command, *_tables(whole), check=True, capture_output=True)
    return command, whole


def _tables(folder: Path) -> list[str]:
    return ["-o", str(folder / "all.csv"), "-o", str(folder / "all.jsonl")]


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_killed_again_and_again_it_ends_with_the_same_table(long_batch, tmp_path, n_jobs):
    """The same as that of one job that nobody killed."""
    chance = random.Random(n_jobs)
    command, whole = long_batch
    command = [*command, "--jobs", str(n_jobs), *_tables(tmp_path)]
    n_kills = 0
    for _ in range(6):
        process = prepared.begin(*command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        size = _size(tmp_path)
        while process.poll() is None and _size(tmp_path) == size:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        n_kills += process.returncode == -signal.SIGKILL
    assert n_kills
    result = prepared.run(*command, check=True, capture_output=True, text=True)
    assert " of 12 recordings had been done before" in result.stderr
    for name in ("all.csv", "all.jsonl"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_a_table_begun_without_resume_is_gone_on_with(run, recordings, tmp_path):
    table = tmp_path / "all.csv"
    run("-o", table)
    whole = table.read_bytes()
    table.write_bytes(whole[: whole.index(b"e.wav") - 3])  # killed while the last was heard
    result = run("-o", table, "--resume", paths=[*recordings[:2], *recordings[3:]])
    # The quiet one left no row, and nothing says that the last of those that did is whole.
    assert "1 of 4 recordings had been done before" in result.err
    rows = list(csv.reader(table.read_text().splitlines(keepends=True)))
    found = {row[1] for row in rows if row[0] == "event"}
    assert found == {name for name in shown(recordings) if "quiet" not in name}
    assert len(rows) == len(list(map(tuple, rows)))
    events = [tuple(row) for row in rows if row[0] == "event"]
    assert len(events) == len(set(events))


def test_a_recording_that_changed_is_heard_again_in_place_of_its_rows(run, recordings, tmp_path):
    table = tmp_path / "all.csv"
    run("-o", table, "--resume")
    before = list(csv.reader(table.read_text().splitlines(keepends=True)))
    stamp = table.stat().st_mtime_ns
    os.utime(recordings[0], ns=(0, stamp + 1))
    result = run("-o", table, "--resume")
    assert "4 of 5 recordings had been done before" in result.err
    assert f"all.csv: rows of {recordings[0]}, heard anew now, are taken out" in result.err
    after = list(csv.reader(table.read_text().splitlines(keepends=True)))
    assert after != before
    assert sorted(after) == sorted(before)
    assert list(table.parent.glob("*.new")) == []


def test_rows_that_nobody_would_hear_again_are_not_taken_out(run, recordings, tmp_path):
    table = tmp_path / "all.csv"
    run("-o", table, "--resume")
    content = table.read_bytes()
    table.write_bytes(content[: content.rindex(b"heard")])
    before = table.read_bytes()
    result = run("-o", table, "--resume", paths=[*recordings[:1], _copy(recordings[0])])
    assert result.code == 2
    assert f"all.csv ends with rows of {recordings[4]}, which was not heard to its" in result.err
    assert len(result.err.splitlines()) == 2
    assert table.read_bytes() == before


def _copy(path: Path) -> Path:
    copy = path.with_name("copy.wav")
    copy.write_bytes(path.read_bytes())
    return copy


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("all.csv", "type,source,label\n"),
        ("all.csv", "mine, precious\nyes\n"),
        ("all.csv", "precious"),
        ("all.jsonl", '{"a": [1, 2, 3]}'),
        ("all.jsonl", '{"type":"' + 70_000 * "x"),
    ],
)
def test_another_table_is_left_alone(run, tmp_path, name, text):
    table = tmp_path / name
    table.write_text(text)
    result = run("-o", table, "--resume")
    assert result.code == 2
    assert "name another file" in result.err
    assert len(result.err.splitlines()) == 1
    assert table.read_text() == text


@pytest.mark.parametrize("name", ["all.csv", "all.jsonl"])
def test_zeros_that_a_power_cut_left_are_cut_off(run, recordings, tmp_path, name):
    table = tmp_path / name
    run("-o", table, "--resume")
    whole = table.read_bytes()
    table.write_bytes(whole + bytes(4000))
    result = run("-o", table, "--resume", paths=[*recordings, _copy(recordings[1])])
    assert "5 of 6 recordings had been done before" in result.err
    assert table.read_bytes().startswith(whole)
    assert b"\0" not in table.read_bytes()


def test_files_of_its_own_and_a_table_are_done_together(run, recordings, tmp_path):
    outputs = ("-o", tmp_path / "all.csv", "-o", "{dir}/{stem}.txt", "--resume")
    run(*outputs)
    (recordings[0].parent / "a.txt").unlink()
    result = run(*outputs)
    assert "4 of 5 recordings had been done before" in result.err
    assert sorted(marks((tmp_path / "all.csv").read_text())) == sorted(shown(recordings))


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_interrupted_it_says_what_is_unfinished(write_wav, tone_model, tmp_path, n_jobs):
    long = np.concatenate([toys.tone(hz, 2) for hz in (440, 2500) * 10])
    paths = [write_wav(long, f"{number}.wav") for number in range(4)]
    command = ["file", *map(str, paths), "--model",
               str(tone_model), "--hop", "0.005", "--average", "0",
               "--jobs", str(n_jobs)]  # fmt: skip
    table = tmp_path / "all.csv"
    process = prepared.begin(
        *command, "-o", table, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while not (table.exists() and table.read_text().count("event") > 5):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    rows = [row[:2] for row in csv.reader(table.read_text().splitlines()[1:])]
    unfinished = rows[-1][1]
    assert rows[-1][0] == "unfinished"
    assert [row for row in rows if row[0] == "unfinished"] == [rows[-1]]
    again = prepared.run(
        *command, "-o", table, "--resume", capture_output=True, text=True, check=True
    )
    assert f"all.csv: rows of {unfinished}, heard anew now, are taken out" in again.stderr
    counts = [table.read_text().count(f"event,{path}") for path in paths]
    assert counts == [counts[0]] * 4


def test_a_recording_that_was_given_up_is_heard_again_wherever_it_stands(tmp_path):
    table = tmp_path / "all.jsonl"
    lines = [
        f'{{"type":"{kind}","source":"{name}"}}\n'
        for kind, name in [
            ("event", "a.wav"), ("unfinished", "a.wav"), ("event", "b.wav"), ("heard", "b.wav"),
            ("event", "c.wav"), ("unfinished", "c.wav"),
        ]
    ]  # fmt: skip
    table.write_text("".join(lines))
    for name in ("a.wav", "b.wav", "c.wav"):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, ns=(0, 0))
    paths = [Path("a.wav"), Path("b.wav"), Path("c.wav")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        state = SharedTable(table)
        assert [state.holds(path) for path in paths] == [False, True, False]
        state.check([Path("x.wav")])  # what is told as unfinished is never taken for whole
        assert state.remove_rows([Path("a.wav")]) == ["a.wav"]
    assert table.read_text() == "".join(lines[2:])


def test_a_line_that_is_none_of_ours_stays(tmp_path):
    table = tmp_path / "all.jsonl"
    table.write_text('note: mine\n{"type":"event","source":"x.wav"}\n["odd"]\n{"type":1}\n')
    (tmp_path / "x.wav").write_text("")
    before = table.read_text()
    state = SharedTable(table)
    with pytest.raises(UsageError, match=r"ends with rows of x\.wav"):
        state.check([tmp_path / "y.wav"])
    state.remove_rows([Path("x.wav")])
    assert table.read_text() == before.replace('{"type":"event","source":"x.wav"}\n', "")


@pytest.mark.skipif(os.name == "nt", reason="names have no line breaks there")
def test_two_recordings_that_a_table_shows_by_one_name_do_not_pass_for_each_other(
    streamclf, write_wav, tone_model, tmp_path
):
    first = write_wav(toys.tone(440, 3), "day/a\\nb.wav")
    for ending, n_done in (("csv", None), ("jsonl", 1)):
        table = tmp_path / f"all.{ending}"
        run = ("file", "--model", tone_model, "-o", table, "--resume", first)
        assert streamclf(*run).code == 0
        before = table.read_bytes()
        second = write_wav(toys.tone(2500, 3), "day/a\nb.wav")
        os.utime(second, ns=(0, 0))
        result = streamclf(*run, second)
        if n_done is None:
            assert result.code == 2
            assert r"all.csv calls two recordings " in result.err
            assert table.read_bytes() == before
        else:
            assert result.code == 0
            assert "1 of 2 recordings had been done before" in result.err
            assert table.read_bytes().startswith(before)
