"""Live network streams, served from this machine: they hang, break off, and come back changed."""

from __future__ import annotations

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import soundfile
import toys

from streamclf.core.errors import StreamError
from streamclf.core.records import Block, Gap, Notice
from streamclf.sources.stream import reconnect
from streamclf.sources.stream.url_stream import UrlStream

SECONDS = 2


def encoded(format: str, subtype: str | None, rate: int, hz: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, toys.tone(hz, SECONDS, rate), rate, format=format, subtype=subtype)
    return file.getvalue()


MP3 = encoded("MP3", None, 48_000, 440)
MP3_SLOW = encoded("MP3", None, 24_000, 880)
VORBIS = encoded("OGG", "VORBIS", 44_100, 880)


class Radio:
    """Answers each call with the next thing it was told; the length of nothing is said."""

    def __init__(self) -> None:
        self.answers: list[object] = []
        self.n_calls = 0
        self.called_often = threading.Event()
        self.hang = threading.Event()
        radio = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                radio.n_calls += 1
                if radio.n_calls == 4:
                    radio.called_often.set()
                answer = radio.answers.pop(0) if radio.answers else 503
                if isinstance(answer, int):
                    self.send_error(answer)
                    return
                self.send_response(200)
                self.end_headers()
                data, hangs = answer if isinstance(answer, tuple) else (answer, False)
                self.wfile.write(data)
                if hangs:
                    self.wfile.flush()
                    radio.hang.wait(20)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/live"

    def close(self) -> None:
        self.hang.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def radio(monkeypatch):
    # The delays themselves are the back-off's matter; here they would only cost time.
    monkeypatch.setattr(reconnect.BackOff, "next_s", lambda self: 0.05)
    radio = Radio()
    yield radio
    radio.close()


def listen(source: UrlStream, enough) -> list[Block | Gap | Notice]:
    """Read until what has come is enough, then stop, as Ctrl-C does."""
    items: list[Block | Gap | Notice] = []
    for item in source.blocks(8000):
        items.append(item)
        if enough(items):
            source.stop()
            break
    return items


def heard_s(items) -> float:
    return sum(i.n_samples / i.sample_rate for i in items if isinstance(i, Block))


def messages(items) -> list[str]:
    return [i.message for i in items if isinstance(i, Notice)]


def assert_gapless(items) -> None:
    """Also across changes of the rate, to a rounding."""
    end, rate = 0, 1
    for item in items:
        expected = round(end * item.sample_rate / rate)
        assert item.position == expected
        if not isinstance(item, Notice):
            end, rate = item.end, item.sample_rate
        else:
            end, rate = item.position, item.sample_rate


def frequency(items, rate: int) -> float:
    waveform = np.concatenate(
        [b.waveform[0] for b in items if isinstance(b, Block) and b.sample_rate == rate]
    )
    second = waveform[-rate:]
    return float(np.argmax(np.abs(np.fft.rfft(second))))


def test_a_stream_that_hangs_times_out_and_is_called_again(radio):
    radio.answers = [(MP3, True), MP3]
    source = UrlStream(radio.url, timeout_s=0.5)
    items = listen(source, lambda items: heard_s(items) > 3)
    gaps = [i for i in items if isinstance(i, Gap)]
    assert [gap.cause for gap in gaps] == ["connection lost"]
    assert_gapless(items)
    lost, back = [m for m in messages(items) if "connect" in m]
    assert lost.startswith(f"connection lost: {radio.url}: reading failed at ")
    assert lost.endswith(": nothing came for 0.5 s; trying again")
    assert back.startswith("connected again after ")
    assert radio.n_calls == 2


def test_a_stream_that_is_refused_for_a_while_is_waited_for(radio):
    radio.answers = [MP3, 503, 404, 503, MP3]
    items = listen(UrlStream(radio.url), lambda items: heard_s(items) > 3)
    assert radio.n_calls == 5
    assert_gapless(items)
    # However often it is tried, the loss and the return are said once.
    assert len([m for m in messages(items) if "connect" in m]) == 2


def test_another_codec_and_rate_after_reconnection_are_followed_and_said(radio):
    radio.answers = [MP3, VORBIS]
    items = listen(UrlStream(radio.url), lambda items: heard_s(items) > 3.5)
    assert_gapless(items)
    assert "at 44100 Hz instead of 48000 Hz" in " ".join(messages(items))
    assert frequency(items, 48_000) == 440
    assert frequency(items, 44_100) == 880


def test_another_rate_in_the_middle_of_a_stream_is_followed_and_said(radio):
    radio.answers = [(MP3 + MP3_SLOW, True)]
    source = UrlStream(radio.url, timeout_s=2.0)
    items = listen(source, lambda items: heard_s(items) > 3.9)
    assert_gapless(items)
    assert "sample rate changed from 48000 to 24000 Hz" in messages(items)
    assert frequency(items, 24_000) == 880
    assert radio.n_calls == 1


def test_another_codec_in_the_middle_of_a_stream_is_called_again(radio):
    """FFmpeg cannot follow from one Ogg stream to the next; a new call can."""
    radio.answers = [encoded("OGG", "VORBIS", 48_000, 440) + encoded("OGG", "OPUS", 48_000, 880),
                     encoded("OGG", "OPUS", 48_000, 880)]  # fmt: skip
    items = listen(UrlStream(radio.url), lambda items: heard_s(items) > 3.5)
    assert_gapless(items)
    assert frequency(items, 48_000) == 880
    assert radio.n_calls == 2


def test_a_stream_without_reconnecting_ends_with_its_reason(radio):
    radio.answers = [MP3]
    items = []
    with pytest.raises(StreamError, match="reading failed at"):
        items.extend(UrlStream(radio.url, reconnect=False).blocks(8000))
    assert heard_s(items) > 1.9
    assert radio.n_calls == 1


def test_a_stream_that_was_never_there_is_not_waited_for(radio):
    with pytest.raises(StreamError, match="5xx"):
        list(UrlStream(radio.url).blocks(8000))
    assert radio.n_calls == 1


def test_a_stop_while_the_stream_is_lost_leaves_no_time_unaccounted(radio):
    radio.answers = [MP3]
    source = UrlStream(radio.url)
    items = []
    for item in source.blocks(8000):
        items.append(item)
        if isinstance(item, Notice) and "connection lost" in item.message:
            assert source.state in ("lost", "reconnecting")
            assert radio.called_often.wait(60)
            source.stop()
    assert isinstance(items[-1], Gap)
    assert_gapless(items)
