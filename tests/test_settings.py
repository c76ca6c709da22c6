import math

import msgspec
import pytest

from streamclf.core.card import Card, Threshold, Thresholds
from streamclf.core.errors import UsageError
from streamclf.core.settings import Settings
from streamclf.core.thresholds import ThresholdOptions, choose_thresholds, read_thresholds

LABELS = ["dog", "rain"]
BASE = Thresholds(
    on=0.5, off=0.25, min_duration=0.2, max_gap=1.0, classes={"dog": Threshold(0.8, 0.6)}
)
MILD, STRICT = Thresholds(on=0.4), Thresholds(on=0.7, classes={"rain": Threshold(0.9, 0.5)})
CARD = Card(
    name="m",
    labels=LABELS,
    sample_rate=8000,
    window_samples=8000,
    thresholds=BASE,
    precisions={"0.8": MILD, "0.95": STRICT},
)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hop_s": 0}, "--hop 0: must be above 0 seconds, up to 86400 (0.5 is usual)"),
        ({"hop_s": -1.0}, "--hop -1.0: must be above 0 seconds, up to 86400 (0.5 is usual)"),
        ({"hop_s": math.nan}, "--hop nan: must be above 0 seconds, up to 86400 (0.5 is usual)"),
        ({"hop_s": 1e308}, "--hop 1e+308: must be above 0 seconds, up to 86400 (0.5 is usual)"),
        ({"hop_s": math.inf}, "--hop inf: must be above 0 seconds, up to 86400 (0.5 is usual)"),
        ({"average_s": -0.1}, "--average -0.1: must be 0 (none) or more seconds, up to 86400"),
        ({"average_s": math.nan}, "--average nan: must be 0 (none) or more seconds, up to 86400"),
        ({"average_s": math.inf}, "--average inf: must be 0 (none) or more seconds, up to 86400"),
        ({"channel": 0}, "--channel 0: channels count from 1"),
        ({"batch_size": 0}, "the batch size is 0, must be 1 or more"),
    ],
)
def test_settings_refuse_what_makes_no_sense(values, message):
    with pytest.raises(UsageError) as caught:
        Settings(**values)
    assert str(caught.value) == message


def test_settings_take_their_limits():
    settings = Settings(hop_s=1e-3, average_s=0, channel=1, batch_size=1)
    assert settings.hop_samples(8000) == 8


@pytest.mark.parametrize(
    ("hop_s", "rate", "n_samples"),
    [(0.5, 16_000, 8000), (0.5, 22_051, 11_026), (1 / 3, 8000, 2667)],
)
def test_hop_is_rounded_to_samples(hop_s, rate, n_samples):
    assert Settings(hop_s=hop_s).hop_samples(rate) == n_samples


def test_hop_below_a_sample_is_refused():
    with pytest.raises(UsageError) as caught:
        Settings(hop_s=1e-5).hop_samples(8000)
    assert str(caught.value) == (
        "--hop 1e-05: is less than one sample at 8000 Hz, must be 0.000125 s or more"
    )


def test_thresholds_are_the_cards_unless_told():
    assert choose_thresholds(CARD) is BASE


def test_one_threshold_holds_for_every_class_and_off_follows():
    chosen = choose_thresholds(CARD, ThresholdOptions(threshold=0.8))
    assert (chosen.on, chosen.off) == (0.8, 0.4)
    assert chosen.of("dog") == Threshold(0.8, 0.4)
    assert (chosen.min_duration, chosen.max_gap) == (0.2, 1.0)


@pytest.mark.parametrize("threshold", [0, 1])
def test_thresholds_may_lie_at_their_limits(threshold):
    assert choose_thresholds(CARD, ThresholdOptions(threshold=threshold)).on == threshold
    always = Thresholds(on=0.0, off=0.0)
    assert (
        choose_thresholds(
            msgspec.structs.replace(CARD, thresholds=always), ThresholdOptions(threshold=threshold)
        ).off
        == threshold
    )


