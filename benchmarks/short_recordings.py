"""Scores of recordings shorter than a window, by how they fill it, against longer recordings.

    python benchmarks/short_recordings.py [--model M] [--sounds PATH ...] [--clips N]

Pieces are cut from longer clips (around the loudest place and around a random one). Each fills a
window in every way below. The network's scores are compared with those for the same place inside
the clip: the average of up to seven windows of real audio that hold the piece. Noises of several
colours and levels are cut and compared in the same way.

The last row is what streamclf does (`streamclf.pipeline.short_audio`), the first what an earlier
version did.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamclf.core.card import Card
from streamclf.core.errors import SourceError
from streamclf.core.records import Block
from streamclf.core.temperature import temper, untemper
from streamclf.core.unknown import SILENCE
from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, find_model
from streamclf.pipeline.mixdown import mix_down
from streamclf.pipeline.resample import resample
from streamclf.pipeline.short_audio import fill_window, short_audio_weight
from streamclf.sources.array import ArraySource
from streamclf.sources.recording.recording import Recording

Array = npt.NDArray[np.float32]
Fill = Callable[[Array, int], Array]
Weight = Callable[[int, int], float]

LENGTHS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.2)
N_INSIDE = 7
NOISE_RATE = 44_100
NOISE_S = 5.0
NOISE_DB = (-60, -50, -40, -30, -20)
N_NOISES = 4
SUFFIXES = {".wav", ".flac", ".ogg", ".mp3"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--sounds", type=Path, nargs="*", default=[], help="files or folders")
    parser.add_argument("--clips", type=int, default=100, help="so many of them, by chance")
    options = parser.parse_args()
    model = Classifier(Model(find_model(options.model), provider="cpu"))
    if options.sounds:
        clips = read_clips(options.sounds, model.card, options.clips)
        report("sounds", model, cut_pieces(clips, model.card))
    report("noise", model, cut_noises(model.card))


def read_clips(paths: list[Path], card: Card, n_clips: int) -> Iterator[Array]:
    """Some of the recordings that are longer than a window, at the model's sample rate."""
    found = [p for path in paths for p in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    found = [path for path in found if path.suffix.lower() in SUFFIXES]
    for index in np.random.default_rng(3).permutation(len(found)):
        try:
            with Recording(found[index]) as recording:
                waveform = _at_rate(recording, card.sample_rate)
        except SourceError:
            continue
        if waveform.size > 1.2 * card.window_samples:
            yield waveform
            n_clips -= 1
        if not n_clips:
            return


def _at_rate(source: Any, sample_rate: int) -> Array:
    items = resample(mix_down(source.blocks(sample_rate)), sample_rate)
    return np.concatenate([item.waveform[0] for item in items if isinstance(item, Block)])


def cut_pieces(clips: Iterable[Array], card: Card) -> Iterator[tuple[float, Array, Array]]:
    """Pieces of clips: length in seconds, piece, and the windows of the clip that hold it."""
    random, rate = np.random.default_rng(3), card.sample_rate
    for clip in clips:
        frame = rate // 20
        power = np.array([np.mean(clip[k : k + frame] ** 2) for k in range(0, clip.size, frame)])
        for middle in (power.argmax() * frame + frame // 2, random.integers(0, clip.size)):
            for length in LENGTHS_S:
                n_samples = min(round(length * rate), card.window_samples - 1)
                start = int(np.clip(middle - n_samples // 2, 0, clip.size - n_samples))
                piece = clip[start : start + n_samples]
                if np.abs(piece).max() >= SILENCE:
                    yield length, piece, _inside(clip, start, start + n_samples, card)


def _inside(clip: Array, start: int, end: int, card: Card) -> Array:
    """``(windows, window_samples)`` of a clip, each with all of a piece."""
    size = card.window_samples
    places = np.linspace(max(0, end - size), min(start, clip.size - size), N_INSIDE)
    return np.stack([clip[k : k + size] for k in np.unique(places.round().astype(int))])


def cut_noises(card: Card) -> Iterator[tuple[float, Array, Array]]:
    """Pieces of made noise, in 16 bits at 44.1 kHz, as a recorder would write it."""
    random = np.random.default_rng(3)
    n_samples = round(max(NOISE_S, 2 * card.window_s) * NOISE_RATE)
    for _ in range(N_NOISES):
        for noise in _make_noises(n_samples, random):
            for level in NOISE_DB:
                written = np.rint(noise * 10 ** (level / 20) * 32767).clip(-32768, 32767) / 32768
                for length in LENGTHS_S:
                    n_piece = min(round(length * NOISE_RATE), n_samples - 1)
                    piece = _resample(written[:n_piece], card.sample_rate)
                    piece = piece[: card.window_samples - 1]
                    clip = _resample(written, card.sample_rate)
                    yield length, piece, _inside(clip, 0, piece.size, card)[:1]


def _resample(waveform: npt.NDArray[Any], sample_rate: int) -> Array:
    source = ArraySource(waveform.astype(np.float32)[np.newaxis], NOISE_RATE)
    return _at_rate(source, sample_rate)


def _make_noises(n_samples: int, random: np.random.Generator) -> Iterator[npt.NDArray[Any]]:
    """White, pink and brown noise, and hum, of a root mean square of 1."""
    frequencies = np.fft.rfftfreq(n_samples, 1 / NOISE_RATE)
    frequencies[0] = frequencies[1]
    for slope in (0.0, 0.5, 1.0):
        spectrum = np.fft.rfft(random.standard_normal(n_samples)) * frequencies**-slope
        noise = np.fft.irfft(spectrum, n_samples)
        yield noise / noise.std()
    times = np.arange(n_samples) / NOISE_RATE
    hum = 0.03 * random.standard_normal(n_samples)
    for harmonic in (1, 2, 3, 5):
        hum += np.sin(100 * np.pi * harmonic * times + random.uniform(0, 6)) / harmonic
    yield hum / hum.std()


def _zeros(piece: Array, size: int) -> Array:
    return fill_window(piece, size, "zeros")


def _faded(piece: Array, size: int) -> Array:
    """The piece faded in and out over 10 ms at 16 kHz, in the middle of zeros."""
    n_fade = min(160, piece.size // 2)
    slope = np.sin(np.pi / 2 * (np.arange(n_fade) + 0.5) / max(n_fade, 1)) ** 2
    gain = np.concatenate([slope, np.ones(piece.size - 2 * n_fade), slope[::-1]])
    return _centre(piece * gain, np.zeros(size))


def _centre(piece: npt.NDArray[Any], around: npt.NDArray[Any]) -> Array:
    first = (around.size - piece.size) // 2
    laid = around.copy()
    laid[first : first + piece.size] = piece
    return laid.astype(np.float32)


def _repeated(piece: Array, size: int) -> Array:
    return np.resize(piece, size)


def _crossfaded(piece: Array, size: int) -> Array:
    """The piece repeated, with each end faded into the next beginning over 20 ms at 16 kHz."""
    n_fade = min(320, piece.size // 2)
    share = (np.arange(n_fade) + 0.5) / max(n_fade, 1)
    body = piece[: piece.size - n_fade].copy()
    body[:n_fade] *= np.sqrt(share)
    body[:n_fade] += piece[piece.size - n_fade :] * np.sqrt(1 - share)
    return np.resize(body, size)


def _quiet_noise(piece: Array, size: int) -> Array:
    """The piece with white noise around it, as loud as its quietest tenth."""
    tenth = max(1, piece.size // 10)
    quietest = min(piece[k : k + tenth].std() for k in range(0, piece.size - tenth + 1, tenth))
    return _centre(piece, np.random.default_rng(1).standard_normal(size) * quietest)


def _like_noise(piece: Array, size: int) -> Array:
    """The piece with noise of its own spectrum around it."""
    length = min(piece.size, 512)
    taper = np.hanning(length + 2)[1:-1]
    starts = range(0, piece.size - length + 1, max(1, length // 2))
    powers = [np.abs(np.fft.rfft(piece[k : k + length] * taper)) ** 2 for k in starts]
    amplitude = np.sqrt(np.mean(powers, axis=0) / (taper**2).sum())
    white = np.fft.rfft(np.random.default_rng(1).standard_normal(size))
    places = np.linspace(0, 1, white.size)
    shaped = white * np.interp(places, np.linspace(0, 1, amplitude.size), amplitude)
    return _centre(piece, np.fft.irfft(shaped, size))


def _mirrored(piece: Array, size: int) -> Array:
    before = (size - piece.size) // 2
    return np.pad(piece, (before, size - piece.size - before), mode="symmetric")


def _mirror(piece: Array, size: int) -> Array:
    return fill_window(piece, size, "mirror")


def _unweighed(n_samples: int, size: int) -> float:
    return 1.0


def _weighed(n_samples: int, size: int) -> float:
    return short_audio_weight(n_samples, size, "mirror")


FILLINGS: dict[str, tuple[Fill, Weight]] = {
    "zeros": (_zeros, _unweighed),
    "faded, zeros": (_faded, _unweighed),
    "repeated": (_repeated, _unweighed),
    "repeated, crossfaded": (_crossfaded, _unweighed),
    "noise, as quiet": (_quiet_noise, _unweighed),
    "noise, own spectrum": (_like_noise, _unweighed),
    "mirrored": (_mirrored, _unweighed),
    "mirrored, crossfaded": (_mirror, _unweighed),
    "the same, cube root": (_mirror, lambda n, size: _weighed(n, size) ** (2 / 3)),
    "the same, in proportion": (_mirror, lambda n, size: _weighed(n, size) ** 2),
    "the same, square root": (_mirror, _weighed),
}
"""How a window is filled, and the factor of its scores: a root of the piece's part of half a
window."""


class Tally:
    """Sums over pieces of one length, filled in one way.

    Attributes:
        n: Pieces.
        agreeing: Pieces whose highest class is that of the longer recording.
        highest: Sum of their highest scores.
        distance: Sum of half of the absolute differences of scores, or of those of values.
        right: Events of the longer recording that the piece has, too.
        sought: Events of the longer recording.
        false: Pieces with an event that no window of the longer recording has.
    """

    def __init__(self) -> None:
        self.n = self.agreeing = self.right = self.sought = self.false = 0
        self.distance = self.highest = 0.0


def report(name: str, model: Classifier, pieces: Iterable[tuple[float, Array, Array]]) -> None:
    """Print a table for each figure."""
    card, size = model.card, model.card.window_samples
    on = np.array([card.thresholds.of(label).on for label in card.labels], dtype=np.float32)
    temperature = card.temperature if card.activation == "softmax" else 1.0
    tallies = {filling: {length: Tally() for length in LENGTHS_S} for filling in FILLINGS}
    for length, piece, inside in pieces:
        filled = np.stack([fill(piece, size) for fill, _ in FILLINGS.values()])
        scores = model.score(np.concatenate([inside, filled]))
        plain = untemper(scores[: len(inside)].astype(np.float64), temperature)
        longer = temper(plain.mean(axis=0), temperature)
        possible = (scores[: len(inside)] >= on).any(axis=0)
        for (filling, (_, weight)), own in zip(
            FILLINGS.items(), scores[len(inside) :], strict=True
        ):
            weighted = own
            if card.task != "regression":
                weighted = own * np.float32(weight(piece.size, size))
            tally, events = tallies[filling][length], weighted >= on
            tally.n += 1
            tally.agreeing += int(weighted.argmax() == longer.argmax())
            tally.highest += float(weighted.max())
            tally.distance += float(np.abs(weighted - longer).sum()) / (1 + (len(on) > 1))
            tally.sought += int((longer >= on).sum())
            tally.right += int((events & (longer >= on)).sum())
            tally.false += int((events & ~possible).any())
    figures: dict[str, Callable[[Tally], float]] = {"distance": lambda t: t.distance / t.n}
    if card.task != "regression":
        figures = {
            "named as in the longer recording, %": lambda t: 100 * t.agreeing / t.n,
            "highest score, %": lambda t: 100 * t.highest / t.n,
            "distance of the scores, %": lambda t: 100 * t.distance / t.n,
            "its events that are found, %": lambda t: 100 * t.right / max(t.sought, 1),
            "pieces with an event that it has not, %": lambda t: 100 * t.false / t.n,
        }
    n_pieces = next(iter(tallies.values()))[LENGTHS_S[-1]].n
    for title, figure in figures.items():
        print(f"\n{name}, {n_pieces} pieces of each length: {title}\n")
        print("| |" + "".join(f" {length:g} s |" for length in LENGTHS_S))
        print("|---" * (len(LENGTHS_S) + 1) + "|")
        for filling, row in tallies.items():
            print(f"| {filling} |" + "".join(f" {figure(tally):.3g} |" for tally in row.values()))


if __name__ == "__main__":
    main()
