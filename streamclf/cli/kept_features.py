"""The features that a command asks: their folder, and the sources in it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from streamclf.cli.question_options import QuestionOptions
from streamclf.core.errors import UsageError
from streamclf.store.features.feature_store import FeatureStore
from streamclf.store.names import find_names, name_streams
from streamclf.store.question import Question


def open_features(folder: Path | None, asked: QuestionOptions) -> FeatureStore:
    """Open the folder that is named, or the one beside the store.

    Raises:
        UsageError: The folder that is named is none.
        StoreError: No store is named, and the user has no home.
    """
    if folder is None:
        return FeatureStore.beside(asked.path)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "there is no such folder"
        raise UsageError(
            f"--features {folder}: {what}: name the folder that file --features wrote, or that "
            "serve keeps beside its store"
        )
    return FeatureStore(folder)


def choose_streams(
    kept: FeatureStore,
    asked: QuestionOptions,
    question: Question,
    connection: sqlite3.Connection | None,
) -> set[str] | None:
    """Find the names of sources and the paths of recordings that are meant; None for all.

    Args:
        kept: The features.
        asked: What was asked.
        question: The same, of the store.
        connection: The store; None where the features lie by themselves.

    Raises:
        UsageError: A name fits nothing.
    """
    if connection is not None:
        if question.source_ids is None:
            return None
        return name_streams(connection, question.source_ids, question.recording_ids)
    if not asked.sources:
        return None
    headers = [file.header for file in kept.files()]
    names = sorted({name for each in headers for name in (each.source, each.recording) if name})
    return {found for pattern in asked.sources for found in find_names(pattern, names, kept.folder)}
