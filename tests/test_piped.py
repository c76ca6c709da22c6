"""Recordings that come through pipes: the same events as from the file, and no wait without end."""

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import av
import numpy as np
import prepared
import pytest
import soundfile
import toys
from live_runs import PATIENCE_S

from streamclf.core.errors import RecordingError
from streamclf.core.records import Block, Gap, Notice
from streamclf.sources.recording.promised_length import promised_samples
from streamclf.sources.recording.recording import Recording

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipes have other names there")

RATE = 48_000
SOUND = np.concatenate(
    [toys.silence(2, RATE), *(toys.tone(hz, 3, RATE) for hz in toys.TONES.values())]
)
BY_LIBSNDFILE = ["wav", "flac", "aiff", "au", "w64", "ogg", "mp3"]
BY_FFMPEG = {
    "caf": "pcm_s16le", "mka": "pcm_s16le", "webm": "libopus", "m4a": "aac", "ts": "mp2",
    "mp2": "mp2",
}  # fmt: skip


def write(path: Path, sound: np.ndarray = SOUND, options: dict[str, str] | None = None) -> Path:
    if path.suffix[1:] in BY_LIBSNDFILE:
        soundfile.write(path, sound, RATE)
        return path
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(BY_FFMPEG[path.suffix[1:]], rate=RATE, layout="mono")
        samples = (sound * 32767).astype(np.int16)[np.newaxis]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


class Feed:
    """Writes bytes into a pipe, a thread's work, and names what can be read from."""

    def __init__(self, data: bytes) -> None:
        self._reading, writing = os.pipe()
        self.path = Path(f"/dev/fd/{self._reading}")
        self._thread = threading.Thread(target=self._put, args=(writing, data))
        self._thread.start()

    def _put(self, writing: int, data: bytes) -> None:
        try:
            with open(writing, "wb") as file:
                file.write(data)
        except BrokenPipeError:
            pass  # the reader had enough

    def close(self) -> None:
        os.close(self._reading)
        self._thread.join()


@pytest.fixture
def feed():
    feeds: list[Feed] = []

    def open_feed(data: bytes) -> Path:
        feeds.append(Feed(data))
        return feeds[-1].path

    yield open_feed
    for each in feeds:
        each.close()


def hear(path: Path) -> tuple[np.ndarray, list[Gap], str]:
    """Samples, gaps and the error."""
    items, error = [], ""
    with Recording(path) as recording:
        try:
            for item in recording.blocks(RATE):
                items.append(item)
        except RecordingError as caught:
            error = str(caught)
    blocks = [item.waveform[0] for item in items if isinstance(item, Block)]
    gaps = [item for item in items if isinstance(item, Gap)]
    return np.concatenate(blocks) if blocks else np.zeros(0), gaps, error


def events(streamclf, model, path: Path) -> tuple[list[str], list[list[float]]]:
    """Labels; onset, offset and score of each."""
    result = streamclf("file", path, "--model", model, "--format", "csv")
    assert result.code == 0, result.err
    rows = [row.split(",") for row in result.out.splitlines()[1:]]
    return [row[2] for row in rows], [[float(text) for text in row[3:6]] for row in rows]


@pytest.mark.parametrize("ending", [*BY_LIBSNDFILE, *BY_FFMPEG])
def test_a_pipe_gives_the_events_of_the_file(streamclf, tone_model, tmp_path, feed, ending):
    options = {"movflags": "faststart"} if ending == "m4a" else None
    path = write(tmp_path / f"x.{ending}", options=options)
    labels, numbers = events(streamclf, tone_model, path)
    assert labels == ["quiet", "low", "middle", "high"]
    piped_labels, piped_numbers = events(streamclf, tone_model, feed(path.read_bytes()))
    assert piped_labels == labels
    exact = ending in ("wav", "flac", "aiff", "au", "w64", "caf", "mka")
    # Two decoders; and of an MP3 that it cannot seek FFmpeg gives the padding at the end as well.
    np.testing.assert_allclose(piped_numbers, numbers, rtol=0, atol=0 if exact else 0.02)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "PCM_U8"])
def test_samples_are_those_of_the_file(tmp_path, feed, subtype):
    path = tmp_path / "x.wav"
    soundfile.write(path, SOUND, RATE, subtype=subtype)
    expected = hear(path)
    assert expected[1:] == ([], "")
    heard = hear(feed(path.read_bytes()))
    np.testing.assert_array_equal(heard[0], expected[0])
    assert heard[1:] == ([], "")


