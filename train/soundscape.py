"""``python -m train.soundscape``: soundscapes of a data set's clips, with the true events.

::

    scene-001.wav    16-bit, at the network's sample rate
    scene-001.txt    its events as Audacity labels
    truth.csv        all events in the columns of streamclf's own CSV, plus the scene's level
                     (snr_db) and length (seconds)

``streamclf file OUT/*.wav --output found.csv`` and
``python -m train.event_scores OUT/truth.csv found.csv`` then measure how well a model finds them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from streamclf.core.records import SoundEvent, StreamStarted
from streamclf.sinks.lines import LineFile
from streamclf.sinks.tables import AudacitySink, CsvSink
from train.audio.soundscapes import Scene, make_scenes
from train.base.arguments import Parser, numbers
from train.base.errors import DatasetError, TrainError, UsageError
from train.base.exit_codes import exit_codes
from train.datasets import DATASET_NAMES, ClipSet, open_clips
from train.datasets.prepared import is_prepared
from train.datasets.progress import show_progress

TRUTH = "truth.csv"


class TruthSink(CsvSink):
    """streamclf's CSV with two more columns."""

    header = f"{CsvSink.header},snr_db,seconds"
    scene: Scene

    def row(
        self, stream: StreamStarted, label: str | None, onset: int, offset: int, score: float | str
    ) -> str:
        """Format a row."""
        seconds = stream.seconds(len(self.scene.waveform))
        return (
            super().row(stream, label, onset, offset, score) + f",{self.scene.snr_db:g},{seconds}"
        )


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    options = _parser().parse_args(arguments)
    _check(options)
    clips = open_scene_clips(
        options.data, options.rate, options.fold, dataset=options.dataset,
        prepared=options.prepared, speech_music=options.speech_music,
    )  # fmt: skip
    scenes = make_scenes(
        clips, options.scenes, seconds=options.seconds, snr_db=options.snr_db,
        seed=options.seed, overlap=options.overlap,
    )  # fmt: skip
    with show_progress("making", options.scenes, "scenes") as update:
        n_events = write_scenes(_counted(scenes, update), options.output, options.overwrite)
    print(
        f"{options.output}: {options.scenes} scenes of {options.seconds:g} s, {n_events} events of "
        f"{clips.name}, folds {', '.join(map(clips.fold_name, clips.folds))} ({clips.licence})"
    )
    return 0


def open_scene_clips(
    data: Path,
    sample_rate: int,
    folds: Iterable[int],
    *,
    dataset: str = DATASET_NAMES[0],
    prepared: Path | None = None,
    speech_music: Path | None = None,
) -> ClipSet:
    """Open the clips of some folds, with speech and music where they are asked for.

    Raises:
        UsageError: A fold does not exist, or the set is a regression's.
        DatasetError: The data cannot be opened.
    """
    clips = open_clips(data, sample_rate, dataset=dataset, out=prepared)
    if clips.task == "regression":
        raise UsageError(f"--data: {data} holds {clips.name}, whose clips have values, no classes")
    wanted = sorted(set(folds))
    absent = [fold for fold in wanted if fold not in clips.folds]
    if absent:
        there = ", ".join(map(str, clips.folds))
        raise UsageError(f"--fold is {absent[0]}, {clips.name} has {there}")
    clips = clips.of_folds(wanted)
    if speech_music is None:
        return clips
    if not speech_music.is_dir():
        raise DatasetError(
            f"{speech_music}: no such folder; python -m train.datasets.speech_music "
            f"{speech_music} --download fetches speech and music into it"
        )
    # Imported here, as only this needs torch.
    from train.pocket import Pocket

    others = argparse.Namespace(speech_music=speech_music, download=False)
    return Pocket().adapt(clips, others)


