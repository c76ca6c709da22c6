"""The longest tests, which begin first."""

LONG = (
    "test_bundled_model_knows_what_it_was_trained_on",
    "test_envnet_graph_says_what_the_network_says",
    "test_export_commands_write_each_form_or_say_what_is_missing",
    "test_final_run_takes_its_figures_from_another",
    "test_killed_again_and_again_it_ends_with_the_same_table",
    "test_published_weights_become_a_model_of_several_labels_at_once",
    "test_pupil_becomes_a_model_whose_windows_share_its_layers",
    "test_two_processes_make_one_run_and_fail_in_one_line",
)
"""Functions of tests that take five seconds and more. `conftest.py` lets them begin first.

Of several processes that share the tests, the others would wait for one that begins such a test as
the last.
"""
