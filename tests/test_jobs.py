import errno
import json
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import prepared
import pytest
import toys
from hypothesis import given
from hypothesis import strategies as st

from streamclf.core.card import Features, Threshold, Thresholds, Unknown
from streamclf.core.cpu_count import count_cores
from streamclf.core.errors import SinkError
from streamclf.core.records import (
    Average,
    Change,
    EventBegan,
    EventOngoing,
    FeatureFormat,
    Gap,
    ModelIdentity,
    Notice,
    Scores,
    SoundEvent,
    StreamStarted,
)
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.pipeline.engine import Engine
from streamclf.runs import jobs as jobs_module
from streamclf.runs import spool as spool_module
from streamclf.runs.batch import count_jobs, has_spare_core, run_recordings
from streamclf.runs.console import Bars
from streamclf.runs.jobs import Jobs
from streamclf.runs.spool import Spool, pack, unpack
from streamclf.sinks.base import MemorySink
from streamclf.sources.recording import recording as recording_module


@given(st.lists(st.binary(max_size=60), max_size=40), st.integers(1, 200))
def test_spool_gives_back_what_it_got_in_order(items, in_memory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_module, "IN_MEMORY", in_memory)
        spool = Spool()
    writer = threading.Thread(target=lambda: ([spool.put(i) for i in items], spool.finish()))
    writer.start()
    assert list(spool) == items
    writer.join()
    spool.close()
    spool.put(b"too late")


@given(
    values=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=9),
    position=st.integers(0, 2**62),
    label=st.text(),
)
def test_results_survive_being_packed(values, position, label):
    scores = Scores(position, 7, np.array(values, np.float32))
    means = np.array(values[::-1], np.float32)
    (average,) = [unpack(pack(Average(scores, means)))]
    assert (average.position, average.scores.n_samples) == (position, 7)
    for found, given_ in [(average.values, means), (average.scores.values, scores.values)]:
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, given_)
    thresholds = Thresholds(0.6, 0.2, classes={label: Threshold(0.9, 0.8)})
    for item in [
        EventBegan(label, position, values[0], position + 1),
        EventOngoing(label, position, values[0], position + 1),
        SoundEvent(label, position, position + 1, values[0]),
        Gap(position, 1, 8000, label),
        Notice(position, 8000, label, "info"),
        Change(position, 1, 2, thresholds),
    ]:
        assert unpack(pack(item)) == item
    assert unpack(pack(SoundEvent("a", 1, 2, np.float32(0.5)))).score == 0.5


def test_only_results_can_be_packed():
    with pytest.raises(TypeError):
        pack(object())
    with pytest.raises(TypeError, match="Features"):  # msgspec would make a mapping of it
        pack(Features("tones", 3, 0.1))


def test_all_that_a_recording_says_of_itself_survives_being_packed():
    stream = StreamStarted(
        "day.wav", 8000, ["a"], "single-label", datetime(2026, 11, 24, tzinfo=UTC), Unknown(0.5),
        display_names={"a": "A"}, thresholds={"a": 0.5}, model=ModelIdentity("toy", "1"),
        features=FeatureFormat(3, 0.1, "digest", 12_000),
    )  # fmt: skip
    unset = {field.name for field in fields(stream) if getattr(stream, field.name) is None}
    assert unset == {"clock"}, "fill new fields, too: what cannot be read back ends `file`"
    assert unpack(pack(stream)) == stream


@pytest.fixture
def recordings(write_wav):
    """Five of several lengths, one of them cut short, one no audio, one missing."""
    tones = list(toys.TONES.values())
    paths = [
        write_wav(
            np.concatenate([toys.silence(4), toys.tone(tones[k % 3], 4 + 20 * (k == 0))]),
            f"day/{k}.wav",
        )
        for k in range(5)
    ]
    paths[2].write_bytes(paths[2].read_bytes()[:60_000])
    paths[3].write_text("no audio")
    return [*paths, paths[0].with_name("missing.wav")]