@pytest.mark.parametrize(
    ("precision", "expected"), [(0.1, MILD), (0.8, MILD), (0.81, STRICT), (0.95, STRICT)]
)
def test_thresholds_for_a_precision_are_the_lowest_that_give_no_less(precision, expected):
    assert choose_thresholds(CARD, ThresholdOptions(target_precision=precision)) == expected


def test_options_change_the_thresholds_for_a_precision():
    chosen = choose_thresholds(CARD, ThresholdOptions(target_precision=0.9, max_gap_s=3))
    assert chosen == msgspec.structs.replace(STRICT, max_gap=3.0)


@pytest.mark.parametrize(
    ("card", "precision", "message"),
    [
        (CARD, 0.0, "--target-precision 0.0: must be above 0, at most 1"),
        (CARD, math.nan, "--target-precision nan: must be above 0, at most 1"),
        (CARD, 0.99, "--target-precision 0.99: the model's card goes up to 0.95; give that, or a "
         "--threshold"),
        (msgspec.structs.replace(CARD, precisions={}), 0.9, "--target-precision 0.9: the model's "
         "card has no thresholds for it; --threshold sets one, python -m export finds them"),
    ],
)  # fmt: skip
def test_precision_that_the_card_has_no_thresholds_for_is_refused(card, precision, message):
    with pytest.raises(UsageError) as caught:
        choose_thresholds(card, ThresholdOptions(target_precision=precision))
    assert str(caught.value) == message


def test_durations_are_taken():
    chosen = choose_thresholds(CARD, ThresholdOptions(min_duration_s=2, max_gap_s=0))
    assert (chosen.on, chosen.min_duration, chosen.max_gap) == (0.5, 2, 0)
    assert chosen.classes == BASE.classes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.5}, "--threshold 1.5: must lie between 0 and 1"),
        ({"threshold": -0.5}, "--threshold -0.5: must lie between 0 and 1"),
        ({"threshold": math.nan}, "--threshold nan: must lie between 0 and 1"),
        ({"min_duration_s": -1.0}, "--min-duration -1.0: must be 0 or more seconds, up to 86400"),
        (
            {"min_duration_s": math.inf},
            "--min-duration inf: must be 0 or more seconds, up to 86400",
        ),
        ({"max_gap_s": math.nan}, "--max-gap nan: must be 0 or more seconds, up to 86400"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UsageError) as caught:
        choose_thresholds(CARD, ThresholdOptions(**options))
    assert str(caught.value) == message


@pytest.fixture
def file(tmp_path):
    def write(text: str):
        path = tmp_path / "t.toml"
        path.write_text(text)
        return path

    return write


def test_a_file_replaces_what_it_names(file):
    chosen = read_thresholds(file("min_duration = 1\noff = 0.1"), BASE, LABELS)
    assert chosen == Thresholds(0.5, 0.1, 1.0, 1.0, {"dog": Threshold(0.8, 0.6)})


def test_a_file_that_sets_on_means_every_class_it_does_not_name(file):
    chosen = read_thresholds(file("on = 0.6\n[classes]\nrain = 0.4"), BASE, LABELS)
    assert chosen.of("dog") == Threshold(0.6, 0.3)
    assert chosen.of("rain") == Threshold(0.4, 0.2)


def test_a_file_may_give_classes_their_own(file):
    text = "[classes]\nrain = {on = 0.9, off = 0.1}\ndog = {on = 1}\n"
    chosen = read_thresholds(file(text), BASE, LABELS)
    assert (chosen.on, chosen.off) == (0.5, 0.25)
    assert chosen.of("rain") == Threshold(0.9, 0.1)
    assert chosen.of("dog") == Threshold(1, 0.5)


def test_an_option_overrides_the_file(file):
    path = file("on = 0.6\nmax_gap = 3\n[classes]\nrain = 0.4")
    chosen = choose_thresholds(
        CARD, ThresholdOptions(thresholds=path, threshold=0.2, max_gap_s=1.5)
    )
    assert chosen.of("rain") == Threshold(0.2, 0.1)
    assert chosen.max_gap == 1.5