def run(command: list, **options) -> subprocess.CompletedProcess:
    return prepared.run(
        *command,
        **{"capture_output": True, "text": True, "timeout": PATIENCE_S, **options},
    )


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
@pytest.mark.parametrize("kind", ["pipe", "socket", "file"])
def test_standard_input_is_a_recording(tmp_path, tone_model, name, kind):
    path = write(tmp_path / "x.flac")
    command = ["file", name, "--model", tone_model, "--format", "csv"]
    if kind == "pipe":
        done = run(command, input=path.read_bytes(), text=False)
        out = done.stdout.decode()
    elif kind == "file":
        with path.open("rb") as file:
            done = run(command, stdin=file)
        out = done.stdout
    else:
        ours, theirs = socket.socketpair()
        data = path.read_bytes()
        with ours, theirs:
            thread = threading.Thread(
                target=lambda: (ours.sendall(data), ours.shutdown(socket.SHUT_WR))
            )
            thread.start()
            done = run(command, stdin=theirs)
            thread.join()
        out = done.stdout
    assert done.returncode == 0, done.stderr
    labels = [row.split(",")[2] for row in out.splitlines()[1:]]
    assert labels == ["quiet", "low", "middle", "high"]
    assert f",{name}," in f",{out.splitlines()[1].split(',')[1]},"


def test_an_index_behind_the_audio_is_said_and_read_from_the_file(tmp_path, feed):
    long = np.tile(SOUND, 10)
    path = write(tmp_path / "x.m4a", long)
    told = (
        "is an MP4 (M4A, MOV) with its index behind the audio, which cannot be read forward: "
        "give the file itself, or write it with ffmpeg -movflags +faststart"
    )
    pipe = feed(path.read_bytes())
    assert hear(pipe)[2] == f"{pipe}: {told}"
    assert len(hear(path)[0]) >= len(long)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "ended before any audio came"),
        (b"no audio at all " * 500, "for headerless samples use streamclf listen --source - --raw"),
        (bytes(20_000), "for headerless samples use streamclf listen --source - --raw"),
    ],
)
def test_what_is_no_audio_is_one_line(feed, data, told):
    heard, _, error = hear(feed(data))
    assert not heard.size
    assert told in error
    assert "\n" not in error


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_a_pipe_that_breaks_off_is_told(tmp_path, feed, ending):
    path = tmp_path / f"x.{ending}"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, len(SOUND)), RATE)
    data = path.read_bytes()
    heard, gaps, error = hear(feed(data[: len(data) // 2]))
    assert 0.4 < heard.size / len(SOUND) < 0.6
    assert [(gap.position, gap.end, gap.cause) for gap in gaps] == [
        (heard.size, len(SOUND), "truncated")
    ]
    assert f"the header promises {len(SOUND) / RATE:.2f} s" in error


@pytest.mark.parametrize("ending", ["flac", "ogg", "mp3"])
def test_damage_in_the_middle_of_a_pipe_is_told(tmp_path, feed, ending):
    """Also where all that is promised came, the gap included."""
    path = tmp_path / f"x.{ending}"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, len(SOUND)), RATE)
    data = path.read_bytes()
    middle, n_bytes = len(data) // 2, len(data) // 10
    _, gaps, error = hear(feed(data[:middle] + bytes(n_bytes) + data[middle + n_bytes :]))
    missing_s = sum(gap.n_samples for gap in gaps) / RATE
    assert f"lacks audio before its end: {missing_s:.2f} s at" in error
    assert gaps[-1].cause in ("damaged", "missing in the stream")


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])
def test_a_wav_that_was_written_into_a_pipe_promises_nothing(tmp_path, feed, size):
    data = write(tmp_path / "x.wav").read_bytes()
    at = data.index(b"data") + 4
    heard, gaps, error = hear(feed(data[:at] + size.to_bytes(4, "little") + data[at + 4 :]))
    assert (heard.size, gaps, error) == (len(SOUND), [], "")


def sized(data: bytes, size: int) -> bytes:
    at = data.index(b"data") + 4
    return data[:at] + size.to_bytes(4, "little") + data[at + 4 :]