def test_jobs_give_the_results_of_one_after_the_other(streamclf, recordings, tone_model, tmp_path):
    outputs = {}
    for n_jobs in (1, 2, 3):
        folder = tmp_path / f"jobs{n_jobs}"
        folder.mkdir()
        result = streamclf(
            "file", *recordings, "--model", tone_model, "--jobs", n_jobs, "--format", "jsonl",
            "-o", folder / "all.csv", "-o", folder / "{stem}.txt", "--scores", folder / "all.npz",
        )  # fmt: skip
        assert result.code == 1
        with np.load(folder / "all.npz") as scores:
            arrays = {name: scores[name].tolist() for name in scores.files}
        texts = {path.name: path.read_text() for path in folder.iterdir() if path.suffix != ".npz"}
        told = [line for line in result.err.splitlines() if "real time" not in line]
        outputs[n_jobs] = (result.out, texts, arrays, told)
    assert outputs[1] == outputs[2] == outputs[3]
    out, texts, _, told = outputs[1]
    sources = [json.loads(line)["source"] for line in out.splitlines()]
    assert sources == sorted(sources)
    assert len(set(sources)) == 4
    assert set(texts) == {"all.csv", "0.txt", "1.txt", "2.txt", "4.txt"}
    assert "3 of 6 failed" in " ".join(told)


def engines(classifier, n_engines, **settings):
    return [Engine(classifier, Settings(**settings)) for _ in range(n_engines)]


@pytest.fixture(scope="module")
def classifier(tone_model) -> Classifier:
    return Classifier(Model(tone_model, provider="cpu", n_threads=1))


def n_working() -> int:
    return sum(thread.name == "streamclf-job" for thread in threading.enumerate())


class Held:
    """A scorer that holds the first recording until it is let go."""

    def __init__(self, classifier):
        self.card, self._score = classifier.card, classifier.score
        self.let_go = threading.Event()

    def score(self, waveforms):
        if waveforms.max() > 0.5:
            self.let_go.wait()
        return self._score(waveforms)


def test_jobs_run_ahead_of_a_slow_recording_but_not_without_end(classifier, write_wav, monkeypatch):
    monkeypatch.setattr(jobs_module, "MAX_AHEAD_PER_JOB", 2)
    paths = [write_wav(toys.tone(440, 3, level=0.9), "slow.wav")]
    paths += [write_wav(toys.tone(440, 3), f"{k}.wav") for k in range(9)]
    begun = []
    scorer = Held(classifier)
    jobs = Jobs(engines(scorer, 2), (begun.append(p) or p for p in paths), lambda: False)
    names = []
    for job in jobs:
        assert job.wait()
        if not names:
            while len(begun) < 4:  # the other thread does as many as it may
                time.sleep(0.01)
            scorer.let_go.set()
        n_windows = sum(isinstance(result, Average) for result in job.results)
        assert n_windows == job.statistics.n_windows > 0
        names.append(job.path)
        assert len(begun) <= len(names) + 4
    jobs.close()
    assert names == paths
    assert n_working() == 0


def test_jobs_leave_the_rest_when_interrupted(classifier, write_wav):
    paths = [write_wav(np.tile(toys.tone(440, 60), 5), f"{k}.wav") for k in range(6)]
    sink = MemorySink()
    interrupted = threading.Event()

    class Interrupting(MemorySink):
        def write(self, result):
            interrupted.set()

    report = run_recordings(
        engines(classifier, 2, hop_s=0.05), paths, lambda path: [sink, Interrupting()], Bars(6),
        interrupted=interrupted.is_set,
    )  # fmt: skip
    assert report.n_done == 0  # none of them to its end
    assert report.failures == []
    assert 0 < report.statistics.audio_s < 600
    assert report.statistics.n_events == 1  # the open one was ended
    assert n_working() == 0


class Full(MemorySink):
    def write(self, result):
        raise SinkError("the disk is full")


def test_jobs_end_when_results_cannot_be_written(classifier, recordings):
    with pytest.raises(SinkError, match="the disk is full"):
        run_recordings(engines(classifier, 3), recordings, lambda path: [Full()], Bars(6))
    assert n_working() == 0


