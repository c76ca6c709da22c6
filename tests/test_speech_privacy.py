"""No file holds speech: which clips wait, which are withheld, and who is told."""

from __future__ import annotations

import csv
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import dashboards
import msgspec
import numpy as np
import pytest
import soundfile
import soxr
import toys
from hypothesis import assume, given
from hypothesis import strategies as st

from streamclf import ArraySource, Classifier, Engine, Model, Settings, find_model
from streamclf.core.card import Threshold, Thresholds, Unknown
from streamclf.core.records import Average, Block, Gap, Scores, SoundEvent, StreamStarted
from streamclf.core.speech_labels import (
    SPEECH_SCORE,
    UNSURE_SPEECH_SCORE,
    find_speech_labels,
    find_speech_scores,
)
from streamclf.core.stats import Statistics
from streamclf.sinks.clips.clips import BackgroundClips, ClipSink
from streamclf.sinks.clips.speech import SpeechJudge
from streamclf.teach.backtest import CardScorer

RATE, WINDOW, HOP = 1000, 1500, 500
STREAM = StreamStarted("yard", RATE, ["dog", "speech"], "single-label")
BARK = SoundEvent("dog", 10_000, 11_000, 0.9)  # its clip: 9500 to 11500, with margins 8500 to 12500


def average(position: int, speech: float = 0.0, *, short: bool = False) -> Average:
    scores = Scores(position, WINDOW, np.array([1 - speech, speech], np.float32), short)
    return Average(scores, scores.values)


class Yard:
    """A stream that is heard in step, and the clips of it."""

    def __init__(self, folder: Path, stream: StreamStarted = STREAM) -> None:
        self.folder, self.withheld, self.written = folder, 0, []
        self.sink = ClipSink(
            folder,
            speech=SpeechJudge(margin_s=1.0),
            on_written=lambda *clip: self.written.append(clip),
            on_withheld=self.withhold,
        )
        self.sink.begin(stream)

    def withhold(self) -> None:
        self.withheld += 1

    def hear(self, begin: int, end: int) -> None:
        self.sink.hear(Block(begin, np.full((1, end - begin), 0.1, np.float32), RATE))

    def judge(self, begin: int, end: int, spoken=(), leave_out=(), short=()) -> None:
        """Judge the windows that start in a range; somebody speaks in some of them."""
        for at in range(begin, end, HOP):
            if at not in leave_out:
                self.sink.write(average(at, 0.5 if at in spoken else 0.0, short=at in short))

    @property
    def clips(self) -> int:
        return len([*self.folder.rglob("*.flac")])


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path / "clips")


def bark(yard: Yard, **judged) -> None:
    """Hear a bark with nobody about, and judge all windows that tell of it."""
    yard.hear(0, 20_000)
    yard.judge(0, 11_500, **judged)
    yard.sink.write(BARK)
    yard.judge(11_500, 16_000, **judged)


def test_a_clip_waits_until_the_windows_around_it_are_judged(yard):
    yard.hear(0, 14_000)
    yard.judge(0, 12_500)
    yard.sink.write(BARK)
    assert (yard.clips, yard.withheld) == (0, 0)  # a window at 12499 might yet hear its margin
    yard.hear(14_000, 15_000)
    yard.judge(12_500, 13_000)
    assert (yard.clips, yard.withheld) == (1, 0)


@pytest.mark.parametrize(
    ("at", "written"),
    # The first window that touches the margin begins after 7000, the last before 12500.
    [(7000, 1), (7500, 0), (9500, 0), (12_000, 0), (12_500, 1)],
)
def test_speech_in_a_clip_or_near_it_withholds_it(yard, at, written):
    bark(yard, spoken=[at])
    assert (yard.clips, yard.withheld) == (written, 1 - written)


@pytest.mark.parametrize("speech", [0.0, SPEECH_SCORE * 0.99, SPEECH_SCORE * 1.01, 1.0])
def test_the_threshold_is_for_the_window_alone(yard, speech):
    yard.hear(0, 20_000)
    yard.judge(0, 10_000)
    yard.sink.write(average(10_000, speech))
    yard.judge(10_500, 11_500)
    yard.sink.write(BARK)
    yard.judge(11_500, 16_000)
    assert yard.clips == (speech < SPEECH_SCORE)


