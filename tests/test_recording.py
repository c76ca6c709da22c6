"""Recordings: every encoding libsndfile reads, and every way in which a file can be broken."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import toys

from streamclf.errors import RecordingError
from streamclf.records import Block, Gap
from streamclf.sources.recording import BLOCK_SAMPLES, Recording

RATE = toys.RATE
N = 160_000
SOUND = toys.tone(440, 20) + np.random.default_rng(0).normal(0, 0.05, N).astype(np.float32)


def read(path: Path) -> tuple[list, str]:
    """All records, and the message of the error at the end ("" for none)."""
    items = []
    with Recording(path) as recording:
        try:
            items.extend(recording.blocks(RATE))
        except RecordingError as error:
            return items, str(error)
    return items, ""


def check_contiguous(items: list) -> None:
    position = 0
    for item in items:
        assert item.position == position
        position = item.end
        if isinstance(item, Block):
            assert 0 < item.n_samples <= BLOCK_SAMPLES


def samples(items: list) -> np.ndarray:
    """``(channels, samples)``, zeros in the gaps."""
    check_contiguous(items)
    channels = next(i.waveform.shape[0] for i in items if isinstance(i, Block))
    return np.concatenate(
        [i.waveform if isinstance(i, Block) else np.zeros((channels, i.n_samples)) for i in items],
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
    assert N <= len(waveform) <= N + surplus  # ADPCM fills its last block up
    spectrum = np.abs(np.fft.rfft(waveform[RATE : 11 * RATE]))
    assert np.argmax(spectrum) == 4400  # 440 Hz in 10 s
    assert abs(np.sqrt(np.mean(waveform[RATE:-RATE] ** 2)) - 0.3 / np.sqrt(2)) < 0.01


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
    assert error.startswith(f"{path}: the data is damaged at {read_s:.2f} s (flac decoder ")


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
    seconds = samples(items).shape[1] / RATE
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
        assert recording.duration_s > 45
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


def fail(path: Path) -> str:
    with pytest.raises(RecordingError) as caught:
        list(Recording(path).blocks(RATE))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_file_without_bytes_is_empty(tmp_path):
    path = tmp_path / "empty.wav"
    path.touch()
    assert fail(path) == "the file is empty (0 bytes): was it copied whole?"


@pytest.mark.parametrize("name", ["text.wav", "text.mp3", "text.m4a"])
def test_text_is_called_text(tmp_path, name):
    path = tmp_path / name
    path.write_text("a line of words\n" * 40)
    assert fail(path) == "holds text, not audio"


def test_noise_is_called_no_audio(tmp_path):
    path = tmp_path / "noise.m4a"
    path.write_bytes(np.random.default_rng(1).integers(128, 255, 3000, dtype=np.uint8).tobytes())
    assert fail(path).startswith("is no audio that FFmpeg can open: ")


@pytest.mark.parametrize(
    ("ending", "subtype", "n_bytes"),
    [
        ("wav", "PCM_16", 20),
        ("wav", "PCM_16", 40),
        ("wav", "FLOAT", 60),
        ("flac", "PCM_16", 20),
        ("flac", "PCM_16", 60),
        ("ogg", "VORBIS", 60),
        ("aiff", "PCM_16", 40),
        ("mp3", "MPEG_LAYER_III", 200),
    ],
)
def test_header_cut_short_is_said(write_wav, ending, subtype, n_bytes):
    path = write_wav(SOUND, f"x.{ending}", subtype=subtype)
    path.write_bytes(path.read_bytes()[:n_bytes])
    message = fail(path)
    assert message.startswith("the header is damaged or cut short")
    assert "does not exist" not in message


def test_headerless_samples_show_the_way_out(tmp_path):
    path = tmp_path / "x.raw"
    path.write_bytes(bytes(range(256)) * 20)
    assert fail(path) == "headerless audio: pipe it in with --source - --raw FORMAT:RATE:CHANNELS"


def test_a_folder_is_no_recording(tmp_path):
    assert fail(tmp_path) == "is a folder, not a recording: name a file in it"


def test_a_missing_path_is_said(tmp_path):
    assert fail(tmp_path / "no.wav") == "cannot be opened: no such file or directory"


def test_no_permission_is_said(write_wav, monkeypatch):
    path = write_wav(SOUND[:800])
    path.chmod(0)
    if os.access(path, os.R_OK):  # as root

        def refuse(self, *arguments, **keywords):
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "open", refuse)
    assert fail(path) == "cannot be opened: permission denied"


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