def test_jobs_hand_a_mistake_on(classifier, recordings):
    class Broken:
        card = classifier.card

        def score(self, waveforms):
            raise ZeroDivisionError("oops")

    with pytest.raises(ZeroDivisionError, match="oops"):
        run_recordings(engines(Broken(), 2), recordings, lambda path: [], Bars(6))
    assert n_working() == 0


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), OSError("oops"), SystemExit("oops")])
def test_jobs_hand_on_what_goes_wrong_beside_the_listening(classifier, write_wav, error):
    """Whatever a thread dies of, its reader does not wait for ever."""
    paths = [write_wav(toys.tone(440, 2), f"{k}.wav") for k in range(3)]

    def fail():
        raise error

    if isinstance(error, OSError):
        report = run_recordings(
            engines(classifier, 2), paths, lambda path: [], Bars(3), audio_sinks=fail
        )
        assert [failure.partition(":")[0] for failure in report.failures] == [str(p) for p in paths]
    else:
        with pytest.raises(type(error), match="oops"):
            run_recordings(
                engines(classifier, 2), paths, lambda path: [], Bars(3), audio_sinks=fail
            )
    jobs = Jobs(engines(classifier, 2), (fail() for _ in range(3)), lambda: False)
    with pytest.raises(type(error), match="oops"):
        list(jobs)
    jobs.close()
    assert n_working() == 0


