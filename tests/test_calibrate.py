"""The command `calibrate`: the offset of a calibrator's tone, and what it refuses."""

from __future__ import annotations

import re

import numpy as np
import pytest

from streamclf.checks.calibration import calibrate
from streamclf.core.errors import CalibrationError
from streamclf.core.records import Block, Gap
from streamclf.sources.array import ArraySource
from streamclf.sources.base import Source

RATE = 48_000


def tone(
    level_dbfs: float = -23.3, frequency: float = 1000.0, seconds: float = 7.0, rate: int = RATE
) -> np.ndarray:
    times = np.arange(round(seconds * rate)) / rate
    return 10 ** (level_dbfs / 20) * np.sin(2 * np.pi * frequency * times)


def noise(level_dbfs: float, seconds: float = 7.0) -> np.ndarray:
    """White noise, whose level is that of a sine of the same energy."""
    waveform = np.random.default_rng(1).standard_normal(round(seconds * RATE))
    return 10 ** (level_dbfs / 20) / np.sqrt(2) * waveform


@pytest.fixture
def calibrated(streamclf, write_wav):
    """Runs the command on a made microphone."""

    def run(waveform: np.ndarray, *arguments: object, rate: int = RATE, faults: str = ""):
        path = write_wav(waveform.T, "tone.wav", rate, subtype="FLOAT")
        source = ["--source", f"sim:{path}{faults}", "--speed", 0]
        return streamclf("calibrate", *source, *arguments)

    return run


def refusal(result) -> str:
    """The one line of an error, with an exit code of 1 and without a result."""
    assert (result.code, result.out) == (1, "")
    line = result.err.splitlines()[-1]
    assert line.startswith("streamclf: error: ")
    return line.partition("tone.wav: ")[2]


@pytest.mark.parametrize(
    ("level", "frequency", "rate"),
    [
        (94, 1000, 48_000),
        (114, 1000, 16_000),
        (94, 250, 44_100),
        (114, 250, 8000),
        (94, 980, 48_000),
    ],
)
def test_the_offset_is_the_stated_level_less_the_measured_one(calibrated, level, frequency, rate):
    """At every frequency: a calibrator's level is stated without a weighting."""
    result = calibrated(tone(-23.3, frequency, rate=rate), "--level", level, rate=rate)
    assert result.code == 0
    (key, offset) = re.fullmatch(r"(calibration-db) = ([\d.-]+)\n", result.out).groups()
    assert key == "calibration-db"
    assert float(offset) == pytest.approx(level + 23.3, abs=0.1)
    assert f"a tone of {frequency} Hz at -23.3 dBFS" in result.err
    assert f"{level} dB SPL are {offset} dB above that" in result.err


def test_ninety_four_decibels_are_the_usual_level(calibrated):
    assert calibrated(tone(-30)).out == calibrated(tone(-30), "--level", 94).out
    assert calibrated(tone(-30)).out == "calibration-db = 124.0\n"


def test_a_channel_is_calibrated_by_itself(calibrated):
    both = np.stack([tone(-40), tone(-20)])
    assert calibrated(both, "--channel", 2).out == "calibration-db = 114.0\n"
    assert calibrated(both, "--channel", 1).out == "calibration-db = 134.0\n"