LIST = b"LIST" + (26).to_bytes(4, "little") + b"INFOISFT" + (14).to_bytes(4, "little") + bytes(14)


@pytest.mark.parametrize("size", [8, 44, 100_000, 100_001])
@pytest.mark.parametrize("ending", ["wav", "aiff", "w64", "caf"])
def test_what_follows_the_promised_samples_is_heard_as_in_a_file(tmp_path, feed, ending, size):
    path = write(tmp_path / f"x.{ending}")
    whole = hear(path)[0]
    data = bytearray(path.read_bytes())
    mark, more, form = {
        "wav": (b"data", 4, "<I"),
        "aiff": (b"SSND", 4, ">I"),
        "w64": (b"data", 16, "<q"),
        "caf": (b"data", 4, ">q"),
    }[ending]
    extra = {"wav": 0, "aiff": 8, "w64": 24, "caf": 4}[ending]
    struct.pack_into(form, data, data.index(mark) + more, size + extra)
    heard, gaps, error = hear(feed(bytes(data)))
    assert (gaps, error) == ([], "")
    assert 0 <= heard.size - whole.size < 64  # chunks behind the samples
    np.testing.assert_array_equal(heard[: whole.size], whole)


@pytest.mark.parametrize("n_bytes", [0, 1])
def test_chunks_behind_the_samples_of_a_pipe_are_no_sound(tmp_path, feed, n_bytes):
    path = tmp_path / "x.wav"
    soundfile.write(path, SOUND[: len(SOUND) - n_bytes], RATE, subtype="PCM_U8")
    data = path.read_bytes()
    heard, gaps, error = hear(feed(data + LIST))
    assert (heard.size, gaps, error) == (len(SOUND) - n_bytes, [], "")


def test_files_joined_in_a_pipe_are_both_heard(tmp_path, feed):
    data = write(tmp_path / "x.wav").read_bytes()
    heard, gaps, error = hear(feed(data + LIST + data))
    assert (gaps, error) == ([], "")
    np.testing.assert_array_equal(heard, np.tile(hear(tmp_path / "x.wav")[0], 2))


def test_samples_in_two_chunks_of_a_pipe_are_all_heard(tmp_path, feed):
    data = write(tmp_path / "x.wav").read_bytes()
    heard, gaps, error = hear(feed(data + data[data.index(b"data") :]))
    assert (heard.size, gaps, error) == (2 * len(SOUND), [], "")


def test_a_file_of_another_coding_joined_in_a_pipe_is_told(tmp_path, feed):
    data = write(tmp_path / "x.wav").read_bytes()
    soundfile.write(tmp_path / "y.wav", SOUND, 2 * RATE)
    heard, gaps, error = hear(feed(data + (tmp_path / "y.wav").read_bytes()))
    assert (heard.size, gaps) == (len(SOUND), [])
    assert "another WAV of another coding is joined to it, which is not heard" in error


@pytest.mark.parametrize("command", ["file", "listen"])
def test_what_is_heard_beyond_its_promise_is_said(tmp_path, tone_model, command):
    path = write(tmp_path / "x.wav")
    path.write_bytes(sized(path.read_bytes(), 44))
    given = ["file", "-"] if command == "file" else ["listen", "--source", "-"]
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as cat:
        result = run([*given, "--model", tone_model, "-f", "audacity"], stdin=cat.stdout)
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 4
    promise = "the header promises 0.00 s, "
    assert sum(promise in line for line in result.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["file", "listen"])
@pytest.mark.parametrize("size", [44, 100_000])
def test_a_file_as_standard_input_is_heard_beyond_its_promise(tmp_path, tone_model, command, size):
    """It can be sought, where a pipe cannot; its size must not end it either."""
    path = write(tmp_path / "x.wav")
    path.write_bytes(sized(path.read_bytes(), size))
    given = ["file", "-"] if command == "file" else ["listen", "--source", "-"]
    with path.open("rb") as file:
        result = run([*given, "--model", tone_model, "-f", "audacity"], stdin=file)
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 4


