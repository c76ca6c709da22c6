import threading

import numpy as np
import pytest
import toys

from streamclf.core.errors import RecordingError, SourceError
from streamclf.core.records import Average, Gap, Notice
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.sources import prefetch
from streamclf.sources.prefetch import read_ahead
from streamclf.sources.recording.recording import Recording


def n_pumps() -> int:
    return sum(thread.name == "streamclf-pump" for thread in threading.enumerate())


def test_read_ahead_keeps_order_and_ends_with_its_thread():
    before = n_pumps()
    assert list(read_ahead(range(1000))) == list(range(1000))
    assert n_pumps() == before


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
    before = n_pumps()
    reader = read_ahead(iter(int, 1), max_items=2)
    assert next(reader) == 0
    reader.close()
    assert n_pumps() == before


def test_closing_does_not_wait_for_a_read_that_hangs(monkeypatch):
    monkeypatch.setattr(prefetch, "PATIENCE_S", 0.01)
    hangs, returns = threading.Event(), threading.Event()

    def items():
        yield 0
        hangs.set()
        returns.wait()

    before = n_pumps()
    reader = read_ahead(items())
    next(reader)
    hangs.wait()
    reader.close()
    assert n_pumps() == before + 1
    returns.set()


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
    before = n_pumps()
    with Recording(path) as recording:
        n_windows = 0
        for result in engine.run(recording):
            n_windows += isinstance(result, Average)
            if n_windows == 1:
                engine.stop()
        assert 1 < n_windows < 5000
        assert n_pumps() == before
    with Recording(path) as recording:
        results = engine.run(recording)
        next(results)
        results.close()
        assert n_pumps() == before