@pytest.mark.parametrize("shift", range(5))
def test_what_was_not_judged_counts_as_speech(yard, shift):
    # Windows of 1.5 s each half second: three in a row leave a hole, two do not.
    lost = [8500 + HOP * (shift + k) for k in range(3)]
    bark(yard, leave_out=lost[:2])
    assert yard.clips == 1
    other = Yard(yard.folder.with_name("other"))
    bark(other, leave_out=lost)
    assert (other.clips, other.withheld) == (0, 1)


@pytest.mark.parametrize("at", [8000, 12_400])
def test_a_gap_beside_a_clip_counts_as_speech(tmp_path, at):
    yard = Yard(tmp_path)
    yard.hear(0, at)
    gap = Gap(at, 600, RATE, "overload")
    yard.sink.hear(gap)
    yard.hear(at + 600, 20_000)
    yard.judge(0, at - WINDOW)
    yard.sink.write(average(at - WINDOW))
    yard.sink.write(gap)
    yard.judge(at + 600, 18_000)
    yard.sink.write(BARK)
    assert (yard.clips, yard.withheld) == (0, 1)


def test_audio_shorter_than_a_window_counts_as_speech(yard):
    bark(yard, short=[10_000])
    assert (yard.clips, yard.withheld) == (0, 1)


@pytest.mark.parametrize("end", [11_000, 11_400, 12_300, 12_499])
def test_at_the_end_of_a_stream_what_was_heard_must_have_been_judged(tmp_path, end):
    for judged, written in [(end, 1), (end - 1, 0)]:
        yard = Yard(tmp_path / str(judged))
        yard.hear(0, end)
        yard.judge(0, judged - WINDOW)
        yard.sink.write(average(judged - WINDOW))
        yard.sink.write(BARK)
        assert yard.clips == 0
        yard.sink.end(Statistics(RATE))
        assert (yard.clips, yard.withheld) == (written, 1 - written)


def test_a_stream_that_begins_with_an_event_has_no_margin_before_it(tmp_path):
    yard = Yard(tmp_path, replace(STREAM, position=9_800))
    yard.hear(9_800, 20_000)
    yard.judge(9_800, 16_000)
    yard.sink.write(BARK)
    assert yard.clips == 1


def test_events_of_speech_have_no_clips_whatever_their_scores(yard):
    yard.hear(0, 20_000)
    yard.judge(0, 16_000)
    yard.sink.write(SoundEvent("speech", 10_000, 11_000, 0.01))
    yard.sink.write(BARK)
    assert (yard.clips, yard.withheld) == (1, 1)


def test_a_model_chosen_later_that_tells_no_speech_writes_no_clips(yard):
    bark(yard)
    assert yard.clips == 1
    yard.sink.begin(replace(STREAM, labels=["dog", "rain"], position=20_000))
    yard.hear(20_000, 40_000)
    yard.judge(20_000, 38_000)
    yard.sink.write(SoundEvent("dog", 30_000, 31_000, 0.9))
    yard.sink.close()
    assert (yard.clips, yard.withheld) == (1, 1)


def test_kinds_of_speech_add_up_where_one_label_is_chosen(tmp_path):
    labels = ["dog", "man_speaking", "woman_speaking"]
    scores = Scores(0, WINDOW, np.array([0.9, 0.6, 0.6], np.float32) * SPEECH_SCORE)
    for task, free in [("single-label", False), ("multi-label", True)]:
        judge = SpeechJudge(margin_s=0)
        judge.begin(StreamStarted("yard", RATE, labels, task))
        judge.add(Average(scores, scores.values))
        assert judge.is_free_of_speech(0, 1000, WINDOW) is free


