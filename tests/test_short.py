"""What is shorter than a window says what it would say inside a longer recording, or less."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import toys
from hypothesis import given
from hypothesis import strategies as st

from streamclf.core.card import Unknown
from streamclf.core.records import Average, Block, Gap, Notice, SoundEvent
from streamclf.core.settings import Settings
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, find_model
from streamclf.pipeline.engine import Engine
from streamclf.pipeline.short_audio import fill_window, short_audio_weight
from streamclf.pipeline.windows import slide
from streamclf.sources.array import ArraySource

EXAMPLE = Path(__file__).parents[1] / "examples" / "afternoon.flac"
EXAMPLE_RATE = 22_050
LENGTHS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.2)


@pytest.fixture(scope="module")
def tones(tone_model) -> Classifier:
    return Classifier(Model(tone_model, provider="cpu"))


@pytest.fixture(scope="module")
def pocket() -> Classifier:
    return Classifier(Model(find_model("pocket"), provider="cpu"))


def hear(classifier: Classifier, waveform: np.ndarray, rate: int, **settings) -> list:
    engine = Engine(classifier, Settings(**settings))
    return list(engine.run(ArraySource(waveform, rate)))


def named(classifier: Classifier, results: list) -> str:
    """The label of the highest score in the last average."""
    *_, last = (item for item in results if isinstance(item, Average))
    return classifier.card.labels[int(last.values.argmax())]


def of(kind: type, results: list) -> list:
    return [item for item in results if isinstance(item, kind)]


def make_noise(slope: float, seconds: float, rate: int, db: float, seed: int) -> np.ndarray:
    """Noise whose amplitude falls by a power of the frequency."""
    n_samples = round(seconds * rate)
    frequencies = np.fft.rfftfreq(n_samples, 1 / rate)
    frequencies[0] = frequencies[1]
    white = np.random.default_rng(seed).standard_normal(n_samples)
    noise = np.fft.irfft(np.fft.rfft(white) * frequencies**-slope, n_samples)
    return (noise * 10 ** (db / 20) / noise.std()).astype(np.float32)


@given(n_samples=st.integers(1, 1499), seed=st.integers(0, 9))
def test_a_filled_window_is_as_loud_as_its_audio_which_lies_in_the_middle(n_samples, seed):
    audio = np.random.default_rng(seed).uniform(0.5, 1, n_samples).astype(np.float32)
    window = fill_window(audio, 1500, "mirror")
    assert (window.shape, window.dtype) == ((1500,), np.float32)
    first, n_fade = (1500 - n_samples) // 2, min(20, n_samples // 4)
    inner = slice(n_fade, n_samples - n_fade)
    np.testing.assert_array_equal(window[first : first + n_samples][inner], audio[inner])
    assert 0.45 < window.min() <= window.max() <= 1.42  # no zeros, and both ends of a fade at most


@pytest.mark.parametrize("n_samples", [800, 3001, 9999])
def test_a_filled_window_has_no_click_where_its_audio_ends(n_samples):
    tone = toys.tone(333.3, 2.0)[7 : 7 + n_samples]  # begins and ends anywhere in a period
    window = fill_window(tone, toys.WINDOW, "mirror")
    assert np.abs(np.diff(window)).max() < 1.5 * np.abs(np.diff(tone)).max()


def test_weight_rises_with_what_was_heard_and_is_1_from_half_a_window_on():
    weights = [short_audio_weight(n, 1000, "mirror") for n in (1, 10, 125, 499, 500, 999, 1000)]
    assert weights == sorted(weights)
    assert weights[2] == pytest.approx(0.5)
    assert weights[4:] == [1.0, 1.0, 1.0]
    assert short_audio_weight(1, 1000, "zeros") == 1.0


@pytest.mark.parametrize("label", toys.TONES)
@pytest.mark.parametrize("seconds", [0.1, 0.2, 0.4, 0.8, 1.2])
def test_a_short_tone_is_named_as_a_long_one(tones, label, seconds):
    # Zeros behind it, 0.8 s of a tone in a window of 1.5 s are half of its power, less are quiet.
    short = hear(tones, toys.tone(toys.TONES[label], seconds), toys.RATE)
    long = hear(tones, toys.tone(toys.TONES[label], 5.0), toys.RATE)
    assert named(tones, short) == named(tones, long) == label
    (own,), (score, *_) = of(Average, short), of(Average, long)
    weight = short_audio_weight(round(seconds * toys.RATE), toys.WINDOW, "mirror")
    assert own.values.max() == pytest.approx(weight * score.values.max(), abs=0.1)


def test_an_event_of_a_short_recording_keeps_its_place_and_is_marked(tones):
    (event,) = of(SoundEvent, hear(tones, toys.tone(1000, 0.8), toys.RATE))
    assert (event.label, event.onset, event.offset, event.short) == ("middle", 0, 6400, True)
    assert not any(e.short for e in of(SoundEvent, hear(tones, toys.tone(1000, 1.6), toys.RATE)))


def test_a_short_recording_is_told_in_a_line(tones):
    (notice,) = of(Notice, hear(tones, toys.tone(1000, 0.2), toys.RATE))
    assert notice.level == "info"
    assert notice.message == (
        "0.2 s of audio, shorter than the model's window of 1.5 s: mirrored to fill it, "
        "scores count 52%"
    )
    assert not of(Notice, hear(tones, toys.tone(1000, 1.5), toys.RATE))


class Broken(ArraySource):
    """A stream with two short stretches among its gaps: 5 to 5.4 and 6 to 6.3 s."""

    def blocks(self, sample_rate):
        end = 0
        for start, seconds in ((0, 3.0), (40_000, 0.4), (48_000, 0.3), (64_000, 2.0)):
            if start:
                yield Gap(end, start - end, toys.RATE, "overflow")
            block = Block(start, toys.tone(1000, seconds)[np.newaxis], toys.RATE)
            end = block.end
            yield block


def test_a_short_stretch_between_gaps_is_heard_like_a_short_recording(tones):
    engine = Engine(tones, Settings())
    results = list(engine.run(Broken(toys.tone(1000, 1.0), toys.RATE)))
    short = [item for item in of(Average, results) if item.scores.short]
    assert [(a.position, a.end) for a in short] == [(40_000, 43_200), (48_000, 50_400)]
    alone = hear(tones, toys.tone(1000, 0.4), toys.RATE)
    np.testing.assert_allclose(short[0].values, of(Average, alone)[0].values, atol=1e-6)
    (notice,) = of(Notice, results)  # the first is said, all are counted
    assert notice.position == 40_000
    assert notice.message.startswith("0.4 s of audio at 5.00 s, shorter than")
    assert engine.statistics.as_json()["windows_short"] == 2
    assert "2 pieces shorter than a window" in engine.statistics.summary()


@pytest.mark.parametrize("n_samples", [12_001, 13_000, 15_999, 16_001, 21_234])
def test_the_last_window_of_a_recording_is_as_sure_as_the_others(tones, n_samples):
    results = hear(tones, toys.tone(1000, 10.0)[:n_samples], toys.RATE, average_s=0.0)
    *_, before, last = of(Average, results)
    assert last.end == n_samples
    np.testing.assert_allclose(last.values, before.values, atol=0.02)
    assert not of(Notice, results)


def test_windows_that_share_a_stem_are_exact_where_the_last_is_moved_back(pocket):
    rate = pocket.card.sample_rate
    sound = make_noise(0.5, 9.123, rate, -20, seed=2)
    windows = list(slide([Block(0, sound[np.newaxis], rate)], pocket.card.window_samples, 8000))
    assert windows[-1].position % pocket.stride
    whole = Classifier(Model(find_model("pocket"), provider="cpu"))  # never cut in two
    alone = whole.score(np.stack([window.waveform for window in windows]))
    assert pocket.split() is not None
    score = pocket.open_stream()
    shared = np.concatenate([score(windows[:3]), score(windows[3:])])
    np.testing.assert_allclose(shared, alone, atol=1e-5)


@pytest.mark.parametrize("db", [-60, -50])
@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0], ids=["white", "pink", "brown"])
def test_short_pieces_of_faint_noise_are_no_events(pocket, slope, db):
    rate = pocket.card.sample_rate
    for seconds in (0.05, 0.1, 0.2):
        for seed in range(4):
            noise = make_noise(slope, seconds, rate, db, seed)
            events = of(SoundEvent, hear(pocket, noise, rate))
            assert not events, (seconds, seed, events)


@pytest.mark.parametrize("seconds", [0.2, 0.4, 0.8, 1.2])
def test_the_bundled_model_names_a_short_siren_as_a_long_one(pocket, seconds):
    rate = pocket.card.sample_rate
    waveform, own = soundfile.read(EXAMPLE, start=4 * EXAMPLE_RATE, frames=3 * EXAMPLE_RATE)
    siren = soxr.resample(waveform.mean(axis=1), own, rate).astype(np.float32)
    short = hear(pocket, siren[: round(seconds * rate)], rate)
    assert named(pocket, short) == named(pocket, hear(pocket, siren, rate)) == "siren"


def test_a_network_trained_with_zeros_hears_them_and_is_believed(tmp_path):
    card = toys.toy_card(fill="zeros")
    classifier = Classifier(
        Model(toys.write_tone_detector(tmp_path / "zeros.onnx", card), provider="cpu")
    )
    results = hear(classifier, toys.tone(1000, 0.9), toys.RATE)
    padded = np.pad(toys.tone(1000, 0.9), (0, 4800))[np.newaxis]
    (average,) = of(Average, results)
    np.testing.assert_allclose(average.values, classifier.score(padded)[0], atol=1e-6)
    (notice,) = of(Notice, results)
    assert notice.message.endswith("1.5 s: filled with zeros, as in training")


def test_a_regression_is_not_weighed(tmp_path):
    card = toys.toy_card(task="regression", activation="none")
    classifier = Classifier(
        Model(toys.write_tone_detector(tmp_path / "value.onnx", card), provider="cpu")
    )
    results = hear(classifier, toys.tone(1000, 0.3), toys.RATE)
    (average,) = of(Average, results)
    (value, *_) = of(Average, hear(classifier, toys.tone(1000, 1.5), toys.RATE))
    np.testing.assert_allclose(average.values[2], value.values[2], atol=0.2)
    assert average.scores.short


def test_unknown_sounds_are_judged_by_weighed_scores(tmp_path):
    card = toys.toy_card(unknown=Unknown(threshold=0.6))
    classifier = Classifier(
        Model(toys.write_tone_detector(tmp_path / "unknown.onnx", card), provider="cpu")
    )
    (event,) = of(SoundEvent, hear(classifier, toys.tone(1000, 0.2), toys.RATE, name_unknown=True))
    assert (event.label, event.onset, event.short) == ("unknown", 0, True)


def test_outputs_mark_what_was_shorter_than_a_window(streamclf, tone_model, tmp_path):
    for name, seconds in (("short", 0.8), ("long", 3.0)):
        soundfile.write(tmp_path / f"{name}.wav", toys.tone(1000, seconds), toys.RATE)
    paths = [str(tmp_path / f"{name}.wav") for name in ("short", "long")]
    result = streamclf("file", *paths, "--model", str(tone_model), "--format", "jsonl")
    assert result.code == 0
    marks = {line["source"][-9:]: line.get("short") for line in result.lines}
    assert marks == {"short.wav": True, "/long.wav": None}
    assert "short.wav: 0.8 s of audio, shorter than the model's window of 1.5 s" in result.err
    assert "long.wav: " not in result.err
