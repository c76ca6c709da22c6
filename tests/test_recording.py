"""Recordings: every encoding libsndfile reads, and every way in which a file can be broken."""

import os
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import toys
from readings import check_contiguous, read

from streamclf.core.records import Block, Notice
from streamclf.sources.recording.recording import BLOCK_SAMPLES, Recording

RATE = toys.RATE
N = 160_000
SOUND = toys.tone(440, 20) + np.random.default_rng(0).normal(0, 0.05, N).astype(np.float32)


def samples(items: list) -> np.ndarray:
    """``(channels, samples)``, zeros in the gaps."""
    check_contiguous(items)
    channels = next(i.waveform.shape[0] for i in items if isinstance(i, Block))
    return np.concatenate(
        [
            i.waveform if isinstance(i, Block) else np.zeros((channels, i.n_samples))
            for i in items
            if not isinstance(i, Notice)
        ],
        axis=1,
    )


LINEAR = [
    ("PCM_U8", "WAV", 2**-7),
    ("PCM_16", "WAV", 2**-15),
    ("PCM_24", "WAV", 2**-23),
    ("PCM_32", "WAV", 2**-24),
    ("FLOAT", "WAV", 0),
    ("DOUBLE", "WAV", 0),
    ("ULAW", "WAV", 0.02),
    ("ALAW", "WAV", 0.02),
    ("PCM_24", "WAVEX", 2**-23),
    ("PCM_16", "AIFF", 2**-15),
    ("PCM_16", "AU", 2**-15),
    ("PCM_16", "W64", 2**-15),
    ("PCM_16", "RF64", 2**-15),
    ("PCM_16", "FLAC", 2**-15),
    ("PCM_24", "FLAC", 2**-23),
]


@pytest.mark.parametrize(("subtype", "format", "step"), LINEAR)
def test_recording_gives_each_sample_at_its_place(write_wav, subtype, format, step):
    stereo = np.stack([SOUND, -SOUND / 2], axis=1)
    path = write_wav(stereo, f"x.{format.lower()}", subtype=subtype, format=format)
    items, error = read(path)
    assert error == ""
    assert {i.sample_rate for i in items} == {RATE}
    assert [i.n_samples for i in items[:-1]] == [BLOCK_SAMPLES] * (len(items) - 1)
    assert sum(i.n_samples for i in items) == 160_000
    assert items[0].waveform.dtype == np.float32
    np.testing.assert_allclose(samples(items), stereo.T, atol=step * 1.01)


@pytest.mark.parametrize("container", ["wav", "nut"])
def test_samples_of_64_bits_are_read_as_well(tmp_path, container):
    path = tmp_path / f"x.{container}"
    stereo = np.stack([SOUND, -SOUND / 2], axis=1)
    whole = (stereo.astype(np.float64) * 2**62).astype(np.int64)
    with av.open(path, "w") as file:
        stream = file.add_stream("pcm_s64le", rate=RATE, layout="stereo")
        for start in range(0, N, 1000):
            frame = av.AudioFrame(format="s64", layout="stereo", samples=1000)
            frame.planes[0].update(whole[start : start + 1000].tobytes())
            frame.sample_rate, frame.pts = RATE, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    items, error = read(path)
    assert error == ""
    np.testing.assert_allclose(samples(items), stereo.T / 2, atol=1e-7)


@pytest.mark.parametrize(
    ("subtype", "format", "surplus"),
    [
        ("IMA_ADPCM", "WAV", 504),
        ("MS_ADPCM", "WAV", 499),
        ("VORBIS", "OGG", 0),
        ("OPUS", "OGG", 0),
        ("MPEG_LAYER_III", "MP3", 0),
    ],
)
def test_recording_gives_the_sound_of_lossy_encodings(write_wav, subtype, format, surplus):
    path = write_wav(toys.tone(440, 20), "x.audio", subtype=subtype, format=format)
    items, error = read(path)
    assert error == ""
    waveform = samples(items)[0]
    rate = items[0].sample_rate
    assert rate == (48_000 if subtype == "OPUS" else RATE)  # Opus knows no other
    n_samples = N * rate // RATE
    assert n_samples <= len(waveform) <= n_samples + surplus  # ADPCM fills its last block up
    spectrum = np.abs(np.fft.rfft(waveform[rate : 11 * rate]))
    assert np.argmax(spectrum) == 4400  # 440 Hz in 10 s
    assert abs(np.sqrt(np.mean(waveform[rate:-rate] ** 2)) - 0.3 / np.sqrt(2)) < 0.01


def test_recording_knows_its_duration_and_name(write_wav):
    path = write_wav(SOUND[:12_000])
    recording = Recording(path)
    assert recording.duration_s == 1.5
    assert recording.name == str(path)
    recording.close()
    recording.close()
    assert recording.duration_s == 1.5


def test_recording_named_in_another_encoding_has_a_name_that_can_be_written(write_wav, tmp_path):
    odd = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    try:
        Path(os.fsdecode(odd)).write_bytes(write_wav(SOUND[:800]).read_bytes())
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    with Recording(os.fsdecode(odd)) as recording:
        assert recording.name == f"{tmp_path}/caf\\xe9.wav"
        recording.name.encode()
        assert samples(list(recording.blocks(RATE))).shape == (1, 800)


def test_recording_stops_after_the_current_block(write_wav):
    with Recording(write_wav(SOUND)) as recording:
        blocks = recording.blocks(RATE)
        next(blocks)
        recording.stop()
        assert list(blocks) == []


@pytest.mark.data
def test_odd_encodings_of_urbansound8k_are_read_whole(data_dir):
    folder = data_dir / "odd-encodings"
    paths = sorted(folder.glob("*.wav"))
    assert len(paths) == 10
    for path in paths:
        items, error = read(path)
        assert error == ""
        check_contiguous(items)
        assert items[-1].end == soundfile.info(path).frames
        assert 0 < np.abs(samples(items)).max() <= 1


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "PCM_U8"])
def test_samples_are_what_libsndfile_makes_of_them(tmp_path, subtype):
    path = tmp_path / "noise.wav"
    noise = np.random.default_rng(1).uniform(-1, 1, (40_000, 2))
    noise[:2] = [[-1, 1], [0, -1]]
    soundfile.write(path, noise, 48_000, subtype=subtype)
    expected, _ = soundfile.read(path, dtype="float32")
    with Recording(path) as recording:
        blocks = [item.waveform for item in recording.blocks(16_000) if isinstance(item, Block)]
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), expected.T)
