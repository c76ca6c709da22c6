"""Where outputs lie: folders that are not there, names that no system takes, named pipes."""

import json
import os
import subprocess
import threading

import numpy as np
import prepared
import pytest
import toys
from live_runs import PATIENCE_S

from streamclf.core.errors import SinkError
from streamclf.core.stats import Statistics
from streamclf.sinks import output_files
from streamclf.sinks.lines import LineFile
from streamclf.sinks.per_recording_files import PerRecordingFiles, partial_path

LONG = 240 * "x"


def test_folders_of_outputs_are_made(streamclf, scene, tone_model, tmp_path):
    out = tmp_path / "out"
    result = streamclf(
        "file", scene, "--model", tone_model,
        "-o", out / "a" / "{stem}.csv", "-o", out / "all.jsonl", "--scores", out / "b" / "s.csv",
        "--stats", out / "c" / "s.json", "--clips", out / "d" / "e",
    )  # fmt: skip
    assert result.code == 0, result.err
    made = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    clips = {name for name in made if name.startswith("d/e/")}
    assert clips
    assert made - clips == {"a/scene.csv", "all.jsonl", "b/s.csv", "c/s.json"}
    npz = streamclf("file", scene, "--model", tone_model, "--scores", out / "f" / "s.npz")
    assert npz.code == 0
    assert np.load(out / "f" / "s.npz")["scores"].shape == (20, 4)


def test_folders_of_a_live_runs_outputs_are_made(streamclf, scene, tone_model, tmp_path):
    out = tmp_path / "out"
    live = ("listen", "--source", f"sim:{scene}", "--speed", 0, "--model", tone_model)
    result = streamclf(
        *live, "-o", out / "a" / "e.csv", "--scores", out / "b" / "s.npz",
        "--stats", out / "c" / "s", "--clips", out / "d" / "e",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert (out / "a" / "e.csv").read_text().count("\n") == 4
    assert json.loads((out / "c" / "s").read_text())["events"] == 3
    assert list((out / "d" / "e").rglob("*.flac"))


def test_statistics_that_will_have_no_place_are_told_at_the_beginning(
    streamclf, scene, tone_model, tmp_path
):
    (tmp_path / "file").touch()
    result = streamclf(
        "file", scene, "--model", tone_model, "--stats", tmp_path / "file" / "s.json"
    )
    assert (result.code, result.out) == (1, "")
    assert "is a file, a folder is needed" in result.err
    there = tmp_path / "s.json"
    assert streamclf("file", tmp_path / "none", "--model", tone_model, "--stats", there).code == 1
    assert there.exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_output_that_cannot_be_is_a_line_and_all_else_is_done(
    streamclf, write_wav, tone_model, tmp_path, jobs
):
    names = ["a.wav", f"{LONG}.wav", "b.wav"]
    paths = [write_wav(toys.tone(440, 2), name) for name in names]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.txt").mkdir()
    result = streamclf(
        "file", *paths, "--model", tone_model, "--jobs", jobs, "--overwrite",
        "-o", tmp_path / "out" / ("{stem}" + 20 * "-" + ".csv"),
        "-o", tmp_path / "out" / "{stem}.txt",
    )  # fmt: skip
    assert result.code == 1
    assert [line["source"] for line in result.lines] == list(map(str, paths))
    long, folder = result.err.splitlines()[-2:]
    assert long.endswith("-.csv.partial: cannot be created: file name too long; name another file")
    assert "b.txt: cannot be given its name: is a directory; the results are in" in folder
    assert "mistake" not in result.err
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == sorted([
        "a" + 20 * "-" + ".csv", "b" + 20 * "-" + ".csv", "a.txt", "b.txt", "b.txt.partial",
        f"{LONG}.txt",
    ])  # fmt: skip


def test_names_that_no_system_takes_are_lines(streamclf, scene, tone_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    far, loop = "y/" * 2500 + "y", tmp_path / "loop"
    loop.symlink_to(loop)
    for name in (300 * "x", far, f"{loop}/x"):
        result = streamclf("file", name, scene, "--model", tone_model)
        assert result.code == 1
        assert "mistake" not in result.err
        assert "error: 1 of 2 failed:" in result.err
        assert len(result.lines) == 3
        for option, ending in [
            ("-o", ".csv"), ("--scores", ".csv"), ("--scores", ".npz"), ("--stats", ".json"),
            ("--clips", ""), ("--model", ".onnx"), ("--thresholds", ""), ("--labels", ""),
        ]:  # fmt: skip
            model = () if option == "--model" else ("--model", tone_model)
            result = streamclf("file", scene, *model, option, name + ending)
            assert result.code in (1, 2)
            assert result.err.splitlines()[-1].startswith("streamclf: error: ")
            assert "mistake" not in result.err
        for option in ("--config", "--source"):
            result = streamclf("listen", option, name)
            assert (result.code, result.err.count("\n")) == (2, 1)
            assert "mistake" not in result.err


def test_a_name_with_room_for_itself_alone_is_used(tmp_path):
    path = tmp_path / (251 * "n" + ".csv")
    assert partial_path(tmp_path / "x.csv").name == "x.csv.partial"
    files = PerRecordingFiles([tmp_path / "{stem}.csv"], overwrite=False)
    files.open(tmp_path / (251 * "n" + ".wav"))
    assert not path.exists()
    files.publish(tmp_path / (251 * "n" + ".wav"), Statistics(8000, elapsed_samples=1))
    assert not files.failures
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def fifo(tmp_path, name):
    path = tmp_path / name
    os.mkfifo(path)
    return path


def taken_by(path, taken):
    def read():
        taken.append(path.read_bytes())

    thread = threading.Thread(target=read)
    thread.start()
    return thread


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
@pytest.mark.parametrize("late", [False, True])
def test_results_of_recordings_go_into_a_named_pipe(
    streamclf, scene, tone_model, tmp_path, monkeypatch, late
):
    path, taken, threads = fifo(tmp_path, "x.csv"), [], []
    if late:
        monkeypatch.setattr(output_files, "say", lambda said: threads.append(taken_by(path, taken)))
    else:
        threads.append(taken_by(path, taken))
    result = streamclf("file", scene, "--model", tone_model, "-o", path, "--format", "csv")
    for thread in threads:
        thread.join(PATIENCE_S)
    assert result.code == 0
    assert taken == [result.out.encode()]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_a_named_pipe_that_nobody_reads_is_waited_for_and_said(scene, tone_model, tmp_path):
    path = fifo(tmp_path, "x.jsonl")
    command = ("file", scene, "--model", tone_model)
    with prepared.begin(*command, "-o", path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline() == (
            f"streamclf: {path}: waiting for somebody who reads it\n"
        )
        assert path.read_bytes().count(b"\n") == 3
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_a_named_pipe_whose_reader_goes_is_told(tmp_path):
    path = fifo(tmp_path, "x.csv")
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = LineFile(path)
    file.write("one")
    os.close(reader)
    with pytest.raises(SinkError, match=r"x\.csv: nobody reads it any more: start again"):
        file.write("two")
    file.close()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_an_archive_does_not_fit_into_a_named_pipe(streamclf, scene, tone_model, tmp_path):
    result = streamclf("file", scene, "--model", tone_model, "--scores", fifo(tmp_path, "s.npz"))
    assert result.code == 2
    assert "s.npz: is no file, and .npz is written whole at the end: take .csv" in result.err
