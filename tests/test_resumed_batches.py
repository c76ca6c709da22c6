"""Batches that go on: a recording's own files have their names once it was heard to its end."""

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import prepared
import pytest
import toys

from streamclf.core.errors import SinkError
from streamclf.core.settings import Settings
from streamclf.core.stats import Statistics
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.runs.batch import run_recordings
from streamclf.runs.console import Bars
from streamclf.sinks.base import MemorySink
from streamclf.sinks.per_recording_files import PerRecordingFiles

OUTPUTS = ("-o", "{dir}/{stem}.csv", "-o", "{dir}/{stem}.txt")


@pytest.fixture
def recordings(write_wav):
    """Five, one of them cut short."""
    tones = list(toys.TONES.values())
    paths = [write_wav(toys.tone(tones[k % 3], 4.0), f"day/{k}.wav") for k in range(5)]
    paths[2].write_bytes(paths[2].read_bytes()[:60_000])
    return paths


@pytest.fixture(scope="module")
def classifier(tone_model) -> Classifier:
    return Classifier(Model(tone_model, provider="cpu", n_threads=1))


def texts(folder):
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {name: text for name, text in found.items() if not name.endswith(".wav")}


def test_a_batch_goes_on_with_what_is_not_done(streamclf, recordings, tone_model):
    folder = recordings[0].parent
    run = ("file", folder, "--model", tone_model, "--format", "csv", *OUTPUTS)
    whole = streamclf(*run)
    assert whole.code == 1
    expected = texts(folder)
    assert set(expected) == {f"{k}.{ending}" for k in range(5) for ending in ("csv", "txt")}
    (folder / "1.csv").unlink()
    (folder / "3.txt").rename(folder / "3.txt.partial")
    (folder / "0.csv").write_bytes(b"mine\n")
    again = streamclf(*run)
    assert again.code == 2
    assert "0.csv: exists already: add --overwrite to replace it, --resume to " in again.err
    assert again.err.endswith("leave out recordings that are done, or name another file\n")
    resumed = streamclf(*run, "--resume")
    assert resumed.code == 0
    assert "3 of 5 recordings had been done before" in resumed.err
    assert "2 recordings" in resumed.err
    assert texts(folder) == {**expected, "0.csv": b"mine\n"}
    heard = {line.split(",")[1] for line in resumed.out.splitlines()[1:]}
    assert {Path(name).name for name in heard} == {"1.wav", "3.wav"}
    nothing = streamclf(*run, "--resume")
    assert (nothing.code, nothing.out) == (0, "")
    assert nothing.err == "streamclf: 5 of 5 recordings had been done before\n"


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_what_holds_no_audio_leaves_no_file_and_is_tried_again(
    streamclf, write_wav, tone_model, n_jobs
):
    folder = write_wav(toys.tone(440, 1.0), "day/0.wav").parent
    write_wav(toys.tone(440, 0.0), "day/1.wav")
    run = ("file", folder, "--model", tone_model, *OUTPUTS, "--resume", "--jobs", n_jobs)
    for n_done in (0, 1):
        result = streamclf(*run)
        assert result.code == 1
        assert f"{n_done} of 2 recordings had been done before" in result.err
        assert "1.wav: holds no audio that can be decoded" in result.err
        assert set(texts(folder)) == {"0.csv", "0.txt"}


def test_a_recording_that_is_newer_than_its_files_is_heard_again(streamclf, recordings, tone_model):
    folder = recordings[0].parent
    run = ("file", folder, "--model", tone_model, *OUTPUTS, "--resume", "--jobs", 2)
    assert streamclf(*run).code == 1
    expected = texts(folder)
    for name in ("4.csv", "4.txt"):
        (folder / name).write_text("old")
        os.utime(folder / name, ns=(0, recordings[4].stat().st_mtime_ns - 1))
    resumed = streamclf(*run)
    assert resumed.code == 0
    assert "4 of 5 recordings had been done before" in resumed.err
    assert texts(folder) == expected


