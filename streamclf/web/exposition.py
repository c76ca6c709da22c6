"""The metrics in Prometheus' words: read from counts that exist, at the moment they are asked for.

Names are prefixed, units are base units, counters end in ``_total`` and never fall while the
process lives. Values of labels are few: sources and files of the settings, labels of the model,
causes of `CAUSES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from streamclf.runs.figures import LinesFigures, SourceFigures
from streamclf.runs.tally import Delays
from streamclf.store.figures import FolderFigures, StoreFigures
from streamclf.web.context import WebContext
from streamclf.web.health_texts import CAUSES

OTHER = "other"
"""Cause of lost audio that is none of `CAUSES`."""
_COUNTS = (
    ("clips_written", "Clips written."),
    ("clips_lost", "Clips that could not be written."),
    ("clips_withheld", "Clips not written because they hold speech, or may."),
    ("features_kept", "Windows whose features were kept."),
)


def expose(context: WebContext, accept: str) -> tuple[bytes, str]:
    """Write all metrics.

    Args:
        context: What the pages share.
        accept: What the asker prefers: Prometheus' text, or OpenMetrics.

    Returns:
        The text, and its content type.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(context))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Figures(Collector):
    def __init__(self, context: WebContext) -> None:
        self._context = context

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        context = self._context
        figures, health = context.figures(), context.health()
        sources = figures.sources
        yield _build(context.version, [source.model for source in sources])
        if "started" in health:
            began = datetime.fromisoformat(health["started"]).timestamp()
            yield _gauge("start_time_seconds", "Time at which listening began.", began)
        yield from _audio(sources)
        yield from _events(sources)
        yield from _work(sources)
        if context.hub is not None:
            levels = context.hub.levels()
            # A source that has just gone may still be shown.
            known = [source.name for source in sources if source.name in levels]
            yield _by_source(
                GaugeMetricFamily, "level_dbfs",
                "Level of the newest third of a second, in dB; a full-scale sine has 0 dB.",
                ((name, levels[name]) for name in known),
            )  # fmt: skip
        yield from _clips(sources)
        yield from _lines(figures.lines)
        yield from _store(health.get("store") or {}, figures.store)
        yield from _targets(health.get("targets") or (), health.get("rules") or {})


def _build(version: str, models: Sequence[str]) -> Metric:
    # An info of OpenMetrics is a gauge named ..._info to Prometheus.
    build = InfoMetricFamily(_name("build"), "Version and open models.", labels=[])
    for model in dict.fromkeys(models) or [""]:
        build.add_metric([], {"version": version, "model": _text(model)})
    return build


def _audio(sources: Sequence[SourceFigures]) -> Iterator[Metric]:
    yield _by_source(
        GaugeMetricFamily, "source_up", "Whether the source is there.",
        ((each.name, float(each.is_up)) for each in sources),
    )  # fmt: skip
    yield _by_source(
        CounterMetricFamily, "audio_seconds", "Audio heard.",
        ((each.name, each.totals.heard_s) for each in sources),
    )  # fmt: skip
    lost = CounterMetricFamily(
        _name("audio_lost_seconds"), "Audio lost.", labels=["source", "cause"]
    )
    gaps = CounterMetricFamily(_name("gaps"), "Gaps in the audio.", labels=["source", "cause"])
    for each in sources:
        for family, by_cause in [(lost, each.totals.lost_s), (gaps, each.totals.n_gaps)]:
            other = sum(by_cause[cause] for cause in by_cause if cause not in CAUSES)
            # Zeros as well, so that the first loss counts as a rise.
            for cause in CAUSES:
                family.add_metric([_text(each.name), cause], by_cause.get(cause, 0))
            family.add_metric([_text(each.name), OTHER], other)
    yield lost
    yield gaps


def _events(sources: Sequence[SourceFigures]) -> Iterator[Metric]:
    events = CounterMetricFamily(
        _name("events"), "Sound events that have ended.", labels=["source", "label"]
    )
    for each in sources:
        counts = dict.fromkeys(each.labels, 0) | {**each.totals.n_events}
        for label, number in counts.items():
            events.add_metric([_text(each.name), _text(label)], number)
    yield events
    yield _histogram(
        "sound_to_result_seconds", "From the onset of a sound to its begin being told.",
        sources, lambda each: each.sound_to_result,
    )  # fmt: skip
    yield _histogram(
        "audio_to_scores_seconds", "From a window's newest audio to its scores.",
        sources, lambda each: each.audio_to_scores,
    )  # fmt: skip


def _work(sources: Sequence[SourceFigures]) -> Iterator[Metric]:
    gauge, counter = GaugeMetricFamily, CounterMetricFamily
    wanted: list[tuple[type[Any], str, str, Callable[[SourceFigures], float]]] = [
        (gauge, "hop_seconds", "Time between two windows.", lambda each: each.hop_s),
        (
            gauge, "requested_hop_seconds", "Time between two windows, as requested.",
            lambda each: each.requested_hop_s,
        ),
        (counter, "windows", "Windows scored.", lambda each: each.totals.n_windows),
        (
            counter, "windows_skipped", "Windows left out because of overload.",
            lambda each: each.totals.n_skipped,
        ),
        (
            counter, "windows_undefined", "Windows whose scores were no finite numbers.",
            lambda each: each.totals.n_undefined,
        ),
        (
            counter, "model_busy_seconds", "Time spent in the model.",
            lambda each: each.totals.scoring_s,
        ),
    ]  # fmt: skip
    for family, name, text, of in wanted:
        yield _by_source(family, name, text, ((each.name, of(each)) for each in sources))


