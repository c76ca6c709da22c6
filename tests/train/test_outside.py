"""Names in a data set's tables never lead to files outside its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_sets import make_esc, make_speech_commands, make_urbansound, write

pytest.importorskip("torch")

from train.base.errors import DatasetError
from train.datasets import find_dataset
from train.datasets.open_dataset import list_clips

pytestmark = pytest.mark.train


def names_of(table: Path, name: str) -> None:
    """Let every other row of a csv, or line of a list, name another file."""
    header, *rows = table.read_text().splitlines()
    if table.suffix == ".txt":
        header, rows = "", [header, *rows]
    changed = []
    for number, row in enumerate(rows):
        _, _, rest = row.partition(",")
        changed.append(row if number % 2 else f"{name},{rest}".rstrip(","))
    table.write_text("\n".join([header, *changed]).lstrip("\n") + "\n")


@pytest.mark.parametrize(
    ("name", "make", "table"),
    [
        ("esc50", make_esc, "meta/esc50.csv"),
        ("urbansound8k", make_urbansound, "metadata/UrbanSound8K.csv"),
        ("speech-commands", make_speech_commands, "testing_list.txt"),
    ],
)
@pytest.mark.parametrize("outside", ["../outside.wav", "../../outside.wav", "/ABSOLUTE", "..", "."])
def test_names_in_tables_stay_in_the_folder(tmp_path, name, make, table, outside):
    folder = tmp_path / "set"
    make(folder)
    write(tmp_path / "outside.wav")
    write(folder / "outside.wav")
    names_of(folder / table, outside.replace("/ABSOLUTE", str(tmp_path / "outside.wav")))
    try:
        listing = list_clips(find_dataset(name), folder)
    except DatasetError:
        return  # refused, which is as good
    assert listing.recordings
    for recording in listing.recordings:
        path = recording.path.resolve()
        assert path.is_relative_to(folder.resolve())
        assert path.name != "outside.wav"
        assert path.is_file()
