"""Scores that are made up and kept, and a store with a past in which a dog sounds faintly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from stores import Heard, Run, make_store

from streamclf.model.features import digest_features
from streamclf.model.model_file import find_model
from streamclf.model.options import ModelOptions
from streamclf.notify.rules import Rule
from streamclf.runs.backtester import Backtester
from streamclf.store.features.feature_file import append_records, pack_record
from streamclf.store.features.layout import (
    FeatureHeader,
    day_of,
    file_name,
    scores_of,
    source_folder,
)
from streamclf.teach.taught_graph import read_graph
from streamclf.teach.taught_model import read_card_of
from streamclf.web.context import WebContext
from streamclf.web.options import PageOptions

RATE, WINDOW, DIGEST = 16_000, 24_000, "00112233445566aa"
LABELS = [f"sound {number}" for number in range(20)]
BEGUN = datetime(2026, 11, 25, 12, tzinfo=UTC)
BEGUN_US = round(BEGUN.timestamp()) * 1_000_000


def keep(
    folder, scores, labels=LABELS, *, values=None, digest=DIGEST, size=4, missing=(),
    begun_us=None,
):  # fmt: skip
    """Keep scores ``(windows, labels)`` of half seconds in a row, each in the file of its day."""
    n_scores = scores_of(labels)
    header = FeatureHeader(
        source="yard", model="made", version="1", digest=digest, size=size, scale=0.1,
        sample_rate=RATE, window=WINDOW, every_s=0.5, labels=tuple(labels), n_scores=n_scores,
    )  # fmt: skip
    days = {}
    for number, row in enumerate(scores):
        if number in missing:
            continue
        time_us = (BEGUN_US if begun_us is None else begun_us) + 500_000 * number
        record = pack_record(
            time_us, number * RATE // 2, WINDOW,
            np.zeros(size, np.int8) if values is None else values[number], row, n_scores,
        )  # fmt: skip
        days.setdefault(day_of(time_us), []).append(record)
    for day, records in days.items():
        path = folder / source_folder("yard") / file_name(day, digest, kind=header.kind)
        append_records(path, header, b"".join(records))


def make_box(folder: Path) -> Path:
    """A store and the past of `pocket`, in which a dog sounds faintly at three times."""
    path = find_model("pocket")
    card = read_card_of(path)
    scores = np.full((7200, len(card.labels)), 0.01, np.float32)
    for begin in (1000, 3000, 5000):
        scores[begin : begin + 8, card.labels.index("dog")] = 0.3
    digest = digest_features(read_graph(path), card.features)
    keep(folder / "s.features", scores, card.labels, digest=digest, size=card.features.size)
    earlier = Run("yard", BEGUN - timedelta(hours=2), 600, [Heard("dog", 100.0, 3.0)])
    run = Run("yard", BEGUN, 3600, [Heard("dog", 1500.5, 3.0)])
    make_store(folder / "s.db", [earlier, run])  # of the earlier one no features are kept
    return folder


def make_backtest_context(box: Path) -> WebContext:
    """A page of that store, an hour later, with `pocket` and with rules about dogs."""
    rules = [
        Rule("dogs", labels=("dog",), cooldown=1200.0),
        Rule("nobody", labels=("dog",), on="quiet", lasting=900.0),
        Rule("away", on="lost", lasting=60.0),
    ]
    context = WebContext(
        box / "s.db", PageOptions(port=0), models=lambda: [ModelOptions("pocket")],
        rules=lambda: rules,
    )  # fmt: skip
    later = BEGUN + timedelta(hours=1)
    vars(context)["backtester"] = Backtester(
        box / "s.db", context.teacher.known, context.rules, lambda: later
    )
    return context


def ask_backtest(streamclf, box, *arguments):
    asked = "--since", "2026-11-25", "--store", box / "s.db", "--model", "pocket"
    done = streamclf("backtest", *asked, "--only", "dog", *arguments)
    assert done.code == 0, done.err
    return done.out