def test_a_quiet_room_hum_and_an_offset_do_no_harm(calibrated):
    """What the A-weighting leaves of hum is little, and a beginning is left out."""
    waveform = tone(-23.3) + noise(-60) + tone(-30, 50) + 0.1
    waveform[: RATE // 4] *= 0.1
    assert calibrated(waveform).out == "calibration-db = 117.3\n"


def test_the_measurement_lasts_as_long_as_is_asked(calibrated):
    result = calibrated(tone(seconds=2.6), "--seconds", 2)
    assert result.code == 0
    assert "for 2.5 s: the calibrator must sound at 94 dB all the while" in result.err
    assert calibrated(tone(seconds=2.6), "--seconds", 5, "--loop").code == 0


def test_silence_is_refused(calibrated):
    for waveform, level in [(0 * tone(), "-160.0"), (tone(-85), "-85.0")]:
        assert refusal(calibrated(waveform)) == (
            f"hears {level} dBFS, a calibrator's tone must reach -80 dBFS: switch the calibrator "
            "on, put it over the microphone, and raise the input's volume if it is low"
        )


def test_a_tone_that_is_cut_off_is_refused(calibrated):
    message = refusal(calibrated(np.clip(tone(3), -1, 1)))
    assert message.startswith("samples reach 1.000 of full scale, the limit is 0.999")
    assert calibrated(tone(-0.1)).code == 0


def test_a_tone_that_was_cut_off_before_it_came_is_refused(calibrated):
    """An amplifier's clipping shows in its harmonics."""
    message = refusal(calibrated(np.clip(tone(-6), -0.2, 0.2)))
    assert re.match(r"9[0-4] % of the sound is one tone \(1000 Hz\), the limit is 95 %: ", message)


def test_a_tone_that_moves_is_refused(calibrated):
    waveform = tone()
    assert calibrated(waveform * np.linspace(1, 1.05, waveform.size)).code == 0
    message = refusal(calibrated(waveform * np.linspace(1, 1.2, waveform.size)))
    assert message.startswith("the level moves by 1.1 dB, the limit is 0.5 dB: hold")
    waveform[5 * RATE :] = 0
    assert re.match(r"the level moves by 1\d\.\d dB, ", refusal(calibrated(waveform)))


def test_noise_and_two_tones_are_refused(calibrated):
    assert re.match("[12] % of the sound is one tone", refusal(calibrated(noise(-30))))
    message = refusal(calibrated(tone(-23) + tone(-26, 1500)))
    assert message.startswith("62 % of the sound is one tone (1000 Hz), the limit is 95 %: ")


def test_a_source_that_ends_too_soon_is_refused(calibrated):
    assert refusal(calibrated(tone(seconds=3))) == (
        "ended after 3.0 s, calibrate needs 5.5 s: give it more audio, or take fewer --seconds"
    )
    with pytest.raises(CalibrationError, match=r"ended after 0\.0 s, calibrate needs 5\.5 s"):
        calibrate(ArraySource(np.zeros((1, 0), np.float32), RATE), 94.0, 5.0)


def test_missing_audio_is_refused(calibrated):
    message = refusal(calibrated(tone(), faults="?overflow=2,0.3"))
    assert message.startswith("0.30 s are missing (overflow), none may be: ")


def test_another_sample_rate_in_between_is_refused():
    class Changing(Source):
        name = "usb"

        def blocks(self, sample_rate):
            assert sample_rate == RATE
            yield Block(0, tone(seconds=2).astype(np.float32)[np.newaxis], RATE)
            yield Block(32_000, tone(rate=16_000).astype(np.float32)[np.newaxis], 16_000)

    with pytest.raises(CalibrationError, match="the sample rate changed from 48000 to 16000 Hz"):
        calibrate(Changing(), 94.0, 5.0)


def test_a_lost_source_is_refused_and_not_waited_for():
    class Lost(Source):
        name = "usb"

        def blocks(self, sample_rate):
            yield Block(0, tone(seconds=2).astype(np.float32)[np.newaxis], RATE)
            yield Gap(2 * RATE, 100, RATE, "device lost")
            raise AssertionError("it is read on")

    with pytest.raises(CalibrationError, match=r"usb: 0\.00 s are missing \(device lost\)"):
        calibrate(Lost(), 94.0, 5.0)


@pytest.mark.parametrize("arguments", [["--device", "usb"], ["--source", "rtsp://host/cam"]])
def test_nobody_waits_for_a_lost_source_with_a_calibrator_in_hand(
    streamclf, monkeypatch, arguments
):
    opened = []

    def open_source(options, channel):
        opened.append(options.reconnect)
        return ArraySource(tone(-20).astype(np.float32)[np.newaxis], RATE)

    monkeypatch.setattr("streamclf.cli.calibrate.open_source", open_source)
    assert streamclf("calibrate", *arguments).out == "calibration-db = 114.0\n"
    assert opened == [False]


def test_notices_of_the_source_are_told(streamclf, write_wav):
    broken = tone(-23.3)
    broken[RATE // 4] = np.nan
    path = write_wav(broken, "tone.wav", RATE, subtype="FLOAT")
    result = streamclf("calibrate", "--source", f"sim:{path}", "--speed", 0)
    assert result.out == "calibration-db = 117.3\n"
    assert "streamclf: warning: samples that are no audio (NaN, Inf or above 2^32)" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--level", 940], "--level 940: must be 50 to 150 dB"),
        (["--level", "nan"], "--level nan: must be 50 to 150 dB"),
        (["--seconds", 0.5], "--seconds 0.5: must be 1 to 60 seconds"),
        (["--seconds", 1e9], "--seconds 1e+09: must be 1 to 60 seconds"),
        (["--channel", 3], "channel 3 was asked for, the audio has 1"),
        (["--channel", 0], "--channel 0: channels count from 1"),
    ],
)
def test_values_that_make_no_sense_are_refused(calibrated, arguments, message):
    result = calibrated(tone(seconds=1), *arguments)
    assert result.code in (1, 2)
    assert message in result.err
    assert len(result.err.splitlines()) == 1


def test_the_library_measures_an_array():
    found = calibrate(ArraySource(tone(-20).astype(np.float32)[np.newaxis], RATE), 94.0, 3.0)
    assert found.offset_db == pytest.approx(114.0, abs=0.01)
    assert found.frequency_hz == pytest.approx(1000, abs=0.01)
    assert found.spread_db < 0.01
    assert found.duration_s == 3.0
