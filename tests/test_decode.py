"""Containers through FFmpeg: what it reads, what is missing in them, what is broken."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import toys
from readings import check_contiguous, read, write_planes

from streamclf.core.errors import RecordingError, SourceError, StreamError
from streamclf.core.records import Block, Gap, Notice
from streamclf.sources.recording.ffmpeg import Decoder, demux
from streamclf.sources.recording.frame_timeline import FrameTimeline
from streamclf.sources.recording.recording import Recording

RATE = 48_000


def encode(
    path: Path,
    codec: str,
    waveform: np.ndarray,
    leave_out: tuple[float, float] | None = None,
    damage: tuple[float, float] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a mono sound; packets that begin in ``leave_out`` (seconds) go missing."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.layout = "mono"
        stream.bit_rate = 96_000
        to_codec = av.AudioResampler(stream.codec_context.format, "mono", RATE)
        packets = []
        for first in range(0, len(waveform), 960):
            piece = np.ascontiguousarray(waveform[np.newaxis, first : first + 960])
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, first, Fraction(1, RATE)
            for converted in to_codec.resample(frame):
                packets += stream.encode(converted)
        packets += stream.encode(None)
        for packet in packets:
            seconds = float(packet.pts * packet.time_base)
            if leave_out and leave_out[0] <= seconds < leave_out[1]:
                continue
            if damage and damage[0] <= seconds < damage[1]:
                noise = av.Packet(b"\xff" * packet.size)
                noise.stream, noise.time_base = stream, packet.time_base
                noise.pts, noise.dts, noise.duration = packet.pts, packet.dts, packet.duration
                packet = noise
            container.mux(packet)
    return path


SOUND = toys.tone(1000, 4, RATE)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("x.webm", "libopus"),
        ("x.m4a", "aac"),
        ("x.mp4", "aac"),
        ("x.aac", "aac"),
        ("x.mkv", "flac"),
        ("x.mka", "pcm_s16le"),
        ("x.wma", "wmav2"),
    ],
)
def test_container_gives_its_sound(tmp_path, name, codec):
    items, error = read(encode(tmp_path / name, codec, SOUND))
    assert error == ""
    assert {type(i) for i in items} == {Block}
    assert {i.sample_rate for i in items} == {RATE}
    assert {i.waveform.dtype for i in items} == {np.dtype(np.float32)}
    check_contiguous(items)
    waveform = np.concatenate([i.waveform for i in items], axis=1)[0]
    assert abs(len(waveform) / RATE - 4) < 0.06  # encoders pad by a frame or two
    middle = waveform[RATE : 3 * RATE]
    assert np.argmax(np.abs(np.fft.rfft(middle))) == 2000  # 1000 Hz in 2 s
    assert abs(np.sqrt(np.mean(middle**2)) - 0.3 / np.sqrt(2)) < 0.01


def test_channels_stay_apart(tmp_path):
    """Interleaved and planar samples alike."""
    left, right = toys.tone(500, 1, RATE), toys.tone(2000, 1, RATE, 0.1)
    for codec, name, sample_format in [("pcm_s16le", "a.mkv", "s16"), ("aac", "b.m4a", "fltp")]:
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream(codec, rate=RATE)
            stream.layout = "stereo"
            frame = av.AudioFrame.from_ndarray(np.stack([left, right]), "fltp", "stereo")
            frame.sample_rate, frame.pts = RATE, 0
            for converted in av.AudioResampler(sample_format, "stereo", RATE).resample(frame):
                container.mux(stream.encode(converted))
            container.mux(stream.encode(None))
        items, _ = read(tmp_path / name)
        waveform = np.concatenate([i.waveform for i in items], axis=1)[:, 8000:40_000]
        for channel, hz, level in [(0, 500, 0.3), (1, 2000, 0.1)]:
            assert np.argmax(np.abs(np.fft.rfft(waveform[channel]))) == hz * 32_000 // RATE
            assert abs(np.sqrt(np.mean(waveform[channel] ** 2)) - level / np.sqrt(2)) < 0.01


def test_duration_is_the_containers_and_outlives_it(tmp_path):
    recording = Recording(encode(tmp_path / "x.mkv", "pcm_s16le", SOUND))
    assert recording.duration_s == pytest.approx(4, abs=0.01)
    recording.close()
    assert recording.duration_s == pytest.approx(4, abs=0.01)


@pytest.mark.parametrize(
    ("name", "codec"), [("x.webm", "libopus"), ("x.m4a", "aac"), ("x.mkv", "pcm_s16le")]
)
def test_packets_left_out_are_a_gap_of_their_length(tmp_path, name, codec):
    path = encode(tmp_path / name, codec, SOUND, leave_out=(1.0, 2.25))
    items, error = read(path)
    check_contiguous(items)
    (gap,) = [i for i in items if isinstance(i, Gap)]
    assert gap.cause == "missing in the stream"
    assert gap.position / RATE == pytest.approx(1, abs=0.06)
    assert gap.n_samples / RATE == pytest.approx(1.25, abs=0.03)
    assert error == (
        f"{path}: lacks audio before its end: {gap.n_samples / RATE:.2f} s at "
        f"{gap.position / RATE:.2f} s; the results of the rest are kept"
    )
    assert items[-1].end / RATE == pytest.approx(4, abs=0.06)


def test_damaged_packets_are_a_gap_and_an_error_at_the_end(tmp_path):
    path = encode(tmp_path / "x.m4a", "aac", SOUND, damage=(1.0, 1.2))
    items, error = read(path)
    check_contiguous(items)
    (gap,) = [i for i in items if isinstance(i, Gap)]
    assert gap.position / RATE == pytest.approx(1, abs=0.06)
    assert gap.n_samples / RATE == pytest.approx(0.2, abs=0.05)
    assert items[-1].end / RATE == pytest.approx(4, abs=0.06)
    assert gap.cause == "damaged"
    length, place = (f"{n / RATE:.2f} s" for n in (gap.n_samples, gap.position))
    missing = f"lacks audio before its end: {length} at {place}"
    # 0.2 s are 9 or 10 frames of 1024 samples
    assert error in {
        f"{path}: {missing} ({n} damaged packets); the results of the rest are kept"
        for n in (9, 10)
    }


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("x.webm", "libopus", {}),
        ("x.mka", "pcm_s16le", {}),
        ("x.m4a", "aac", {"movflags": "faststart"}),
    ],
)
def test_container_cut_short_gives_a_gap_to_its_promised_end(tmp_path, name, codec, options):
    path = encode(tmp_path / name, codec, SOUND, options=options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    items, error = read(path)
    check_contiguous(items)
    gap = items[-1]
    assert isinstance(gap, Gap)
    assert gap.cause == "truncated"
    assert 1 < gap.position / RATE < 3
    assert gap.end / RATE == pytest.approx(4, abs=0.06)
    assert "the results of the rest are kept" in error


def test_container_whose_table_is_cut_off_says_so(tmp_path):
    """Without ``faststart`` an m4a ends in the table without which nothing can be read."""
    path = encode(tmp_path / "x.m4a", "aac", SOUND)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(RecordingError) as caught:
        Recording(path)
    assert str(caught.value) == (
        f"{path}: is no audio that FFmpeg can open: invalid data found when processing input; "
        "it may be damaged or cut short"
    )


def test_video_without_sound_holds_no_audio(tmp_path):
    path = tmp_path / "x.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(RecordingError, match="holds no audio stream"):
        Recording(path)


def test_what_is_not_there_cannot_be_opened(tmp_path):
    with pytest.raises(StreamError, match="FFmpeg can open: no such file or directory"):
        Decoder(str(tmp_path / "none.webm"))


def test_decoder_ends_when_told(tmp_path):
    decoder = Decoder(str(encode(tmp_path / "x.webm", "libopus", SOUND)))
    told = iter([False, False, True])
    assert sum(b.n_samples for b in decoder.blocks(lambda: next(told))) < 3 * 960
    decoder.close()


def test_nothing_that_can_be_decoded_is_an_error(tmp_path):
    path = encode(tmp_path / "x.mkv", "flac", SOUND)
    path.write_bytes(path.read_bytes()[:1000])
    decoder = Decoder(str(path))
    with pytest.raises(SourceError, match="holds no audio that can be decoded"):
        list(decoder.blocks(lambda: False))
    decoder.close()


@dataclass
class Frame:
    """As much of PyAV's frame as the clock looks at."""

    time: float | None
    n_samples: int = 1000
    sample_rate: int = 1000
    format: object = field(default_factory=lambda: av.AudioFormat("fltp"))
    layout: av.AudioLayout = field(default_factory=lambda: av.AudioLayout("mono"))

    def to_ndarray(self) -> np.ndarray:
        return np.zeros((1, self.n_samples), np.float32)


