"""Mixtures of `train.audio.tracks` made on a device, a whole batch at once.

A processor core takes 6 ms to make a mixture, but a third of one to decide what is in it. So
processes decide, and send `collate`'s few numbers; all clips lie on the device, where `Mixer` reads
them at the speeds that were drawn and adds them up. It gives what `Tracks.render` gives, except for
rounding, and may filter tracks besides (`draw_filters`).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import soxr
import torch
from torch import Tensor

from train.audio.noise import LOUDNESS
from train.audio.tracks import QUIETEST, ROOM_S, Plan, Tracks
from train.datasets.prepared import FULL_SCALE, ClipSet

KNOTS = 8
KNOTS_HZ = (60.0, 8000.0)
"""Gains of a filter are drawn at so many frequencies between these, evenly by octaves."""

FILTER_DB = 5.0
"""Standard deviation of these gains."""

BAND_SHARE, HIGH_PASS_HZ, LOW_PASS_HZ = 0.4, (100.0, 800.0), (1200.0, 7000.0)
"""Part of the filters that let a band pass alone, as small loudspeakers and walls do."""

LEVEL_S = 0.1
"""Levels of sources are measured in steps of it."""

LOUD = 10**-1.5
"""A source is silent where its power is less than this part of its highest."""

MOST_SOURCES = 8
"""Of so many sources of a mixture it is known where they are heard."""

PlanBatch = dict[str, Tensor]


def collate(plans: Sequence[Plan], n_samples: int) -> PlanBatch:
    """What `Mixer` needs to know of some plans, in a few arrays.

    Args:
        plans: A mixture each.
        n_samples: Of a mixture.
    """
    tracks = [
        (number, row)
        for number in range(max(len(plan.tracks) for plan in plans))
        for row, plan in enumerate(plans)
        if number < len(plan.tracks)
    ]
    takes: list[tuple[int, int, int, int, int]] = []
    speeds: list[float] = []
    stretches: list[tuple[int, ...]] = []
    n_of_row = [0] * len(plans)
    for place, (number, row) in enumerate(tracks):
        for stretch in plans[row].tracks[number]:
            if not stretch.takes:
                continue
            for take in stretch.takes:
                start = place * n_samples + take.at
                takes.append((start, take.n, take.begin, take.n_read, len(stretches)))
                speeds.append(take.speed)
            heard = sum(take.n for take in stretch.takes)
            own = (heard, place, row, n_of_row[row], stretch.begin, stretch.end, stretch.source)
            stretches.append(own)
            n_of_row[row] += 1
    noises = [(row, *plan.noise) for row, plan in enumerate(plans) if plan.noise is not None]
    echoes = [(row, plan.echo) for row, plan in enumerate(plans) if plan.echo is not None]
    responses = np.zeros((len(echoes), max((len(e) for _, e in echoes), default=0)), np.float32)
    for response, (_, echo) in zip(responses, echoes, strict=True):
        response[: len(echo)] = echo
    arrays = {
        "takes": np.array(takes, np.int64).reshape(-1, 5).T,
        "speeds": np.array(speeds, np.float64),
        "stretches": np.array(stretches, np.int64).reshape(-1, 7).T,
        "rows": np.array([row for _, row in tracks], np.int64),
        "gains": np.array([plans[row].gains[number] for number, row in tracks], np.float32),
        "noise_rows": np.array([row for row, _, _ in noises], np.int64),
        "noises": np.array([number for _, number, _ in noises], np.int64),
        "noise_gains": np.array([gain for _, _, gain in noises], np.float32),
        "echo_rows": np.array([row for row, _ in echoes], np.int64),
        "echoes": responses,
        "peaks": np.array([plan.peak for plan in plans], np.float32),
    }
    return {name: torch.from_numpy(np.ascontiguousarray(own)) for name, own in arrays.items()}


def draw_filters(random: np.random.Generator, n_tracks: int, share: float) -> PlanBatch:
    """Filters for some of the tracks of a batch: gains, and the edges of a band.

    Args:
        random: Source of random numbers.
        n_tracks: Tracks in the batch.
        share: Part of them that are filtered.
    """
    rows = np.flatnonzero(random.random(n_tracks) < share)
    knots = random.normal(0, FILTER_DB, (len(rows), KNOTS)).astype(np.float32)
    edges = np.stack([_log_uniform(random, *limits, len(rows))
                      for limits in (HIGH_PASS_HZ, LOW_PASS_HZ)], axis=1)  # fmt: skip
    # A band may be open at either end.
    closed = random.random((len(rows), 2)) < BAND_SHARE
    edges = np.where(closed, edges, np.array([0.0, 1e6])).astype(np.float32)
    arrays = {"filter_rows": rows.astype(np.int64), "knots": knots, "edges": edges}
    return {name: torch.from_numpy(own) for name, own in arrays.items()}


class Mixer:
    """All clips on a device, and what makes mixtures of them.

    Attributes:
        n_samples: Of a mixture.
    """

    def __init__(self, tracks: Tracks, device: torch.device) -> None:
        """Put the clips on the device: two bytes a sample."""
        self.n_samples, self.device = tracks.n_samples, device
        self._rate = tracks.clips.sample_rate
        self._samples = _as_tensor(tracks.clips).to(device)
        noises = torch.from_numpy(np.stack(tracks.noises)) / np.float32(LOUDNESS)
        self._noises = noises.to(device)
        # With these sizes a transform has small factors.
        self._n_room = -(-(self.n_samples + round(ROOM_S[1] * self._rate)) // 1600) * 1600
        frequencies = torch.fft.rfftfreq(self.n_samples, 1 / self._rate).clamp(min=1)
        self._frequencies = frequencies.to(device)
        self._between = _interpolation(frequencies).to(device)

    def mix(self, batch: PlanBatch) -> Tensor:
        """Make the mixtures of a batch, ``(mixtures, n_samples)`` in [-1, 1].

        Args:
            batch: From `collate`, with or without `draw_filters`'s, anywhere.
        """
        return self.mix_and_measure(batch)[0]

    def mix_and_measure(self, batch: PlanBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Make the mixtures, and find where each of their sources is heard.

        Args:
            batch: As of `mix`.

        Returns:
            The mixtures; and ``sources`` ``(mixtures, most)``, numbers of the sources of each, -1
            for none, with ``audible`` ``(mixtures, most, steps)``: power of each source over that
            of all else in each `LEVEL_S`, 0 where it is silent (`LOUD`).
        """
        n_sounding = int(batch["takes"][1].sum())
        rows = batch["rows"]
        numbers = _runs(rows.tolist())
        here = {name: own.to(self.device, non_blocking=True) for name, own in batch.items()}
        tracks = self._tracks(here, n_sounding, len(rows))
        if len(batch.get("filter_rows", ())):
            own = here["filter_rows"]
            tracks[own] = self._filter(tracks[own], here["knots"], here["edges"])
        tracks *= here["gains"][:, None]
        measured = self._measure(here, tracks)
        mixed = tracks[: len(here["peaks"])]
        for begin, end in numbers[1:]:
            mixed.index_add_(0, here["rows"][begin:end], tracks[begin:end])
        if len(batch["noise_rows"]):
            noises = self._noises[here["noises"]] * here["noise_gains"][:, None]
            mixed.index_add_(0, here["noise_rows"], noises)
        if len(batch["echo_rows"]):
            own = here["echo_rows"]
            mixed[own] = self._in_rooms(mixed[own], here["echoes"])
        highest = mixed.abs().amax(dim=1).clamp(min=1e-6)
        return mixed * (here["peaks"] / highest)[:, None], measured

    def _measure(self, here: PlanBatch, tracks: Tensor) -> dict[str, Tensor]:
        step = round(LEVEL_S * self._rate)
        powers = tracks.view(len(tracks), -1, step).square().mean(dim=2)
        n_mixtures = len(here["peaks"])
        whole = powers.new_zeros(n_mixtures, powers.shape[1]).index_add_(0, here["rows"], powers)
        whole.index_add_(
            0, here["noise_rows"],
            here["noise_gains"].square()[:, None].expand(-1, powers.shape[1]),
        )  # fmt: skip
        _, place, row, slot, begin, end, source = here["stretches"]
        at = torch.arange(powers.shape[1], device=self.device) * step
        inside = (at + step > begin[:, None]) & (at < end[:, None])
        own = powers[place] * inside
        loud = own > LOUD * own.amax(dim=1, keepdim=True)
        ratio = own / (whole[row] - own).clamp(min=1e-9) * loud
        audible = powers.new_zeros(n_mixtures, MOST_SOURCES, powers.shape[1])
        sources = torch.full((n_mixtures, MOST_SOURCES), -1, device=self.device)
        # A tensor of a fixed size does not wait for the device; more sources are very rare.
        slot = slot.clamp(max=MOST_SOURCES - 1)
        audible[row, slot], sources[row, slot] = ratio, source
        return {"audible": audible, "sources": sources}

    def _tracks(self, here: PlanBatch, n_sounding: int, n_tracks: int) -> Tensor:
        """Tracks as they are before they get their levels."""
        starts, lengths, begins, n_read, stretch = here["takes"]
        own = torch.repeat_interleave(lengths, output_size=n_sounding)
        first = lengths.cumsum(0) - lengths
        within = torch.arange(n_sounding, device=self.device) - first[own]
        # Positions need more digits than float32 has.
        place = within * here["speeds"][own]
        left = place.long()
        share = (place - left).float()
        begin, last = begins[own], (n_read - 1)[own]
        sound = self._samples[begin + torch.minimum(left, last)].float()
        following = self._samples[begin + torch.minimum(left + 1, last)].float()
        sound = (sound + (following - sound) * share) * (1 / FULL_SCALE)
        heard = here["stretches"][0].contiguous()
        power = torch.segment_reduce(sound.square(), "sum", lengths=heard, unsafe=True)
        scale = (power / heard).sqrt().clamp(min=QUIETEST).reciprocal()
        tracks = torch.zeros(n_tracks * self.n_samples, device=self.device)
        tracks.scatter_(0, starts[own] + within, sound * scale[stretch][own])
        return tracks.view(n_tracks, self.n_samples)

    def _filter(self, tracks: Tensor, knots: Tensor, edges: Tensor) -> Tensor:
        """Filter tracks, which stay as loud as they were."""
        gains = 10 ** ((knots @ self._between) / 20)
        low, high = edges[:, :1], edges[:, 1:]
        gains = gains / (1 + (low / self._frequencies) ** 4) / (1 + (self._frequencies / high) ** 4)
        filtered = torch.fft.irfft(torch.fft.rfft(tracks) * gains, self.n_samples)
        before, after = (own.square().mean(dim=1, keepdim=True) for own in (tracks, filtered))
        return filtered * (before / after.clamp(min=1e-12)).sqrt()

    def _in_rooms(self, mixed: Tensor, echoes: Tensor) -> Tensor:
        both = torch.fft.rfft(mixed, self._n_room) * torch.fft.rfft(echoes, self._n_room)
        return torch.fft.irfft(both, self._n_room)[:, : self.n_samples]


