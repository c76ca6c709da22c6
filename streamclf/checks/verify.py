"""Verification of this installation with one model and one recording.

The decoded audio is compared with FFmpeg's. The file path (batches, with a shared stem) is the
reference for the other checks. The live path gets the same recording in blocks of random sizes,
one window at a time. Each provider of ONNX Runtime repeats the file path. The logits of windows
that share the stem are compared with those of windows that share nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from streamclf.checks.comparison import Comparison, compare, difference_of
from streamclf.checks.synthetic_sounds import write_sounds
from streamclf.core.errors import ModelError, ProviderError, SourceError
from streamclf.core.records import Notice, Result, StreamStarted, Window
from streamclf.core.settings import Settings
from streamclf.core.text_format import format_count
from streamclf.model.classifier import Array, Classifier, stack
from streamclf.model.onnx_messages import computes_in_integers, read_model
from streamclf.model.options import Provider
from streamclf.model.providers import built_providers, unavailable_reason
from streamclf.model.stem.shared_frames import SHARED_BATCH
from streamclf.model.stem.split_model import COARSE_TOLERANCE
from streamclf.pipeline.engine import Engine
from streamclf.pipeline.mixdown import mix_down
from streamclf.pipeline.resample import resample
from streamclf.pipeline.windows import slide
from streamclf.sources.recording.ffmpeg import count_decoded_seconds
from streamclf.sources.recording.piped import check_can_reread
from streamclf.sources.recording.recording import Recording
from streamclf.sources.simulated.random_blocks import RandomBlocks

if TYPE_CHECKING:
    from streamclf.model.model_file import Model

TOLERANCE = 1e-5
"""Largest accepted difference between two scores or logits; it is relative for values above 1. Sums
in another order gave up to 1.4e-6 in 12,000 windows of real sounds."""
COARSE = COARSE_TOLERANCE
"""The same for providers or models that round (TF32, float16, integers), where one layer differs by
as much between two batch sizes."""

SELF_CHECK_S = 12.5
"""Seconds of synthetic sounds for the self-check."""
DECODER_TOLERANCE_S = 0.02
"""Largest accepted difference between two decoders of one file, in seconds. It is shorter than any
encoder's frame."""


class Opener(Protocol):
    """Function that opens the model under test."""

    def __call__(
        self, *, provider: Provider | None = None, live: bool = False, logits: bool = False
    ) -> Model:
        """Open the model.

        Args:
            provider: Execution provider; None for the requested one.
            live: Open it for live use.
            logits: Leave out the activation, so that scores are logits.
        """


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        name: Name of the check.
        verdict: One word or two.
        text: Details, for the rest of the line.
        good: Whether the check passed.
    """

    name: str
    verdict: str
    text: str
    good: bool = True

    def __str__(self) -> str:
        return f"{self.name:<17} {self.verdict:<8}  {self.text}"


class Verification:
    """All checks of one model on one recording.

    Args:
        open_model: Opens the model.
        path: The recording.
        settings: Settings of the engine.
        seed: Seed for the sizes of the blocks.

    Attributes:
        failure: Error of the recording itself; None if it is readable to its end.
    """

    def __init__(self, open_model: Opener, path: Path, settings: Settings, seed: int) -> None:
        check_can_reread(path, "streamclf verify")
        self._open_model = open_model
        self._path = path
        self._settings = settings
        self._seed = seed
        self.failure: SourceError | None = None
        self._model = open_model()
        self._engine = Engine(Classifier(self._model), settings)
        self._coarse = is_coarse(self._model)

    def findings(self) -> Iterator[Finding]:
        """Run the checks, one after the other.

        Raises:
            StreamclfError: A check cannot be run.
        """
        yield self._live_path()
        yield self._decoding()
        for provider in built_providers():
            yield self._provider(provider)
        yield self._sharing()

    def describe(self) -> str:
        """Describe the reference run; only valid after the first check."""
        heard = self._engine.statistics
        what = f"{format_count(heard.n_windows, 'window')}, {format_count(heard.n_events, 'event')}"
        return f"{what} on {self._model.provider}, every {self._engine.hop_s:g} s"

    def _file_path(self, engine: Engine, opened: ExitStack) -> Iterator[StreamStarted | Result]:
        """Return the results of the recording on the file path; store its error in `failure`."""
        results = engine.run(opened.enter_context(Recording(self._path)))
        opened.callback(results.close)
        return self._until_failure(results)

    def _until_failure(
        self, results: Iterator[StreamStarted | Result]
    ) -> Iterator[StreamStarted | Result]:
        try:
            yield from results
        except SourceError as error:
            self.failure = error

    def _decoding(self) -> Finding:
        """Compare the length of the decoded audio with FFmpeg's, whatever the header states."""
        name = "decoding"
        decoded_s = count_decoded_seconds(self._path)
        if decoded_s is None:
            return Finding(name, "none", "FFmpeg decodes nothing of it to compare with")
        heard_s = 0.0
        with Recording(self._path) as recording, suppress(SourceError):
            for item in recording.blocks(self._engine.card.sample_rate):
                if not isinstance(item, Notice):
                    heard_s += item.n_samples / item.sample_rate
        good = heard_s >= decoded_s - DECODER_TOLERANCE_S
        text = f"{heard_s:.2f} s heard or told as missing, FFmpeg alone decodes {decoded_s:.2f} s"
        return Finding(name, "whole" if good else "SHORTER", text, good)

    def _live_path(self) -> Finding:
        engine = Engine(Classifier(self._open_model(live=True)), self._settings)
        with ExitStack() as opened:
            source = opened.enter_context(RandomBlocks(self._path, self._seed))
            live = self._until_failure(engine.run(source))
            found = compare(self._file_path(self._engine, opened), live, engine.card)
        n_blocks, smallest, largest = source.sizes
        blocks = f"{format_count(n_blocks, 'block')} of {smallest} to {largest} samples"
        return _judge("live path", found, self._limit(self._model), blocks)

    def _provider(self, provider: Provider) -> Finding:
        name = f"provider {provider}"
        reason = unavailable_reason(provider)
        if reason is not None:
            return Finding(name, "not here", reason)
        try:
            model = self._open_model(provider=provider)
        except ProviderError as error:
            return Finding(name, "not here", f"could not be loaded: {error}")
        engine = Engine(Classifier(model), self._settings)
        with ExitStack() as opened:
            expected = self._file_path(self._engine, opened)
            found = compare(expected, self._file_path(engine, opened), engine.card)
        # If all scores are near 0, only logits show differences between networks.
        plain = Classifier(self._open_model(logits=True))
        other = Classifier(self._open_model(provider=provider, logits=True))
        logits, _ = self._compare_logits(plain, lambda windows: other.score(stack(windows)))
        limit = self._limit(model)
        finding = _judge(name, found, limit, f"logits differ by {logits:.2g}")
        same = finding.good and logits <= limit
        return finding if same else replace(finding, verdict="DIFFERS", good=False)

    def _sharing(self) -> Finding:
        name = "sharing"
        shared = Classifier(self._open_model(logits=True))
        if shared.card.stem is None:
            why = shared.card.stem_note or "the card names no stem"
            return Finding(name, "none", f"windows share no work: {why}")
        if not shared.model.can_split:
            return Finding(name, "none", "the graph takes batches of one size only")
        if not shared.shares:
            why = f"windows share no work on {shared.model.provider}"
            return Finding(name, "none", why)
        if shared.split() is None:
            return Finding(name, "DIFFERS", shared.take_notice(), good=False)
        plain, score = Classifier(self._open_model(logits=True)), shared.open_stream()
        difference, n_windows = self._compare_logits(plain, score)
        limit = self._limit(self._model)
        good = difference <= limit
        text = (
            f"logits by the shared stem differ by {difference:.2g}, the limit is {limit:.0e}; "
            f"{format_count(n_windows, 'window')}, cut at {shared.card.stem.tensor!r}"
        )
        return Finding(name, "exact" if good else "DIFFERS", text, good)

    def _compare_logits(
        self, plain: Classifier, score: Callable[[Sequence[Window]], Array]
    ) -> tuple[float, int]:
        """Return the largest difference over the recording's windows, and their number."""
        difference, n_windows = 0.0, 0
        for windows in cut_windows(self._path, self._engine, self._settings.channel):
            found = difference_of(plain.score(stack(windows)), score(windows))
            difference, n_windows = max(difference, found), n_windows + len(windows)
        return difference, n_windows

    def _limit(self, model: Model) -> float:
        same_device = model.provider == self._model.provider == "cpu"
        return TOLERANCE if same_device and not self._coarse else COARSE