def test_bytes_behind_wavpack_are_no_fault():
    # Tags follow the audio, which FFmpeg takes for a block when it reads forward.
    head = b"wvpk" + bytes(4) + b"\x10\x04\x00\x00" + (96_000).to_bytes(4, "little")
    assert promised_samples(head, RATE) == 96_000


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [48_000, 16_000])
def test_padding_of_an_mp3_is_left_out(tmp_path, feed, rate, channels):
    path = tmp_path / "x.mp3"
    sound = np.random.default_rng(1).normal(0, 0.1, (3 * rate + 77, channels))
    soundfile.write(path, sound, rate)
    data = path.read_bytes()
    heard, gaps, error = hear(feed(data))
    assert (heard.size, gaps, error) == (len(sound), [], "")
    heard, gaps, error = hear(feed(data + data))  # joined: the count is of the first alone
    assert heard.size > 1.9 * len(sound)
    assert (gaps, error) == ([], "")
    heard, (gap,), error = hear(feed(data[: len(data) // 2]))
    assert gap.end == len(sound)
    assert "cut short" in error


@pytest.fixture
def fifo(tmp_path) -> Path:
    path = tmp_path / "x.wav"
    os.mkfifo(path)
    return path


@pytest.fixture
def begin():
    processes: list[subprocess.Popen] = []

    def begin_one(*command: object) -> subprocess.Popen:
        process = prepared.begin(
            *command,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield begin_one
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_named_pipe_without_a_writer_is_told_and_ends_at_a_signal(
    fifo, tone_model, begin, number, jobs
):
    others = [write(fifo.with_name("y.flac"))] if jobs == 2 else []
    process = begin("file", fifo, *others, "--model", tone_model, "--jobs", jobs)
    told = process.stderr.readline()
    assert told == f"streamclf: {fifo}: nothing has come through this pipe yet, waiting\n"
    process.send_signal(number)
    assert process.wait(PATIENCE_S) == 130


@pytest.mark.parametrize("speed", [0, 1])
def test_a_named_pipe_played_as_a_microphone_ends_at_a_signal(fifo, tone_model, begin, speed):
    model = ("--model", tone_model, "--no-ui")
    process = begin("listen", "--source", f"sim:{fifo}", "--speed", speed, *model)
    with fifo.open("wb") as file:  # waits until it is open there
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 130
        file.close()


def test_a_named_pipe_whose_writer_comes_late_is_heard(fifo, tone_model, begin):
    data = write(fifo.with_name("y.flac")).read_bytes()
    process = begin("file", fifo, "--model", tone_model, "--format", "csv")
    assert "waiting" in process.stderr.readline()
    with fifo.open("wb") as file:
        file.write(data)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert [row.split(",")[2] for row in out.splitlines()[1:]] == ["quiet", "low", "middle", "high"]


def test_a_writer_of_nothing_ends_the_wait(fifo):
    with Recording(fifo) as recording:
        items = recording.blocks(RATE)
        notice = next(items)
        assert isinstance(notice, Notice)
        fifo.open("wb").close()
        with pytest.raises(RecordingError, match="ended before any audio came"):
            list(items)


def test_stop_and_close_end_the_thread(fifo):
    before = threading.active_count()
    recording = Recording(fifo)
    threading.Timer(0.1, recording.stop).start()
    assert [item for item in recording.blocks(RATE) if not isinstance(item, Notice)] == []
    recording.close()
    recording.close()
    assert threading.active_count() <= before


def test_what_reads_more_than_once_refuses_a_pipe(streamclf, fifo, tone_model, on_terminal):
    told = "comes through a pipe, which can be read once; {} reads more than once"
    result = streamclf("verify", fifo, "--model", tone_model)
    assert result.code == 1
    assert told.format("streamclf verify") in result.err
    result = streamclf("listen", "--source", f"sim:{fifo}", "--loop", "--model", tone_model)
    assert result.code == 1
    assert told.format("--loop") in result.err
    result = streamclf("file", "--ui", "--model", tone_model, fifo)
    assert result.code == 1
    assert told.format("the dashboard") in result.err


def test_standard_input_that_is_closed_is_one_line(tone_model):
    done = subprocess.run(
        ["sh", "-c", '"$0" -m streamclf file - --model "$1" <&-', sys.executable, str(tone_model)],
        capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("streamclf: error: -: ")
    assert done.stderr.count("\n") == 1


def test_a_terminal_is_no_recording(tone_model):
    master, slave = os.openpty()
    done = run(["file", "-", "--model", tone_model], stdin=slave)
    os.close(master)
    os.close(slave)
    assert done.returncode == 1
    assert "-: standard input is a terminal: pipe a recording in" in done.stderr