def test_labels_of_many_at_once_count_from_thresholds_of_their_own(tmp_path):
    """A model of many labels has a scale for each: from 0.15 on at least, or from its threshold."""
    labels = ["Speech", "Shout", "Whispering", "Bark"]
    classes = {"Speech": Threshold(0.08, 0.02), "Shout": Threshold(0.4, 0.1)}
    card = toys.toy_card(
        labels=labels, task="multi-label", activation="sigmoid",
        thresholds=Thresholds(on=0.5, off=0.2, classes=classes),
    )  # fmt: skip
    assert find_speech_scores(card) == {"Speech": 0.15, "Shout": 0.4, "Whispering": 0.5}
    strict = Thresholds(on=0.5, off=0.2, classes={**classes, "Speech": Threshold(0.3, 0.1)})
    strict_card = msgspec.structs.replace(card, thresholds=strict)
    assert find_speech_scores(strict_card) == find_speech_scores(card), "it guards audio as before"
    single = toys.toy_card(labels=labels, thresholds=Thresholds(classes=classes))
    plain = msgspec.structs.replace(card, thresholds=Thresholds(on=0.5, off=0.2))
    for each in (single, plain):
        assert set(find_speech_scores(each).values()) == {SPEECH_SCORE}
    unsure = msgspec.structs.replace(single, unknown=Unknown(0.4))
    assert set(find_speech_scores(unsure).values()) == {UNSURE_SPEECH_SCORE}
    scores = find_speech_scores(card)
    stream = replace(STREAM, labels=labels, task="multi-label", speech_scores=scores)
    for values, free in [
        ([0.14, 0.39, 0.49, 0.9], True), ([0.15, 0, 0, 0], False), ([0, 0.4, 0, 0], False),
        ([0, 0, 0.5, 0], False),
    ]:  # fmt: skip
        scores = Scores(0, WINDOW, np.array(values, np.float64))
        judge = SpeechJudge(margin_s=0)
        judge.begin(stream)
        judge.add(Average(scores, scores.values))
        assert judge.is_free_of_speech(0, 1000, WINDOW) is free
    source = ArraySource(np.zeros(10, np.float32), card.sample_rate)
    started = Engine(CardScorer(card)).announce(source)
    assert started.speech_scores == find_speech_scores(card)


@given(
    st.lists(st.tuples(st.integers(1, 900), st.integers(300, 900), st.booleans()), max_size=12),
    st.integers(0, 3000), st.integers(1, 1500), st.integers(0, 4000), st.integers(0, 400),
)  # fmt: skip
def test_the_judge_agrees_with_its_definition(windows, begin, length, heard, margin):
    assume(heard > begin)
    judge = SpeechJudge(margin_s=margin / RATE)
    judge.begin(replace(STREAM, position=200))
    at, speech, covered = 200, set(), set()
    for step, size, spoken in windows:
        scores = Scores(at, size, np.array([0, float(spoken)], np.float32))
        judge.add(Average(scores, scores.values))
        covered |= {*range(at, at + size)}
        if spoken:
            speech |= {*range(at, at + size)}
        at += step
    piece = {*range(max(begin - margin, 200), min(begin + length + margin, heard))}
    free = not piece & speech and piece <= covered
    assert judge.is_free_of_speech(begin, begin + length, heard) is free


def test_a_sink_tells_what_it_wrote(yard):
    bark(yard)
    ((stream, event, path, n_bytes),) = yard.written
    assert (stream, event) == (STREAM, BARK)
    assert path.as_posix() == "dog/yard/000010.000_90.flac"
    assert (yard.folder / path).stat().st_size == n_bytes


def test_a_live_run_tells_what_it_wrote_and_what_it_withheld(tmp_path, monkeypatch):
    monkeypatch.setattr("streamclf.sinks.clips.clips.CLOSE_S", 60)
    written, told = [], []
    sink = BackgroundClips(
        tmp_path,
        told.append,
        speech=SpeechJudge(margin_s=1.0),
        on_written=lambda *clip: written.append(clip),
    )
    sink.begin(STREAM)
    sink.hear(Block(0, np.full((1, 40_000), 0.1, np.float32), RATE))
    for at in range(0, 40_000 - WINDOW + 1, HOP):
        sink.write(average(at, 0.5 if at == 20_000 else 0.0))
    for onset in (10_000, 20_500, 38_000):
        sink.write(SoundEvent("dog", onset, onset + 1000, 0.9))
    sink.finish()
    sink.close()
    assert [(event.onset, path.parts[0]) for _, event, path, _ in written] == [
        (10_000, "dog"), (38_000, "dog")
    ]  # fmt: skip
    assert told == [
        f"{tmp_path}: 1 clip was not written, for --privacy speech: it holds speech, or may"
    ]
    assert sink.n_lost == 0


