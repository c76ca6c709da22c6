"""Pieces of a recording, heard anywhere and in any order, and joined to what one pass hears.

A piece keeps the scores of its windows; averages and events need all that came before, are found in
no time, and wait for the join. Where a recording has a gap, is damaged, or is not what its header
says, its pieces do not know where the others stand: it is then heard whole.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from streamclf.archive.cuts import Cut, Grid, Stretch, can_cut, find_period
from streamclf.archive.whole import Heard, Hearing, Keep, as_rows, hear_whole, settle
from streamclf.core.errors import SourceError, StoreError
from streamclf.core.records import Block, Gap, Notice, Scores, Window, rescale
from streamclf.core.stats import Statistics
from streamclf.pipeline.a_weighting import MAX_SECOND
from streamclf.pipeline.engine import Engine
from streamclf.pipeline.levels import SAMPLES_PER_S, LevelMeter, LevelPiece
from streamclf.pipeline.mixdown import NO_AUDIO, count_replaced, mix_down
from streamclf.pipeline.resample import resample
from streamclf.pipeline.windows import slide
from streamclf.sources.recording.recording import Recording

if TYPE_CHECKING:
    import pyarrow as pa

Floats: TypeAlias = npt.NDArray[np.float32]
Integers: TypeAlias = npt.NDArray[np.int64]
Told: TypeAlias = tuple[int, str, Literal["info", "warning"]]
"""Position at the model's rate, message and level of a notice."""

_METADATA = b"streamclf"


@dataclass(frozen=True, eq=False)
class Piece:
    """What a join needs of a piece. `to_parquet` stores it, `from_parquet` reads it.

    Attributes:
        begin: First sample, at the recording's own rate, as planned.
        end: Sample after the last, as planned.
        source_rate: Sample rate of the recording in Hz.
        n_total: Samples of the whole recording, as its header states them.
        grid: Rate, window and hop of the model, in Hz and samples.
        why: Why the recording cannot be joined from pieces and must be heard whole; empty where it
            can.
        audio_end: End of the audio at the model's rate, of the last piece; 0 of any other.
        n_replaced: Samples that were no audio.
        notices: What was told.
        positions: ``(windows,)`` int64, first sample of each window, at the model's rate.
        n_samples: ``(windows,)`` int64, samples of audio in it.
        scores: ``(windows, labels)`` float32 as the network gives them, not averaged.
        features: ``(windows, size)`` float32; None unless asked for. Rows of windows without
            features are not a number.
        seconds: ``(seconds, 2)`` int64, first sample of each second that was measured, at the
            recording's own rate, and number of samples; None unless asked for.
        energies: ``(seconds, 11)`` float64, what was measured: ``a_energy``, ``z_energy``,
            ``f_energy_max`` and up to eight ``f_energies``, the rest not a number.
    """

    begin: int
    end: int
    source_rate: int
    n_total: int
    grid: tuple[int, int, int]
    why: str
    audio_end: int
    n_replaced: int
    notices: list[Told]
    positions: Integers
    n_samples: Integers
    scores: Floats
    features: Floats | None = None
    seconds: Integers | None = None
    energies: npt.NDArray[np.float64] | None = None

    def to_parquet(self) -> bytes:
        """Return it as the bytes of a Parquet file, which are the same for the same piece."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        values = {each.name: getattr(self, each.name) for each in fields(self)}
        arrays = {name: each for name, each in values.items() if isinstance(each, np.ndarray)}
        plain = {name: each for name, each in values.items() if name not in arrays}
        plain["shapes"] = {name: each.shape for name, each in arrays.items()}
        table = pa.table(
            {name: pa.array([each.ravel()]) for name, each in arrays.items()},
            metadata={_METADATA: json.dumps(plain)},
        )
        into = io.BytesIO()
        pq.write_table(
            table, into, compression="zstd", use_dictionary=False, write_page_checksum=True
        )
        return into.getvalue()

    @classmethod
    def from_parquet(cls, data: bytes) -> Piece:
        """Read what `to_parquet` returned.

        Raises:
            StoreError: The bytes are no piece, or not whole.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(io.BytesIO(data), page_checksum_verification=True)
            plain = json.loads(table.schema.metadata[_METADATA])
            for name, shape in plain.pop("shapes").items():
                plain[name] = _read_array(table, name, shape)
            plain["grid"] = tuple(plain["grid"])
            plain["notices"] = [tuple(each) for each in plain["notices"]]
            return cls(**plain)
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise StoreError(f"a stored piece cannot be read: {reason}: delete it") from error


