import io
import threading
import time
from pathlib import PurePosixPath

import numpy as np
import pytest
import soundfile
import toys
from live_runs import PATIENCE_S

from streamclf.core.errors import RecordingError, SourceError
from streamclf.core.records import Average, Gap, Notice
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.sources import prefetch
from streamclf.sources.containers.streamed_file import StreamedFile, StreamedHandle
from streamclf.sources.prefetch import PrefetchThread, read_ahead
from streamclf.sources.recording.recording import Recording


def n_threads() -> int:
    return sum(thread.name == "streamclf-prefetch" for thread in threading.enumerate())


def test_read_ahead_keeps_order_and_ends_with_its_thread():
    before = n_threads()
    assert list(read_ahead(range(1000))) == list(range(1000))
    assert n_threads() == before


def test_read_ahead_raises_behind_what_came_before():
    def items():
        yield 1
        yield 2
        raise RecordingError("damaged")

    got = []
    with pytest.raises(RecordingError, match="damaged"):
        got.extend(read_ahead(items()))
    assert got == [1, 2]


def test_read_ahead_stays_within_its_bound():
    made = []
    reader = read_ahead((made.append(i) or i for i in range(100)), max_items=3)
    for taken in reader:
        assert len(made) <= taken + 1 + 3 + 1
    assert len(made) == 100


def test_closing_releases_a_thread_that_waits_for_room():
    before = n_threads()
    reader = read_ahead(iter(int, 1), max_items=2)
    assert next(reader) == 0
    reader.close()
    assert n_threads() == before


def test_closing_does_not_wait_for_a_read_that_hangs(monkeypatch):
    monkeypatch.setattr(prefetch, "JOIN_TIMEOUT_S", 0.01)
    hangs, returns = threading.Event(), threading.Event()

    def items():
        yield 0
        hangs.set()
        returns.wait()

    before = n_threads()
    reader = read_ahead(items())
    next(reader)
    hangs.wait()
    reader.close()
    assert n_threads() == before + 1
    returns.set()


class HangingFile(StreamedFile):
    """A file whose second half, once that is asked of it, hangs until it is let go."""

    def __init__(self, name, data):
        self.path, self.size, self._data = PurePosixPath(name), len(data), data
        self.handles: list[StreamedHandle] = []
        self.hangs, self.let_go = threading.Event(), threading.Event()
        self.shall_hang = False

    def open(self):
        self.handles.append(super().open())
        return self.handles[-1]

    def read_at(self, start, n_bytes):
        if self.shall_hang and start > self.size // 2:
            self.hangs.set()
            self.let_go.wait()
        return self._data[start : start + n_bytes]


@pytest.mark.parametrize(("form", "times"), [("WAV", 1), ("MP3", 5)])
def test_file_that_is_being_read_is_closed_when_the_read_has_come_back(form, times, monkeypatch):
    """To libsndfile and to FFmpeg a file closed under a read is freed memory."""
    monkeypatch.setattr(prefetch, "JOIN_TIMEOUT_S", 0.01)
    encoded = io.BytesIO()
    soundfile.write(encoded, toys.tone(440, 25, 8000), 8000, format=form)
    file = HangingFile(f"x.{form.lower()}", encoded.getvalue() * times)
    before = n_threads()
    recording = Recording(file)
    file.shall_hang = True
    reader = read_ahead(recording.blocks(8000), max_items=100)
    next(reader)
    assert file.hangs.wait(PATIENCE_S)
    reader.close()
    recording.close()
    (handle,) = [each for each in file.handles if not each.closed]
    file.let_go.set()
    deadline = time.monotonic() + PATIENCE_S
    while n_threads() > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert handle.closed
    recording.close()


def results_of(path, classifier, *, ahead, **settings):
    """All that comes of a recording, as comparable values, and the error at its end."""
    engine = Engine(classifier, Settings(**settings))
    engine.read_ahead = ahead
    found, error = [], ""
    with Recording(path) as recording:
        try:
            for result in engine.run(recording):
                found.append(
                    (result.position, result.end, result.values.tobytes())
                    if isinstance(result, Average)
                    else result
                )
        except SourceError as raised:
            error = str(raised)
    counts = engine.statistics
    return found, error, (counts.delivered_samples, counts.gap_samples, counts.n_events)


