"""What a header promises is a claim: all that a file holds is heard, whatever its sizes say."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr
from readings import check_contiguous, read
from test_decode import encode
from test_recording import samples

from streamclf.core.records import Block, Gap, Notice
from streamclf.sources.containers.find_parts import find_parts
from streamclf.sources.recording.recording import Recording

RATE = 48_000
NOISE = np.random.default_rng(0).normal(0, 0.1, 10 * RATE).astype(np.float32)
# Loud, then silent: a length reckoned by the bit rate of the beginning is far too short.
FADING = np.concatenate([NOISE, np.zeros(20 * RATE, np.float32)])


END_TAG = b"TAG" + bytes(125)
"""ID3 version 1."""


def seconds_of(items: list) -> float:
    """Of audio."""
    return sum(i.n_samples / i.sample_rate for i in items if isinstance(i, Block))


def notices(items: list) -> str:
    return "\n".join(i.message for i in items if isinstance(i, Notice))


def gaps(items: list) -> list[Gap]:
    return [i for i in items if isinstance(i, Gap)]


def hear_all(path: Path, seconds: float, slack_s: float = 0.0) -> list:
    """Read a file that must be heard whole, without an error."""
    items, error = read(path)
    assert error == ""
    if len({item.sample_rate for item in items if isinstance(item, Block)}) == 1:
        check_contiguous(items)
    assert seconds_of(items) == pytest.approx(seconds, abs=slack_s + 1e-9)
    return items


def mp3(path: Path, sound: np.ndarray, *, counted: bool, constant: int = 0) -> bytes:
    """Of variable bit rate, or of a constant one in kbit/s."""
    with av.open(str(path), "w", options={"write_xing": "1" if counted else "0"}) as container:
        options = {} if constant else {"global_quality": str(4 * 118), "flags": "qscale"}
        stream = container.add_stream("libmp3lame", rate=RATE, options=options)
        stream.layout = "mono"
        if constant:
            stream.bit_rate = constant * 1000
        frame = av.AudioFrame.from_ndarray(sound[np.newaxis], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def test_mp3_of_variable_bit_rate_whose_frames_nobody_counted(tmp_path):
    mp3(tmp_path / "x.mp3", FADING, counted=False)
    items = hear_all(tmp_path / "x.mp3", 30, 0.1)
    assert gaps(items) == []


@pytest.mark.parametrize("counted", [False, True])
def test_mp3_joined_of_two_bit_rates(tmp_path, counted):
    first = mp3(tmp_path / "a.mp3", NOISE, counted=counted, constant=192)
    second = mp3(tmp_path / "b.mp3", FADING, counted=False, constant=64)
    (tmp_path / "x.mp3").write_bytes(first + second)
    items = hear_all(tmp_path / "x.mp3", 40, 0.15)
    # The first frame behind the joint may lack what it takes from the one before.
    assert sum(gap.n_samples for gap in gaps(items)) / RATE < 0.05


def test_mp3_with_tags_in_its_middle_and_at_its_end(tmp_path):
    data = mp3(tmp_path / "a.mp3", NOISE, counted=False, constant=64)
    tag = b"ID3\x04\x00\x00\x00\x00\x0f\x50" + bytes(2000)
    ape = b"APETAGEX" + struct.pack("<IIII8x", 2000, 32, 0, 0x80000000)
    middle = data.index(b"\xff\xfb", len(data) // 2)
    (tmp_path / "x.mp3").write_bytes(
        data[:middle] + tag + data[middle:] + ape + b"TAG" + bytes(125)
    )
    items, error = read(tmp_path / "x.mp3")
    assert error == ""
    assert seconds_of(items) == pytest.approx(10, abs=0.1)


def test_mp3_joined_behind_tags_with_pictures_loses_no_frame(tmp_path):
    """What in a picture looks like frames is none, and the frame behind it is heard."""
    data = mp3(tmp_path / "a.mp3", NOISE, counted=False, constant=64)
    picture = np.random.default_rng(0).bytes(300_000)
    size = bytes(len(picture) >> shift & 0x7F for shift in (21, 14, 7, 0))
    tag = b"ID3\x03\x00\x00" + size + picture
    ape = b"APETAGEX" + struct.pack("<IIII8x", 2000, 2000, 0, 0xA0000000) + bytes(2000)
    (tmp_path / "x.mp3").write_bytes(tag + data + END_TAG + tag + data + ape + data)
    items = hear_all(tmp_path / "x.mp3", 30, 0.15)
    assert gaps(items) == []


def flac(path: Path, sound: np.ndarray) -> bytes:
    soundfile.write(path, sound, RATE, subtype="PCM_16", format="FLAC")
    return path.read_bytes()


def frames_of(data: bytes) -> list[int]:
    """Where the frames of a FLAC begin."""
    with av.open(io.BytesIO(data), format="flac") as container:
        return [packet.pos for packet in container.demux() if packet.size]


def test_flac_of_unknown_length(tmp_path):
    """As a pipe leaves it: nobody went back to write the count."""
    data = bytearray(flac(tmp_path / "a.flac", NOISE))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    (tmp_path / "x.flac").write_bytes(data)
    items = hear_all(tmp_path / "x.flac", 10)
    np.testing.assert_allclose(samples(items)[0], NOISE, atol=2**-14)
    with Recording(tmp_path / "x.flac") as recording:
        assert recording.duration_s is None


@pytest.mark.parametrize("counted", [False, True])
def test_flac_whose_first_frame_is_not_the_first(tmp_path, counted):
    """As a segmenter leaves it, with the header of the whole or without a count."""
    data = bytearray(flac(tmp_path / "a.flac", NOISE))
    if not counted:
        data[21] &= 0xF0
        data[22:26] = bytes(4)
    frames = frames_of(bytes(data))
    (tmp_path / "x.flac").write_bytes(data[: frames[0]] + data[frames[40] :])
    items = hear_all(tmp_path / "x.flac", 10 - 40 * 4096 / RATE)
    assert gaps(items) == []
    np.testing.assert_allclose(samples(items)[0], NOISE[40 * 4096 :], atol=2**-14)


def test_flac_that_holds_more_than_it_counts(tmp_path):
    data = bytearray(flac(tmp_path / "a.flac", NOISE))
    data[22:26] = struct.pack(">I", 3 * RATE)
    (tmp_path / "x.flac").write_bytes(data)
    items = hear_all(tmp_path / "x.flac", 10)
    np.testing.assert_allclose(samples(items)[0], NOISE, atol=2**-14)


@pytest.mark.parametrize("seconds", [10, 4])
def test_flac_joined(tmp_path, seconds):
    """Of equal length, too, where the last frame has the number that the header promises."""
    data = flac(tmp_path / "a.flac", NOISE) + flac(tmp_path / "b.flac", NOISE[: seconds * RATE])
    (tmp_path / "x.flac").write_bytes(data)
    items = hear_all(tmp_path / "x.flac", 10 + seconds)
    expected = np.concatenate([NOISE, NOISE[: seconds * RATE]])
    np.testing.assert_allclose(samples(items)[0], expected, atol=2**-14)


def test_flac_behind_a_tag_is_heard_once(tmp_path):
    tag = b"ID3\x04\x00\x00\x00\x00\x0f\x50" + bytes(2000)
    (tmp_path / "x.flac").write_bytes(tag + flac(tmp_path / "a.flac", NOISE[:RATE]))
    hear_all(tmp_path / "x.flac", 1)


def test_flac_joined_to_one_that_is_damaged_ends(tmp_path):
    data = flac(tmp_path / "a.flac", NOISE[:RATE])
    (tmp_path / "x.flac").write_bytes(data + data[:42] + b"\x55" * 1000)
    items, error = read(tmp_path / "x.flac")
    assert seconds_of(items) == 1
    assert "the results of the rest are kept" in error


def ogg(path: Path, codec: str, sound: np.ndarray, rate: int = RATE, layout: str = "mono") -> bytes:
    """Vorbis by libsndfile, for PyAV brings no encoder of it; Opus and FLAC by FFmpeg."""
    mono = soxr.resample(sound, RATE, rate)
    waveform = np.stack([mono] * (2 if layout == "stereo" else 1))
    if codec == "vorbis":
        soundfile.write(path, waveform.T, rate, format="OGG", subtype="VORBIS")
        return path.read_bytes()
    with av.open(str(path), "w", format="ogg") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout = layout
        frame = av.AudioFrame.from_ndarray(waveform, format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        for converted in av.AudioResampler(stream.codec_context.format, layout, rate).resample(
            frame
        ):
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return path.read_bytes()


CHAINS = [
    [("vorbis", RATE, "mono"), ("vorbis", RATE, "mono")],
    [("libopus", RATE, "mono"), ("libopus", RATE, "mono")],
    [("flac", RATE, "mono"), ("flac", RATE, "mono")],
    [("vorbis", 44_100, "mono"), ("vorbis", RATE, "stereo"), ("vorbis", 44_100, "mono")],
    [("libopus", RATE, "stereo"), ("libopus", RATE, "mono")],
    [("flac", RATE, "mono"), ("flac", 32_000, "stereo")],
    [("vorbis", 44_100, "mono"), ("libopus", RATE, "mono")],
]


@pytest.mark.parametrize("chain", CHAINS)
def test_ogg_chain_is_heard_to_its_end(tmp_path, chain):
    links = [ogg(tmp_path / "a.ogg", codec, NOISE[: 5 * RATE], *how) for codec, *how in chain]
    (tmp_path / "x.ogg").write_bytes(b"".join(links))
    items = hear_all(tmp_path / "x.ogg", 5 * len(chain), 0.05 * len(chain))
    assert gaps(items) == []
    rates = [rate for _, rate, _ in chain]
    assert ("sample rate changed" in notices(items)) == (len(set(rates)) > 1)


@pytest.mark.parametrize("codec", ["vorbis", "libopus"])
def test_ogg_whose_end_is_not_marked_or_not_the_last_is_whole(tmp_path, codec):
    data = ogg(tmp_path / "a.ogg", codec, NOISE)
    last = data.rindex(b"OggS")
    unmarked = bytearray(data)
    unmarked[last + 5] &= ~4
    (tmp_path / "x.ogg").write_bytes(data[:last])
    items, error = read(tmp_path / "x.ogg")
    assert error == ""
    assert "no mark of an end" in notices(items)
    (tmp_path / "x.ogg").write_bytes(data + b"foreign bytes" * 300)
    items = hear_all(tmp_path / "x.ogg", 10, 0.02)
    assert "3900 bytes behind its last page are no audio" in notices(items)


@pytest.mark.parametrize("codec", ["vorbis", "libopus"])
def test_ogg_is_heard_behind_a_damaged_stretch_that_ffmpeg_does_not_search_across(tmp_path, codec):
    data = ogg(tmp_path / "a.ogg", codec, NOISE)
    page = data.index(b"OggS", len(data) // 2)
    after = data.index(b"OggS", page + 1)
    (tmp_path / "x.ogg").write_bytes(data[:page] + bytes(70_000) + data[page:])
    items = hear_all(tmp_path / "x.ogg", 10, 0.02)
    assert gaps(items) == []
    assert "70000 bytes between its pages are damaged" in notices(items)
    # With a page in it, the gap is as long as that.
    (tmp_path / "x.ogg").write_bytes(data[:page] + bytes(70_000) + data[after:])
    items, error = read(tmp_path / "x.ogg")
    (gap,) = gaps(items)
    assert gap.cause == "missing in the stream"
    assert f"lacks audio before its end: {gap.n_samples / RATE:.2f} s at" in error
    assert seconds_of(items) + gap.n_samples / gap.sample_rate == pytest.approx(10, abs=0.02)


def test_vorbis_that_ffmpeg_refuses_is_read_by_libsndfile(tmp_path, monkeypatch):
    """Met in the wild: its header has an oddity that libvorbis does not mind."""
    ogg(tmp_path / "x.ogg", "vorbis", NOISE)

    def refuse(*arguments: object, **options: object) -> None:
        raise av.InvalidDataError(1094995529, "Invalid data found when processing input")

    monkeypatch.setattr(av, "open", refuse)
    hear_all(tmp_path / "x.ogg", 10)


PCM = np.round(NOISE * 32767).astype(np.int16)


def wav(
    sound: np.ndarray, data_size: int | None = None, behind: bytes = b"", rate: int = RATE
) -> bytes:
    """A WAV of 16 bits with any size in its header, and anything behind its samples."""
    body = sound.astype("<i2").tobytes()
    size = len(body) if data_size is None else data_size
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    riff = (size + 36 + len(behind)) % 2**32
    head = b"RIFF" + struct.pack("<I", riff) + b"WAVE" + fmt
    return head + b"data" + struct.pack("<I", size) + body + behind


LIST = b"LIST" + struct.pack("<I", 26) + b"INFOICMT" + struct.pack("<I", 14) + b"what was said "
N_BYTES = 2 * len(PCM)


@pytest.mark.parametrize(
    ("size", "behind"),
    [
        (0, b""),
        (44, b""),
        (8, b""),
        (N_BYTES // 2, b""),
        (N_BYTES // 2 + 2, LIST),
        (1 << 16, b""),
        (N_BYTES, LIST),
        (N_BYTES, LIST + b"junk" + struct.pack("<I", 4) + bytes(4)),
        (N_BYTES, b"xyzw" + struct.pack("<I", 4) + bytes(4)),
        (N_BYTES, b"id3 " + struct.pack("<I", 4000) + bytes(40)),
        (N_BYTES, END_TAG),
        (0xFFFF_FFFF, b""),
    ],
)
def test_wav_with_any_size_gives_each_sample(tmp_path, size, behind):
    path = tmp_path / "x.wav"
    path.write_bytes(wav(PCM, size, behind))
    items, error = read(path)
    assert error == ""
    n_more = len(behind) // 2 if size < N_BYTES and behind else 0
    heard = samples(items)[0]
    assert len(PCM) <= len(heard) <= len(PCM) + n_more
    np.testing.assert_array_equal(heard[: len(PCM)], PCM / np.float32(32768))
    assert ("more follow that are no chunk: they are heard" in notices(items)) == (size < N_BYTES)


def test_wav_with_its_size_wrapped_is_found_by_the_chunks_behind(tmp_path, monkeypatch):
    """4 GiB are sparse here, and only looked at, not heard."""
    path = tmp_path / "x.wav"
    path.write_bytes(wav(PCM[:0], 1000))
    with path.open("r+b") as file:
        file.seek(44 + 2**32 + 1000)
        file.write(LIST)
    (part,) = find_parts(path)
    assert (part.start, part.end) == (44, 44 + 2**32 + 1000)
    assert part.head[:4] == b"RF64"
    with Recording(path) as recording:
        assert recording.duration_s == (2**32 + 1000) / 2 / RATE


def test_zeros_that_fill_a_file_up_are_no_sound(tmp_path):
    """Of 8 bits they would be a loud click; behind a size that was never updated they are sound."""
    path = tmp_path / "x.wav"
    path.write_bytes(wav(PCM, N_BYTES, bytes(10_000)))
    items = hear_all(path, 10)
    assert "10000 zeros behind the samples are left out" in notices(items)
    path.write_bytes(wav(0 * PCM, 44))
    hear_all(path, 10)


def test_wav_without_samples_but_with_chunks_holds_no_audio(tmp_path):
    (tmp_path / "x.wav").write_bytes(wav(PCM[:0], 0, LIST))
    items, error = read(tmp_path / "x.wav")
    assert items == []
    assert error.endswith(": holds no audio that can be decoded")


def test_aiff_that_counts_fewer_samples_than_it_holds(tmp_path):
    path = tmp_path / "x.aiff"
    soundfile.write(path, NOISE, RATE, format="AIFF", subtype="PCM_16")
    data = path.read_bytes()
    path.write_bytes(bump(data, data.index(b"COMM") + 10, ">I", 1000))
    hear_all(path, 10)


def test_aiff_as_sox_writes_it_into_a_pipe_makes_no_promise(tmp_path):
    """Its sizes are 0x7F000000 bytes, its count of samples the same divided by a sample's size."""
    path = tmp_path / "x.aiff"
    soundfile.write(path, NOISE, RATE, format="AIFF", subtype="PCM_16")
    data = path.read_bytes()
    data = bump(data, data.index(b"COMM") + 10, ">I", 0x7F00_0000 // 2)
    path.write_bytes(bump(data, data.index(b"SSND") + 4, ">I", 0x7F00_0008))
    hear_all(path, 10)


def test_wav_files_joined_are_both_heard(tmp_path):
    """Each with a rate and chunks of its own."""
    path = tmp_path / "x.wav"
    path.write_bytes(wav(PCM, None, LIST) + wav(PCM[: 2 * RATE], rate=RATE // 2) + wav(PCM[:RATE]))
    items = hear_all(path, 10 + 4 + 1)
    assert "another WAV is joined to it: both are heard" in notices(items)
    assert [i.sample_rate for i in items if isinstance(i, Block)][-1] == RATE
    last = next(i for i in reversed(items) if isinstance(i, Block))
    np.testing.assert_array_equal(last.waveform[0], PCM[:RATE] / np.float32(32768))


def test_wav_with_its_samples_in_two_chunks(tmp_path):
    path = tmp_path / "x.wav"
    more = PCM[:RATE].tobytes()
    path.write_bytes(wav(PCM, None, LIST + b"data" + struct.pack("<I", len(more)) + more))
    items = hear_all(path, 11)
    assert "samples in 2 chunks: all are heard" in notices(items)


@pytest.mark.parametrize("excess", [1, 8, 36, 44, 2000])
def test_wav_that_promises_next_to_nothing_more_than_it_holds_is_whole(tmp_path, excess):
    path = tmp_path / "x.wav"
    path.write_bytes(wav(PCM, N_BYTES + excess))
    items = hear_all(path, 10)
    assert gaps(items) == []
    ms = excess / 2 / RATE * 1000
    assert f"promises {ms:.1f} ms more than the file holds" in notices(items)


def test_wav_that_lacks_50_ms_is_cut_short(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(wav(PCM, N_BYTES + 2 * RATE // 20))
    items, error = read(path)
    assert error == (
        f"{path}: is cut short: the header promises 10.05 s, the file holds 10.00 s; "
        "the results of the rest are kept"
    )
    assert items[-1] == Gap(10 * RATE, RATE // 20, RATE, "truncated")


def bump(data: bytes, at: int, form: str, value: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into(form, changed, at, value)
    return bytes(changed)


def place_of(mark: bytes, more: int) -> Callable[[bytes], int]:
    return lambda data: data.index(mark) + more


KIN = [
    ("AIFF", place_of(b"SSND", 4), ">I", [8, 0, 200_008]),
    ("AU", lambda data: 8, ">I", [0, 0xFFFF_FFFF, 200_000]),
    ("W64", place_of(b"data", 16), "<q", [24, 0, 200_024]),
    ("RF64", place_of(b"ds64", 16), "<q", [0, 200_000]),
    ("CAF", place_of(b"data", 4), ">q", [-1, 200_004]),
]


@pytest.mark.parametrize(
    ("kind", "at", "form", "size"), [(k, a, f, size) for k, a, f, sizes in KIN for size in sizes]
)
def test_kin_of_wav_with_any_size_give_each_sample(tmp_path, kind, at, form, size):
    path = tmp_path / f"x.{kind.lower()}"
    soundfile.write(path, NOISE, RATE, format=kind, subtype="PCM_16")
    whole = samples(read(path)[0])
    data = path.read_bytes()
    path.write_bytes(bump(data, at(data), form, size))
    items, error = read(path)
    assert error == ""
    heard = samples(items)
    assert 0 <= heard.shape[1] - whole.shape[1] < 64  # chunks behind the samples
    np.testing.assert_array_equal(heard[:, : whole.shape[1]], whole)


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "GSM610", "ULAW", "FLOAT"])
def test_wav_of_any_coding_is_heard_behind_a_size_that_was_never_updated(tmp_path, subtype):
    path = tmp_path / "x.wav"
    soundfile.write(path, NOISE, RATE, subtype=subtype)
    whole = samples(read(path)[0])
    data = path.read_bytes()
    path.write_bytes(bump(data, data.index(b"data") + 4, "<I", 0))
    items, error = read(path)
    assert error == ""
    heard = samples(items)
    np.testing.assert_array_equal(heard[:, : whole.shape[1] - 1000], whole[:, :-1000])
    assert heard.shape[1] >= whole.shape[1]


def test_mp3_in_wav_is_whole(tmp_path):
    items = hear_all(encode(tmp_path / "x.wav", "libmp3lame", NOISE), 10, 0.1)
    assert gaps(items) == []


def test_read_error_at_the_end_loses_nothing_that_was_read(tmp_path):
    """The decoder's threads hold the last frames when foreign bytes end the reading."""
    path = encode(tmp_path / "x.wv", "wavpack", NOISE)
    path.write_bytes(path.read_bytes() + np.random.default_rng(1).bytes(3000))
    items = hear_all(path, 10)
    assert "what follows its audio at 10.00 s is none" in notices(items)


CUT = [
    ("wav", lambda path: encode(path, "libmp3lame", NOISE)),
    ("avi", lambda path: encode(path, "libmp3lame", NOISE)),
    ("flv", lambda path: encode(path, "aac", NOISE)),
    ("wma", lambda path: encode(path, "wmav2", NOISE)),
    ("wv", lambda path: encode(path, "wavpack", NOISE)),
    ("tta", lambda path: encode(path, "tta", NOISE)),
    ("caf", lambda path: encode(path, "pcm_s16be", NOISE)),
    ("mp4", lambda path: encode(path, "aac", NOISE, options={"movflags": "frag_keyframe"})),
]


@pytest.mark.parametrize(("ending", "write"), CUT)
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_what_is_cut_short_is_never_taken_for_whole(tmp_path, ending, write, part):
    path = tmp_path / f"x.{ending}"
    write(path)
    items, error = read(path)
    assert (error, seconds_of(items)) == ("", pytest.approx(10, abs=0.1))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    items, error = read(path)
    assert seconds_of(items) < 10 * part + 0.5
    assert "is cut short" in error


KINDS = ["WAV", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3"]


@pytest.mark.parametrize("kind", KINDS)
def test_any_header_is_looked_at_without_a_mistake(tmp_path, kind):
    """Whatever is in it: a part at least, none that begins or ends outside the file."""
    path = tmp_path / "x.audio"
    soundfile.write(path, NOISE[:RATE], RATE, format=kind)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(100):
        data = bytearray(whole[: int(random.integers(1, len(whole)))])
        for at in random.integers(0, min(len(data), 120), 4):
            data[at] = random.choice([0, 1, 0x7F, 0x80, 0xFF, int(random.integers(256))])
        path.write_bytes(data)
        for part in find_parts(path):
            assert 0 <= part.start <= len(data)
            assert part.end is None or part.end <= len(data)
