"""Make a set in COUGHVID's layout from your own coughs and other sounds.

It serves to try the cough regressor where COUGHVID itself is not at hand. Recordings and mixtures
are real sounds; the values are **made up**, from how each recording was made:

- a cough alone: 0.95 to 1;
- a cough together with another sound, ``d`` dB louder than it, from -15 to 15:
  ``1 / (1 + 10 ** (-d / 10))``, the cough's part of the power;
- another sound alone: 0 to 0.05.

Nothing but the sound must show which kind a recording is. So all of them pass through 16 kHz, last
equally long, lie on the same faint noise and get a random level; their loudest moment comes 0.2 to
0.8 s after the beginning. Two thirds are written as WebM with Opus, one third as Ogg with Vorbis,
both at 48 kHz. All that is made from one recording lands in the same fold (`coughvid.fold_of`).

``python -m train.datasets.make_coughvid OUT --coughs DIR --sounds DIR``
"""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from train.base.arguments import Parser
from train.base.errors import DatasetError, UsageError
from train.base.exit_codes import exit_codes
from train.datasets.coughvid import MADE, fold_of
from train.datasets.decode import read_clip
from train.datasets.files import audio_below
from train.datasets.prepared import FULL_SCALE
from train.datasets.progress import show_progress

RATE = 48000
MIX_RATE = 16000
KINDS = ("cough", "both", "sound")
NOISE_DB = -60.0
NOTE = (
    "Recordings and mixtures made by python -m train.datasets.make_coughvid. The values are made "
    "up from how each was mixed: see made_from in each json.\n"
)
_ESC_COUGHING = "-24"
"""End of the names of ESC-50's own coughs."""


def make_coughvid(
    out: Path,
    coughs: Path,
    sounds: Path,
    *,
    n_clips: int = 600,
    seconds: float = 3.0,
    seed: int = 1,
) -> int:
    """Write the set.

    Args:
        out: A folder that does not exist yet, or is empty.
        coughs: A folder of recordings of coughs, in any format.
        sounds: A folder of other sounds; ESC-50's clips of coughing are left out.
        n_clips: Recordings to make, a third of each kind.
        seconds: Length of a recording.
        seed: Seed of everything drawn at random.

    Returns:
        The number of recordings.

    Raises:
        DatasetError: A folder has no audio, a clip does not decode, or ``out`` holds files.
    """
    if out.exists() and any(out.iterdir()):
        raise DatasetError(f"{out}: holds files; name an empty folder")
    random = np.random.default_rng(seed)
    cough_paths, sound_paths = _find(coughs), _find(sounds)
    by_fold: dict[int, list[Path]] = {}
    for path in sound_paths:
        by_fold.setdefault(fold_of(path.stem), []).append(path)
    out.mkdir(parents=True, exist_ok=True)
    (out / MADE).write_text(NOTE, encoding="utf-8")
    with show_progress(f"making {out}", n_clips, "recordings") as update:
        for number in range(n_clips):
            kind, turn = KINDS[number % 3], number // 3
            waveform: npt.NDArray[np.float64] = np.zeros(round(seconds * MIX_RATE))
            names = []
            louder = 0.0
            cough = cough_paths[turn % len(cough_paths)]
            if kind != "sound":
                waveform += _stretch(cough, seconds, random)
                names.append(f"cough {cough.stem}")
            near = by_fold.get(fold_of(cough.stem), sound_paths) if kind == "both" else sound_paths
            if kind != "cough":
                sound = near[random.integers(len(near))]
                louder = float(random.uniform(-15, 15))
                waveform += _stretch(sound, seconds, random) * 10 ** (-louder / 20)
                names.append(f"sound {sound.stem}")
            fold = fold_of((sound if kind == "sound" else cough).stem)
            value = _value(kind, louder, random)
            _write(out, number, seed, fold, waveform, value, " + ".join(names), random)
            update(number + 1)
    return n_clips