def test_results_that_cannot_wait_are_their_recordings_line(
    classifier, write_wav, monkeypatch, tmp_path
):
    """A full disk of temporary files: what was found before stands, the others go on."""
    monkeypatch.setattr(spool_module, "IN_MEMORY", 5000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    failed = threading.Event()
    put = spool_module.Spool.put

    def put_and_note(spool, item):
        try:
            put(spool, item)
        except OSError:
            failed.set()
            raise

    class Late(MemorySink):
        def begin(self, stream):
            super().begin(stream)
            assert failed.wait(60)

    monkeypatch.setattr(spool_module.Spool, "put", put_and_note)
    paths = [write_wav(toys.tone(440, 2 + 60 * (k == 1)), f"{k}.wav") for k in range(3)]
    # The first one's reader waits, so that the second one's results have to.
    sinks = {path: Late() if path == paths[0] else MemorySink() for path in paths}
    ended = []
    report = run_recordings(
        engines(classifier, 2, hop_s=0.05), paths, lambda path: [sinks[path]], Bars(3),
        on_end=lambda path, statistics: ended.append(path),
    )  # fmt: skip
    assert report.n_done == 2
    (failure,) = report.failures
    assert failure.startswith(f"{paths[1]}: its results cannot be kept until their turn: no such")
    assert "TMPDIR" in failure
    assert ended == [paths[0], paths[2]]  # a later run is to hear the other again
    assert sum(isinstance(r, Average) for _, r in sinks[paths[1]].results) > 10
    assert {r.label for p in ended for _, r in sinks[p].results if isinstance(r, SoundEvent)} == {
        "low"
    }


def test_a_recording_that_cannot_be_opened_for_the_system_is_its_own_line(
    classifier, write_wav, monkeypatch
):
    paths = [write_wav(toys.tone(440, 2), f"{k}.wav") for k in range(3)]
    opening = recording_module.Recording

    def open_recording(path):
        if path == paths[1]:
            raise OSError(errno.EMFILE, "Too many open files")
        return opening(path)

    monkeypatch.setattr(recording_module, "Recording", open_recording)
    for n_jobs in (1, 2):
        report = run_recordings(engines(classifier, n_jobs), paths, lambda path: [], Bars(3))
        assert report.failures == [f"{paths[1]}: cannot be opened: too many open files"]
        assert report.n_done == 2


DESCRIPTORS = Path("/proc/self/fd")


def largest_temporary_file(folder) -> int:
    """Bytes of the largest file without a name in a folder, that this process holds."""
    sizes = [0]
    for number in DESCRIPTORS.iterdir():
        with suppress(OSError):
            if str(number.readlink()).startswith(str(folder)):
                sizes.append(number.stat().st_size)
    return max(sizes)


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="needs Linux's /proc")
def test_a_spool_whose_reader_keeps_up_does_not_grow(monkeypatch, tmp_path):
    monkeypatch.setattr(spool_module, "IN_MEMORY", 10_000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spool: Spool[bytes] = Spool()
    items, largest = iter(spool), 0
    for round_ in range(50):
        for number in range(20):
            spool.put(bytes([number]) * 1000)
        if round_ == 0:
            assert largest_temporary_file(tmp_path) > 10_000
        assert [next(items)[0] for _ in range(20)] == list(range(20))
        largest = max(largest, largest_temporary_file(tmp_path))
    spool.put(b"last")
    assert next(items) == b"last"
    assert largest < 25_000
    assert largest_temporary_file(tmp_path) < 100
    spool.close()


def test_only_what_outputs_want_waits_for_its_turn(classifier, write_wav):
    path = write_wav(np.concatenate([toys.silence(60), toys.tone(440, 60)]))
    found = {}
    for averages in (True, False):
        jobs = Jobs(engines(classifier, 1), [path], lambda: False, averages=averages)
        (job,) = ((job, list(job.results)) for job in jobs if job.wait())
        jobs.close()
        found[averages] = job[1]
        assert job[0].statistics.n_windows == 238
    rest = {k: [r for r in v if not isinstance(r, Average)] for k, v in found.items()}
    assert rest[True] == rest[False] != []
    ends = [r.end / toys.RATE for r in found[False] if isinstance(r, Average)]
    assert len(found[True]) - len(rest[True]) == 238
    assert len(ends) == 12  # what tells progress
    assert max(b - a for a, b in pairwise([0, *ends, 120])) <= 10.5


@pytest.mark.parametrize("task", ["events", "values"])
def test_jobs_without_scores_write_what_one_after_the_other_writes(
    streamclf, write_wav, tone_model, tmp_path, task
):
    model = toys.write_loudness_meter(tmp_path / "loud.onnx") if task == "values" else tone_model
    paths = [write_wav(toys.tone(440, 30, level=0.1 + 0.3 * k), f"{k}.wav") for k in range(3)]
    outs = [streamclf("file", *paths, "--model", model, "--jobs", n_jobs).out for n_jobs in (1, 2)]
    assert outs[0] == outs[1]
    assert len(outs[0].splitlines()) > (100 if task == "values" else 1)


def test_summary_of_jobs_counts_the_time_that_passed(classifier, recordings):
    report = run_recordings(engines(classifier, 2), recordings[:2], lambda path: [], Bars(2))
    alone = run_recordings(engines(classifier, 1), recordings[:2], lambda path: [], Bars(2))
    assert report.statistics.n_windows == alone.statistics.n_windows > 0
    assert report.statistics.elapsed_s >= report.statistics.scoring_s / 2


@pytest.mark.parametrize(
    ("asked", "n_recordings", "expected"),
    [(None, 1, 1), (None, 500, None), (3, 2, 2), (3, 500, 3), (7, 0, 1)],
)
def test_jobs_are_as_many_as_asked_for_or_as_cores(asked, n_recordings, expected):
    assert count_jobs(asked, n_recordings) == (expected or count_cores())


def test_an_interrupt_ends_jobs_and_keeps_what_was_found(write_wav, tone_model):
    paths = [write_wav(np.tile(toys.tone(440, 60), 40), f"{i}.wav") for i in range(3)]
    scores = paths[0].with_name("scores.csv")
    arguments = [*paths, "--model", tone_model, "--hop", "0.002", "--jobs", 2, "--scores", scores]
    process = prepared.begin(
        "file",
        *arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (scores.exists() and scores.stat().st_size > 1000):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out.splitlines()[0])["label"] == "low"
    assert "3 recordings" in err


@pytest.mark.parametrize(
    ("provider", "n_threads", "expected"),
    [("cpu", 0, False), ("cpu", 1, True), ("cpu", 4, False), ("cuda", 0, True), ("cuda", 4, True)],
)
def test_a_recording_is_read_ahead_where_the_network_leaves_a_core(
    provider, n_threads, expected, monkeypatch
):
    monkeypatch.setattr("streamclf.runs.batch.count_cores", lambda: 4)
    assert has_spare_core(provider, n_threads) is expected


@pytest.mark.parametrize(
    ("n_threads", "n_recordings", "expected"),
    [(1, 1, True), (1, 2, False), (2, 1, False), (0, 1, True)],
)
def test_file_reads_one_recording_ahead(
    n_threads, n_recordings, expected, tone_model, write_wav, streamclf, monkeypatch
):
    seen = []
    run = run_recordings

    def spy(engines, *arguments, **options):
        seen.append([engine.read_ahead for engine in engines])
        return run(engines, *arguments, **options)

    monkeypatch.setattr("streamclf.cli.file.run_recordings", spy)
    monkeypatch.setattr("streamclf.runs.batch.count_cores", lambda: 2)
    paths = [write_wav(toys.tone(440, 1.0), f"{k}.wav") for k in range(n_recordings)]
    assert streamclf("file", *paths, "--model", tone_model, "--threads", n_threads).code == 0
    assert any(seen[0]) is expected