def write_scenes(scenes: Iterable[Scene], folder: Path, overwrite: bool = False) -> int:
    """Write scenes and their true events into a folder.

    Returns:
        The number of events.

    Raises:
        UsageError: One of the files exists already.
        TrainError: The folder or a file cannot be written.
        SinkError: A table cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainError(f"{folder}: cannot be made: {error.strerror}") from error
    if overwrite:
        # An earlier call may have written more scenes, which do not belong to this truth.
        for path in folder.glob("scene-*"):
            if path.suffix in (".wav", ".txt"):
                path.unlink()
    truth = TruthSink(LineFile(folder / TRUTH, overwrite=overwrite))
    n_events = 0
    try:
        for scene in scenes:
            _write_scene(scene, folder, truth)
            n_events += len(scene.events)
    finally:
        truth.close()
    return n_events


def _write_scene(scene: Scene, folder: Path, truth: TruthSink) -> None:
    audio = folder / f"{scene.name}.wav"
    labels = AudacitySink(LineFile(audio.with_suffix(".txt")))
    try:
        samples = np.rint(scene.waveform * 32767).astype(np.int16)
        soundfile.write(audio, samples, scene.sample_rate)
    except (OSError, soundfile.SoundFileError) as error:
        raise TrainError(f"{audio}: cannot be written: {error}") from error
    truth.scene = scene
    names = sorted({event.label for event in scene.events})
    for sink in (truth, labels):
        sink.begin(StreamStarted(audio.name, scene.sample_rate, names, "single-label"))
        for event in scene.events:
            sink.write(SoundEvent(event.label, event.onset, event.offset, 1.0))
    labels.close()


def _counted(scenes: Iterable[Scene], update: Callable[[int], None]) -> Iterator[Scene]:
    for number, scene in enumerate(scenes, start=1):
        yield scene
        update(number)


def _check(options: argparse.Namespace) -> None:
    if options.scenes < 1:
        raise UsageError(f"--scenes is {options.scenes}, must be 1 or more")
    if not 10 <= options.seconds <= 3600:
        raise UsageError(f"--seconds is {options.seconds:g}, must be 10 to 3600")
    if not 1000 <= options.rate <= 192000:
        raise UsageError(f"--rate is {options.rate}, must be 1000 to 192000 Hz")
    if not 0 <= options.seed < 2**31:
        raise UsageError(f"--seed is {options.seed}, must be 0 to {2**31 - 1}")
    # Checked before the data is opened, which can take minutes the first time.
    there = [*options.output.glob("scene-*"), *options.output.glob(TRUTH)]
    if there and not options.overwrite:
        raise UsageError(f"{there[0]}: exists: --overwrite replaces it, or name another folder")
    if options.prepared and is_prepared(options.data):
        raise UsageError(f"--prepared: {options.data} is prepared already, drop the option")


def _parser() -> Parser:
    parser = Parser(
        prog="python -m train.soundscape",
        description="Make soundscapes of clips at known times over noise, with the truth.",
    )
    add = parser.add_argument
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="where the scenes go")
    add("--data", type=Path, required=True, help="a data set's folder, or a prepared one")
    add("--dataset", choices=DATASET_NAMES, default=DATASET_NAMES[0], help="what lies there")
    add("--prepared", type=Path, help="where prepared clips go (beside the data or in the cache)")
    add("--fold", type=numbers(int), required=True, metavar="N", help="whose clips, as in 4 or "
        "3,4")  # fmt: skip
    add("--speech-music", type=Path, metavar="DIR", help="speech and music as well, as for "
        "train.pocket")  # fmt: skip
    add("--rate", type=int, default=16000, help="sample rate in Hz, the network's (16000)")
    add("--scenes", type=int, default=20, metavar="N", help="how many (20)")
    add("--seconds", type=float, default=60.0, help="length of each (60)")
    add(
        "--snr-db",
        type=numbers(float),
        default=[0.0, 10.0, 20.0, 30.0],
        metavar="DB",
        help="levels, in turn: an event's loudest part over the noise (0,10,20,30)",
    )
    add("--overlap", action="store_true", help="events may begin before the last one's end")
    add("--seed", type=int, default=1, help="of everything drawn at random (1)")
    add("--overwrite", action="store_true", help="replace the scenes that are there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
