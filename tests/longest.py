"""The longest tests, which begin first."""

from __future__ import annotations

from itertools import islice
from typing import Any

LONG = (
    "test_lost_nodes_and_deadly_items_change_no_result",
    "test_now_moves_and_goes_on_after_the_server_was_killed",
    "test_two_processes_make_one_run_and_fail_in_one_line",
    "test_listen_hears_a_sound_loses_the_microphone_and_hears_again",
    "test_export_commands_write_each_form_or_say_what_is_missing",
    "test_an_event_of_the_microphone_is_heard_again_from_a_real_loudspeaker",
    "test_dashboard_hears_real_audio_in_a_real_terminal",
    "test_clips_of_known_classes_adjust_the_scale_and_their_naming_is_cross_validated",
    "test_a_writer_that_is_killed_at_any_moment_loses_nothing_it_acknowledged",
    "test_pages_are_read_and_seen",
    "test_tune_command_writes_what_the_export_takes",
    "test_names_are_fitted_to_the_streamed_layers",
    "test_listen_names_a_real_recording",
    "test_bundled_model_knows_what_it_was_trained_on",
    "test_run_that_stops_goes_on_to_the_same_weights",
    "test_a_faulty_store_gives_the_results_of_a_disk",
    "test_microphone_survives_a_server_that_freezes",
    "test_a_run_on_this_machine_ends_at_an_interrupt_and_goes_on",
    "test_pupil_becomes_a_model_whose_windows_share_its_layers",
    "test_published_weights_become_a_model_of_several_labels_at_once",
    "test_final_run_takes_its_figures_from_another",
    "test_killed_again_and_again_it_ends_with_the_same_table",
)
"""Functions of tests that take ten seconds and more while others run, or five of a processor.

Of several processes that share the tests, the others would wait for one that begins such a test as
the last.
"""


def is_long(item: Any) -> bool:
    """Whether a test is one of the longest."""
    return name_of(item) in LONG


def name_of(item: Any) -> str:
    """The name of a test's function."""
    return str(getattr(item, "originalname", item.name))


def list_rows(n_items: int, n_workers: int) -> list[slice]:
    """The rows of neighbours that pytest-xdist gives its workers to begin with."""
    rows, at = [], 0
    for still in range(n_workers, 0, -1):
        n_row = (n_items - at) // still
        rows.append(slice(at, at + n_row))
        at += n_row
    return rows


def begin_with_longest(items: list[Any], n_workers: int) -> list[Any]:
    """Put the longest tests in front, an equal share for each worker; the order of others stays."""
    long = sorted(filter(is_long, items), key=lambda item: LONG.index(name_of(item)))
    others = iter([item for item in items if not is_long(item)])
    ordered: list[Any] = []
    for number, row in enumerate(list_rows(len(items), n_workers)):
        n_row = row.stop - row.start
        own = long[n_workers - 1 - number :: n_workers]  # the last rows are the longest
        ordered += [*own, *islice(others, n_row - len(own))]
    return ordered
