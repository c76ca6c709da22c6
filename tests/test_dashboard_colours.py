"""The dashboard's colours: in order, few, none, and for eyes that see fewer."""

import itertools

import numpy as np
import pytest
from dashboards import SCENE, Script, drive, heard, make_dashboard, settle, text_of
from rich.color import Color

from streamclf.dashboard.widgets.canvas import SHADES
from streamclf.dashboard.widgets.level import LevelMeter
from streamclf.dashboard.widgets.now import Now
from streamclf.dashboard.widgets.palette import N_SHADES, as_one_of_256, luminance, palette
from streamclf.dashboard.widgets.spectrogram import Spectrogram
from streamclf.dashboard.widgets.timeline import Timeline
from streamclf.dashboard.widgets.waveform import WaveformView

# Machado, Oliveira & Fernandes 2009, severity 1, for linear RGB.
EYES = {
    "usual": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
TELLABLE = 15.0
"""CIE 1976 distance; 2.3 is just noticeable side by side."""


def lab(colour: Color, eye: str) -> np.ndarray:
    """CIE L*a*b* (D65) of what an eye sees."""
    parts = np.array(colour.get_truecolor()) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(EYES[eye]) @ linear, 0, 1)
    ratios = TO_XYZ @ seen / TO_XYZ.sum(axis=1)
    x, y, z = np.where(ratios > 0.008856, np.cbrt(ratios), 7.787 * ratios + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(one: Color, other: Color, eye: str) -> float:
    return float(np.linalg.norm(lab(one, eye) - lab(other, eye)))


def drawn(dark: bool, few: bool) -> list[str]:
    """The palette as the terminal shows it."""
    colours = palette(dark, few=few)
    return [as_one_of_256(colour) for colour in colours] if few else colours


def test_distance_knows_pairs_that_are_hard_to_tell():
    red, green = Color.parse("#b05030"), Color.parse("#70700c")
    assert distance(red, green, "usual") > 40
    assert distance(red, green, "deuteranopia") < TELLABLE


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("dark", [False, True])
def test_palette_is_in_order_for_every_eye(dark, few):
    colours = [Color.parse(c) for c in drawn(dark, few)]
    assert len(colours) == N_SHADES
    for eye in EYES:
        levels = [lab(colour, eye)[0] for colour in colours]
        rising = np.diff(levels if dark else levels[::-1])
        # Simulated, neighbours may change places by less than can be seen.
        assert rising.min() > -2.3
        steps = levels[:: N_SHADES // 4]
        assert min(abs(a - b) for a, b in itertools.combinations(steps, 2)) > 5


@pytest.mark.parametrize("dark", [False, True])
def test_palette_of_few_rises_in_many_steps(dark):
    colours = drawn(dark, few=True)
    assert len(set(colours)) > 10
    levels = [luminance(colour) for colour in colours]
    assert levels == sorted(levels, reverse=not dark)


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light"])
def test_colours_that_mean_different_things_can_be_told_apart(tmp_path, tone_model, theme):
    app = make_dashboard(tmp_path, tone_model, Script(SCENE))

    async def script(pilot):
        app.theme = theme
        await settle(pilot, heard(app, 10))
        now, level = app.query_one(Now), app.query_one(LevelMeter)
        timeline, wave = app.query_one(Timeline), app.query_one(WaveformView)
        event, paper = timeline.part("timeline--event").bgcolor, timeline.rich_style.bgcolor
        pairs = [
            (now.part("now--above").color, now.part("now--below").color),
            (now.part("now--above").color, now.part("now--track").color),
            (level.part("level--rms").color, level.part("level--track").color),
            (level.part("level--rms").color, level.part("level--peak").color),
            (level.part("level--alarm").color, level.part("level--text").color),
            (wave.part("waveform--wave").color, wave.part("waveform--clip").color),
            (wave.part("waveform--wave").color, wave.part("waveform--gap").color),
            (event, paper),
            (event, timeline.part("timeline--gap").color),
        ]
        for (one, other), eye in itertools.product(pairs, EYES):
            assert distance(one, other, eye) > TELLABLE, (one, other, eye)

    drive(app, script, size=(120, 40))


@pytest.mark.parametrize(
    ("environment", "theme", "shaded"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "textual-dark", False),
        ({"TERM": "xterm-256color"}, "textual-dark", False),
        ({"TERM": "screen"}, "ansi-dark", True),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "textual-dark", True),
    ],
)
def test_spectrogram_and_timeline_take_the_colours_that_there_are(
    tmp_path, tone_model, monkeypatch, environment, theme, shaded
):
    for name in ("COLORTERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    app = make_dashboard(tmp_path, tone_model, Script(SCENE))

    async def script(pilot):
        await settle(pilot, heard(app, 10))
        assert app.theme == theme
        few = "COLORTERM" not in environment
        for canvas in (app.query_one(Spectrogram), app.query_one(Timeline)):
            assert canvas.shades == (None if shaded else palette(few=few))
            text = "".join(strip.text for strip in canvas._strips)
            # Loud and quiet, at least, and something in between.
            assert (len(set(text) & set(SHADES[1:])) >= 3) == shaded
        assert "▀" not in text_of(app) or not shaded

    drive(app, script, size=(120, 40))
