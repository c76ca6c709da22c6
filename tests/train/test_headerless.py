"""Recordings without a header, of which nothing but their name tells what they are."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from tiny_sets import tone

from train.datasets.decode import duration_of, read_clip

pytestmark = pytest.mark.train


@pytest.fixture
def prompt(tmp_path: Path) -> Path:
    """Two seconds of a telephone's prompt, as Asterisk's packages hold them."""
    path = tmp_path / "prompt.g722"
    with av.open(str(path), "w", format="g722") as container:
        stream = container.add_stream("g722", rate=16000)
        stream.layout = "mono"
        samples = (tone(440.0, 2.0) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 16000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return path


def test_g722_is_decoded(prompt: Path) -> None:
    samples = read_clip(prompt, 16000)
    assert len(samples) == pytest.approx(32000, abs=400)
    hz = np.abs(np.fft.rfft(samples.astype(float))).argmax() * 16000 / len(samples)
    assert hz == pytest.approx(440, abs=5)


def test_g722_has_a_length_and_stretches(prompt: Path) -> None:
    assert duration_of(prompt) == pytest.approx(2.0, abs=0.05)
    assert len(read_clip(prompt, 16000, stretch=(0.5, 1.5))) == pytest.approx(16000, abs=400)
