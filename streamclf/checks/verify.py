"""Whether this installation keeps what streamclf promises, with this model, on this audio.

What is heard of the recording is held against what FFmpeg decodes of it. The file path (batches,
the stem shared) is the measure of the rest. The live path gets the same recording in
blocks of random sizes, one window at a time; each provider of ONNX Runtime runs the file path
again; and windows that share the stem are compared on logits with windows that share nothing.
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
from streamclf.core.records import Notice, Result, Window
from streamclf.core.settings import Settings
from streamclf.core.stats import count
from streamclf.model.classifier import Array, Classifier, stack
from streamclf.model.providers import Provider, built_providers, obstacle
from streamclf.model.stem.shared_frames import SHARED_BATCH
from streamclf.model.stem.split_model import COARSE_TOLERANCE
from streamclf.pipeline.engine import Engine
from streamclf.pipeline.mixdown import mix_down
from streamclf.pipeline.resample import resample
from streamclf.pipeline.windows import slide
from streamclf.sources.recording.ffmpeg import count_seconds
from streamclf.sources.recording.piped import check_can_reread
from streamclf.sources.recording.recording import Recording
from streamclf.sources.simulated.random_blocks import RandomBlocks

if TYPE_CHECKING:
    from streamclf.model.model_file import Model

SAME = 1e-5
"""Largest difference between two scores or logits that counts as none, as a part of values above
1. Sums in another order gave up to 1.4e-6 in 12,000 windows of real sounds."""
COARSE = COARSE_TOLERANCE
"""Where a provider or model rounds (TF32, halves, integers): one layer then differs by as much
between two batch sizes."""

SELF_CHECK_S = 12.5
SHORTER_S = 0.02
"""Between two decoders of one file: less than the shortest frame that encoders make."""


class Opener(Protocol):
    """Opens the model to be verified."""

    def __call__(
        self, *, provider: Provider | None = None, live: bool = False, logits: bool = False
    ) -> Model:
        """Open it.

        Args:
            provider: None for the one asked for.
            live: For live listening.
            logits: Without an activation, so that scores are logits.
        """


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: Of the check.
        verdict: One word or two.
        text: The rest of the line.
        good: Whether it is as promised.
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
        open_model: Opens it.
        path: The recording.
        settings: How to listen.
        seed: For the sizes of blocks.

    Attributes:
        failure: What is wrong with the recording itself, as the first run met it.
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
        """Make the checks, one after the other.

        Raises:
            StreamclfError: Something cannot be run at all.
        """
        yield self._live_path()
        yield self._decoding()
        for provider in built_providers():
            yield self._provider(provider)
        yield self._sharing()

    def describe(self) -> str:
        """The measure, once a check was made."""
        heard = self._engine.statistics
        what = f"{count(heard.n_windows, 'window')}, {count(heard.n_events, 'event')}"
        return f"{what} on {self._model.provider}, every {self._engine.hop_s:g} s"

    def _file_path(self, engine: Engine, opened: ExitStack) -> Iterator[Result]:
        """The results of the recording; what is wrong with it is kept."""
        results = engine.run(opened.enter_context(Recording(self._path)))
        opened.callback(results.close)
        return self._until_failure(results)

    def _until_failure(self, results: Iterator[Result]) -> Iterator[Result]:
        try:
            yield from results
        except SourceError as error:
            self.failure = error

    def _decoding(self) -> Finding:
        """Hold what is heard of the file against what FFmpeg decodes, header or no header."""
        name = "decoding"
        decoded_s = count_seconds(self._path)
        if decoded_s is None:
            return Finding(name, "none", "FFmpeg decodes nothing of it to compare with")
        heard_s = 0.0
        with Recording(self._path) as recording, suppress(SourceError):
            for item in recording.blocks(self._engine.card.sample_rate):
                if not isinstance(item, Notice):
                    heard_s += item.n_samples / item.sample_rate
        good = heard_s >= decoded_s - SHORTER_S
        text = f"{heard_s:.2f} s heard or told as missing, FFmpeg alone decodes {decoded_s:.2f} s"
        return Finding(name, "whole" if good else "SHORTER", text, good)

    def _live_path(self) -> Finding:
        engine = Engine(Classifier(self._open_model(live=True)), self._settings)
        with ExitStack() as opened:
            source = opened.enter_context(RandomBlocks(self._path, self._seed))
            live = self._until_failure(engine.run(source))
            found = compare(self._file_path(self._engine, opened), live, engine.card)
        n_blocks, smallest, largest = source.sizes
        blocks = f"{count(n_blocks, 'block')} of {smallest} to {largest} samples"
        return _finding("live path", found, self._limit(self._model), blocks)

    def _provider(self, provider: Provider) -> Finding:
        name = f"provider {provider}"
        reason = obstacle(provider)
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
        # Where every score is near 0 only logits tell one network from another.
        plain = Classifier(self._open_model(logits=True))
        other = Classifier(self._open_model(provider=provider, logits=True))
        logits, _ = self._compare_logits(plain, lambda windows: other.score(stack(windows)))
        limit = self._limit(model)
        finding = _finding(name, found, limit, f"logits differ by {logits:.2g}")
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
        if shared.split() is None:
            return Finding(name, "DIFFERS", shared.take_notice(), good=False)
        plain, score = Classifier(self._open_model(logits=True)), shared.open_stream()
        difference, n_windows = self._compare_logits(plain, score)
        limit = self._limit(self._model)
        good = difference <= limit
        text = (
            f"logits by the shared stem differ by {difference:.2g}, the limit is {limit:.0e}; "
            f"{count(n_windows, 'window')}, cut at {shared.card.stem.tensor!r}"
        )
        return Finding(name, "exact" if good else "DIFFERS", text, good)

    def _compare_logits(
        self, plain: Classifier, score: Callable[[Sequence[Window]], Array]
    ) -> tuple[float, int]:
        """The largest difference over the recording's windows, and how many these are."""
        difference, n_windows = 0.0, 0
        for windows in cut_windows(self._path, self._engine, self._settings.channel):
            found = difference_of(plain.score(stack(windows)), score(windows))
            difference, n_windows = max(difference, found), n_windows + len(windows)
        return difference, n_windows

    def _limit(self, model: Model) -> float:
        same_device = model.provider == self._model.provider == "cpu"
        return SAME if same_device and not self._coarse else COARSE


