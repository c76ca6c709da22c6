"""A microphone recorded by a process of its own: both ends of the pipe between them."""

import io
import json
import queue
import sys
import threading

import audio_server
import numpy as np
import pytest
import soundfile
from live_runs import PATIENCE_S

from streamclf.core.errors import DeviceError
from streamclf.core.records import Block, Gap
from streamclf.sources.microphone import capture_child, child_backend
from streamclf.sources.microphone.child_backend import ChildBackend
from streamclf.sources.microphone.devices import InputDevice
from streamclf.sources.microphone.microphone import Microphone

RATE, BLOCK = 16_000, 1600
DEVICES = [InputDevice(3, "USB", "ALSA", 2, 48_000.0), InputDevice(5, "USB", "ALSA", 2, 48_000.0)]

CHILD = """
import json, sys
import numpy as np
sys.path[:0] = {path!r}
from streamclf.sources.microphone.child_backend import HEADER, describe_devices
from streamclf.sources.microphone.devices import InputDevice

out = sys.stdout.buffer
if len(sys.argv) == 1:
    out.write(json.dumps({{"devices": {devices!r}}}).encode() + b"\\n")
    sys.exit()
name, host_api, place, rate, channels, block = sys.argv[1:]
if rate == "44100":
    out.write(b'{{"error": "Invalid sample rate"}}\\n')
    sys.exit(1)
if rate == "1":
    sys.stdin.buffer.read()
out.write(b'{{"latency_s": 0.25}}\\n')
for number in range(3):
    samples = np.full((int(block), int(channels)), number + int(place), "<f4")
    out.write(HEADER.pack(len(samples), number == 1, 1.5 + number) + samples.tobytes())
out.write(HEADER.pack(1600, False, 0.0) + b"half a block")
out.flush()
if rate == "2":
    sys.stdin.buffer.read()
"""


@pytest.fixture
def backend(tmp_path):
    script = tmp_path / "child.py"
    devices = child_backend.describe_devices(DEVICES)["devices"]
    script.write_text(CHILD.format(path=sys.path, devices=devices))
    return ChildBackend([sys.executable, str(script)])


class Blocks:
    """The callback of a stream, and its end."""

    def __init__(self):
        self.items = queue.SimpleQueue()

    def take(self, waveform, overflowed, adc_time):
        self.items.put((waveform.shape, float(waveform.mean()), overflowed, adc_time))

    def finish(self):
        self.items.put(None)

    def all(self):
        return [*iter(lambda: self.items.get(timeout=PATIENCE_S), None)]


def test_what_a_process_lists_and_records_arrives(backend):
    assert backend.list_devices() == DEVICES
    blocks = Blocks()
    stream = backend.open(DEVICES[1], RATE, 2, BLOCK, blocks.take, blocks.finish)
    assert stream.latency_s == 0.25
    # The second of two namesakes is asked for; a block that is cut short is not delivered.
    assert blocks.all() == [
        ((BLOCK, 2), 1.0, False, 1.5), ((BLOCK, 2), 2.0, True, 2.5), ((BLOCK, 2), 3.0, False, 3.5),
    ]  # fmt: skip
    stream.close()


def test_a_refusal_is_an_error_with_the_reason(backend):
    with pytest.raises(DeviceError, match=r"^Invalid sample rate$"):
        backend.open(DEVICES[0], 44_100, 1, BLOCK, lambda *_: None, lambda: None)


def test_a_process_that_does_not_answer_is_ended(backend, monkeypatch):
    monkeypatch.setattr(child_backend, "ANSWER_TIMEOUT_S", 0.1)
    with pytest.raises(DeviceError, match="did not answer within"):
        backend.open(DEVICES[0], 1, 1, BLOCK, lambda *_: None, lambda: None)


def test_a_program_that_is_not_there_is_an_error():
    with pytest.raises(DeviceError, match="cannot be started: no such file"):
        ChildBackend(["/no/python"]).list_devices()


@pytest.mark.parametrize("way", ["close", "abandon"])
def test_a_stream_that_is_closed_ends_its_process(backend, way):
    blocks = Blocks()
    stream = backend.open(DEVICES[0], 2, 1, BLOCK, blocks.take, blocks.finish)
    (stream.close if way == "close" else backend.abandon)()
    assert len(blocks.all()) <= 3
    assert stream._child.returncode is not None