@pytest.mark.parametrize(
    ("labels", "names", "found"),
    [
        (["dog", "speech"], {}, [1]),
        (["/m/09x0r", "/m/0bt9lr"], {"/m/09x0r": "Speech", "/m/0bt9lr": "Dog"}, [0]),
        (["Male speech, man speaking", "Male_speech_and_man_speaking"], {}, [0, 1]),
        (["Narration, monologue", "Whispering", "Singing", "Human_voice"], {}, [0, 1, 2, 3]),
        (["no_speech", "non-speech", "Singing bowl", "Bird vocalization", "laughing"], {}, []),
    ],
)
def test_labels_of_speech_are_known_by_their_names(labels, names, found):
    assert find_speech_labels(labels, names) == found


# The command line, with a model in which the high tone is speech.


@pytest.fixture(scope="module")
def speech_model(tmp_path_factory) -> Path:
    card = toys.toy_card(
        name="talks", display_names={"high": "Speech"}, thresholds=Thresholds(on=0.4, off=0.3)
    )
    return toys.write_tone_detector(tmp_path_factory.mktemp("talks") / "talks.onnx", card)


@pytest.fixture
def day(write_wav) -> Path:
    """Dogs (the low tone), and a word, 6 dB fainter, in the third and just before the fifth."""
    sound = toys.silence(80)
    for start in (5, 20, 35, 50, 65):
        sound[start * toys.RATE :][: 2 * toys.RATE] += toys.tone(toys.TONES["low"], 2)
    for start in (36.2, 63.9):
        place = slice(round(start * toys.RATE), round((start + 0.6) * toys.RATE))
        sound[place] += toys.tone(toys.TONES["high"], 0.6, level=0.15)
    return write_wav(sound + 1e-4 * np.random.default_rng(1).standard_normal(sound.size), "day.wav")


def holds_a_word(path: Path) -> bool:
    """Whether the high tone is in a file, anywhere."""
    samples, rate = soundfile.read(path)
    times = np.arange(samples.size) / rate
    wave = samples * np.exp(2j * np.pi * toys.TONES["high"] * times)
    level = np.abs(np.convolve(wave, np.ones(400) / 400, "valid")).max()
    return level > 0.005


@pytest.mark.parametrize(
    "command",
    [("file", "--jobs", 1), ("file", "--jobs", 2), ("listen", "--no-ui", "--speed", 0)],
    ids=["file", "several files", "listen"],
)
def test_no_file_holds_a_word(streamclf, speech_model, day, tmp_path, command):
    verb, *options = command
    sources = ["--source", f"sim:{day}"] if verb == "listen" else [day]
    if 2 in options:
        sources.append(shutil.copy(day, tmp_path / "same.wav"))
    run = (verb, *sources, "--model", speech_model, *options, "--clips")
    spoken = streamclf(*run, tmp_path / "all", "--only", "low")
    assert spoken.code == 0
    clips = [*(tmp_path / "all").rglob("*.flac")]
    assert {holds_a_word(path) for path in clips} == {True, False}
    private = streamclf(*run, tmp_path / "private", "--only", "low", "--privacy", "speech")
    assert private.code == 0
    left = [*(tmp_path / "private").rglob("*.flac")]
    n = len(sources) if verb == "file" else 1
    assert len(left) == 3 * n
    assert not any(holds_a_word(path) for path in left)
    sounds = [{soundfile.read(path)[0].tobytes() for path in some} for some in (left, clips)]
    assert sounds[0] < sounds[1]
    n_withheld = len(clips) - len(left)
    assert f"{tmp_path / 'private'}: {n_withheld} clips were not written" in private.err
    # Events are told all the same.
    assert [line for line in private.out.splitlines() if '"event"' in line] == [
        line for line in spoken.out.splitlines() if '"event"' in line
    ] or verb == "listen"


@pytest.mark.parametrize("command", [["file"], ["listen", "--no-ui", "--source"]])
def test_a_model_that_tells_no_speech_is_refused(streamclf, tone_model, day, tmp_path, command):
    source = f"sim:{day}" if "listen" in command else day
    run = (*command, source, "--model", tone_model, "--privacy", "speech")
    result = streamclf(*run, "--clips", tmp_path / "x")
    assert result.code == 2
    assert result.err.endswith(
        "error: --privacy speech: tones has no label of speech to judge clips by: take a model "
        "that has one (wide), or leave --clips out\n"
    )
    assert not (tmp_path / "x").exists()
    if "file" in command:
        assert streamclf(*run).code == 0  # nothing of it stores audio