def test_what_cannot_be_opened_is_tried_again_and_said(streamclf, recordings, tone_model):
    folder = recordings[0].parent
    recordings[1].write_text("no audio")
    run = ("file", folder, "--model", tone_model, "-o", "{dir}/{stem}.csv", "--resume")
    for n_done in (0, 4):
        result = streamclf(*run)
        assert result.code == 1
        assert f"{n_done} of 5 recordings had been done before" in result.err
        assert "1.wav: " in result.err
        assert not (folder / "1.csv").exists()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_interrupted_recording_has_no_name_yet(classifier, recordings, n_jobs, tmp_path):
    del recordings[2]
    files = PerRecordingFiles([tmp_path / "{stem}.csv"], overwrite=False)
    stopped = []

    class Interrupting(MemorySink):
        def begin(self, stream):
            if "3.wav" in stream.source:
                stopped.append(True)

        def write(self, result):
            """Nothing."""

    engines = [Engine(classifier, Settings(hop_s=0.05)) for _ in range(n_jobs)]
    run_recordings(
        engines, recordings, lambda path: [Interrupting(), *files.open(path)],
        Bars(len(recordings)), on_end=files.publish, interrupted=lambda: bool(stopped),
    )  # fmt: skip
    files.close()
    names = {path.name for path in tmp_path.glob("*.csv*")}
    assert {"0.csv", "1.csv"} <= names
    assert "3.csv" not in names or n_jobs == 2  # which may have been heard whole before its turn
    assert "4.csv" not in names or n_jobs == 2
    assert all(path.name.endswith(".csv.partial") for path in files.unfinished)
    assert names == {"0.csv", "1.csv"} | {path.name for path in files.unfinished} | (
        names & {"3.csv", "4.csv"}
    )


def test_a_full_disk_gives_nothing_a_name(classifier, recordings, tmp_path):
    files = PerRecordingFiles([tmp_path / "{stem}.csv"], overwrite=True)
    (tmp_path / "1.csv").write_text("of yesterday\n")

    class Full(MemorySink):
        def begin(self, stream):
            if "1.wav" in stream.source:
                raise SinkError("the disk is full")

        def write(self, result):
            """Nothing."""

    with pytest.raises(SinkError, match="the disk is full"):
        run_recordings(
            [Engine(classifier, Settings())], recordings,
            lambda path: [Full(), *files.open(path)], Bars(5), on_end=files.publish,
        )  # fmt: skip
    files.close()
    assert files.unfinished == [tmp_path / "1.csv.partial"]
    assert (tmp_path / "1.csv").read_text() == "of yesterday\n"
    assert (tmp_path / "0.csv").exists()


def test_a_name_that_was_taken_meanwhile_is_not_replaced(tmp_path):
    files = PerRecordingFiles([tmp_path / "{stem}.csv"], overwrite=False)
    (tmp_path / "a.csv").write_text("another's")
    assert files.open(tmp_path / "a.wav") == []
    assert "a.csv: exists already" in files.failures.pop()
    files.open(tmp_path / "b.wav")
    (tmp_path / "b.csv").mkdir()
    files.publish(tmp_path / "b.wav", Statistics(8000, elapsed_samples=1))
    assert "b.csv: cannot be given its name: is a directory; the results" in files.failures.pop()
    assert (tmp_path / "a.csv").read_text() == "another's"
    assert (tmp_path / "b.csv.partial").is_file()


@pytest.mark.slow
def test_a_killed_batch_goes_on_to_the_same_files(write_wav, tone_model, tmp_path):
    paths = [write_wav(np.tile(toys.tone(440, 10), 2), f"{k}.wav") for k in range(6)]
    command = ["file", *map(str, paths), "--model",
               str(tone_model), "--hop", "0.01", "--jobs", "1"]  # fmt: skip
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    prepared.run(*command, "-o", f"{whole}/{{stem}}.csv", check=True, capture_output=True)
    command += ["-o", f"{parts}/{{stem}}.csv", "--resume"]
    process = prepared.begin(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(parts.glob("*.csv")):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    n_done = len(list(parts.glob("*.csv")))
    assert 1 <= n_done < 6
    for name, text in texts(parts).items():
        if not name.endswith(".partial"):
            assert text == texts(whole)[name]
    result = prepared.run(*command, capture_output=True, text=True, check=True)
    assert f"{n_done} of 6 recordings had been done before" in result.stderr
    assert texts(parts) == texts(whole)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "all.selections.txt"], "all.selections.txt is shared by all"),
        (["-o", "{stem}.csv", "--scores", "all.npz"], "all.npz is shared by all"),
        ([], "there is none"),
        (["-o", "{stem}.csv", "--overwrite"], "--overwrite replaces it: leave one out"),
        (["-o", "{stem}.csv", "--ui"], "cannot go with the dashboard"),
    ],
)
def test_resume_needs_an_output_that_tells_what_is_done(
    streamclf, recordings, arguments, said, on_terminal
):
    result = streamclf("file", recordings[0], "--resume", *arguments)
    assert result.code == 2
    assert said in result.err
    assert len(result.err.splitlines()) == 1
