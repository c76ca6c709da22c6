"""AudioSet's names, and which of them mean a class of ESC-50."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.base.errors import DatasetError
from train.datasets.audioset import ESC50_MEANS, columns_of, read_label_names

pytestmark = pytest.mark.train


def write_labels(path: Path, names: list[str]) -> Path:
    rows = [f'{k},/m/{k},"{name}"' for k, name in enumerate(names)]
    path.write_text("index,mid,display_name\n" + "\n".join(rows) + "\n")
    return path


def test_names_come_in_the_order_of_the_outputs(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "labels.csv", ["Speech", "Fly, housefly", "Dog"])
    assert read_label_names(path) == ["Speech", "Fly, housefly", "Dog"]


def test_other_table_is_refused_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("label,name\n1,Dog\n")
    with pytest.raises(DatasetError, match=r"display_name.*class_labels_indices\.csv"):
        read_label_names(path)


def test_each_class_has_the_columns_of_its_labels() -> None:
    names = ["Speech", "Dog", "Bark", "Cat", "Meow"]
    assert columns_of(names, ("cat", "dog")) == [[3, 4], [1, 2]]


def test_no_label_means_two_classes() -> None:
    labels = [label for means in ESC50_MEANS.values() for label in means]
    assert len(ESC50_MEANS) == 50
    assert len(labels) == len(set(labels))


@pytest.mark.data
def test_every_label_is_one_of_audioset(data_dir: Path) -> None:
    names = read_label_names(data_dir / "teachers" / "audioset_class_labels_indices.csv")
    assert {label for means in ESC50_MEANS.values() for label in means} <= set(names)