def test_the_dashboard_saves_no_audio(tmp_path, tone_model, day):
    app = dashboards.make_dashboard(tmp_path, tone_model, recording=day, may_save_audio=False)

    async def script(pilot):
        await dashboards.settle(pilot, lambda: app.listener.history.end_s > 5)
        await pilot.press("s")
        await app.workers.wait_for_complete()
        (told,) = dashboards.messages_of(app)
        assert "--privacy speech" in told

    dashboards.drive(app, script)
    assert not [*tmp_path.glob("streamclf-clip-*")]


# Real speech over real dogs, heard by the bundled model.


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> list[np.ndarray]:
    """Sentences in five languages, 16 kHz, in pieces of their own."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not here (apt-get install espeak-ng)")
    folder = tmp_path_factory.mktemp("said")
    sentences = {
        "en": "Did you feed the dog? He has been barking all morning.",
        "de": "Hast du den Hund gefüttert? Er bellt schon den ganzen Morgen.",
        "fr": "Tu as donné à manger au chien ? Il aboie depuis ce matin.",
        "es": "¿Le has dado de comer al perro? Lleva toda la mañana ladrando.",
        "it": "Hai dato da mangiare al cane? Abbaia da stamattina.",
    }
    pieces = []
    for number, (language, text) in enumerate(sentences.items()):
        path = folder / f"{language}.wav"
        voice = f"{language}+{'mf'[number % 2]}{1 + number % 3}"
        subprocess.run(["espeak-ng", "-v", voice, "-w", path, text], check=True)
        pieces.append(soxr.resample(*soundfile.read(path, dtype="float32"), 16_000))
    return pieces


def test_no_clip_of_dogs_holds_real_speech(streamclf, said, data_dir, tmp_path):
    """Every clip on the disk is heard again by the model, and none has a window of speech."""
    with (data_dir / "esc50" / "meta" / "esc50.csv").open() as file:
        dogs = [row["filename"] for row in csv.DictReader(file) if row["category"] == "dog"]
    every_s, n_dogs, rate = 25, 20, 16_000
    day = np.random.default_rng(1).normal(0, 1e-4, n_dogs * every_s * rate).astype(np.float32)
    spoken = np.zeros(day.size, bool)
    for number in range(n_dogs):
        at = (every_s * number + 8) * rate
        dog, _ = soundfile.read(data_dir / "esc50" / "audio" / dogs[number], dtype="float32")
        day[at : at + dog.size] += 0.5 * dog / np.abs(dog).max()
        if number % 2:  # somebody speaks, up to 20 dB below the dog
            words = said[number // 2 % len(said)]
            begin = at + number % 3 * rate
            level = 0.5 * 10 ** (-number / 20)
            day[begin : begin + words.size] += level * words / np.abs(words).max()
            spoken[begin : begin + words.size] = True
    path = tmp_path / "day.wav"
    soundfile.write(path, np.clip(day, -1, 1), rate)
    run = ("file", path, "--except", "speech", "--format", "csv", "--clips")
    assert streamclf(*run, tmp_path / "all").code == 0
    assert streamclf(*run, tmp_path / "private", "--privacy", "speech").code == 0
    every, left = (
        {each.relative_to(tmp_path / name): each for each in (tmp_path / name).rglob("*.flac")}
        for name in ("all", "private")
    )
    assert sum(hold_words(clip, spoken) for clip in every.values()) >= 5
    assert left.keys() < every.keys()
    assert len(left) >= 5
    assert not any(hold_words(clip, spoken) for clip in left.values())
    engine = Engine(Classifier(Model(find_model("pocket"), provider="cpu")), Settings(0.1))
    (speech,) = find_speech_labels(engine.card.labels, engine.card.display_names)
    for clip in left.values():
        waveform, _ = soundfile.read(clip, dtype="float32")
        results = engine.run(ArraySource(waveform, rate))
        scores = [r.scores.values[speech] for r in results if isinstance(r, Average)]
        assert max(scores) < AGAIN, clip


AGAIN = 0.2
"""Highest score of speech when a clip is heard alone, by windows that lie elsewhere in it."""


def hold_words(clip: Path, spoken: np.ndarray) -> bool:
    """Whether somebody speaks in a clip, which tells its place by the name of its file."""
    onset = round(16_000 * (float(clip.name.partition("_")[0]) - 0.5))
    return bool(spoken[max(onset, 0) : onset + soundfile.info(clip).frames].any())
