"""Recordings cut short or damaged: what is there is heard, the rest is a gap."""

import re
import struct

import numpy as np
import pytest
import soundfile
from test_decode import encode
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


LONG = np.random.default_rng(0).normal(0, 0.1, 8 * 48_000).astype(np.float32)
MIDDLES = [
    ("ogg", "vorbis"), ("opus", "libopus"), ("webm", "libopus"), ("mka", "aac"), ("m4a", "aac"),
    ("wma", "wmav2"), ("mp3", "libmp3lame"), ("aac", "aac"), ("mp2", "mp2"), ("ac3", "ac3"),
    ("ts", "aac"), ("flac", "flac"),
]  # fmt: skip
"""Endings with a coding; files that say where audio was, or count frames alone."""


def damaged(path, codec, replace):
    """A file of 8 s of noise, of which a tenth in the middle is replaced."""
    if codec == "vorbis":
        soundfile.write(path, LONG, 48_000, format="OGG", subtype="VORBIS")
    else:
        encode(path, codec, LONG)
    data = bytearray(path.read_bytes())
    begin, n_bytes = len(data) // 2, len(data) // 10
    data[begin : begin + n_bytes] = replace(data[begin : begin + n_bytes])
    path.write_bytes(data)
    return path


def check_damaged(blocks, gaps, error):
    """What was lost is a gap in its place, what follows lies where it was, and a line says so."""
    missing_s = sum(gap.n_samples / gap.sample_rate for gap in gaps)
    assert 0.3 < missing_s < 4
    assert re.search(
        rf"lacks audio before its end: {missing_s:.2f} s (at|in \d+ places, the first at) [3-5]\.|"
        r"the data is damaged at 3\.\d\d s",
        error,
    )
    assert blocks[-1].end / blocks[-1].sample_rate == pytest.approx(8, abs=0.1)
    end = blocks[-1].end
    last = blocks[-1].waveform[0][-5000:-2000]
    found = np.abs(np.correlate(LONG[end - 6500 : end - 500], last, "valid"))
    assert abs(int(np.argmax(found)) - 1500) < 1500  # where a gap is as long as frames, or guessed


@pytest.mark.parametrize(("ending", "codec"), MIDDLES)
def test_damage_in_the_middle_is_a_gap_in_its_place_and_an_error(tmp_path, ending, codec):
    path = damaged(tmp_path / f"x.{ending}", codec, lambda data: bytes(len(data)))
    items, error = read(path)
    gaps = [item for item in items if isinstance(item, Gap)]
    check_damaged([item for item in items if isinstance(item, Block)], gaps, error)
    assert {gap.cause for gap in gaps} <= {"damaged", "missing in the stream"}


@pytest.mark.parametrize("codec", ["vorbis", "opus"])
def test_ogg_damaged_at_either_end_is_not_taken_for_whole(tmp_path, codec):
    """Its first page of audio, of which FFmpeg says nothing, the one before the last, the last."""
    path = tmp_path / "x.ogg"
    soundfile.write(path, LONG, 48_000, format="OGG", subtype=codec.upper())
    whole = path.read_bytes()
    pages = [found.start() for found in re.finditer(b"OggS", whole)]
    first = next(at for at in pages if int.from_bytes(whole[at + 6 : at + 14], "little"))
    for at in (first, pages[-2], pages[-1]):
        end = min([page for page in pages if page > at], default=len(whole))
        path.write_bytes(whole[: at + 40] + bytes(end - at - 40) + whole[end:])
        items, error = read(path)
        heard_s = sum(i.n_samples / i.sample_rate for i in items if isinstance(i, Block))
        assert heard_s < 7.95
        assert "lacks audio before its end" in error or "is cut short" in error
        if at == first:
            assert isinstance(items[0], Gap)
            assert items[-1].end / items[-1].sample_rate == pytest.approx(8, abs=0.02)


def test_a_length_that_no_file_could_hold_is_not_believed(tmp_path):
    """A gap of months from a few wrong bits would outweigh all that was heard."""
    path = encode(tmp_path / "x.mkv", "aac", LONG[:96_000])
    data = path.read_bytes()
    at = data.index(b"\x44\x89\x88") + 3
    path.write_bytes(data[:at] + struct.pack(">d", 1e12) + data[at + 8 :])
    items, error = read(path)
    assert (error, {type(item) for item in items}) == ("", {Block})


@pytest.mark.parametrize(("ending", "codec"), [("mka", "flac"), ("wv", "wavpack"), ("tta", "tta")])
def test_a_checksum_that_is_wrong_is_damage(tmp_path, ending, codec):
    """FFmpeg would deliver noise in its place."""

    path = tmp_path / f"x.{ending}"
    whole = samples(read(damaged(path, codec, bytes))[0])[0]

    def flip(data):
        return bytes(byte ^ (at % 5000 == 2500) for at, byte in enumerate(data))

    items, error = read(damaged(path, codec, flip))
    assert "lacks audio before its end" in error
    for block in [item for item in items if isinstance(item, Block)]:
        np.testing.assert_array_equal(block.waveform[0], whole[block.position : block.end])


def test_damage_in_the_middle_fails_in_part(tmp_path, streamclf, tone_model):
    """As all does that was not heard whole: a script sees it."""
    path = damaged(tmp_path / "x.ogg", "vorbis", lambda data: bytes(len(data)))
    result = streamclf("file", path, "--model", tone_model)
    assert result.code == 1
    assert "lacks audio before its end: " in result.err


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