def placed(*frames: Frame) -> list[tuple]:
    clock = FrameTimeline()
    items = [item for frame in frames for item in clock.place(frame)]
    return [
        ("notice", i.position, i.message)
        if isinstance(i, Notice)
        else (type(i).__name__.lower(), i.position, i.n_samples, i.sample_rate)
        for i in items
    ]


def test_clock_counts_from_the_first_time_stamp():
    assert placed(Frame(7000.0), Frame(7001.0)) == [
        ("block", 0, 1000, 1000),
        ("block", 1000, 1000, 1000),
    ]


def test_clock_counts_samples_where_there_are_no_time_stamps():
    assert placed(Frame(None), Frame(None)) == [
        ("block", 0, 1000, 1000),
        ("block", 1000, 1000, 1000),
    ]


def test_clock_forgives_time_stamps_that_jitter():
    times = [0.0, 1.09, 1.95, 3.05]
    assert [item[1] for item in placed(*map(Frame, times))] == [0, 1000, 2000, 3000]


def test_clock_makes_a_jump_ahead_a_gap():
    assert placed(Frame(0.0), Frame(3.5), Frame(4.5)) == [
        ("block", 0, 1000, 1000),
        ("gap", 1000, 2500, 1000),
        ("block", 3500, 1000, 1000),
        ("block", 4500, 1000, 1000),
    ]