FORMS = "must be a number or {on = ..., off = ...}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("on = 2", "on is 2, must lie between 0 and 1"),
        ("on = nan", "on is nan, must lie between 0 and 1"),
        ("on = true", "on is True, must lie between 0 and 1"),
        ("on = 'high'", "on is high, must lie between 0 and 1"),
        ("off = -0.1", "off is -0.1, must lie between 0 and 1"),
        ("off = 0.9", "off is 0.9, must not be above on, 0.5"),
        ("min_duration = -1", "min_duration is -1, must be 0 or more seconds, up to 86400"),
        ("max_gap = 1e300", "max_gap is 1e+300, must be 0 or more seconds, up to 86400"),
        ("max_gap = " + "9" * 400, f"max_gap is {'9' * 40}, must be 0 or more seconds, "
         "up to 86400"),
        ("max_gap = inf", "max_gap is inf, must be 0 or more seconds, up to 86400"),
        (
            "threshold = 1",
            "threshold is unknown, must be one of on, off, min_duration, max_gap, never",
        ),
        ("never = 'rain'", "never is rain, must be labels: [\"rain\"]"),
        ("never = ['snow']", "'snow' is no label of the model; streamclf info --json lists all"),
        ("classes = 3", "classes is 3, must be a table: [classes]"),
        ("[classes]\ncat = 0.5", "'cat' is no label of the model; streamclf info --json lists all"),
        ("[classes]\ndogs = 0.5", "'dogs' is no label of the model (did you mean dog?); "
            "streamclf info --json lists all"),
        ("[classes]\ndog = 3", "[classes] dog: on is 3, must lie between 0 and 1"),
        ("[classes]\ndog = {off = 0.1}", "[classes] dog: {'off': 0.1} " + FORMS),
        ("[classes]\ndog = {on = 0.1, of = 0.1}", "[classes] dog: {'on': 0.1, 'of': 0.1} " + FORMS),
        ("[classes.dog]\non = 0\noff = 1", "[classes] dog: off is 1.0, must not be above on, 0.0"),
        ("[classes.dog]\non = 0.1\noff = 'x'", "[classes] dog: off is x, must lie between 0 and 1"),
        ("[classes]\ndog = [0.5]", "[classes] dog: on is [0.5], must lie between 0 and 1"),
    ],
)  # fmt: skip
def test_a_file_that_makes_no_sense_is_one_line(file, text, message):
    path = file(text)
    with pytest.raises(UsageError) as caught:
        read_thresholds(path, BASE, LABELS)
    assert str(caught.value) == f"--thresholds {path}: {message}"


@pytest.mark.parametrize("content", [b"on = ", b"a = " + b"[" * 100_000, b"on = " + b"9" * 5000])
def test_a_file_that_is_no_toml_is_said(tmp_path, content):
    path = tmp_path / "t.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_thresholds(path, BASE, LABELS)
    line = "1:" if content == b"on = " else ""
    assert str(caught.value).startswith(f"--thresholds {path}:{line} is no TOML: ")


def test_a_file_that_is_not_there_is_said(tmp_path):
    for path, reason in [(tmp_path / "no.toml", "no such file"), (tmp_path, "is a directory")]:
        with pytest.raises(UsageError, match=f"cannot be read: {reason}"):
            read_thresholds(path, BASE, LABELS)


def test_threshold_file_names_what_is_never_reported(tmp_path):
    path = tmp_path / "t.toml"
    path.write_text("never = ['rain']\n")
    assert read_thresholds(path, BASE, LABELS).never == ["rain"]
    silent = msgspec.structs.replace(BASE, never=["dog"])
    assert read_thresholds(path, silent, LABELS).never == ["rain"]
    path.write_text("on = 0.4\n")
    assert read_thresholds(path, silent, LABELS).never == ["dog"]
    # A threshold for all classes is none for what is no name to be reported.
    card = msgspec.structs.replace(CARD, thresholds=silent)
    assert choose_thresholds(card, ThresholdOptions(threshold=0.1)).never == ["dog"]