def _read_array(table: pa.Table, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = table[name].combine_chunks().flatten().to_numpy()
    return values.reshape(shape)


def hear_piece(
    engine: Engine, recording: Recording, begin: int, end: int, keep: Keep | None = None
) -> Piece:
    """Hear a piece of a recording.

    Args:
        engine: The engine.
        recording: The recording, just opened; the caller closes it.
        begin: First sample, at the recording's own rate.
        end: Sample after the last.
        keep: What is kept, as for `streamclf.archive.whole.hear_whole`.

    Returns:
        The piece. What is wrong with the recording does not raise: it is in ``why``.
    """
    settle(engine)
    keep = keep or Keep()
    grid = _grid_of(engine)
    cut = can_cut(recording)
    if isinstance(cut, str):
        return _no_piece(begin, end, Cut(0, 0), grid, cut)
    period = find_period(cut.sample_rate, engine.card.sample_rate)
    if begin and not period.n_samples:
        return _no_piece(begin, end, cut, grid, period.why)
    windows = Grid(cut.sample_rate, *grid, engine.batch_size, period)
    stretch = Stretch.of(windows, begin, end if end < cut.n_samples else None)
    audio = _Audio(recording, cut, begin, end, stretch, keep, engine.settings.channel)
    heard = list(_scores(engine, audio, stretch))
    audio.finish()
    if audio.why:
        return _no_piece(begin, end, cut, grid, audio.why)
    return Piece(
        begin, end, cut.sample_rate, cut.n_samples, grid, "",
        audio.end if stretch.end is None else 0, audio.n_replaced, audio.notices,
        np.array([scores.position for scores in heard], dtype=np.int64),
        np.array([scores.n_samples for scores in heard], dtype=np.int64),
        as_rows((scores.values for scores in heard), len(engine.card.labels)),
        as_rows((scores.features for scores in heard), _n_features(engine))
        if keep.features
        else None,
        *(_pack_levels(audio.levels) if keep.levels else ()),
    )  # fmt: skip


def _grid_of(engine: Engine) -> tuple[int, int, int]:
    return engine.card.sample_rate, engine.card.window_samples, engine.hop_samples


def _n_features(engine: Engine) -> int:
    form = getattr(engine.scorer, "features", None)
    return form.size if form else 0


def _no_piece(begin: int, end: int, cut: Cut, grid: tuple[int, int, int], why: str) -> Piece:
    nothing = np.zeros(0, dtype=np.int64)
    rows = np.zeros((0, 0), dtype=np.float32)
    rate, n_total = cut.sample_rate, cut.n_samples
    return Piece(begin, end, rate, n_total, grid, why, 0, 0, [], nothing, nothing, rows)


def _scores(engine: Engine, audio: _Audio, stretch: Stretch) -> Iterator[Scores]:
    """Yield the scores of the windows that belong to a piece."""
    if not stretch.has_windows():
        return
    *_, window, hop = _grid_of(engine)

    def windows() -> Iterator[Window]:
        index = stretch.first_scored
        blocks = audio.at_rate(engine.card.sample_rate, index * hop)
        for item in slide(blocks, window, hop, fill=engine.card.fill):
            assert isinstance(item, Window)
            yield item
            index += 1
            if index == stretch.end_scored:
                return

    index = stretch.first_scored
    for scores in engine.score(windows(), n_first=stretch.n_first):
        if not isinstance(scores, Scores):
            continue
        if stretch.first <= index and (stretch.end is None or index < stretch.end):
            yield scores
        index += 1


class _Audio:
    """Audio of a piece and around it, which is read once.

    Args:
        recording: The recording.
        cut: Its rate and length.
        begin: First sample of the piece, at the recording's own rate.
        end: Sample after its last.
        stretch: What is heard for it.
        keep: What is kept.
        channel: The channel that is heard; None for the mean of all.

    Attributes:
        why: Why the recording must be heard whole; empty while nothing speaks for it.
        end: End of the audio at the model's rate.
        n_replaced: Samples of the piece that were no audio.
        notices: What was told.
        levels: Levels of the piece's seconds.
    """

    def __init__(
        self,
        recording: Recording,
        cut: Cut,
        begin: int,
        end: int,
        stretch: Stretch,
        keep: Keep,
        channel: int | None,
    ) -> None:
        self.why = ""
        self.end = 0
        self.n_replaced = 0
        self.notices: list[Told] = []
        self.levels: list[LevelPiece] = []
        self._recording, self._cut = recording, cut
        self._planned, self._stretch = (begin, end), stretch
        self._measures = keep.levels and stretch.has_levels()
        self._meter = LevelMeter()
        self._n_second = min(cut.sample_rate, MAX_SECOND)
        first = [begin]
        if stretch.has_windows():
            first.append(stretch.audio_begin)
        if self._measures:
            first.append(stretch.level_begin)
        self._position = self._begin = min(first)
        self._mono = self._mix_down(channel)

    def at_rate(self, sample_rate: int, position: int) -> Iterator[Block]:
        """Yield the audio at the model's rate, from a position on."""
        own = _blocks_from(self._mono, self._stretch.audio_begin)
        for item in resample(own, sample_rate):
            assert isinstance(item, Block)
            self.end = item.end
            yield from _blocks_from([item], position)

    def finish(self) -> None:
        """Read what is left of the piece, and find out whether it was as planned."""
        last = self._stretch.end is None
        until = self._cut.n_samples
        if not last:
            until = self._planned[1]
            if self._measures and self._stretch.end_second is not None:
                until = min(self._stretch.end_second * self._n_second, self._cut.n_samples)
        while (last or self._position < until) and next(self._mono, None) is not None:
            pass
        if self._measures and self._position == self._cut.n_samples:
            self._add_levels(self._meter.end())
        if not self.why and self._position < until:
            rate = self._cut.sample_rate
            self.why = (
                f"ends at {self._position / rate:.2f} s instead of "
                f"{self._cut.n_samples / rate:.2f} s"
            )

    def _mix_down(self, channel: int | None) -> Iterator[Block]:
        """Yield the audio, mono at the recording's own rate; its levels are measured."""
        mono = mix_down(self._read(), channel, on_replaced=self._count_replaced)
        try:
            for item in mono:
                if isinstance(item, Block):
                    if self._measures:
                        self._measure(item)
                    yield item
                elif isinstance(item, Notice):
                    self._tell(item)
        except SourceError as error:
            self.why = str(error)

    def _read(self) -> Iterator[Block | Notice]:
        """Yield what the recording delivers, as long as it is as planned."""
        rate, n_samples = self._cut.sample_rate, self._cut.n_samples
        if self._planned[0] > n_samples or (
            self._begin and not self._recording.skip(self._begin / rate)
        ):
            self.why = f"nothing can be read at {self._begin / rate:.2f} s"
            return
        for item in self._recording.blocks(rate):
            if isinstance(item, Notice):
                yield item
                continue
            place = f"{item.position / item.sample_rate:.2f} s"
            if isinstance(item, Gap):
                self.why = f"{item.cause} at {place}"
                return
            if (item.position, item.sample_rate) != (self._position, rate):
                self.why = f"goes on at {place} instead of {self._position / rate:.2f} s"
                return
            if item.end > n_samples:
                self.why = f"holds more than the {n_samples / rate:.2f} s that its header states"
                return
            self._position = item.end
            yield item

    def _measure(self, block: Block) -> None:
        for item in _blocks_from([block], self._stretch.level_begin):
            self._add_levels(self._meter.add(item))

    def _add_levels(self, pieces: Iterable[LevelPiece]) -> None:
        end = self._stretch.end_second
        for piece in pieces:
            second = piece.position // self._n_second
            if self._stretch.first_second <= second and (end is None or second < end):
                self.levels.append(piece)

    def _count_replaced(self, position: int, good: npt.NDArray[np.bool_]) -> None:
        begin, end = (min(max(place - position, 0), good.size) for place in self._planned)
        self.n_replaced += int((~good[begin:end]).sum())

    def _tell(self, notice: Notice) -> None:
        if not notice.message.startswith(f"{NO_AUDIO}:"):  # the join counts them
            self.notices.append((notice.position, notice.message, notice.level))


def _blocks_from(items: Iterable[Block], position: int) -> Iterator[Block]:
    """Yield blocks without the audio before a position."""
    for block in items:
        n_before = position - block.position
        if n_before <= 0:
            yield block
        elif n_before < block.n_samples:
            yield Block(position, block.waveform[:, n_before:], block.sample_rate)


def _pack_levels(levels: list[LevelPiece]) -> tuple[Integers, npt.NDArray[np.float64]]:
    seconds = np.array([(each.position, each.n_samples) for each in levels], dtype=np.int64)
    energies = np.full((len(levels), 3 + SAMPLES_PER_S), np.nan)
    for row, each in zip(energies, levels, strict=True):
        row[:3] = each.a_energy, each.z_energy, each.f_energy_max
        row[3 : 3 + each.f_energies.size] = each.f_energies
    return seconds.reshape(-1, 2), energies


def _unpack_levels(piece: Piece) -> Iterator[LevelPiece]:
    if piece.seconds is None or piece.energies is None:
        return
    for (position, n_samples), row in zip(piece.seconds.tolist(), piece.energies, strict=True):
        a_energy, z_energy, f_energy_max = row[:3].tolist()
        marks = row[3:]
        yield LevelPiece(
            position, n_samples, piece.source_rate, a_energy, z_energy, f_energy_max,
            marks[~np.isnan(marks)],
        )  # fmt: skip


def join(
    engine: Engine, pieces: Iterable[Piece], recording: Recording, keep: Keep | None = None
) -> Heard:
    """Join all pieces of a recording to what one pass hears.

    Where a piece says why that cannot be, or the pieces do not fit together, the recording is heard
    whole.

    Args:
        engine: The engine, with the settings that the pieces were heard with.
        pieces: All of them, in order; each is asked for when it is needed.
        recording: The recording, just opened; the caller closes it.
        keep: What is kept; not more than was kept with the pieces.
    """
    settle(engine)
    keep = keep or Keep()
    cut = can_cut(recording)
    if isinstance(cut, str):
        return hear_whole(engine, recording, keep)
    hearing = Hearing(keep)
    hearing.source_rate = cut.sample_rate
    hearing.begin(engine.announce(recording))
    seam = _Seam(cut, _grid_of(engine), hearing, keep)
    engine.statistics = Statistics(engine.card.sample_rate)
    try:
        for result in engine.judge_raw(seam.scores(pieces)):
            engine.statistics.count(result, engine.unknown)
            hearing.take(result)
    except _UnfitError:
        return hear_whole(engine, recording, keep)
    statistics, engine.statistics = engine.statistics, Statistics(engine.card.sample_rate)
    statistics.delivered_samples = statistics.elapsed_samples = seam.heard_to
    return hearing.heard(recording.duration_s, statistics)


class _UnfitError(Exception):
    """Pieces cannot be joined; the message says why."""


@dataclass
class _Seam:
    """Where the pieces of a recording are joined, one after the other.

    Attributes:
        cut: Rate and length of the recording.
        grid: Rate, window and hop of the model.
        hearing: What is heard.
        keep: What is kept.
        heard_to: End of the audio so far, at the model's rate.
    """

    cut: Cut
    grid: tuple[int, int, int]
    hearing: Hearing
    keep: Keep
    heard_to: int = 0
    _end: int = 0
    _audio_end: int = 0
    _n_replaced: int = 0
    _replaced_to: int = 0
    _newest: list[int] = field(default_factory=list)
    _told: set[str] = field(default_factory=set)

    def scores(self, pieces: Iterable[Piece]) -> Iterator[Scores]:
        """Yield the scores of all windows; the rest is given to the hearing.

        Raises:
            _UnfitError: The pieces are not those of one pass.
        """
        for piece in pieces:
            self._check(piece)
            features = piece.features
            rows: Iterable[Any] = [None] * len(piece.scores) if features is None else features
            for position, n_samples, values, row in zip(
                piece.positions.tolist(), piece.n_samples.tolist(), piece.scores, rows, strict=True
            ):
                self._check_step(position)
                known = row is not None and not np.isnan(row).any()
                yield Scores(position, n_samples, values, features=row if known else None)
            self._hear_levels(piece)
            self._tell(piece)
        self._finish()

    def _check(self, piece: Piece) -> None:
        if piece.why:
            raise _UnfitError(piece.why)
        if (piece.source_rate, piece.n_total) != (self.cut.sample_rate, self.cut.n_samples):
            raise _UnfitError("a piece is of a recording of another length")
        if piece.grid != self.grid:
            raise _UnfitError("a piece was heard with other settings")
        if self.keep.levels > (piece.seconds is not None):
            raise _UnfitError("a piece was heard without levels")
        if self.keep.features > (piece.features is not None):
            raise _UnfitError("a piece was heard without features")
        if piece.begin != self._end:
            raise _UnfitError(f"a piece begins at {piece.begin} instead of {self._end}")
        self._end, self._audio_end = piece.end, piece.audio_end

    def _check_step(self, position: int) -> None:
        """See that no window is missing: all but the last lie on the grid."""
        *_, hop = self.grid
        if not self._newest and position:
            raise _UnfitError("the first windows are missing")
        if len(self._newest) == 2 and self._newest[1] - self._newest[0] != hop:
            raise _UnfitError(f"windows are missing before {position}")
        self._newest = [*self._newest[-1:], position]

    def _hear_levels(self, piece: Piece) -> None:
        for second in _unpack_levels(piece):
            self._hear_to(rescale(second.position, piece.source_rate, self.grid[0]))
            self.hearing.measure([second])

    def _hear_to(self, position: int) -> None:
        n_samples = position - self.heard_to
        if n_samples > 0:
            silence = np.broadcast_to(np.float32(0), (1, n_samples))
            self.hearing.hear(Block(self.heard_to, silence, self.grid[0]))
            self.heard_to = position

    def _tell(self, piece: Piece) -> None:
        """Tell each kind of thing once, as one pass does."""
        for position, message, level in piece.notices:
            kind = re.sub(r"\d+(\.\d+)?", "", message)
            if kind not in self._told:
                self._told.add(kind)
                place = rescale(position, piece.source_rate, self.grid[0])
                self.hearing.take(Notice(place, self.grid[0], message, level))
        self._n_replaced += piece.n_replaced

    def _finish(self) -> None:
        if self._end < self.cut.n_samples or not self._audio_end:
            raise _UnfitError("the last piece is missing")
        self._hear_to(self._audio_end)
        if self._n_replaced:
            message = count_replaced(self._n_replaced)
            self.hearing.take(Notice(self._audio_end, self.grid[0], message))
