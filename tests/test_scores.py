"""Scores of every window in files: every digit comes back."""

import csv
import errno
from pathlib import Path

import numpy as np
import pytest
from test_sinks import LABELS, LIVE, RATE, RESULTS, STREAM, window

from streamclf.core.errors import SinkError, UsageError
from streamclf.core.records import StreamStarted
from streamclf.sinks.factory import open_scores
from streamclf.sinks.file_names import check_scores_ending


def test_scores_end_in_csv_or_npz(tmp_path):
    check_scores_ending(Path("x.NPZ"))
    with pytest.raises(UsageError, match=r"--scores .*x\.txt: must end in \.csv or \.npz"):
        open_scores(tmp_path / "x.txt")
    assert list(tmp_path.iterdir()) == []


def test_scores_csv_gives_back_every_digit(tmp_path):
    path = tmp_path / "x.csv"
    sink = open_scores(path)
    third = np.float32(1) / np.float32(3)
    sink.begin(STREAM)
    sink.write(window(0, third, 1e-30, 1.0, averages=(0.5, 0.5, 0.5)))
    sink.write(RESULTS[1])
    sink.begin(LIVE)
    sink.write(window(4000, 0.25, 0.5, 0.25))
    sink.close()
    header, *rows = csv.reader(path.read_text().splitlines())
    assert header == ["source", "onset", "offset", "dog", "door, slammed", "rain"]
    assert [row[:3] for row in rows] == [["a/long.wav", "0.0", "1.5"], ["Mic", "0.5", "2.0"]]
    assert [np.float32(cell) for cell in rows[0][3:]] == [third, np.float32(1e-30), 1]


def test_scores_npz_gives_everything_back(tmp_path):
    path = tmp_path / "x.npz"
    sink = open_scores(path)
    sink.begin(STREAM)
    sink.write(window(0, 0.1, 0.2, 0.7))
    sink.write(RESULTS[3])
    sink.write(window(4000, 0.3, 0.3, 0.4, averages=(1.0, 0.0, 0.0)))
    sink.begin(StreamStarted("silent.wav", RATE, LABELS, "single-label"))
    sink.begin(LIVE)
    sink.write(window(8000, 1.0, 0.0, 0.0))
    sink.close()
    sink.close()
    with np.load(path) as found:
        assert found["labels"].tolist() == LABELS
        assert found["sources"].tolist() == ["a/long.wav", "silent.wav", "Mic"]
        assert found["source"].tolist() == [0, 0, 2]
        assert found["onset"].tolist() == [0.0, 0.5, 1.0]
        assert found["offset"].tolist() == [1.5, 2.0, 2.5]
        assert found["scores"].dtype == np.float32
        expected = np.array([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [1, 0, 0]], dtype=np.float32)
        np.testing.assert_array_equal(found["scores"], expected)


@pytest.mark.parametrize("begun", [True, False])
def test_scores_npz_of_no_windows_is_whole(tmp_path, begun):
    path = tmp_path / "x.npz"
    sink = open_scores(path)
    if begun:
        sink.begin(STREAM)
    sink.close()
    with np.load(path) as found:
        assert found["scores"].shape == (0, 3 if begun else 0)
        assert found["onset"].shape == found["source"].shape == (0,)
        assert found["sources"].tolist() == (["a/long.wav"] if begun else [])


def test_scores_npz_on_a_full_disk_is_one_line(tmp_path, monkeypatch):
    sink = open_scores(tmp_path / "x.npz")
    sink.begin(STREAM)
    sink.write(window(0, 0.1, 0.2, 0.7))

    def full(*arguments, **keywords):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("zipfile.ZipFile", full)
    with pytest.raises(SinkError, match=r"x\.npz: cannot be written: No space left on device"):
        sink.close()
