"""The teacher from its authors' file: the facts of its architecture, and what it says of clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch

from train.base.errors import DatasetError
from train.nets.efficientat import (
    BODY,
    SAMPLE_RATE,
    EfficientAT,
    FrontEnd,
    open_efficientat,
    repeat,
    round_channels,
)

pytestmark = pytest.mark.train

TEACHER = "mn04_as_mAP_432.pt"


def test_network_has_as_many_parameters_as_published() -> None:
    assert sum(p.numel() for p in EfficientAT().parameters()) == 983_599


@pytest.mark.parametrize(
    ("wanted", "rounded"), [(6.4, 8), (25.6, 24), (28.8, 32), (44.8, 48), (268.8, 272), (2.0, 8)]
)
def test_channels_are_multiples_of_8_and_never_below_nine_tenths(
    wanted: float, rounded: int
) -> None:
    assert round_channels(wanted) == rounded
    assert round_channels(wanted) >= 0.9 * wanted


def test_front_end_gives_100_frames_a_second_and_a_floor_of_silence() -> None:
    mel = FrontEnd()(torch.zeros(2, 10 * SAMPLE_RATE))
    assert mel.shape == (2, 128, 1000)
    np.testing.assert_allclose(mel.numpy(), (np.log(1e-5) + 4.5) / 5, atol=1e-6)


def test_front_end_puts_a_higher_tone_into_a_higher_band() -> None:
    t = torch.arange(SAMPLE_RATE) / SAMPLE_RATE
    tones = torch.stack([torch.sin(2 * torch.pi * hz * t) for hz in (300.0, 1000.0, 8000.0)])
    peaks = FrontEnd()(tones)[:, :, 50].argmax(dim=1)
    assert peaks.tolist() == sorted(set(peaks.tolist()))


def test_every_second_block_halves_both_axes() -> None:
    network = EfficientAT().eval()
    strides = 2 * np.prod([block.stride for block in BODY])
    with torch.no_grad():
        maps = network.features(torch.zeros(1, 1, 128, 320))
    assert maps.shape == (1, 384, 128 // strides, 320 // strides)


def test_open_says_what_a_file_is_not(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nothing.pt: cannot be read: .*release v0\.0\.1"):
        open_efficientat(tmp_path / "nothing.pt")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(DatasetError, match="no weights of mn04_as"):
        open_efficientat(tmp_path / "text.pt")
    torch.save({"features.0.0.weight": torch.zeros(8, 1, 3, 3)}, tmp_path / "other.pt")
    with pytest.raises(DatasetError, match="no weights of mn04_as"):
        open_efficientat(tmp_path / "other.pt")


def test_open_takes_what_the_network_itself_wrote(tmp_path: Path) -> None:
    network = EfficientAT().eval()
    torch.save(network.state_dict(), tmp_path / "own.pt")
    opened, digest = open_efficientat(tmp_path / "own.pt")
    waveform = torch.randn(1, SAMPLE_RATE) / 10
    with torch.no_grad():
        assert torch.equal(opened(waveform)[1], network(waveform)[1])
    assert len(digest) == 64
    assert not opened.training


def test_repeat_fills_a_stretch_with_a_short_sound() -> None:
    short = torch.arange(3.0)[None]
    assert repeat(short, 7).tolist() == [[0, 1, 2, 0, 1, 2, 0]]
    assert repeat(short, 2) is short


@pytest.mark.data
def test_teacher_says_what_its_authors_network_says(data_dir: Path) -> None:
    network, digest = open_efficientat(data_dir / "teachers" / TEACHER)
    assert digest == "899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c"
    expected = np.load(data_dir / "teachers" / "mn04_expected.npz")
    for name, logits, features in zip(
        expected["files"], expected["logits"], expected["features"], strict=True
    ):
        clip, rate = soundfile.read(data_dir / "esc50" / "audio" / str(name), dtype="float32")
        waveform = torch.from_numpy(soxr.resample(clip, rate, SAMPLE_RATE, "HQ"))
        with torch.no_grad():
            heard, said = network(waveform[None])
        np.testing.assert_allclose(said[0].numpy(), logits, atol=1e-4)
        np.testing.assert_allclose(heard[0].numpy(), features, atol=1e-4)
