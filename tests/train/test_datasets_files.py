"""Decoding, the prepared array, and what is particular to one data set."""

from __future__ import annotations

import json
import os
import resource
import threading
from dataclasses import replace

import av
import numpy as np
import pytest
import soundfile
from tiny_sets import tone

pytest.importorskip("torch")

from train.base.errors import DatasetError
from train.datasets import fits_in_memory, open_clips, progress
from train.datasets.decode import decode, read_clip
from train.datasets.make_coughvid import write_webm
from train.datasets.prepare import preparation_lock
from train.datasets.prepared import Clip, ClipSet, free_memory
from train.datasets.progress import show_progress

pytestmark = pytest.mark.train


@pytest.mark.parametrize(
    ("name", "rate", "channels", "subtype", "tolerance"),
    [
        ("u8.wav", 11025, 1, "PCM_U8", 0.01),
        ("s24.wav", 44100, 2, "PCM_24", 1e-3),
        ("float.wav", 96000, 1, "FLOAT", 1e-3),
        ("adpcm.wav", 22050, 1, "MS_ADPCM", 0.02),
        ("quad.flac", 48000, 4, "PCM_16", 1e-3),
        ("vorbis.ogg", 44100, 2, "VORBIS", 0.02),
        ("lame.mp3", 48000, 1, "MPEG_LAYER_III", 0.02),
    ],
)
@pytest.mark.parametrize("wanted", [1, 2])
def test_any_encoding_gives_the_same_sound(
    tmp_path, name, rate, channels, subtype, tolerance, wanted
):
    # Channel k holds the tone k + 1 times, over the mean of 1 to `channels`.
    factors = np.arange(1, channels + 1) / np.arange(1, channels + 1).mean()
    waveform = tone(440, 1.0, rate=rate, level=0.2)[:, None] * factors
    soundfile.write(tmp_path / name, waveform, rate, subtype=subtype)
    given = read_clip(tmp_path / name, 16000, wanted) / 32768
    assert given.shape[1:] == (() if wanted == 1 else (2,))
    assert abs(len(given) - 16000) < 1200  # MP3 is padded
    expected = tone(440, 1.0, level=0.2)
    kept = factors if wanted == channels == 2 else np.ones(wanted)
    for column, factor in zip(np.atleast_2d(given.T), kept, strict=True):
        middle = column[2000:14000]
        level = np.sqrt((middle**2).mean() * 2)
        assert level == pytest.approx(0.2 * factor, abs=tolerance)
        if name.endswith("wav"):
            np.testing.assert_allclose(middle, expected[2000:14000] * factor, atol=2 * tolerance)


def test_webm_decodes_to_what_was_written(tmp_path):
    waveform = tone(440, 1.0, rate=48000)
    write_webm(tmp_path / "cough.webm", waveform)
    decoded, rate = decode(tmp_path / "cough.webm")
    assert rate == 48000
    assert decoded.shape[1] == 1
    assert abs(len(decoded) - 48000) < 2000
    assert np.abs(decoded[5000:40000]).max() == pytest.approx(0.3, abs=0.02)


def test_stereo_webm_keeps_its_channels(tmp_path):
    stereo = np.stack([tone(440, 0.5, rate=48000), np.zeros(24000)]).astype(np.float32)
    with av.open(str(tmp_path / "a.webm"), "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=48000, layout="stereo")
        packed = (stereo.T * 32767).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout="stereo")
        frame.sample_rate = 48000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    clip = read_clip(tmp_path / "a.webm", 48000, 2)
    assert np.abs(clip[5000:20000, 0]).max() > 9000
    assert np.abs(clip[5000:20000, 1]).max() < 1000


def test_samples_beyond_the_scale_are_clipped_and_no_numbers_are_silence(tmp_path):
    waveform = np.array([0.0, 2.0, -2.0, np.nan, np.inf, 0.25] * 10, dtype=np.float32)
    soundfile.write(tmp_path / "a.wav", waveform, 16000, subtype="FLOAT")
    clip = read_clip(tmp_path / "a.wav", 16000)
    assert clip[:6].tolist() == [0, 32767, -32768, 0, 0, 8192]


