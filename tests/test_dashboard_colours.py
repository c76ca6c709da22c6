"""The dashboard's colours: in order, few, none, and for eyes that see fewer."""

import itertools

import numpy as np
import pytest
from dashboards import SCENE, Script, drive, heard, make_dashboard, settle, text_of
from rich.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from streamclf.dashboard.widgets import palette as palette_module
from streamclf.dashboard.widgets.canvas import SHADES
from streamclf.dashboard.widgets.current_labels import Now
from streamclf.dashboard.widgets.level import LevelMeter
from streamclf.dashboard.widgets.palette import N_SHADES, Tones, as_one_of_256, luminance, palette
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


def drawn(theme: Theme, few: bool) -> list[str]:
    """A theme's palette as the terminal shows it."""
    colours = palette(tones_of(theme), dark=theme.dark, few=few)
    return [as_one_of_256(colour) for colour in colours] if few else colours


def tones_of(theme: Theme) -> Tones:
    named = theme.to_color_system().generate()
    return Tones(named["background"], named["primary"], named["warning"])


THEMES = list(BUILTIN_THEMES.values())
themes = pytest.mark.parametrize("theme", THEMES, ids=[theme.name for theme in THEMES])


def test_distance_knows_pairs_that_are_hard_to_tell():
    red, green = Color.parse("#b05030"), Color.parse("#70700c")
    assert distance(red, green, "usual") > 40
    assert distance(red, green, "deuteranopia") < TELLABLE


@pytest.mark.parametrize("few", [False, True])
@themes
def test_palette_is_in_order_for_every_eye(theme, few):
    colours = [Color.parse(c) for c in drawn(theme, few)]
    assert len(colours) == N_SHADES
    for eye in EYES:
        levels = [lab(colour, eye)[0] for colour in colours]
        rising = np.diff(levels if theme.dark else levels[::-1])
        # Simulated, neighbours may change places by less than can be seen.
        assert rising.min() > -2.3
        steps = levels[:: N_SHADES // 4]
        assert min(abs(a - b) for a, b in itertools.combinations(steps, 2)) > 5


@themes
def test_palette_of_few_rises_in_many_steps(theme):
    colours = drawn(theme, few=True)
    assert len(set(colours)) > 9
    levels = [luminance(colour) for colour in colours]
    assert levels == sorted(levels, reverse=not theme.dark)


@themes
def test_palette_begins_at_the_themes_background_and_goes_through_its_hues(theme):
    tones = tones_of(theme)
    tones = tones if tones.known else palette_module.USUAL[theme.dark]
    colours = [Color.parse(c) for c in drawn(theme, few=False)]
    assert distance(colours[0], Color.parse(tones.silent), "usual") < 2.3
    for colour, tone in [(colours[16], tones.middle), (colours[-1], tones.loud)]:
        seen, wanted = lab(colour, "usual")[1:], lab(Color.parse(tone), "usual")[1:]
        # The hue is the theme's, its strength what fits the lightness.
        assert np.dot(seen, wanted) >= 0.85 * np.linalg.norm(seen) * np.linalg.norm(wanted)


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
            themed = palette(tones_of(BUILTIN_THEMES[theme]), few=few)
            assert canvas.shades == (None if shaded else themed)
            text = "".join(strip.text for strip in canvas._strips)
            # Loud and quiet, at least, and something in between.
            assert (len(set(text) & set(SHADES[1:])) >= 3) == shaded
        assert "▀" not in text_of(app) or not shaded

    drive(app, script, size=(120, 40))


@pytest.mark.parametrize("theme", ["textual-light", "solarized-light", "dracula"])
def test_spectrogram_and_timeline_follow_the_theme_at_once(tmp_path, tone_model, theme):
    app = make_dashboard(tmp_path, tone_model, Script(SCENE))

    async def script(pilot):
        await settle(pilot, heard(app, 10))
        app.theme = theme
        await settle(pilot)
        expected = set(palette(tones_of(BUILTIN_THEMES[theme]), dark=BUILTIN_THEMES[theme].dark))
        for canvas in (app.query_one(Spectrogram), app.query_one(Timeline)):
            painted = {
                segment.style.bgcolor.get_truecolor().hex
                for strip in canvas._strips for segment in strip
                if segment.style and segment.style.bgcolor
            }  # fmt: skip
            assert len(painted & expected) > 3

    drive(app, script, size=(120, 40))
