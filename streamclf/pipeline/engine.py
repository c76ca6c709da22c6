"""The engine: source, mono, resampling, windows, scores, averages and events as one pipeline.

Each stage is a generator over the stage before it. Audio is therefore pulled through in the thread
of the reader, and memory holds one window and one batch, whatever the length of the stream. Sources
that must not wait (a microphone's callback, a pipe, a network) have threads of their own with a
bounded queue. Recordings can have such a thread as well, which decodes while the network runs.
"""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from itertools import chain, islice

from streamclf.core.card import Thresholds
from streamclf.core.errors import SourceError, UsageError
from streamclf.core.label_choice import keep_chosen
from streamclf.core.local_clock import LocalClock
from streamclf.core.records import (
    Block,
    Change,
    Gap,
    Notice,
    Result,
    Scores,
    StreamStarted,
    Window,
)
from streamclf.core.settings import Settings
from streamclf.core.sound_kinds import all_broader, find_kinds, leave_out
from streamclf.core.stats import Statistics
from streamclf.core.unknown import SILENCE_LABEL, UNKNOWN_LABEL, skip_silence
from streamclf.core.unknown_rule import UnknownRule, find_unknown_rule
from streamclf.core.vocabulary import Vocabulary
from streamclf.model.classifier import Array, classify
from streamclf.model.scorer import (
    Scorer,
    as_sharing_scorer,
    default_batch_size,
    describe_hop,
    effective_hop,
    open_stream,
)
from streamclf.pipeline.announcement import announce
from streamclf.pipeline.average import average
from streamclf.pipeline.events import Timing, detect, detect_grouped
from streamclf.pipeline.mixdown import mix_down
from streamclf.pipeline.non_finite import drop_non_finite
from streamclf.pipeline.overload import Overload
from streamclf.pipeline.resample import resample
from streamclf.pipeline.short_audio import weigh_short
from streamclf.pipeline.signal_watch import SignalWatch
from streamclf.pipeline.unknown_events import name_unknown
from streamclf.pipeline.windows import slide
from streamclf.sources.base import Source
from streamclf.sources.prefetch import read_ahead

FULL_RATE = 48_000
"""Sample rate in Hz that a source is asked for at least where its own audio is wanted: what people
hear reaches to 20 kHz."""