def cut_windows(path: Path, engine: Engine, channel: int | None) -> Iterator[list[Window]]:
    """A recording's windows, in batches of growing sizes; what is wrong with it just ends them."""
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


def _finding(name: str, found: Comparison, limit: float, more: str = "") -> Finding:
    good = found.within(limit)
    text = (
        f"scores differ by {found.difference:.2g}, the limit is {limit:.0e}; "
        f"{count(found.n_windows, 'window')}, {count(found.n_events, 'event')} with their begins"
    )
    if found.fault:
        text = f"{found.fault}; before it {text}"
    return Finding(name, "same" if good else "DIFFERS", f"{text}; {more}" if more else text, good)


def is_coarse(model: Model) -> bool:
    """Whether a model computes in halves or integers."""
    if model.input_type == "tensor(float16)":
        return True
    import onnx  # only what really looks at the graph imports it

    graph = onnx.load(model.path, load_external_data=False).graph
    return any("Linear" in node.op_type or "Integer" in node.op_type for node in graph.node)


def check_provider(open_model: Opener) -> str:
    """Compare what a model will listen with, on logits, with its plain graph on the CPU.

    Args:
        open_model: Opens it.

    Returns:
        What was found, in a line.

    Raises:
        ModelError: The scores differ.
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
    limit = SAME if model.provider == "cpu" and not is_coarse(model) else COARSE
    found = f"{model.provider} gives logits that differ by {difference:.2g} from the plain CPU's"
    if not difference <= limit:
        raise ModelError(
            f"self-check: {found}, the limit is {limit:.0e}: use --provider cpu, "
            "or see streamclf verify"
        )
    return f"self-check: {found}, within {limit:.0e}, in {count(len(windows), 'window')}"
