"""Open models that several streams share: one session for each model, provider and card."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from streamclf.model.classifier import Classifier
from streamclf.model.model_file import Model, find_model
from streamclf.model.options import ModelOptions
from streamclf.runs.engine_setup import open_model

_Key: TypeAlias = tuple[ModelOptions, int, int, bool]


class SharedModels:
    """Models that are opened once, and used by all streams that ask for the same.

    A `Classifier` keeps nothing of a stream: what overlapping windows share is kept by the function
    that each engine gets from it, and ONNX Runtime runs one session for several threads.

    Args:
        report: Called with one line about a model that is unusual.
        self_check: Compares a model's provider with the CPU, where that is asked for.
    """

    def __init__(
        self,
        report: Callable[[str], None],
        self_check: Callable[[ModelOptions], str] = lambda options: "",
    ) -> None:
        self._report = report
        self._self_check = self_check
        self._open: dict[_Key, Classifier] = {}
        self._lock = threading.Lock()

    @property
    def n_open(self) -> int:
        """Number of open models."""
        return len(self._open)

    def open(self, options: ModelOptions, *, features: bool = False) -> Classifier:
        """Return the open model; a file that has changed since is another model.

        Args:
            options: The model.
            features: Whether it is to give the features of each window, if its card names any.

        Raises:
            ModelError: The model cannot be opened.
        """
        path = find_model(options.name)
        with self._lock:
            key = (*_key(options, path), features)
            if key not in self._open:
                model = open_model(options, live=True)
                if model.notice:
                    self._report(model.notice)
                classifier = Classifier(model, features=features and _names_features(model))
                if notice := classifier.take_notice():
                    self._report(f"warning: {notice}")
                if options.self_check:
                    self._report(self._self_check(options))
                self._open[key] = classifier
            return self._open[key]

    def keep(self, used: Collection[Classifier]) -> None:
        """Forget the models that are not used any more."""
        with self._lock:
            self._open = {key: each for key, each in self._open.items() if each in used}


def _key(options: ModelOptions, path: Path) -> tuple[ModelOptions, int, int]:
    status = path.stat()
    same = replace(options, name=str(path.resolve()))
    return same, status.st_mtime_ns, status.st_size


def _names_features(model: Model) -> bool:
    return model.card.features is not None