@pytest.mark.parametrize("ending", [".wav", ".flac"])
def test_clip_that_is_cut_off_is_broken(tmp_path, ending):
    path = tmp_path / f"clip{ending}"
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 16000)
    soundfile.write(path, noise, 16000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DatasetError, match=r"clip\.(wav|flac): (is cut off|does not decode)"):
        decode(path)


def test_clip_of_hours_is_refused(tmp_path, monkeypatch):
    from train.datasets import decode as module

    monkeypatch.setattr(module, "MAX_SECONDS", 1)
    soundfile.write(tmp_path / "long.wav", np.zeros(20000), 16000)
    write_webm(tmp_path / "long.webm", tone(440, 3.0, rate=48000))
    for name in ("long.wav", "long.webm"):
        with pytest.raises(DatasetError, match=f"{name}: lasts more than 1 s"):
            decode(tmp_path / name)


@pytest.fixture
def ramps() -> ClipSet:
    """Two clips, of 5 and 3 samples, which count up."""
    return ClipSet(
        name="ramps",
        sample_rate=8000,
        labels=("a", "b"),
        clips=(Clip("a.wav", 1, 0, "s", 0, 5), Clip("b.wav", 2, 1, "t", 5, 3)),
        samples=np.arange(1, 9, dtype=np.int16),
        licence="none",
        citation="none",
        origin="",
    )


def test_stretches_are_cut_where_asked_with_zeros_around(ramps):
    given = ramps.stretches([0, 1, 1, 0], [1, 0, -2, 7], 4)
    assert given.tolist() == [[2, 3, 4, 5], [6, 7, 8, 0], [0, 0, 6, 7], [0, 0, 0, 0]]
    assert ramps.matrix().tolist() == [[1, 2, 3, 4, 5], [6, 7, 8, 0, 0]]


def test_stretches_of_two_channels_have_them_in_the_middle(ramps):
    frames = np.stack([ramps.samples, -ramps.samples], axis=1)
    stereo = replace(ramps, samples=frames, channels=2)
    assert stereo.stretches([1], [1], 3).tolist() == [[[7, 8, 0], [-7, -8, 0]]]
    assert stereo.matrix().shape == (2, 2, 5)
    assert (stereo.waveform(0) * 32768).tolist() == [[1, 2, 3, 4, 5], [-1, -2, -3, -4, -5]]


def test_set_is_held_whole_where_half_the_memory_is_enough(ramps):
    assert ramps.matrix_bytes == ramps.matrix().nbytes == 20
    assert fits_in_memory(ramps, 40)
    assert not fits_in_memory(ramps, 39)
    assert fits_in_memory(ramps)
    assert free_memory() > 1_000_000


def test_regression_is_limited_evenly_over_its_values(ramps):
    values = np.linspace(0, 1, 50)
    clips = tuple(replace(ramps.clips[0], target=float(value)) for value in values)
    regression = replace(ramps, clips=clips, task="regression", labels=("cough",))
    few = regression.limited(5).targets
    assert few.dtype == np.float32
    assert (np.minimum(few * 5, 4).astype(int) == np.arange(5)).all()


def test_full_disk_is_said_in_a_line_and_leaves_nothing(make_esc, tmp_path):
    folder = make_esc()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(DatasetError) as caught:
            open_clips(folder, 16000, out=tmp_path / "out" / "prepared")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot write the prepared clips: File too large" in str(caught.value)
    assert "name a folder elsewhere (--prepared" in str(caught.value)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("damage", ["half a line", "another set", "short array", "no json"])
