"""All windows of clips as the streamed layers hear them: whole clips at once, kept fold by fold.

The streamed layers give a frame every 0.1 s, whatever lies around it. So they hear a clip once
under each condition, and all of its windows are means of those frames. Clips are mixed within
their fold alone. What is heard of a fold therefore depends on no other fold, and with a cache the
runs that hold out one fold after another hear each clip once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from train.audio.augment import cut, to_device
from train.audio.listening_conditions import draw_conditions
from train.audio.noise import LOUDNESS
from train.audio.tones import KINDS, make_tone
from train.datasets.prepared import ClipSet
from train.nets.streamed_network import (
    FRAMES_PER_STEP,
    HOP_LENGTH,
    N_FFT,
    SAMPLE_RATE,
    WINDOW_SAMPLES,
)
from train.nets.streamed_pocket import StreamedPocketBody
from train.pocket_parts.last_layer import N_AVERAGED, WindowRows, fit_between_optima
from train.pocket_parts.mel_power import (
    NOISE_DB,
    QUIET,
    SILENCE_LEVEL,
    MelPowerData,
    add_noise,
    colour,
    draw_noise,
    quieten,
    shift_bands,
)
from train.pocket_parts.more_speech import N_STRETCHES, WEIGHT, MoreSpeech, make_stretches
from train.pocket_parts.recipe import PocketRecipe

FORMAT = 2
"""Raised when the same clips and layers are heard in another way."""

UNCHANGED, QUIETER, NOISY = range(3)
"""The conditions in which a clip is heard as a whole, in the order of `draw_conditions`."""

CHANGED, MIXED = 3, 4
"""Coloured and shifted in pitch; mixed with another clip."""

N_CONDITIONS = 5
FARTHEST_STEPS = 4
"""Steps of 0.1 s by which the windows of changed and of mixed clips begin earlier or later."""

NOISE_PER_CLIP = 2
"""Windows of noise alone for each clip."""

TONES_PER_CLIP = 1
"""Windows of a made tone alone for each clip: clips alone do not show that a steady tone, a sweep
or steps are no siren."""

CHANGES = ("mixup", "shift_bands", "colour_db", "noise_share", "snr_db", "quiet_share", "quiet_db")
"""Fields of the recipe that decide what is heard."""

STRANGER_DB = (-40.0, 0.0)
"""Peak level of a sound that resembles no label, in dB of full scale, from and to."""

AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class HeardFold:
    """What the layers hear in the clips of a fold.

    Attributes:
        features: ``(conditions, clips, windows, channels)`` float16, the last layer's inputs.
        audible: ``(conditions, clips, windows)``, whether something of the clip is heard there.
        others: ``(conditions, clips)``, the clip of the fold that each is mixed with.
        shares: ``(conditions, clips)``, how much of each there is; 1 where nothing is mixed in.
        noise: ``(windows, channels)`` float16, of noise and of made tones alone.
    """

    features: Tensor
    audible: Tensor
    others: Tensor
    shares: Tensor
    noise: Tensor


def hear_fold(
    body: StreamedPocketBody,
    data: MelPowerData,
    clips: np.ndarray,
    recipe: PocketRecipe,
    cache: Path | None = None,
) -> HeardFold:
    """Hear the clips of a fold under all conditions, or read what was heard of them before.

    Args:
        body: The layers.
        data: The clips, as power.
        clips: ``(clips,)``, which of them are the fold's.
        recipe: How they are changed and mixed.
        cache: Folder that keeps what was heard; nothing is kept if not given.
    """
    path = None if cache is None else cache / f"{_identify(body, data, clips, recipe)}.safetensors"
    if path is not None and path.exists():
        return HeardFold(**load_file(path))
    heard = _hear(body, data, clips, recipe)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}-{os.getpid()}")
        save_file({name: value.contiguous() for name, value in vars(heard).items()}, partial)
        partial.replace(path)
    return heard


def fit_streamed_layer(
    body: StreamedPocketBody,
    data: MelPowerData,
    folds: np.ndarray,
    recipe: PocketRecipe,
    cache: Path | None = None,
    strangers: ClipSet | None = None,
    more_speech: MoreSpeech | None = None,
) -> None:
    """Fit the last layer as `fit_last_layer` does, to windows that are heard fold by fold.

    Args:
        body: Network whose last layer is fitted, in place.
        data: The clips.
        folds: ``(clips,)``.
        recipe: How clips are changed and mixed.
        cache: Folder that keeps what was heard.
        strangers: Sounds of which all labels are alike, as of noise.
        more_speech: Speech of which stretches are made.
    """
    rows, others = WindowRows(), WindowRows()
    n_classes = data.labels.shape[2]
    alone = [] if strangers is None else [hear_strangers(body, data, strangers)]
    for fold in np.unique(folds):
        clips = np.flatnonzero(folds == fold)
        heard = hear_fold(body, data, clips, recipe, cache)
        for condition in range(N_CONDITIONS):
            kept = others if condition in (QUIETER, NOISY) else rows
            _add(kept, heard, data, clips, condition)
        alone.append(heard.noise)
    for features in alone:
        own = features.to(data.labels)
        rows.add(own, own.new_full((len(own), n_classes), 1 / n_classes))
    if more_speech is not None:
        own = hear_stretches(body, data, more_speech.sets).to(data.labels)
        rows.add(own, WEIGHT * F.one_hot(torch.full((len(own),), more_speech.target), n_classes))
    fit_between_optima(body.output, rows, others)


def _add(
    rows: WindowRows, heard: HeardFold, data: MelPowerData, clips: np.ndarray, condition: int
) -> None:
    """Add the windows of a fold's clips under a condition, but those in which nothing is heard."""
    own = to_device(clips, data.labels)
    partners = own[heard.others[condition].to(own.device)]
    shares = heard.shares[condition].to(data.labels)[:, None]
    for number in range(heard.features.shape[2]):
        if number % N_AVERAGED == 0 and condition in (UNCHANGED, QUIETER, NOISY):
            averages = rows.begin_averages(data.targets[own])
        place = min(number, data.labels.shape[1] - 1)
        labels = torch.lerp(data.labels[partners, place], data.labels[own, place], shares)
        audible = heard.audible[condition, :, number].to(own.device)
        features = heard.features[condition, :, number].to(data.labels)
        counted = averages[audible] if condition in (UNCHANGED, QUIETER, NOISY) else None
        rows.add(features[audible], labels[audible], counted)