@pytest.fixture(scope="module")
def classifier(tone_model) -> Classifier:
    return Classifier(Model(tone_model, provider="cpu"))


def test_engine_finds_the_same_when_it_reads_ahead(classifier, write_wav):
    stereo = np.tile(toys.tone(1000, 30, rate=44100), (2, 1)).T
    stereo[100_000:100_010] = np.nan
    path = write_wav(stereo, "stereo.wav", 44100, subtype="FLOAT")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    plain = results_of(path, classifier, ahead=False)
    assert results_of(path, classifier, ahead=True) == plain
    found, error, _ = plain
    assert any(isinstance(result, Gap) for result in found)
    assert any(isinstance(result, Notice) for result in found)
    assert "cut short" in error


def test_engine_that_reads_ahead_passes_usage_on(classifier, write_wav):
    path = write_wav(toys.tone(440, 2))
    assert "has 1" in results_of(path, classifier, ahead=True, channel=2)[1]


def test_engine_that_reads_ahead_can_be_stopped_and_left(classifier, write_wav):
    path = write_wav(np.tile(toys.tone(440, 60), 10))
    engine = Engine(classifier, Settings(hop_s=0.1))
    engine.read_ahead = True
    before = n_threads()
    with Recording(path) as recording:
        n_windows = 0
        for result in engine.run(recording):
            n_windows += isinstance(result, Average)
            if n_windows == 1:
                engine.stop()
        assert 1 < n_windows < 5000
        assert n_threads() == before
    with Recording(path) as recording:
        results = engine.run(recording)
        next(results)
        results.close()
        assert n_threads() == before


def test_prefetch_thread_keeps_the_order():
    assert list(PrefetchThread(lambda: iter(range(1000)))) == list(range(1000))


def test_prefetch_thread_hands_on_errors_behind_what_came_before():
    def produce():
        yield 1
        yield 2
        raise OSError("the line is dead")

    got = []
    with pytest.raises(OSError, match="the line is dead"):
        got.extend(PrefetchThread(produce))
    assert got == [1, 2]


@pytest.mark.parametrize("max_items", [1, 2, 5])
def test_prefetch_thread_never_runs_further_ahead_than_told(max_items):
    produced: list[int] = []
    taken = 0
    ahead: list[int] = []

    def produce():
        for i in range(200):
            produced.append(i)
            ahead.append(len(produced) - taken)
            yield i

    for item in PrefetchThread(produce, max_items=max_items):
        taken = item + 1  # counted late: the reader has had it since it was handed over
    assert len(produced) == 200
    # One item is with the reader, not yet counted as taken.
    assert max(ahead) <= max_items + 1


def test_prefetch_thread_waits_for_a_reader_that_takes_its_time():
    """The producer is let run until it can no more, by looking at what it did."""
    produced = 0
    blocked = threading.Event()

    class Counting:
        def __iter__(self):
            return self

        def __next__(self):
            nonlocal produced
            produced += 1
            if produced == 4:
                blocked.set()
            return produced

    thread = PrefetchThread(lambda: Counting(), max_items=3)
    reader = iter(thread)
    assert next(reader) == 1
    assert blocked.wait(PATIENCE_S)  # 2, 3 and 4 are ahead of the reader
    assert not wait_for_change(lambda: produced, 4)
    assert next(reader) == 2
    thread.stop()


def wait_for_change(value, old) -> bool:
    """Give the other threads the floor many times; whether the value changed."""
    gate = threading.Event()
    for _ in range(20):
        gate.wait(0.001)
    return value() != old


def test_prefetch_thread_stops_a_reader_that_waits():
    never = threading.Event()
    waiting = threading.Event()

    def produce():
        yield 1
        waiting.set()
        never.wait()
        yield 2

    thread = PrefetchThread(produce)
    reader = iter(thread)
    assert next(reader) == 1
    assert waiting.wait(PATIENCE_S)
    stopper = threading.Thread(target=thread.stop)
    stopper.start()
    assert list(reader) == []
    assert thread.stopped
    stopper.join()
    never.set()


def test_prefetch_thread_stopped_beforehand_gives_nothing():
    thread = PrefetchThread(lambda: iter([1, 2]))
    thread.stop()
    assert list(thread) == []
