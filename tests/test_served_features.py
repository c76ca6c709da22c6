"""Features of what `serve` hears: kept from the start, turned off for one source, or not given."""

import numpy as np
import pytest
import toys
from serving import Serving
from test_serve import settled

from streamclf.core.card import Features
from streamclf.core.records import StreamStarted
from streamclf.core.settings import Settings
from streamclf.core.thresholds import ThresholdOptions
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model
from streamclf.model.options import ModelOptions
from streamclf.pipeline.engine import Engine
from streamclf.runs.serve.options import ServedOptions
from streamclf.runs.serve.plan import ServePlan, StreamPlan, WritingOptions
from streamclf.sinks.options import OutputOptions
from streamclf.sources.array import ArraySource
from streamclf.sources.options import SourceOptions
from streamclf.store.features.feature_store import FeatureStore
from streamclf.store.features.options import FeatureOptions
from streamclf.store.features.sink import RecordingFeatureSink


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    """A tone detector that names its features."""
    card = toys.toy_card(features=Features("tones", 3, 0.1), stem=toys.STEM)
    return toys.write_tone_detector(tmp_path_factory.mktemp("tones") / "tones.onnx", card)


@pytest.fixture
def serve(tmp_path):
    """Start a server; it is ended with the test."""
    started = []

    def start(model, **features):
        plans = [
            StreamPlan(
                ServedOptions(name=name), SourceOptions(device=name),
                ModelOptions(str(model), provider="cpu"), Settings(hop_s=0.1),
                ThresholdOptions(), OutputOptions(), kept,
            )
            for name, kept in features.items()
        ]  # fmt: skip
        started.append(Serving(ServePlan(tuple(plans), WritingOptions(tmp_path / "box.db"))))
        return started[-1]

    yield start
    for serving in started:
        if serving.code is None:
            serving.end()


def test_what_serve_keeps_is_what_a_recording_keeps_and_nothing_where_it_is_off(
    serve, tones, tmp_path
):
    audio = np.concatenate([toys.tone(440, 3), toys.tone(2500, 3)])
    serving = serve(tones, yard=FeatureOptions(), bath=FeatureOptions(keep=False))
    yard, bath = settled(serving, "yard", "bath")
    for source in (yard, bath):
        source.feed(audio)
        source.end()
    assert serving.join() == 0
    kept = FeatureStore(tmp_path / "box.features")
    assert kept.sources() == ["yard"]
    live = kept.read("yard")
    sink = RecordingFeatureSink(tmp_path / "recorded")
    engine = Engine(Classifier(Model(tones), features=True), Settings(hop_s=0.1))
    for result in engine.run(ArraySource(audio, toys.RATE, name="a.wav")):
        if isinstance(result, StreamStarted):
            sink.begin(result)
        else:
            sink.write(result)
    sink.end(engine.statistics)
    recorded = FeatureStore(tmp_path / "recorded").read()
    assert live.positions.tolist() == recorded.positions.tolist() == [*range(0, 40_000, 4000)]
    assert np.abs(live.values.astype(int) - recorded.values).max() <= 1
    # Fed faster than it sounds: on a busy machine a window may be dated some milliseconds early.
    assert live.times[0] < live.times[-1]
    assert np.all(np.diff(live.times) > -0.1)


def test_a_model_without_features_is_heard_and_it_is_said(serve, tone_model, tmp_path):
    serving = serve(tone_model, yard=FeatureOptions())
    (yard,) = settled(serving, "yard")
    yard.feed(toys.tone(440, 3))
    yard.end()
    assert serving.join() == 0
    said = [line for line in serving.words.told if "names no features" in line]
    assert len(said) == 1
    assert "export.restate MODEL.onnx --features" in said[0]
    assert not (tmp_path / "box.features").exists()