def cut_windows(path: Path, engine: Engine, channel: int | None) -> Iterator[list[Window]]:
    """Yield a recording's windows in batches of growing size, up to an error of the recording."""
    card, size = engine.card, 1
    hop = round(engine.hop_s * card.sample_rate)
    batch: list[Window] = []
    with Recording(path) as recording, suppress(SourceError):
        mono = mix_down(recording.blocks(card.sample_rate), channel)
        resampled = resample(mono, card.sample_rate)
        for item in slide(resampled, card.window_samples, hop, fill=card.fill):
            if isinstance(item, Window):
                batch.append(item)
                if len(batch) == size:
                    yield batch
                    batch, size = [], min(2 * size, SHARED_BATCH)
    if batch:
        yield batch


def _judge(name: str, found: Comparison, limit: float, more: str = "") -> Finding:
    good = found.within(limit)
    text = (
        f"scores differ by {found.difference:.2g}, the limit is {limit:.0e}; "
        f"{format_count(found.n_windows, 'window')}, "
        f"{format_count(found.n_events, 'event')} with their begins"
    )
    if found.fault:
        text = f"{found.fault}; before it {text}"
    return Finding(name, "same" if good else "DIFFERS", f"{text}; {more}" if more else text, good)


def is_coarse(model: Model) -> bool:
    """Whether a model computes in float16 or in integers."""
    if model.input_type == "tensor(float16)":
        return True
    return computes_in_integers(read_model(Path(model.path)).graph)


def check_provider(open_model: Opener) -> str:
    """Compare a model's logits in live use with those of its whole graph on the CPU.

    Args:
        open_model: Opens the model.

    Returns:
        The finding, in one line.

    Raises:
        ModelError: The logits differ by more than the tolerance.
    """
    scorer = Classifier(open_model(live=True, logits=True))
    model = scorer.model
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sounds.wav"
        write_sounds(path, SELF_CHECK_S, seed=1)
        windows = [w for batch in cut_windows(path, Engine(scorer), None) for w in batch]
    plain = Classifier(open_model(provider="cpu", logits=True))
    score = scorer.open_stream()
    logits = np.concatenate([score([window]) for window in windows])
    difference = difference_of(plain.score(stack(windows)), logits)
    limit = TOLERANCE if model.provider == "cpu" and not is_coarse(model) else COARSE
    found = f"{model.provider} gives logits that differ by {difference:.2g} from the plain CPU's"
    if not difference <= limit:
        raise ModelError(
            f"self-check: {found}, the limit is {limit:.0e}: use --provider cpu, "
            "or see streamclf verify"
        )
    return f"self-check: {found}, within {limit:.0e}, in {format_count(len(windows), 'window')}"
