"""Clips whose headers lie are prepared whole, as `streamclf file` hears them."""

import numpy as np
import pytest
import soundfile
from readings import write_planes
from test_lying_headers import FADING, NOISE, PCM, RATE, flac, frames_of, mp3, ogg, wav
from test_padded_samples import made
from test_padded_samples import wav as padded

from train.base.errors import DatasetError
from train.datasets.decode import decode, duration_of


def uncounted_flac(path):
    data = bytearray(flac(path, NOISE))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    return 10.0


def late_flac(path):
    data = flac(path, NOISE)
    frames = frames_of(data)
    path.write_bytes(data[: frames[0]] + data[frames[40] :])
    return 10 - 40 * 4096 / RATE


def uncounted_mp3(path):
    mp3(path, FADING, counted=False)
    return 30.0


def chained_ogg(path):
    link = ogg(path, "vorbis", NOISE[: 5 * RATE])
    path.write_bytes(link + ogg(path, "vorbis", NOISE[: 5 * RATE], 44_100, "stereo"))
    return 10.0


def stale_wav(path):
    path.write_bytes(wav(PCM, 44))
    return 10.0


MAKERS = [
    (uncounted_flac, "flac"),
    (late_flac, "flac"),
    (uncounted_mp3, "mp3"),
    (chained_ogg, "ogg"),
    (stale_wav, "wav"),
]


@pytest.mark.parametrize(("make", "ending"), MAKERS)
def test_a_clip_whose_header_lies_is_decoded_whole(tmp_path, make, ending):
    path = tmp_path / f"x.{ending}"
    seconds = make(path)
    waveform, rate = decode(path)
    assert len(waveform) / rate == pytest.approx(seconds, abs=0.1)
    assert duration_of(path) == pytest.approx(seconds, abs=0.1)


@pytest.mark.parametrize(("make", "ending"), MAKERS)
def test_its_end_is_found(tmp_path, make, ending):
    path = tmp_path / f"x.{ending}"
    seconds = make(path)
    whole, _ = decode(path)
    waveform, rate = decode(path, (seconds - 2, seconds - 1))
    assert len(waveform) / rate == pytest.approx(1, abs=0.05)
    if ending in ("flac", "wav"):
        begin = round((seconds - 2) * rate)
        np.testing.assert_array_equal(waveform, whole[begin : begin + len(waveform)])


def test_an_ogg_cut_short_is_said(tmp_path):
    path = tmp_path / "x.ogg"
    soundfile.write(path, NOISE, RATE, format="OGG", subtype="VORBIS")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DatasetError, match="is cut off"):
        decode(path)


def test_padded_samples_are_decoded_at_their_level(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(padded(24, 4, "low"))
    waveform, _ = decode(path)
    np.testing.assert_array_equal(waveform[:, 0], made(24, 4, "low") / 2**23)


def test_clip_of_many_channels_is_prepared(tmp_path):
    written = write_planes(tmp_path / "x.wv", "7.1")
    waveform, _ = decode(tmp_path / "x.wv")
    np.testing.assert_array_equal(waveform * 32768, written.T)