@pytest.mark.parametrize("jump", [-500.0, 90_000.0])
def test_clock_takes_a_restart_of_the_time_stamps_for_no_gap(jump):
    """A stream that begins anew, and a jump of more than a day."""
    times = [1000.0, 1001.0, 1002.0 + jump, 1003.0 + jump, 1006.0 + jump]
    assert placed(*map(Frame, times)) == [
        ("block", 0, 1000, 1000),
        ("block", 1000, 1000, 1000),
        ("block", 2000, 1000, 1000),
        ("block", 3000, 1000, 1000),
        ("gap", 4000, 2000, 1000),
        ("block", 6000, 1000, 1000),
    ]


def test_clock_goes_on_at_another_rate():
    assert placed(Frame(0.0), Frame(1.0, 1600, 1600), Frame(2.0, 1600, 1600)) == [
        ("block", 0, 1000, 1000),
        ("notice", 1000, "sample rate changed from 1000 to 1600 Hz"),
        ("block", 1600, 1600, 1600),
        ("block", 3200, 1600, 1600),
    ]


@pytest.mark.parametrize("layout", ["7.0", "7.1", "9 channels", "hexadecagonal"])
def test_channels_in_more_planes_than_a_frame_has_pointers_are_read(tmp_path, layout):
    """PyAV would read from where what lies behind the pointers points to."""
    path = tmp_path / "x.wv"
    written = write_planes(path, layout)
    items, error = read(path)
    assert error == ""
    heard = np.concatenate([item.waveform for item in items], axis=1)
    np.testing.assert_array_equal(heard * 32768, written)


def test_streams_that_come_up_while_a_file_is_read_do_not_end_it_in_a_mistake():
    class Container:
        def demux(self, stream):
            yield stream
            raise IndexError("list index out of range")

    assert list(demux(Container(), "packet")) == ["packet"]
