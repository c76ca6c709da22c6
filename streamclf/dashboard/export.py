"""Export of clips and events to the folder in which the app was started."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from pathlib import Path

import numpy as np
import soundfile

from streamclf.core.clip_tags import MADE_BY
from streamclf.core.errors import SinkError, SourceError
from streamclf.core.records import Block, StreamStarted, Waveform
from streamclf.core.text_format import format_length
from streamclf.dashboard.history import AUDIO_KEPT_S, History
from streamclf.pipeline.mixdown import mix_down
from streamclf.pipeline.resample import resample
from streamclf.sinks.csv_cells import csv_line
from streamclf.sinks.factory import open_sink
from streamclf.sinks.lines import LineFile
from streamclf.sources.recording.recording import Recording

CLIP_S = 30.0


def save_clip(history: History, recording: Path | None, to_s: float, folder: Path) -> Path:
    """Write the `CLIP_S` seconds before ``to_s`` as WAV, and their averaged scores as CSV.

    Returns:
        Path of the WAV file.

    Raises:
        SinkError: There is nothing to save, or a file cannot be written.
    """
    stream = history.stream
    if stream is None:
        raise SinkError(
            "nothing was heard yet, there is no clip to save: wait for the first window"
        )
    from_s = max(to_s - CLIP_S, 0.0)
    if recording is None:
        from_s, waveform, rate = history.audio(from_s, to_s)
    else:
        waveform, rate = _read(recording, from_s, to_s, stream.sample_rate)
    if not waveform.size:
        raise SinkError(
            "the audio of that moment is no longer kept, only the last "
            f"{format_length(AUDIO_KEPT_S)} are: go to a later one"
        )
    path = free_path(folder, "clip", ".wav")
    try:
        with soundfile.SoundFile(path, "w", rate, channels=1, subtype="PCM_16") as file:
            file.software = MADE_BY
            file.write(waveform)
    except (OSError, soundfile.LibsndfileError) as error:
        raise SinkError(f"{path}: cannot be written: {error}") from error
    with history.lock:
        averages = history.averages.between(from_s, to_s)
    with closing(LineFile(path.with_suffix(".csv"))) as table:
        table.write(csv_line(["seconds", *stream.labels]))
        for average in averages:
            if average.values.size == len(stream.labels):
                values = [f"{value:.6g}" for value in average.values]
                table.write(csv_line([f"{average.time_s - from_s:.3f}", *values]))
    return path


def export_events(history: History, folder: Path) -> Path:
    """Write the session's events and gaps as CSV.

    Returns:
        Path of the CSV file.

    Raises:
        SinkError: There are none, or the file cannot be written.
    """
    with history.lock:
        results = list(history.results)
    if not results:
        raise SinkError("there are no events yet to export: wait for one, or lower the thresholds")
    path = free_path(folder, "events", ".csv")
    stream: StreamStarted | None = None
    with closing(open_sink(path)) as sink:
        for info, result in results:
            if info is not stream:
                sink.begin(info)
                stream = info
            sink.write(result)
    return path


def free_path(folder: Path, kind: str, ending: str) -> Path:
    """Path with the current time in its name at which no file exists yet."""
    stem = f"streamclf-{kind}-{datetime.now():%Y%m%d-%H%M%S}"
    path, number = folder / f"{stem}{ending}", 2
    while path.exists():
        path, number = folder / f"{stem}-{number}{ending}", number + 1
    return path


def _read(path: Path, from_s: float, to_s: float, rate: int) -> tuple[Waveform, int]:
    pieces = []
    try:
        with Recording(path) as recording:
            for item in resample(mix_down(recording.blocks(rate)), rate):
                if item.position >= to_s * rate:
                    break
                if isinstance(item, Block):
                    first = max(round(from_s * rate) - item.position, 0)
                    last = round(to_s * rate) - item.position
                    pieces.append(item.waveform[0, first:last])
    except SourceError as error:
        raise SinkError(error) from error
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32), rate