def test_interrupted_preparation_that_cannot_go_on_starts_anew(make_esc, tmp_path, damage):
    folder = make_esc()
    whole = open_clips(folder, 16000, out=tmp_path / "whole")
    partial = tmp_path / ".out.partial"
    partial.mkdir()
    head = {"origin": [whole.origin, whole.stamp if damage != "another set" else ""]}
    lines = [json.dumps(head), json.dumps({"n": 32000}), '{"n": 32', ""][: 4 - (damage[0] != "h")]
    (partial / "journal.jsonl").write_text("no json" if damage == "no json" else "\n".join(lines))
    n_bytes = 128 + 64000 if damage != "short array" else 1000
    (partial / "samples.npy").write_bytes(b"\1" * n_bytes)
    if damage == "half a line":
        (partial / "journal.jsonl").write_text("\n".join(lines[:3]))
        # The first clip is taken as it lies there.
        again = open_clips(folder, 16000, out=tmp_path / "out")
        assert (again.samples[:32000] == 257).all()
        np.testing.assert_array_equal(again.samples[32000:], whole.samples[32000:])
    else:
        again = open_clips(folder, 16000, out=tmp_path / "out")
        np.testing.assert_array_equal(again.samples, whole.samples)
    assert not partial.exists()


def test_clip_written_anew_at_the_same_size_is_noticed(make_esc):
    folder = make_esc()
    first = open_clips(folder, 16000)
    path = folder / "audio" / first.clips[0].filename
    soundfile.write(path, np.zeros(32000), 16000)
    os.utime(path, ns=(1, 1))
    again = open_clips(folder, 16000)
    assert not again.waveform(0).any()
    assert again.origin == first.origin


def test_one_prepares_and_the_others_wait_for_it(make_esc, tmp_path, capsys):
    folder, out = make_esc(), tmp_path / "out"
    opened: list[ClipSet] = []
    waiting = threading.Thread(target=lambda: opened.append(open_clips(folder, 16000, out=out)))
    with preparation_lock(out):
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        assert not out.exists()
    waiting.join(60)
    assert len(opened[0].clips) == 18
    assert "waiting for another process to prepare it" in capsys.readouterr().err
    assert not list(tmp_path.glob(".*"))


def test_prepared_folder_may_be_read_only(make_esc, tmp_path):
    folder = make_esc()
    out = tmp_path / "shared" / "out"
    open_clips(folder, 16000, out=out)
    before = sorted(path.stat().st_mtime_ns for path in out.parent.rglob("*"))
    parent_before = out.parent.stat().st_mtime_ns
    assert len(open_clips(folder, 16000, out=out).clips) == 18
    # Not even a lock was written.
    assert out.parent.stat().st_mtime_ns == parent_before
    assert sorted(path.stat().st_mtime_ns for path in out.parent.rglob("*")) == before


def test_prepared_folder_is_taken_for_what_it_is(make_esc, tmp_path):
    out = tmp_path / "out"
    open_clips(make_esc(), 16000, out=out)
    with pytest.raises(DatasetError, match=r"prepared with 1 channel\(s\), the network hears 2"):
        open_clips(out, 16000, channels=2)
    with pytest.raises(DatasetError, match="holds esc50, not fsdd; drop the option"):
        open_clips(out, 16000, dataset="fsdd")
    assert open_clips(out, 16000, dataset="esc50").name == "esc50"


def test_prepared_folder_of_the_first_format_is_read(make_esc, tmp_path):
    out = tmp_path / "out"
    now = open_clips(make_esc(), 16000, out=out)
    table = json.loads((out / "clips.json").read_text())
    for name in ("channels", "task", "fold_names", "skipped", "stamp"):
        del table[name]
    (out / "clips.json").write_text(json.dumps({**table, "format": 1}))
    assert open_clips(out, 16000).clips == now.clips
    (out / "clips.json").write_text(json.dumps({**table, "format": 3}))
    with pytest.raises(DatasetError, match="format is 3, this version reads 2"):
        open_clips(out, 16000)


def test_progress_is_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with show_progress("preparing x", 4, "clips", 1) as update:
        update(4)
    said = capsys.readouterr()
    assert said.out == ""
    assert "preparing x" in said.err
    assert "4/4" in said.err
    assert "\x1b[" in said.err


def test_progress_is_lines_elsewhere(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    with show_progress("preparing x", 3, "clips") as update:
        update(2)
        update(3)
    said = capsys.readouterr()
    assert said.err == "preparing x: 2 of 3 clips\npreparing x: 3 of 3 clips\n"
    assert said.out == ""
