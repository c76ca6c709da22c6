"""PSDS1 over all thresholds, as sed_scores_eval computes it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from train import event_scores
from train.evaluation.event_metrics import Event
from train.evaluation.psds import Recording, measure_psds

pytestmark = pytest.mark.train

LABELS = ["a", "b", "c", "never there"]
LENGTH = 30.0
CELLS = 60


def chance(*places: int) -> np.ndarray:
    """Numbers in 0..1 that look drawn, the same on every machine."""
    k = np.arange(int(np.prod(places))).reshape(places)
    return np.modf(np.abs(np.sin(k * 12.9898 + len(places)) * 43758.5453))[0]


def make_recordings(n: int) -> tuple[dict[str, Recording], list[Event]]:
    edges = np.concatenate([[0.0], np.arange(1, CELLS) * 0.5, [LENGTH]])
    middles = (edges[:-1] + edges[1:]) / 2
    scores, drawn = 0.6 * chance(n, CELLS, len(LABELS)), chance(n, 3, 2, 3)
    truth = []
    for k in range(n):
        for label in range(3):
            end = 0.0
            for gap, long, loud in drawn[k, label]:
                onset = round(end + 8 * gap, 2)
                end = round(onset + 0.5 + 6 * long, 2)
                truth.append(Event(f"{k}.wav", LABELS[label], onset, end))
                sounds = (middles > onset) & (middles < end)
                scores[k, sounds, label] += 0.4 * (loud > 0.3)
    table = scores.round(3).astype(np.float32)
    return {f"{k}.wav": Recording(edges, table[k], LENGTH) for k in range(n)}, truth


def test_psds_is_that_of_sed_scores_eval() -> None:
    recordings, truth = make_recordings(8)
    measured = measure_psds(recordings, LABELS, truth)
    # sed_scores_eval 0.0.4 on the same scores, dtc and gtc 0.7, alpha_st 1.
    assert measured == {"psds1": 0.3179, "classes": {"a": 0.4375, "b": 0.3344, "c": 0.3375}}


def test_perfect_scores_have_all_of_the_area() -> None:
    recordings, truth = make_recordings(2)
    for source, recording in recordings.items():
        recording.scores[:] = 0
        own = [event for event in truth if event.source == source]
        for event in own:
            inside = (recording.edges[1:] > event.onset) & (recording.edges[:-1] < event.offset)
            recording.scores[inside, LABELS.index(event.label)] = 1
    whole = [
        Event(e.source, e.label, np.floor(2 * e.onset) / 2, np.ceil(2 * e.offset) / 2)
        for e in truth
    ]
    measured = measure_psds(recordings, LABELS, whole)
    assert measured == {"psds1": 1.0, "classes": {"a": 1.0, "b": 1.0, "c": 1.0}}
    # A label that the model lacks is never found, and counts.
    lacking = measure_psds(recordings, LABELS[:1], whole)
    assert lacking["classes"] == {"a": 1.0, "b": 0.0, "c": 0.0}


def test_event_scores_take_the_windows_scores_of_streamclf(tmp_path, capsys) -> None:
    recordings, truth = make_recordings(2)
    rows = [f"event,{e.source},{e.label},{e.onset},{e.offset},30" for e in truth]
    header = "type,source,label,onset,offset,seconds"
    (tmp_path / "truth.csv").write_text("\n".join([header, *rows]) + "\n")
    (tmp_path / "found.csv").write_text("type,source,label,onset,offset\n")
    # Windows of 1.5 s each half second: their middles are those of cells but for both ends.
    onsets = np.arange(CELLS - 2) * 0.5
    np.savez(
        tmp_path / "scores.npz", labels=np.array(LABELS), sources=np.array(["/x/0.wav", "1.wav"]),
        source=np.repeat([0, 1], CELLS - 2), onset=np.tile(onsets, 2),
        offset=np.tile(onsets + 1.5, 2),
        scores=np.concatenate([r.scores[1:-1] for r in recordings.values()]),
    )  # fmt: skip
    arguments = [str(tmp_path / "truth.csv"), str(tmp_path / "found.csv")]
    more = ["--scores", str(tmp_path / "scores.npz")]
    assert event_scores.main([*arguments, *more, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    edges = np.concatenate([[0.0], np.arange(1, CELLS - 2) * 0.5 + 0.5, [LENGTH]])
    cut = {s: Recording(edges, r.scores[1:-1], LENGTH) for s, r in recordings.items()}
    expected = measure_psds(cut, LABELS, truth)
    assert said["psds1"] == expected["psds1"] > 0
    assert said["classes"]["a"]["psd_area"] == expected["classes"]["a"]
    assert event_scores.main([*arguments, *more]) == 0
    assert f"PSDS1 {expected['psds1']:.3f}" in capsys.readouterr().out
    # Without scores there is nothing of it.
    assert event_scores.main([*arguments, "--json"]) == 0
    assert "psds1" not in json.loads(capsys.readouterr().out)
    np.savez(tmp_path / "scores.npz", labels=np.array(LABELS))
    assert event_scores.main([*arguments, *more]) != 0
    assert "lacks 'sources'; expected is what --scores NAME.npz writes" in capsys.readouterr().err
