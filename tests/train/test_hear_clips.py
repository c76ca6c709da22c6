"""What EfficientAT says of the windows of clips, as ``train.pocket --teacher`` takes it."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
import torch
from distilling import teacher

from train import hear_clips
from train.datasets import open_clips
from train.distillation.heard import column_weights, hear_columns
from train.nets.efficientat import EfficientAT
from train.pocket_parts.teacher import soft_labels

__all__ = ["teacher"]

pytestmark = pytest.mark.train


def test_a_clip_is_heard_again_and_again_and_told_window_by_window(
    teacher, make_esc, tmp_path, capsys
) -> None:
    data = make_esc(folds=2, per_class=2, seconds=3.0)
    arguments = ["--data", str(data), "--teacher", str(teacher), "-o", str(tmp_path / "said.npz")]
    assert hear_clips.main(arguments) == 0
    assert "4 windows of 12 clips of esc50" in capsys.readouterr().out
    said = np.load(tmp_path / "said.npz")
    assert said["window_embedding"].shape == (12, 4, 384)
    clips = open_clips(data, 16000)
    network = EfficientAT().eval()
    network.load_state_dict(torch.load(teacher))
    waveform = soxr.resample(clips.waveform(5), 16000, 32000)
    ten_s = torch.from_numpy(np.tile(waveform, 4)[:320_000]).float()
    with torch.inference_mode():
        columns, _ = hear_columns(network, ten_s[None])
    wanted = column_weights(11)[10] @ columns[0]
    torch.testing.assert_close(
        torch.from_numpy(said["window_embedding"][5, 2]).float(), wanted, rtol=1e-2, atol=1e-2
    )
    # It is what soft labels are made of.
    labels, about = soft_labels(tmp_path / "said.npz", clips)
    assert labels.shape == (12, 4, 3)
    assert about["file"] == "said.npz"
    assert hear_clips.main(arguments) == 2
    assert "said.npz: exists; --overwrite replaces it" in capsys.readouterr().err


def test_clips_longer_than_the_teacher_hears_are_told_in_a_line(
    teacher, make_esc, tmp_path, capsys
) -> None:
    data = make_esc(folds=1, per_class=1, seconds=11.0)
    arguments = ["--data", str(data), "--teacher", str(teacher), "-o", str(tmp_path / "said.npz")]
    assert hear_clips.main(arguments) == 1
    assert "a clip is 11.0 s long, the teacher hears 10 s at once" in capsys.readouterr().err
    assert not (tmp_path / "said.npz").exists()