class Upsampler:
    """Twice the sample rate, on a device, as soxr does it.

    A resampler fades out below half the old rate. A network trained without that would hear what
    its teacher does not, so soxr's own response is taken.
    """

    def __init__(self, n_samples: int, device: torch.device) -> None:
        impulse = np.zeros(n_samples)
        impulse[n_samples // 2] = 1
        response = np.abs(np.fft.rfft(soxr.resample(impulse, 1, 2)))
        self._gains = torch.from_numpy(response[: n_samples // 2 + 1]).float().to(device)

    def __call__(self, waveforms: Tensor) -> Tensor:
        """``(batch, n_samples)`` -> ``(batch, 2 * n_samples)``."""
        spectra = torch.fft.rfft(waveforms) * self._gains
        return torch.fft.irfft(spectra, 2 * waveforms.shape[1])


def _as_tensor(clips: ClipSet) -> Tensor:
    with warnings.catch_warnings():
        # An array that lies on disk is read alone.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(clips.samples)


def _runs(rows: list[int]) -> list[tuple[int, int]]:
    """Where the first tracks of all mixtures lie, then the second ones, then the third ones."""
    begins = [k for k, row in enumerate(rows) if k == 0 or row <= rows[k - 1]]
    return list(zip(begins, [*begins[1:], len(rows)], strict=True))


def _interpolation(frequencies: Tensor) -> Tensor:
    """``(KNOTS, frequencies)``: how much of each knot's gain a frequency gets."""
    low, high = np.log2(KNOTS_HZ)
    places = (torch.log2(frequencies) - low) / (high - low) * (KNOTS - 1)
    places = places.clamp(0, KNOTS - 1)
    return (1 - (places - torch.arange(KNOTS)[:, None]).abs()).clamp(min=0).float()


def _log_uniform(random: np.random.Generator, low: float, high: float, n: int) -> np.ndarray:
    return np.exp(random.uniform(np.log(low), np.log(high), n))