def _value(kind: str, louder_db: float, random: np.random.Generator) -> float:
    if kind == "both":
        return 1 / (1 + 10 ** (-louder_db / 10))
    return random.uniform(0.95, 1.0) if kind == "cough" else random.uniform(0.0, 0.05)


def _find(folder: Path) -> list[Path]:
    paths = [path for path in audio_below(folder) if not path.stem.endswith(_ESC_COUGHING)]
    if not paths:
        raise DatasetError(f"{folder}: no audio in it")
    return paths


def _stretch(path: Path, seconds: float, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """The part around the loudest moment, at a common level: ``(samples,)`` at 16 kHz."""
    waveform = read_clip(path, MIX_RATE) / FULL_SCALE
    n_frame, length = MIX_RATE // 20, round(seconds * MIX_RATE)
    power = np.convolve(waveform**2, np.ones(n_frame) / n_frame, mode="same")
    begin = max(0, int(power.argmax()) - round(random.uniform(0.2, 0.8) * MIX_RATE))
    part = waveform[begin : begin + length]
    part = np.pad(part, (0, length - len(part)))
    return 0.1 * part / np.sqrt(power.max() + 1e-12)


def _write(
    out: Path,
    number: int,
    seed: int,
    fold: int,
    waveform: npt.NDArray[np.float64],
    value: float,
    made_from: str,
    random: np.random.Generator,
) -> None:
    """Write a recording and its json, under a UUID that falls into the fold."""
    tries = (uuid.uuid5(uuid.NAMESPACE_URL, f"{seed}/{number}/{k}") for k in range(10_000))
    name = next(str(each) for each in tries if fold_of(str(each)) == fold)
    waveform = waveform + random.normal(0, 10 ** (NOISE_DB / 20), waveform.size)
    peak = 10 ** (random.uniform(-20, -1) / 20)
    waveform *= peak / np.abs(waveform).max()
    loud = soxr.resample(waveform.astype(np.float32), MIX_RATE, RATE)
    if number % 9 < 6:
        write_webm(out / f"{name}.webm", loud)
    else:
        soundfile.write(out / f"{name}.ogg", loud, RATE)
    about = {
        "datetime": "2020-01-01T00:00:00+00:00",
        "cough_detected": f"{value:.4f}",
        "status": "synthetic",
        "made_from": made_from,
    }
    (out / f"{name}.json").write_text(json.dumps(about), encoding="utf-8")


def write_webm(path: Path, waveform: npt.NDArray[np.float32]) -> None:
    """Write ``(samples,)`` at 48 kHz as WebM with Opus."""
    samples = np.clip(np.rint(waveform * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    frame = av.AudioFrame.from_ndarray(samples.astype(np.int16)[None], format="s16", layout="mono")
    frame.sample_rate = RATE
    with av.open(str(path), "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=RATE, layout="mono")
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


@exit_codes
def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = Parser(
        prog="python -m train.datasets.make_coughvid",
        description="Make a set in COUGHVID's layout from coughs and other sounds; the values "
        "are made up from how each recording was mixed.",
    )
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="a folder that is not there yet")
    add("--coughs", type=Path, required=True, metavar="DIR", help="recordings of coughs")
    add("--sounds", type=Path, required=True, metavar="DIR", help="other sounds, as ESC-50's audio")
    add("--clips", type=int, default=600, help="recordings, a third of each kind (600)")
    add("--seconds", type=float, default=3.0, help="length of each (3)")
    add("--seed", type=int, default=1, help="of everything drawn at random (1)")
    options = parser.parse_args(arguments)
    if options.clips < 3 or not 1 <= options.seconds <= 60:
        raise UsageError("--clips must be 3 or more, --seconds 1 to 60")
    try:
        n_clips = make_coughvid(
            options.out,
            options.coughs,
            options.sounds,
            n_clips=options.clips,
            seconds=options.seconds,
            seed=options.seed,
        )
    except OSError as error:
        raise DatasetError(str(error)) from error
    print(f"{options.out}: {n_clips} recordings with made-up values, in COUGHVID's layout")
    return 0


if __name__ == "__main__":
    sys.exit(main())