class Engine:
    """Engine that processes one source after another with one model.

    Args:
        scorer: The model, ready to score.
        settings: Hop, averaging, thresholds and other settings.
        now: Returns monotonic seconds, which show whether processing keeps up with the audio.

    Attributes:
        card: The model's card.
        scorer: As given.
        settings: As given.
        thresholds: The thresholds in force.
        unknown: Rule by which sounds are unknown; None for none.
        kinds: Kinds of sounds that are told by a common name, with these names.
        statistics: Statistics of the current run, or of the last one.
        clock: Local time of the samples of a live stream.
        source_rate: Sample rate of the arriving audio in Hz; None before the first audio.
        overload: Widens the hop for a while when processing is slower than the audio.
        signal: Watch over whether a live source has a signal.
        read_ahead: Whether a thread reads and resamples audio ahead of the network. The generator
            from `run` must then be closed before the source.

    Raises:
        UsageError: The settings do not fit the model.
    """

    def __init__(
        self,
        scorer: Scorer,
        settings: Settings | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.card = scorer.card
        self.settings = settings or Settings()
        self.kinds = find_kinds(self.card, self.settings.labels, apart=self.settings.broader)
        self.thresholds = self._thresholds_of(self.settings)
        named = self.settings.name_unknown
        self.unknown: UnknownRule | None = (
            find_unknown_rule(self.card) if named else self.card.unknown
        )
        self.statistics = Statistics(self.card.sample_rate)
        self.clock = LocalClock()
        self.signal = SignalWatch()
        self.scorer = scorer
        self.source_rate: int | None = None
        self.read_ahead = False
        self._source: Source | None = None
        self._now = now
        self.overload = self._make_overload()
        self._changes: queue.SimpleQueue[Settings] = queue.SimpleQueue()
        rate = self.card.sample_rate
        self._timing = Timing(
            window=self.card.window_samples,
            hop=self._hop(self.settings),
            average=round(self.settings.average_s * rate),
            min_duration=round(self.thresholds.min_duration * rate),
            max_gap=round(self.thresholds.max_gap * rate),
            max_duration=round((self.settings.max_duration_s or 0.0) * rate),
            ongoing=round((self.settings.ongoing_s or 0.0) * rate),
            begin=self.settings.begin,
        )
        if 0 < self._timing.max_duration < self._timing.min_duration:
            raise UsageError(
                f"--max-duration {self.settings.max_duration_s}: is shorter than the least length "
                f"of an event, {self.thresholds.min_duration:g} s: lower --min-duration, or take a "
                "longer one"
            )

    @property
    def hop_s(self) -> float:
        """Seconds between the starts of two windows: as requested, or fitted to the stride."""
        return self._hop(self.settings) / self.card.sample_rate

    @property
    def hop_notice(self) -> str:
        """A line about how the hop differs from the requested one; empty if it does not."""
        return describe_hop(self.settings, self.scorer)

    @property
    def onset_thresholds(self) -> dict[str, float]:
        """Averaged score at which an event begins, for the labels of requested events.

        It is infinite for a label of which no event is ever told.
        """
        chosen, never = self.settings.labels, self.thresholds.never
        return {
            label: math.inf if label in never else self.thresholds.of(label).on
            for label in self.card.labels
            if chosen is None or label in chosen
        }

    def onset_threshold(self, label: str) -> float | None:
        """Averaged score at which an event of a label begins; None if its events are never told.

        The values of a regression have no events.
        """
        chosen = self.settings.labels
        requested = label in self.card.labels and (chosen is None or label in chosen)
        if not requested or self.card.task == "regression" or label in self.thresholds.never:
            return None
        return self.thresholds.of(label).on

    @property
    def reported_labels(self) -> list[str]:
        """Labels whose events are reported, those of unknown sounds and of silence included."""
        chosen = self.settings.labels
        named = self.settings.name_unknown and self.unknown is not None
        others = [UNKNOWN_LABEL, SILENCE_LABEL] if named else []
        every = [*self.card.labels, *others]
        never = self.thresholds.never
        return [
            label for label in every if label not in never and (chosen is None or label in chosen)
        ]

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What names mean to the model."""
        return Vocabulary.of_card(self.card)

    def _broader(self) -> dict[str, frozenset[str]]:
        """For each label those that count as silent while it sounds."""
        chosen = self.settings.labels
        # A taught label silences others even where its own events are not asked for.
        among = None if chosen is None else chosen | set(self.card.taught)
        return {} if self.settings.broader else all_broader(self.card, among, self.kinds)

    def announce(self, source: Source, position: int = 0) -> StreamStarted:
        """Describe the stream that a source is about to deliver; `run` yields the same record.

        Args:
            source: An open source; the first audio of a live one must have arrived.
            position: Position of the first sample, at the model's rate.
        """
        model = getattr(self.scorer, "model", None)  # a scorer of the library's user may have none
        file = "" if model is None else str(model.path)
        started = announce(source, self.card, self.onset_thresholds, self.clock, position, file)
        features = getattr(self.scorer, "features", None)
        return replace(started, features=features, unknown=self.unknown)

    def _hop(self, settings: Settings) -> int:
        return effective_hop(settings, self.scorer)

    def run(
        self,
        source: Source,
        on_start: Callable[[], None] = lambda: None,
        *,
        on_audio: Callable[[Block | Gap], None] = lambda item: None,
        on_source_audio: Callable[[Block | Gap], None] | None = None,
    ) -> Generator[StreamStarted | Result, None, None]:
        """Process a source to its end, or until `stop`, which takes effect from this call on.

        Positions begin at the position of the source's first item, so that a run can continue the
        timeline of an earlier one.

        Args:
            source: An open source; the caller closes it.
            on_start: Called when the first audio has arrived.
            on_audio: Called with the mono audio at the model's rate as it arrives, and with gaps.
            on_source_audio: Called with the mono audio at the source's own rate as it arrives, and
                with gaps, before all else that is done with it. A source that can choose its rate
                is then asked for `FULL_RATE` at least. With `read_ahead` it is called in
                the thread that reads ahead. An error that it raises ends the run.

        Yields:
            One `StreamStarted` as soon as the first audio, gap or notice has arrived, before the
            calls of ``on_start`` and ``on_audio``; none if nothing arrives. Then averages, one for
            each window, with the events that began or ended there, gaps, notices and changes.

        Raises:
            SourceError: Audio cannot be had, or not to its end. All that could be found before
                it was yielded, open events included.
        """
        # Not in the generator, whose code runs only when the first result is requested.
        self._source = source
        self.statistics = Statistics(self.card.sample_rate)
        if self.overload.reason:
            self._changes.put(self.settings)  # the hop asked for, until this run is too slow too
        self.overload = self._make_overload()
        self.clock = LocalClock()
        return self._run(source, on_start, on_audio, on_source_audio)

    def _run(
        self,
        source: Source,
        on_start: Callable[[], None],
        on_audio: Callable[[Block | Gap], None],
        on_source_audio: Callable[[Block | Gap], None] | None,
    ) -> Generator[StreamStarted | Result, None, None]:
        errors: list[SourceError] = []
        began = time.perf_counter()
        items = self._listen(source, errors, on_source_audio)
        first = next(items, None)
        if first is not None:
            yield self.announce(source, first.position)
            items = chain((first,), items)
        for result in self._results(items, on_start, on_audio, live=source.live):
            self.statistics.count(result, self.unknown)
            self.statistics.elapsed_s = time.perf_counter() - began
            self.statistics.drift_ppm = source.drift_ppm
            yield result
        self._source = None
        if errors:
            raise errors[0]

    @property
    def hop_samples(self) -> int:
        """Samples between the starts of two windows, at the model's rate."""
        return self._timing.hop

    @property
    def batch_size(self) -> int:
        """Number of windows that are scored at once in recordings."""
        return self.settings.batch_size or default_batch_size(self.scorer, self._timing.hop)

    def score(
        self,
        windows: Iterable[Window | Gap | Notice | Change],
        *,
        n_first: int = 0,
        live: bool = False,
    ) -> Iterator[Scores | Gap | Notice | Change]:
        """Score the windows of one stream, which is the first half of `run`.

        Args:
            windows: In order.
            n_first: Windows in the first batch, where it is to be shorter than the others.
            live: Score each window by itself.

        Yields:
            The scores as the network gives them, which may be no finite numbers; all else as it
            came, and the notices of the scorer. `judge_raw` takes them.
        """
        score, n_labels = self._open_stream(), len(self.card.labels)
        batch_size, rest = 1 if live else self.batch_size, iter(windows)
        scores = classify(rest, score, batch_size, n_labels)
        if n_first:
            first = classify(islice(rest, n_first), score, n_first, n_labels)
            scores = chain(first, scores)
        return self._add_notices(scores)

    def judge_raw(self, scores: Iterable[Scores | Gap | Notice | Change]) -> Iterator[Result]:
        """Find the events in scores as the network gave them, which is the second half of `run`.

        Those that are not finite are left out, and those of audio shorter than a window weighed;
        both are counted in the statistics. Then they are judged (`judge`).

        Args:
            scores: Of one stream, in order, from `score`.

        Yields:
            As `run` does.
        """
        defined = drop_non_finite(scores, self.statistics)
        return self.judge(weigh_short(defined, self.card, self.statistics))

    def judge(self, scores: Iterable[Scores | Gap | Notice | Change]) -> Iterator[Result]:
        """Average scores and find the events in them.

        Args:
            scores: Of one stream, in order; kept ones may be judged again with other settings.

        Yields:
            As `run` does.
        """
        card = self.card
        temperature = card.temperature if card.activation == "softmax" else 1.0
        averages = average(
            scores,
            self._timing.average,
            self.settings.average_kind,
            temperature,
            card.n_taught,
        )
        if card.task == "regression":
            return averages
        chosen = self.settings.labels
        broader = self._broader()
        found: Iterator[Result]
        if self.settings.name_unknown and self.unknown is not None:
            groups = detect_grouped(
                averages, card.labels, self.thresholds, self._timing, broader, self.kinds
            )
            found = name_unknown(groups, self.unknown, lambda: self._timing)
        else:
            found = detect(
                averages, card.labels, self.thresholds, self._timing, broader, self.kinds
            )
        return found if chosen is None else keep_chosen(found, chosen)

    def stop(self) -> None:
        """End the current run soon, as if its stream had ended.

        May be called from another thread or a signal handler.
        """
        source = self._source  # the run may end meanwhile
        if source is not None:
            source.stop()

    def change(self, settings: Settings) -> None:
        """Change hop, average and thresholds from the next audio that arrives on.

        May be called from another thread. The kind of average and the channel stay.

        Raises:
            UsageError: The settings do not fit the model.
        """
        settings.hop_samples(self.card.sample_rate)
        self.settings = settings
        self.thresholds = self._thresholds_of(settings)
        self.overload.reset()
        self._changes.put(settings)

    def _thresholds_of(self, settings: Settings) -> Thresholds:
        thresholds = settings.thresholds or self.card.thresholds
        return leave_out(thresholds, self.kinds) if self.kinds else thresholds

    def _make_overload(self) -> Overload:
        return Overload(
            lambda: self.hop_s,
            self.card.window_s,
            lambda hop_s: self._changes.put(replace(self.settings, hop_s=hop_s)),
            self.statistics,
            fixed=self.settings.fixed_hop,
            now=self._now,
        )

    def _listen(
        self,
        source: Source,
        errors: list[SourceError],
        on_source_audio: Callable[[Block | Gap], None] | None,
    ) -> Iterator[Block | Gap | Notice]:
        """Yield the source's audio, mono and at the model's rate, up to its end or first error."""
        rate, settings = self.card.sample_rate, self.settings
        asked = rate if on_source_audio is None else max(rate, FULL_RATE)
        items = self.overload.watch(_read(source, asked), lambda: source.pace)
        items = _until_error(self._note_rate(items), errors)
        items = _until_error(mix_down(items, settings.channel), errors)
        if source.live:
            items = self.signal.watch(
                items, lambda: self.settings.silent_after_s if source.keeps_time else 0.0
            )
        if on_source_audio is not None:
            items = _tell(items, on_source_audio)
        items = resample(items, rate)
        if self.read_ahead:
            items = read_ahead(items)
        if source.live:
            items = self.clock.watch(
                items, lambda: source.keeps_time, ahead_s=lambda: _ahead_s(source)
            )
        return items

    def _results(
        self,
        items: Iterable[Block | Gap | Notice],
        on_start: Callable[[], None],
        on_audio: Callable[[Block | Gap], None],
        *,
        live: bool,
    ) -> Iterator[Result]:
        """Yield the results for mono audio at the model's rate."""
        changing = self._insert_changes(self._count(items, on_start, on_audio))
        windows = slide(changing, self._timing.window, self._timing.hop, fill=self.card.fill)
        return self.judge_raw(self.score(windows, live=live))

    def _open_stream(self) -> Callable[[list[Window]], Array]:
        """Return a function that scores windows and measures the time."""
        score = open_stream(self.scorer)

        def timed(windows: list[Window]) -> Array:
            began = time.perf_counter()
            scores = score(windows)
            self.statistics.scoring_s += time.perf_counter() - began
            return scores

        return skip_silence(timed, len(self.card.labels)) if self.unknown else timed

    def _add_notices(
        self, items: Iterable[Scores | Gap | Notice | Change]
    ) -> Iterator[Scores | Gap | Notice | Change]:
        """Add the scorer's notices to the stream."""
        sharing = as_sharing_scorer(self.scorer)
        for item in items:
            if message := sharing.take_notice() if sharing else "":
                yield Notice(item.position, self.card.sample_rate, message)
            yield item

    def _note_rate(self, items: Iterable[Block | Gap | Notice]) -> Iterator[Block | Gap | Notice]:
        for item in items:
            if isinstance(item, Block):
                self.source_rate = item.sample_rate
            yield item

    def _insert_changes(
        self, items: Iterable[Block | Gap | Notice]
    ) -> Iterator[Block | Gap | Notice | Change]:
        """Put each requested change before the next audio that arrives."""
        for item in items:
            while not self._changes.empty():
                settings = self._changes.get()
                change = self._change(item.position, settings)
                self._timing = replace(self._timing, hop=change.hop, average=change.average)
                yield change
            yield item

    def _change(self, position: int, settings: Settings) -> Change:
        rate = self.card.sample_rate
        thresholds = self._thresholds_of(settings)
        average = round(settings.average_s * rate)
        return Change(position, self._hop(settings), average, thresholds)

    def _count(
        self,
        items: Iterable[Block | Gap | Notice],
        on_start: Callable[[], None],
        on_audio: Callable[[Block | Gap], None],
    ) -> Iterator[Block | Gap | Notice]:
        start: int | None = None
        for item in items:
            if isinstance(item, Block):
                if not self.statistics.delivered_samples:
                    on_start()
                self.statistics.delivered_samples += item.n_samples
            elif isinstance(item, Gap):
                self.statistics.add_gap(item.cause, item.position, item.n_samples)
            if not isinstance(item, Notice):
                start = item.position if start is None else start
                self.statistics.elapsed_samples = item.end - start
                on_audio(item)
            yield item


def _ahead_s(source: Source) -> float:
    """Seconds by which a recording runs ahead of the clock that is played faster than it sounds."""
    if source.keeps_time or source.duration_s is None:
        return 0.0
    return source.duration_s * (1 - 1 / source.pace) if source.pace else source.duration_s


def _read(source: Source, sample_rate: int) -> Iterator[Block | Gap | Notice]:
    """Yield the source's audio; turn an error of the disk or device into one of the source."""
    try:
        yield from source.blocks(sample_rate)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SourceError(
            f"{source.name}: cannot be read on: {reason}; what came before is kept"
        ) from error


def _tell(
    items: Iterable[Block | Gap | Notice], on_audio: Callable[[Block | Gap], None]
) -> Iterator[Block | Gap | Notice]:
    """Call a function with audio and gaps as they pass."""
    for item in items:
        if not isinstance(item, Notice):
            on_audio(item)
        yield item


def _until_error(
    items: Iterable[Block | Gap | Notice], errors: list[SourceError]
) -> Iterator[Block | Gap | Notice]:
    """End the stream at an error of the source, so that all later stages finish their work."""
    try:
        yield from items
    except SourceError as error:
        errors.append(error)
