"""Standard input, raw and encoded, and URLs, served from this machine."""

import contextlib
import io
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import av
import numpy as np
import pytest
import soundfile
import toys
from hypothesis import given
from hypothesis import strategies as st
from live_runs import PATIENCE_S

from streamclf.core.errors import StreamError, UsageError
from streamclf.core.records import Block, Notice
from streamclf.sources.stream.raw_format import RawFormat
from streamclf.sources.stream.standard_input import StandardInput
from streamclf.sources.stream.url_stream import UrlStream

# Of each format: its values, as bytes, and what they mean.
SAMPLES = {
    "u8": (b"\x00\x80\xc0", [-1.0, 0.0, 0.5]),
    "s8": (b"\x80\x00\x40", [-1.0, 0.0, 0.5]),
    "s16le": (b"\x00\x80\x00\x00\x00\x40", [-1.0, 0.0, 0.5]),
    "s16be": (b"\x80\x00\x00\x00\x40\x00", [-1.0, 0.0, 0.5]),
    "s16": (b"\x00\x80\x00\x00\x00\x40", [-1.0, 0.0, 0.5]),
    "s24le": (b"\x00\x00\x80\x01\x00\x00\x00\x00\x40", [-1.0, 2**-23, 0.5]),
    "s24be": (b"\x80\x00\x00\x00\x00\x01\x40\x00\x00", [-1.0, 2**-23, 0.5]),
    "s32le": (b"\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00\x40", [-1.0, 0.0, 0.5]),
    "s32be": (b"\x80\x00\x00\x00\x00\x00\x00\x00\x40\x00\x00\x00", [-1.0, 0.0, 0.5]),
    "f32le": (b"\x00\x00\x80\xbf\x00\x00\x00\x00\x00\x00\x00\x3f", [-1.0, 0.0, 0.5]),
    "f32be": (b"\xbf\x80\x00\x00\x00\x00\x00\x00\x3f\x00\x00\x00", [-1.0, 0.0, 0.5]),
    "f64le": (bytes(6) + b"\xf0\xbf" + bytes(8) + bytes(6) + b"\xe0\x3f", [-1.0, 0.0, 0.5]),
    "f64be": (b"\xbf\xf0" + bytes(6) + bytes(8) + b"\x3f\xe0" + bytes(6), [-1.0, 0.0, 0.5]),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_raw_format_reads_its_samples(name):
    data, values = SAMPLES[name]
    assert RawFormat.parse(f"{name}:8000:1").decode(data).tolist() == [values]
    three = RawFormat.parse(f"{name.upper()}:8000:3").decode(data + data)
    assert three.tolist() == [[value, value] for value in values]
    assert three.dtype == np.float32


def test_raw_format_takes_one_channel_unless_told():
    raw = RawFormat.parse("s24be:44100")
    assert (raw.sample_rate, raw.n_channels, raw.frame_bytes) == (44_100, 1, 3)
    assert RawFormat.parse("f32:48000:64").frame_bytes == 256


@pytest.mark.parametrize(
    "text",
    ["", "s16le", "s16le:", "s16le:0:1", "s16le:x:1", "s16le:-8000:1", "s16le:8e3:1", "u16:8000:1",
     "f16:8000:1", "s7:8000:1", "mp3:8000:1", "s16xe:8000:1", "s16le:²:1", "s16le:99999999:1",
     "s16le:" + "9" * 5000 + ":1"],
)  # fmt: skip
def test_raw_format_refuses_what_it_does_not_know(text):
    with pytest.raises(UsageError) as caught:
        RawFormat.parse(text)
    assert str(caught.value) == (
        f"--raw {text}: must be FORMAT:RATE:CHANNELS, for example s16le:16000:1; "
        "FORMAT is u8, s8, s16, s24, s32, f32 or f64 with le or be"
    )


@pytest.mark.parametrize("channels", ["0", "65", "x", "-1", "1:2", "²"])
def test_raw_format_refuses_channels_that_cannot_be(channels):
    with pytest.raises(UsageError) as caught:
        RawFormat.parse(f"s16le:8000:{channels}")
    assert str(caught.value).endswith(f"has {channels} channels, must be 1 to 64")


class OddReads(io.RawIOBase):
    """A pipe that gives as many bytes as it pleases."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data, self._sizes = data, sizes

    def read1(self, size: int) -> bytes:
        n_bytes = min(self._sizes.pop(0) if self._sizes else size, size)
        piece, self._data = self._data[:n_bytes], self._data[n_bytes:]
        return piece


WIDTHS = {"u8": "u1", "s8": "i1", "s16": "i2", "s32": "i4", "f32": "f4", "f64": "f8"}


@given(
    name=st.sampled_from(sorted(WIDTHS)),
    order=st.sampled_from(["le", "be"]),
    n_channels=st.integers(1, 3),
    n_samples=st.integers(1, 300),
    n_left_over=st.integers(0, 2),
    sizes=st.lists(st.integers(1, 90), max_size=50),
)
def test_standard_input_is_the_same_for_any_reads(
    name, order, n_channels, n_samples, n_left_over, sizes
):
    dtype = np.dtype(WIDTHS[name]).newbyteorder("<" if order == "le" else ">")
    rng = np.random.default_rng(n_samples)
    if dtype.kind == "f":
        values = rng.uniform(-1, 1, (n_samples, n_channels)).astype(dtype)
        expected = values.astype(np.float32)
    else:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        values = rng.integers(low, high, (n_samples, n_channels), endpoint=True).astype(dtype)
        half = {1: 128, 2: 32_768, 4: 2_147_483_648}[dtype.itemsize]
        centre = 128 if name == "u8" else 0
        expected = ((values.astype(np.float64) - centre) / half).astype(np.float32)
    n_left_over = min(n_left_over, dtype.itemsize * n_channels - 1)
    data = values.tobytes() + bytes(n_left_over)
    raw = RawFormat.parse(f"{name}{order}:1000:{n_channels}")
    items = list(StandardInput(raw, OddReads(data, sizes)).blocks(1000))
    blocks = [i for i in items if isinstance(i, Block)]
    assert [b.position for b in blocks] == list(np.cumsum([0, *[b.n_samples for b in blocks]])[:-1])
    np.testing.assert_array_equal(np.concatenate([b.waveform for b in blocks], axis=1), expected.T)
    notices = [i.message for i in items if isinstance(i, Notice)]
    said = ["", "1 byte was left over", "2 bytes were left over"][n_left_over]
    assert notices == ([f"standard input ended within a sample: {said}"] if said else [])


def test_raw_standard_input_comes_in_short_blocks():
    """Results shall not wait for more than 50 ms of samples."""
    raw = RawFormat.parse("s16le:8000:1")
    sizes = [b.n_samples for b in StandardInput(raw, io.BytesIO(bytes(2000))).blocks(8000)]
    assert sizes == [400, 400, 200]


@pytest.mark.parametrize("data", [b"", b"\x01"])
def test_raw_standard_input_without_a_sample_is_an_error(data):
    raw = RawFormat.parse("s16le:8000:1")
    with pytest.raises(StreamError, match=r"^standard input ended before one sample came$"):
        list(StandardInput(raw, io.BytesIO(data)).blocks(8000))


def encoded(format: str, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, toys.tone(440, 3, 48_000), 48_000, format=format, subtype=subtype)
    return file.getvalue()


def whole(source) -> np.ndarray:
    position, parts = 0, []
    for block in source.blocks(8000):
        assert (block.position, block.sample_rate) == (position, 48_000)
        position = block.end
        parts.append(block.waveform[0])
    return np.concatenate(parts)


@pytest.mark.parametrize(
    ("format", "subtype"),
    [("WAV", None), ("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)],
)
def test_encoded_standard_input_is_recognised(format, subtype):
    waveform = whole(StandardInput(file=io.BytesIO(encoded(format, subtype))))
    assert abs(len(waveform) / 48_000 - 3) < 0.06
    middle = waveform[48_000:96_000]
    assert np.argmax(np.abs(np.fft.rfft(middle))) == 440
    assert abs(np.sqrt(np.mean(middle**2)) - 0.3 / np.sqrt(2)) < 0.01


def test_encoded_standard_input_comes_through_a_pipe():
    """Where nothing can be wound back."""
    reading, writing = os.pipe()
    data = encoded("WAV")

    def send() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=send)
    thread.start()
    with os.fdopen(reading, "rb") as file:
        waveform = whole(StandardInput(file=file))
    thread.join()
    np.testing.assert_allclose(waveform, toys.tone(440, 3, 48_000), atol=2**-14)


def test_standard_input_that_is_no_audio_shows_the_way_out():
    with pytest.raises(StreamError) as caught:
        list(StandardInput(file=io.BytesIO(bytes(range(256)) * 40)).blocks(8000))
    assert str(caught.value) == (
        "standard input is no audio that FFmpeg can open: invalid data found when processing "
        "input; for headerless samples give --raw s16le:16000:1"
    )


def test_standard_input_without_a_byte_is_said():
    with pytest.raises(StreamError, match=r"^standard input ended before any audio came$"):
        list(StandardInput(file=io.BytesIO()).blocks(8000))


@pytest.mark.parametrize("raw", [RawFormat.parse("s16le:8000:1"), None])
def test_standard_input_stops_while_it_waits(raw):
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as file:
        source = StandardInput(raw, file)
        got: list = []
        reader = threading.Thread(target=lambda: got.extend(source.blocks(8000)), daemon=True)
        reader.start()
        source.stop()
        reader.join(PATIENCE_S)
        assert not reader.is_alive()
        assert got == []
        os.close(writing)  # lets the pump's thread go
        deadline = time.monotonic() + PATIENCE_S
        while any(thread.name == "streamclf-prefetch" for thread in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.01)


class Handler(BaseHTTPRequestHandler):
    """Serves what the server was given, or breaks off in the middle."""

    def do_GET(self) -> None:
        data = encoded("WAV")
        if self.path.startswith("/none"):
            self.send_error(404)
            return
        if self.path.startswith("/radio"):
            data = b"[playlist]\nNumberOfEntries=1\nFile1=http://x.org/live.mp3\n" * 100
        self.send_response(200)
        self.send_header("Content-Type", "audio/wav")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if self.path == "/cut.wav" else data)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server():
    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_url_gives_its_sound(server):
    source = UrlStream(f"http://{server}/sound.wav")
    np.testing.assert_allclose(whole(source), toys.tone(440, 3, 48_000), atol=2**-14)


def test_url_that_is_not_there_is_one_line(server):
    with pytest.raises(StreamError) as caught:
        list(UrlStream(f"http://me:secret@{server}/none").blocks(8000))
    message = str(caught.value)
    assert message.startswith(f"http://me:***@{server}/none: has no stream there: server returned")
    assert "404" in message
    assert message.endswith("; check the path")
    assert "secret" not in message


def test_url_that_breaks_off_keeps_what_came_and_says_so(server):
    items = []
    with pytest.raises(StreamError, match=f"^http://{server}/cut.wav: ") as caught:
        items.extend(UrlStream(f"http://{server}/cut.wav").blocks(8000))
    assert 1 < items[-1].end / 48_000 < 2
    assert "\n" not in str(caught.value)


def test_url_where_nobody_listens_is_one_line():
    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        port = http.server_port  # closed again
    url = f"http://127.0.0.1:{port}/live"
    with pytest.raises(StreamError) as caught:
        list(UrlStream(url).blocks(8000))
    assert str(caught.value) == (
        f"{url}: cannot be reached: connection refused; is it switched on, and the port right?"
    )


def test_url_of_no_protocol_names_those_that_are_usual():
    with pytest.raises(StreamError, match=r"protocol not found; rtsp://, http:// and https:// are"):
        list(UrlStream("rtspx://host/cam").blocks(8000))


@pytest.mark.parametrize("name", ["radio.pls", "radio.m3u?station=1"])
def test_url_of_a_playlist_says_what_to_do(server, name):
    url = f"http://{server}/{name}"
    with pytest.raises(StreamError) as caught:
        list(UrlStream(url).blocks(8000))
    assert str(caught.value) == (
        f"{url}: is a playlist, which names a stream: open it as text and give --source the URL "
        "in it"
    )


def test_url_of_a_playlist_that_is_not_there_is_not_called_one(server):
    with pytest.raises(StreamError, match="404"):
        list(UrlStream(f"http://{server}/none.pls").blocks(8000))


def test_standard_input_with_its_index_at_the_end_says_what_to_do(tmp_path):
    path = tmp_path / "x.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        noise = np.random.default_rng(0).normal(0, 0.2, (1, 48_000 * 20)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    reading, writing = os.pipe()
    thread = threading.Thread(target=lambda: write_all(writing, path.read_bytes()))
    thread.start()
    with (
        io.FileIO(reading) as file,
        pytest.raises(StreamError, match=r"standard input is an MP4 .* -movflags \+faststart$"),
    ):
        list(StandardInput(file=file).blocks(8000))
    thread.join()


def write_all(writing: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), open(writing, "wb") as file:
        file.write(data)


def test_standard_input_takes_a_format_in_words():
    file = io.BytesIO(np.array([0, 16_384], "<i2").tobytes())
    (block,) = StandardInput("s16le:8000:1", file=file).blocks(8000)
    assert block.waveform.tolist() == [[0.0, 0.5]]