@torch.no_grad()
def _hear(
    body: StreamedPocketBody, data: MelPowerData, clips: np.ndarray, recipe: PocketRecipe
) -> HeardFold:
    random = np.random.default_rng(0)
    loudest = data.peak_power(clips)
    settings = draw_conditions(loudest, len(data.noises), random)
    others = random.integers(0, len(clips), len(clips))
    ratios = random.beta(recipe.mixup or 1.0, recipe.mixup or 1.0, len(clips))
    ratios = to_device(np.maximum(ratios, 1 - ratios), loudest)
    features, audible = [], []
    for condition in range(N_CONDITIONS):
        parts = []
        for rows in np.array_split(np.arange(len(clips)), -(-len(clips) // AT_ONCE)):
            first = data.mel_power.margin
            if condition in (CHANGED, MIXED):
                # The front end's frames fall together with those of the layers in steps alone.
                farthest = min(FARTHEST_STEPS, _room(data) // FRAMES_PER_STEP)
                first += FRAMES_PER_STEP * int(random.integers(-farthest, farthest + 1))
            power = _cut(data, clips[rows], first)
            inside = _loudest_of_windows(data, power) >= QUIET * loudest[rows, None]
            if condition == MIXED:
                share = ratios[rows, None, None]
                power = torch.lerp(_cut(data, clips[others[rows]], first), power, share)
            if condition in (CHANGED, MIXED):
                power = _change(data, power, recipe, random)
            else:
                own = settings[condition]
                noise = _noise_like(data, power, random, own.rows[rows])
                level, below = own.levels[rows, None, None], own.noise[rows, None, None]
                inside &= _loudest_of_windows(data, power) >= own.noise[rows, None]
                power = (power + noise * below) * level
            spectra = data.front_end.compress(power)
            inside &= _loudest_of_windows(data, spectra, by_band=True) >= SILENCE_LEVEL
            parts.append((body.windows(spectra, _starts(data)).half(), inside))
        features.append(torch.cat([part[0] for part in parts]))
        audible.append(torch.cat([part[1] for part in parts]))
    shares = torch.ones(N_CONDITIONS, len(clips), device=loudest.device)
    shares[MIXED] = ratios
    partners = torch.arange(len(clips)).repeat(N_CONDITIONS, 1)
    partners[MIXED] = torch.from_numpy(others)
    return HeardFold(
        torch.stack(features), torch.stack(audible), partners, shares,
        torch.cat([
            _hear_noise(body, data, NOISE_PER_CLIP * len(clips), random),
            _hear_tones(body, data, TONES_PER_CLIP * len(clips), random),
        ]),
    )  # fmt: skip


def _hear_noise(
    body: StreamedPocketBody, data: MelPowerData, n: int, random: np.random.Generator
) -> Tensor:
    """Windows of noise alone."""
    parts = []
    for rows in np.array_split(np.arange(n), -(-n // (4 * AT_ONCE))):
        noise = draw_noise(data.noises, len(rows), data.n_frames, random)
        levels = data.noise_levels(len(rows), random)
        parts.append(_hear_alone(body, data, noise * levels[:, None, None]))
    return torch.cat(parts)


def _hear_tones(
    body: StreamedPocketBody, data: MelPowerData, n: int, random: np.random.Generator
) -> Tensor:
    """Windows of tones alone, of each kind in turn, as loud as noise alone is."""
    parts = []
    for rows in np.array_split(np.arange(n), -(-n // (4 * AT_ONCE))):
        kinds = [KINDS[row % len(KINDS)] for row in rows]
        tones = np.stack([make_tone(random, WINDOW_SAMPLES, SAMPLE_RATE, kind) for kind in kinds])
        levels = 10 ** (random.uniform(*NOISE_DB, (len(rows), 1)) / 20) / LOUDNESS
        waveforms = to_device((tones * levels).astype(np.float32), data.noises)
        parts.append(_hear_alone(body, data, data.front_end.power_by_fft(waveforms)))
    return torch.cat(parts)


@torch.no_grad()
def hear_strangers(body: StreamedPocketBody, data: MelPowerData, sounds: ClipSet) -> Tensor:
    """Hear the loudest part of sounds, each at a random level, as long as a clip.

    Args:
        body: The layers.
        data: The clips that are learned; they say how long a part is, and where windows begin.
        sounds: Sounds of the same sample rate.

    Returns:
        ``(windows, channels)`` float16, of those windows in which something is heard.
    """
    random = np.random.default_rng(0)
    n_samples = (_length(data) - 1) * HOP_LENGTH + N_FFT
    parts = []
    for rows in np.array_split(np.arange(len(sounds.clips)), -(-len(sounds.clips) // AT_ONCE)):
        loudest = [_loudest_part(sounds.waveform(int(row)), n_samples) for row in rows]
        levels = 10 ** (random.uniform(*STRANGER_DB, (len(rows), 1)) / 20)
        waveforms = to_device((np.stack(loudest) * levels).astype(np.float32), data.noises)
        features, heard = _hear_waveforms(body, data, waveforms)
        parts.append(features[heard])
    return torch.cat(parts)


@torch.no_grad()
def hear_stretches(body: StreamedPocketBody, data: MelPowerData, sets: Sequence[ClipSet]) -> Tensor:
    """Hear stretches of speech, as long as a clip: ``(windows, channels)`` float16.

    Args:
        body: The layers.
        data: The clips that are learned; they say how long a stretch is, and where windows begin.
        sets: Sounds of the same sample rate.

    Returns:
        Those windows in which something is heard.
    """
    random = np.random.default_rng(0)
    n_samples = (_length(data) - 1) * HOP_LENGTH + N_FFT
    parts = []
    for rows in np.array_split(np.arange(N_STRETCHES), -(-N_STRETCHES // AT_ONCE)):
        waveforms = make_stretches(sets, len(rows), n_samples, random)
        features, heard = _hear_waveforms(body, data, to_device(waveforms, data.noises))
        parts.append(features[heard])
    return torch.cat(parts)


def _hear_waveforms(
    body: StreamedPocketBody, data: MelPowerData, waveforms: Tensor
) -> tuple[Tensor, Tensor]:
    """All windows of waveforms as long as a clip, and in which of them something is heard."""
    power = data.front_end.power_by_fft(waveforms)
    spectra = data.front_end.compress(power)
    frames = _loudest_of_windows(data, power)
    heard = frames >= QUIET * frames.amax(dim=1, keepdim=True)
    heard &= _loudest_of_windows(data, spectra, by_band=True) >= SILENCE_LEVEL
    return body.windows(spectra, _starts(data)).half(), heard


def _loudest_part(waveform: np.ndarray, n_samples: int) -> np.ndarray:
    """Its loudest ``n_samples`` samples, of parts that begin at each second; 1 at its peak."""
    if len(waveform) > n_samples:
        energy = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
        begins = np.arange(0, len(waveform) - n_samples + 1, SAMPLE_RATE)
        begin = int(begins[np.argmax(energy[begins + n_samples] - energy[begins])])
        waveform = waveform[begin : begin + n_samples]
    peak = max(float(np.abs(waveform).max()), 1e-4)
    return np.pad(waveform, (0, n_samples - len(waveform))) / peak


def _hear_alone(body: StreamedPocketBody, data: MelPowerData, power: Tensor) -> Tensor:
    """The last layer's input for windows of what is no clip."""
    return body.windows(data.front_end.compress(power), [0])[:, 0].half()


def _starts(data: MelPowerData) -> list[int]:
    """Where the windows of a clip begin, in frames of the front end."""
    return [round(number * data.label_hop) for number in range(data.n_windows)]


def _room(data: MelPowerData) -> int:
    """Frames by which the windows of a clip may begin earlier or later."""
    after = data.mel_power.power.shape[2] - data.mel_power.margin - _length(data)
    return max(0, min(data.mel_power.margin, after))


def _length(data: MelPowerData) -> int:
    return _starts(data)[-1] + data.n_frames


def _cut(data: MelPowerData, clips: np.ndarray, first: int) -> Tensor:
    """All windows of some clips in one stretch: ``(clips, mels, frames)``."""
    return cut(data.mel_power.power, clips, np.full(len(clips), first), _length(data))


def _loudest_of_windows(data: MelPowerData, power: Tensor, *, by_band: bool = False) -> Tensor:
    """``(clips, windows)``: the loudest frame of each window, or the loudest band of any."""
    frames = power.amax(dim=1) if by_band else power.sum(dim=1)
    windows = [frames[:, start : start + data.n_frames].amax(dim=1) for start in _starts(data)]
    return torch.stack(windows, dim=1)


def _change(
    data: MelPowerData, power: Tensor, recipe: PocketRecipe, random: np.random.Generator
) -> Tensor:
    """Shift the pitch, colour, lay over noise and make quieter, as `train.pocket` does."""
    if recipe.shift_bands:
        shifts = random.integers(-recipe.shift_bands, recipe.shift_bands + 1, len(power))
        power = shift_bands(power, shifts)
    if recipe.colour_db:
        power = colour(power, random, recipe.colour_db)
    noise = _noise_like(data, power, random)
    power = add_noise(power, noise, random, recipe.noise_share, recipe.snr_db)
    return quieten(power, random, recipe.quiet_share, recipe.quiet_db)


def _noise_like(
    data: MelPowerData, power: Tensor, random: np.random.Generator, rows: np.ndarray | None = None
) -> Tensor:
    """Noise as long as some clips; where the made noises are shorter they are repeated."""
    n_frames = power.shape[2]
    n_times = -(-n_frames // data.noises.shape[2])
    noises = data.noises.repeat(1, 1, n_times) if n_times > 1 else data.noises
    return draw_noise(noises, len(power), n_frames, random, rows)


def _identify(body: nn.Module, data: MelPowerData, clips: np.ndarray, recipe: PocketRecipe) -> str:
    """A name that changes with layers, clips and recipe."""
    changes = [getattr(recipe, name) for name in CHANGES]
    digest = hashlib.sha256(f"{FORMAT} {len(clips)} {changes}".encode())
    for name, value in sorted(body.state_dict().items()):
        if not name.startswith("output."):
            digest.update(value.cpu().contiguous().numpy().tobytes())
    # Sums over time tell clips apart, and are a hundredth of what would be read otherwise.
    digest.update(data.mel_power.power[to_device(clips, data.labels)].sum(dim=2).cpu().numpy())
    return digest.hexdigest()[:32]
