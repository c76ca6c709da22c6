"""Recordings cut short or damaged: what is there is heard, the rest is a gap."""

import struct

import numpy as np
import pytest
import soundfile
from test_recording import RATE, SOUND, N, read, samples

from streamclf.core.errors import RecordingError
from streamclf.core.records import Block, Gap
from streamclf.sources.recording.recording import Recording

CUT = [
    ("wav", "PCM_16", 2, 1),
    ("wav", "PCM_U8", 1, 1),
    ("wav", "PCM_24", 3, 1),
    ("wav", "PCM_32", 4, 1),
    ("wav", "FLOAT", 4, 1),
    ("wav", "DOUBLE", 8, 1),
    ("wav", "ULAW", 1, 1),
    ("aiff", "PCM_16", 2, 1),
    ("au", "PCM_16", 2, 1),
    ("w64", "PCM_16", 2, 1),
    ("rf64", "PCM_16", 2, 1),
    ("wav", "MS_ADPCM", 256 / 500, 500),
    ("wav", "IMA_ADPCM", 256 / 505, 505),
]


@pytest.mark.parametrize(("ending", "subtype", "width", "unit"), CUT)
def test_recording_cut_short_gives_what_is_there_and_a_gap(write_wav, ending, subtype, width, unit):
    path = write_wav(SOUND, f"x.{ending}", subtype=subtype)
    whole = samples(read(path)[0])
    n_lost_bytes = 30_001
    path.write_bytes(path.read_bytes()[:-n_lost_bytes])
    items, error = read(path)
    *blocks, gap = items
    assert isinstance(gap, Gap)
    assert (gap.end, gap.cause) == (whole.shape[1], "truncated")
    # The bytes lost, in samples; FLOAT, W64 and the like may have a few bytes behind the data.
    assert abs(gap.n_samples - n_lost_bytes / width) <= 40 + 2 * unit
    sound = gap.position - (unit if unit > 1 else 0)  # the last ADPCM block is half there
    np.testing.assert_array_equal(samples(blocks)[:, :sound], whole[:, :sound])
    there, all_s = gap.position / RATE, whole.shape[1] / RATE
    assert error == (
        f"{path}: is cut short: the header promises {all_s:.2f} s, "
        f"the file holds {there:.2f} s; the results of the rest are kept"
    )


def test_flac_cut_short_is_read_to_its_last_good_frame(write_wav):
    path = write_wav(SOUND, "x.flac")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    items, error = read(path)
    assert isinstance(items[-1], Gap)
    assert (items[-1].end, items[-1].cause) == (N, "truncated")
    read_s = items[-1].position / RATE
    assert 9 < read_s < 11
    np.testing.assert_allclose(samples(items[:-1])[0], SOUND[: items[-1].position], atol=2**-14)
    assert error == (
        f"{path}: is cut short: the header promises 20.00 s, the file holds {read_s:.2f} s; "
        "the results of the rest are kept"
    )


def test_flac_damaged_in_the_middle_is_read_on_behind_it(write_wav):
    path = write_wav(SOUND, "x.flac")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = b"\x55" * 600
    path.write_bytes(data)
    items, error = read(path)
    (gap,) = [i for i in items if isinstance(i, Gap)]
    assert gap.cause == "damaged"
    assert 9 * RATE < gap.position < 10 * RATE < gap.end < 11.5 * RATE
    waveform = samples(items)[0]
    assert len(waveform) == N
    heard = np.ones(N, dtype=bool)
    heard[gap.position : gap.end] = False
    np.testing.assert_allclose(waveform[heard], SOUND[heard], atol=2**-14)
    assert f"the data is damaged at {gap.position / RATE:.2f} s (" in error


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("part", [0.5, 0.97])
def test_ogg_cut_short_is_said(write_wav, subtype, part):
    path = write_wav(SOUND, "x.ogg", subtype=subtype, format="OGG")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    items, error = read(path)
    seconds = samples(items).shape[1] / items[0].sample_rate
    assert 20 * part - 2 < seconds < 20
    assert error == (
        f"{path}: is cut short at {seconds:.2f} s: its last page is missing or damaged; "
        "the results of the rest are kept"
    )


def test_ogg_of_headers_alone_holds_no_audio(write_wav):
    path = write_wav(SOUND, "x.ogg", subtype="VORBIS", format="OGG")
    data = path.read_bytes()
    third = data.index(b"OggS", data.index(b"OggS", 4) + 4)
    path.write_bytes(data[:third])
    with pytest.raises(RecordingError) as caught:
        list(Recording(path).blocks(RATE))
    assert str(caught.value).startswith(f"{path}: ")
    assert "before any audio" in str(caught.value) or "holds no audio" in str(caught.value)


def test_mp3_cut_short_gives_a_gap(write_wav):
    path = write_wav(SOUND, "x.mp3", subtype="MPEG_LAYER_III", format="MP3")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    items, error = read(path)
    assert (items[-1].end, items[-1].cause) == (N, "truncated")
    assert 9 < items[-1].position / RATE < 11
    assert "is cut short: the header promises 20.00 s" in error


def test_mp3_that_does_not_count_its_frames_is_not_called_cut_short(tmp_path):
    """Its length is an estimate from the first frames' bit rate: far off here."""
    path = tmp_path / "x.mp3"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 441_000)
    sound = np.concatenate([np.zeros(441_000), noise, np.zeros(882_000)])
    soundfile.write(path, sound, 44_100, bitrate_mode="VARIABLE", compression_level=0.5)
    data = path.read_bytes()
    second = data.index(b"\xff\xfb", 4)
    assert b"Xing" in data[:second]
    path.write_bytes(data[second:])
    with Recording(path) as recording:
        items = list(recording.blocks(44_100))
    assert {type(i) for i in items} == {Block}
    assert abs(items[-1].end / 44_100 - 40) < 0.1


def test_mp3_behind_a_large_tag_still_counts_its_frames(write_wav):
    path = write_wav(SOUND, "x.mp3", subtype="MPEG_LAYER_III", format="MP3")
    data = path.read_bytes()
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, 2000 >> 7, 2000 & 0x7F]) + bytes(2000)
    path.write_bytes(tag + data[: len(data) // 2])
    items, error = read(path)
    assert (items[-1].end, items[-1].cause) == (N, "truncated")
    assert "is cut short" in error


@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x7FFF_FFFF, 0x7FFF_F000, 0x8000_0000, 0])
def test_wav_of_unknown_length_is_read_to_its_end(write_wav, size):
    """Programs that pipe a WAV, or crash, leave such a size in the header."""
    path = write_wav(SOUND)
    data = bytearray(path.read_bytes())
    assert data[36:40] == b"data"
    data[40:44] = struct.pack("<I", size)
    data[4:8] = struct.pack("<I", min(size + 36, 0xFFFF_FFFF))
    path.write_bytes(data)
    items, error = read(path)
    assert error == ""
    np.testing.assert_allclose(samples(items)[0], SOUND, atol=2**-14)


def test_wav_of_no_samples_holds_no_audio(write_wav):
    path = write_wav(SOUND[:0])
    _, error = read(path)
    assert error == f"{path}: holds no audio that can be decoded"