def test_the_list_is_read_anew_after_a_reset(backend, monkeypatch):
    asked = []
    real = backend._ask
    monkeypatch.setattr(backend, "_ask", lambda: asked.append(1) or real())
    backend.list_devices()
    backend.list_devices()
    backend.reset()
    backend.list_devices()
    assert len(asked) == 2


# ---------------------------------------------------------------- the program


class StubPortAudio:
    """A PortAudio whose device delivers a few blocks at once, and ends."""

    latency_s = 0.5
    error = None

    def list_devices(self):
        return DEVICES

    def open(self, device, sample_rate, channels, block_samples, callback, finished):
        if self.error:
            raise DeviceError(self.error)
        self.opened = device, sample_rate, channels, block_samples
        for number in range(3):
            callback(np.full((block_samples, channels), number, np.float32), number == 2, number)
        finished()
        return self


@pytest.fixture
def port_audio(monkeypatch):
    stub = StubPortAudio()
    monkeypatch.setattr(capture_child, "PortAudioBackend", lambda: stub)
    return stub


def test_the_program_lists_the_devices(port_audio):
    pipe = io.BytesIO()
    assert capture_child.main(pipe) == 0
    answer = json.loads(pipe.getvalue())
    assert [InputDevice(**each) for each in answer["devices"]] == DEVICES


def test_the_program_records_the_device_of_that_place(port_audio):
    pipe = io.BytesIO()
    assert capture_child.main(pipe, "USB", "ALSA", "1", "16000", "2", "1600") == 0
    assert port_audio.opened == (DEVICES[1], RATE, 2, BLOCK)
    pipe.seek(0)
    assert json.loads(pipe.readline()) == {"latency_s": 0.5}
    blocks = [*iter(lambda: child_backend._read_block(pipe, 2), None)]
    assert [(b[0].shape, float(b[0][0, 0]), b[1], b[2]) for b in blocks] == [
        ((BLOCK, 2), 0.0, False, 0.0), ((BLOCK, 2), 1.0, False, 1.0), ((BLOCK, 2), 2.0, True, 2.0),
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "part"), [("gone", "microphone gone is not there"), ("USB", "x")])
def test_the_program_tells_why_it_cannot_record(port_audio, name, part):
    port_audio.error = "x"
    pipe = io.BytesIO()
    assert capture_child.main(pipe, name, "ALSA", "0", "16000", "1", "1600") == 1
    assert json.loads(pipe.getvalue()) == {"error": part}


def test_blocks_that_nobody_takes_are_reported_as_lost_with_the_next_one():
    pipe = io.BytesIO()
    writer = capture_child.Writer(pipe)
    block = np.zeros((4, 1), np.float32)
    for _ in range(capture_child.N_BLOCKS + 5):
        writer.put(block, False, 0.0)
    thread = threading.Thread(target=writer.run)
    thread.start()
    writer.finish()
    thread.join(PATIENCE_S)
    writer.put(block, False, 7.0)
    writer.finish()
    writer.run()
    pipe.seek(0)
    lost = [block[1] for block in iter(lambda: child_backend._read_block(pipe, 1), None)]
    assert lost == [False] * capture_child.N_BLOCKS + [True]


def test_a_reader_that_is_gone_ends_the_program():
    class Gone(io.RawIOBase):
        def write(self, data):
            raise BrokenPipeError

    writer = capture_child.Writer(Gone())
    writer.put(np.zeros((4, 1), np.float32), False, 0.0)
    writer.run()


# ---------------------------------------------------------------- with a real audio server


@pytest.mark.audio_server
@pytest.mark.skipif(bool(audio_server.available()), reason=audio_server.available())
def test_a_real_microphone_is_heard_lost_and_found_again(tmp_path, monkeypatch):
    times = np.arange(30 * RATE) / RATE
    sound = tmp_path / "tone.wav"
    soundfile.write(sound, 0.5 * np.sin(2 * np.pi * 1000 * times), RATE)
    with audio_server.AudioServer() as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        microphone = Microphone("default", backend=ChildBackend())
        server.play(sound, wait=False)
        position, gap, restarted, heard_after = 0, None, False, False
        for record in microphone.blocks(RATE):
            if isinstance(record, Block | Gap):
                assert record.position == position
                position = record.end
            if isinstance(record, Gap):
                gap = record
                server.play(sound, wait=False)
            elif isinstance(record, Block) and np.abs(record.waveform).max() > 0.1:
                if gap is not None:
                    heard_after = True
                    microphone.stop()
                elif not restarted:
                    restarted = True
                    server.stop()
                    server.start()
        assert gap.cause == "device lost"
        assert heard_after
