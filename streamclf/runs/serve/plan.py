"""What a serving process is to hear, and with what, as the settings say it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path

from streamclf.core.errors import ModelError, ProviderError, StoreError, UsageError
from streamclf.core.redaction import mask_url
from streamclf.core.settings import Settings
from streamclf.core.thresholds import ThresholdOptions
from streamclf.model.options import ModelOptions
from streamclf.notify.options import NotifyPlan
from streamclf.runs.serve.options import EMPTY_NAME, ServedOptions
from streamclf.sinks.file_names import Format, format_of, is_template
from streamclf.sinks.options import OutputOptions
from streamclf.sources.factory import check_source
from streamclf.sources.options import SourceOptions
from streamclf.store.features.options import FeatureOptions

DEFAULT_MICROPHONE = "microphone"
"""Name of the system's default microphone, whichever device that is."""

_OF_THE_PROCESS = ("store", "format", "updates", "top", "append", "overwrite", "rotate")
"""Options of outputs that `WritingOptions` hold, or that matter at the start alone."""


@dataclass(frozen=True)
class StreamPlan:
    """One source, and how it is heard.

    Attributes:
        served: Its name and calibration, as they were given.
        source: The source.
        model: The model that hears it.
        settings: Settings of the engine, without thresholds and labels.
        thresholds: Options that choose thresholds and labels.
        outputs: Its outputs, besides the store.
        features: How the features of its windows are kept.
        place: Puts the place where an option was said in front of an error, which begins with that
            option.
    """

    served: ServedOptions
    source: SourceOptions
    model: ModelOptions
    settings: Settings
    thresholds: ThresholdOptions
    outputs: OutputOptions
    features: FeatureOptions = field(default_factory=FeatureOptions)
    place: Callable[[str], str] = field(default=str, compare=False, repr=False)

    @property
    def name(self) -> str:
        """Identity of the source in results and in the store; it holds no password."""
        if self.served.identity is not None:
            return self.served.identity
        if self.source.source is not None:
            return mask_url(self.source.source)
        return DEFAULT_MICROPHONE if self.source.device is None else self.source.device.strip()

    @property
    def own_outputs(self) -> dict[str, object]:
        """Its options of outputs, without those that hold for the whole process."""
        options = {each.name: getattr(self.outputs, each.name) for each in fields(self.outputs)}
        return {name: value for name, value in options.items() if name not in _OF_THE_PROCESS}

    @property
    def is_microphone(self) -> bool:
        """Whether the source is a microphone."""
        return self.source.source is None

    def opens_like(self, other: StreamPlan) -> bool:
        """Whether both open the same source in the same way."""
        return (self.source, self.settings.channel) == (other.source, other.settings.channel)

    @contextmanager
    def telling_place(self) -> Iterator[None]:
        """Context in which an error tells where the settings say what is wrong."""
        try:
            yield
        except UsageError as error:
            raise UsageError(self.place(str(error))) from error
        except ProviderError as error:  # it begins with the word provider
            raise type(error)(self.place(f"--{error}")) from error
        except ModelError as error:
            raise type(error)(self.place(f"--model {error}")) from error
        except StoreError as error:
            raise UsageError(self.place(f"--store {error}")) from error


@dataclass(frozen=True)
class WritingOptions:
    """How a serving process writes, whatever it writes: options that hold for all sources.

    Attributes:
        store: File that remembers what is heard.
        format: Format of standard output; None writes nothing there.
        n_updated: Number of labels in a line for each window; 0 for no such lines.
        append: Whether files that exist are continued.
        rotate: When new files begin, see `Rotation`.
    """

    store: Path
    format: Format | None = None
    n_updated: int = 0
    append: bool = False
    rotate: str | None = None

    @classmethod
    def of(cls, streams: Sequence[StreamPlan], default_store: Callable[[], Path]) -> WritingOptions:
        """Take the options from the plans of streams, which agree about them.

        Raises:
            StoreError: No store is named, and there is no place for the default one.
        """
        # Only a stream that writes files may have been told how.
        writing = next((each.outputs for each in streams if each.outputs.files), streams[0].outputs)
        return cls(
            writing.store or default_store(),
            writing.format or ("jsonl" if writing.updates else None),
            writing.n_updated,
            writing.append,
            writing.rotate,
        )


@dataclass(frozen=True)
class ServePlan:
    """All sources of a serving process.

    Attributes:
        streams: A plan for each source.
        writing: What holds for all outputs.
        notes: Lines about the settings that people should read.
        notify: Who is told what.
    """

    streams: tuple[StreamPlan, ...]
    writing: WritingOptions
    notes: tuple[str, ...] = ()
    notify: NotifyPlan = field(default_factory=NotifyPlan)

    @property
    def audible(self) -> frozenset[str]:
        """Names of the sources to which people may listen: those without `privacy`."""
        return frozenset(each.name for each in self.streams if each.outputs.privacy is None)

    def check(self) -> None:
        """Check all that can be told before a model or a source is opened.

        Raises:
            UsageError: Two sources have one name, a source is of no known kind, or outputs do not
                go together.
        """
        counts = Counter(stream.name for stream in self.streams)
        for stream in self.streams:
            with stream.telling_place():
                if stream.source.source == "-":
                    raise UsageError("--source -: standard input is for streamclf listen")
                check_source(stream.source)
                if not stream.name:
                    raise UsageError(EMPTY_NAME)
                if counts[stream.name] > 1:
                    raise UsageError(
                        f"--name {stream.name}: {counts[stream.name]} sources have this name, it "
                        "must be 1: give each a name of its own"
                    )
        self._check_outputs()

    def _check_outputs(self) -> None:
        writers = Counter(path.absolute() for each in self.streams for path in each.outputs.files)
        limits: dict[Path, OutputOptions] = {}
        for stream in self.streams:
            outputs = stream.outputs
            with stream.telling_place():
                for path in outputs.files:
                    _check_file(path, writers[path.absolute()])
                if outputs.clips is None:
                    continue
                other = limits.setdefault(outputs.clips.absolute(), outputs)
                for name, mine, limit in [
                    ("--clips-limit", outputs.clips_limit, other.clips_limit),
                    ("--clips-days", outputs.clips_days, other.clips_days),
                    ("--clips-min", outputs.clips_min, other.clips_min),
                ]:
                    if mine != limit:
                        raise UsageError(
                            f"{name} {_or_none(mine)}: another source limits the same folder, "
                            f"{outputs.clips}, by {_or_none(limit)}: give both one limit, or a "
                            "folder each"
                        )


def _or_none(value: float | str | None) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _check_file(path: Path, n_writers: int) -> None:
    if is_template(path):
        raise UsageError(
            f"--output {path}: {{stem}}, {{name}} and {{dir}} stand for a recording's name, and "
            "there is none: name a file"
        )
    if n_writers > 1 and format_of(path) == "audacity":
        raise UsageError(
            f"--output {path}: Audacity labels do not say which source they belong to, and "
            f"{n_writers} sources write them: name a file for each"
        )