def _clips(sources: Sequence[SourceFigures]) -> Iterator[Metric]:
    for name, text in _COUNTS:
        found = [(each.name, each.counts[name]) for each in sources if name in each.counts]
        if found:
            yield _by_source(CounterMetricFamily, name, text, found)


def _lines(lines: Sequence[LinesFigures]) -> Iterator[Metric]:
    if not lines:
        return
    waiting = GaugeMetricFamily(
        _name("output_waiting_bytes"), "Lines that wait to be written.", labels=["output"]
    )
    lost = CounterMetricFamily(_name("output_lines_lost"), "Lines lost.", labels=["output"])
    for each in lines:
        waiting.add_metric([_text(each.name)], each.waiting_bytes)
        lost.add_metric([_text(each.name)], each.n_lost)
    yield waiting
    yield lost


def _store(on_disk: dict[str, Any], store: StoreFigures | None) -> Iterator[Metric]:
    for key, name, text in [
        ("bytes", "store_bytes", "Size of the store's files."),
        ("disk_free_bytes", "store_disk_free_bytes", "Room left on the store's disk."),
        ("disk_bytes", "store_disk_bytes", "Size of the store's disk."),
    ]:
        if on_disk.get(key) is not None:
            yield _gauge(name, text, on_disk[key])
    if store is None:
        return
    yield _gauge("store_up", "Whether the last try to write the store succeeded.", store.is_written)
    yield _gauge("store_rows_waiting", "Rows that wait to be written.", store.n_waiting)
    for name, text, number in [
        ("store_rows_written", "Rows written or changed.", store.n_written),
        ("store_rows_lost", "Rows lost.", store.n_lost),
        ("store_failures", "Tries to write that failed.", store.n_failures),
    ]:
        yield CounterMetricFamily(_name(name), text, value=number)
    if store.folders:
        yield from _folders(store.folders)


def _folders(folders: Sequence[FolderFigures]) -> Iterator[Metric]:
    used = GaugeMetricFamily(_name("clips_bytes"), "Size of a folder's clips.", labels=["folder"])
    limit = GaugeMetricFamily(
        _name("clips_limit_bytes"), "What a folder's clips may take.", labels=["folder"]
    )
    deleted = CounterMetricFamily(
        _name("clips_deleted"), "Clips deleted to keep the limits.", labels=["folder", "cause"]
    )
    for each in folders:
        name = _text(str(each.folder))
        used.add_metric([name], each.used_bytes)
        if each.limit_bytes is not None:
            limit.add_metric([name], each.limit_bytes)
        for cause in ("age", "limit"):
            deleted.add_metric([name, cause], each.n_deleted.get(cause, 0))
    yield used
    yield limit
    yield deleted


def _targets(targets: Sequence[dict[str, Any]], rules: dict[str, Any]) -> Iterator[Metric]:
    """Messages, by the names that the settings give to targets; no target's address is told."""
    for key, name, text in [
        ("n_told", "messages", "Messages that rules made."),
        ("n_lost", "happenings_lost", "Happenings that rules could not follow."),
    ]:
        if key in rules:
            yield CounterMetricFamily(_name(name), text, value=rules[key])
    wanted: list[tuple[type[Any], str, str, Callable[[dict[str, Any]], float]]] = [
        (
            GaugeMetricFamily, "target_up", "Whether the last try to deliver succeeded.",
            lambda each: each["state"] == "fine",
        ),
        (
            GaugeMetricFamily, "target_messages_waiting", "Messages that wait for the target.",
            lambda each: each["waiting"],
        ),
        (
            CounterMetricFamily, "target_messages_sent", "Messages delivered.",
            lambda each: each["n_sent"],
        ),
        (
            CounterMetricFamily, "target_messages_failed", "Messages given up.",
            lambda each: each["n_failed"],
        ),
        (
            CounterMetricFamily, "target_messages_lost", "Messages lost because too many waited.",
            lambda each: each["n_lost"],
        ),
    ]  # fmt: skip
    for family, name, text, of in wanted if targets else ():
        made: Metric = family(_name(name), text, labels=["target", "kind"])
        for each in targets:
            labels = [_text(each["name"]), each["kind"]]
            made.add_metric(labels, of(each))  # type: ignore[attr-defined]
        yield made


def _text(value: str) -> str:
    """A label's value; bytes of a file's name that are no text stand as escapes."""
    return value.encode("utf-8", "backslashreplace").decode()


def _name(name: str) -> str:
    return f"streamclf_{name}"


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(_name(name), text, value=float(value))


def _by_source(
    family: type[Any], name: str, text: str, values: Iterable[tuple[str, float]]
) -> Metric:
    made: Metric = family(_name(name), text, labels=["source"])
    for source, value in values:
        made.add_metric([_text(source)], value)  # type: ignore[attr-defined]
    return made


def _histogram(
    name: str,
    text: str,
    sources: Sequence[SourceFigures],
    of: Callable[[SourceFigures], Delays],
) -> Metric:
    made = HistogramMetricFamily(_name(name), text, labels=["source"])
    for each in sources:
        delays = of(each)
        counts, sum_s = delays.read()
        bounds = [*map(str, delays.bounds_s), "+Inf"]
        buckets = [(bound, sum(counts[: at + 1])) for at, bound in enumerate(bounds)]
        made.add_metric([_text(each.name)], buckets, sum_s)
    return made
