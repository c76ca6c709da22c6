"""Features of writers that are killed, of full disks, and of clocks that are set back."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile
import toys
from live_runs import PATIENCE_S

from streamclf.core.card import Features
from streamclf.core.records import Average, FeatureFormat, Scores, StreamStarted
from streamclf.store.features import feature_file
from streamclf.store.features.feature_store import FeatureStore
from streamclf.store.features.options import FeatureLimits
from streamclf.store.features.sink import LiveFeatureSink
from streamclf.store.features.writer import FeatureWriter
from streamclf.teach.past import Past, runs_in

ROOT = Path(__file__).parents[1]
DIGEST = "00112233445566aa"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


def test_two_writers_that_are_killed_lose_nothing_they_acknowledged(tmp_path):
    run = subprocess.run(
        [sys.executable, ROOT / "tests" / "killed_feature_writers.py", tmp_path, "15"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    found = json.loads(run.stdout)
    assert found["wrong"] == []
    assert found["told"] >= 15


def test_a_serve_that_is_killed_leaves_features_that_are_read_and_written_on(tmp_path):
    card = toys.toy_card(features=Features("tones", 3, 0.1), stem=toys.STEM)
    toys.write_tone_detector(tmp_path / "m.onnx", card)
    soundfile.write(tmp_path / "a.wav", toys.tone(440, 60), toys.RATE)
    (tmp_path / "box.toml").write_text(
        'store = "box.db"\nmodel = "m.onnx"\n[[sources]]\nname = "yard"\nurl = "sim:a.wav"\n',
        encoding="utf-8",
    )
    kept = FeatureStore(tmp_path / "box.features")
    n_before = 0
    for _ in range(2):
        serve = subprocess.Popen(
            [sys.executable, "-m", "streamclf", "serve", "--config", "box.toml"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + PATIENCE_S
        try:
            while count(kept) < n_before + 3:
                assert serve.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
        finally:
            serve.send_signal(signal.SIGKILL)
            serve.wait()
        n_before = count(kept)
        (path,) = (tmp_path / "box.features").rglob("*.features")
        with path.open("ab") as file:
            file.write(b"half a record")  # as if the kill had come within a write
    span = kept.read("yard")
    assert kept.unreadable == []
    assert len(span.positions) == n_before
    assert np.all(np.argmax(span.values, axis=1) == 0)
    (file,) = kept.files()
    runs = [file.records["position"][begin:end].tolist() for begin, end in runs_in(file.records)]
    assert [run[:3] for run in runs] == [[0, 4000, 8000]] * 2
    assert all(np.diff(run).tolist() == [4000] * (len(run) - 1) for run in runs)


def count(kept):
    """Number of windows that are kept."""
    return sum(len(file.records) for file in kept.files())


def stream(started):
    """A stream whose scores carry features."""
    return StreamStarted(
        "yard", 8000, ["a"], "single-label", started=started,
        features=FeatureFormat(3, 0.5, DIGEST, 12_000),
    )  # fmt: skip


def average(number):
    """One window of each half second."""
    values = np.zeros(1, np.float32)
    return Average(Scores(4000 * number, 12_000, values, features=np.ones(3, np.float32)), values)


def test_a_disk_that_is_full_in_the_midst_of_a_record_leaves_whole_ones(tmp_path, monkeypatch):
    told, full = [], True
    write = os.write

    def write_half(descriptor, content):
        if not full:
            return write(descriptor, content)
        if len(content) < 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content[: len(content) // 2 + 1])

    writer = FeatureWriter(told.append)
    sink = LiveFeatureSink(tmp_path, "yard", writer, FeatureLimits())
    sink.begin(stream(datetime(2026, 11, 26, 12, tzinfo=UTC)))
    monkeypatch.setattr(feature_file.os, "write", write_half)
    for number in range(20):
        sink.write(average(number))
    wait(lambda: told)
    assert "features cannot be written: no space left on device" in told[0]
    assert count(FeatureStore(tmp_path)) == 0
    full = False
    wait(lambda: len(told) == 2)
    writer.close()
    assert FeatureStore(tmp_path).read("yard").positions.tolist() == [*range(0, 80_000, 4000)]
    assert told[1].startswith("features are written again")


def wait(condition):
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_clock_that_is_set_back_loses_nothing(tmp_path):
    """Half an hour back over midnight: both days are read, and each window by its own time."""
    begun = datetime(2026, 11, 26, 23, 59, 55, tzinfo=UTC)
    writer = FeatureWriter(lambda line: None)
    for started in (begun, begun - timedelta(minutes=30)):
        sink = LiveFeatureSink(tmp_path, "yard", writer, FeatureLimits())
        sink.begin(stream(started))
        for number in range(20):
            sink.write(average(number))
    writer.close()
    kept = FeatureStore(tmp_path)
    assert [len(file.records) for file in kept.files()] == [30, 10]
    midnight = round(datetime(2026, 11, 27, tzinfo=UTC).timestamp()) * 1_000_000
    assert Past(kept, DIGEST, until_us=midnight - 60_000_000).n_windows == 20
    assert Past(kept, DIGEST, since_us=midnight).n_windows == 10
    assert Past(kept, DIGEST, since_us=midnight - 60_000_000).n_windows == 20
    past = Past(kept, DIGEST)
    runs = [end - begin for _, records in past.records() for begin, end in runs_in(records)]
    assert runs == [10, 20, 10]
