"""The line of keys, which is made anew only when other keys are to be shown."""

import asyncio
from typing import ClassVar

import pytest
from textual.app import App
from textual.widgets import Footer, Static

from streamclf.dashboard.widgets.key_line import KeyLine


class Part(Static, can_focus=True):
    """Something with keys of its own."""


class Map(Part):
    BINDINGS: ClassVar = [("m", "app.move", "Move")]


class List(Part):
    BINDINGS: ClassVar = [("p", "app.play", "Play")]


class Screen(App):
    """A map, a list, another list, and the line of keys."""

    BINDINGS: ClassVar = [("q", "quit", "Quit")]
    full = False

    def __init__(self, line: Footer) -> None:
        super().__init__()
        self.line = line

    def compose(self):
        yield from (Map("map"), List("list"), List("other"), self.line)

    def check_action(self, action, parameters):
        return None if action == "play" and self.full else True

    def action_play(self): ...

    def action_move(self): ...


def textuals_own() -> Footer:
    return Footer(show_command_palette=False)


def follow(line: Footer) -> tuple[list[object], list[list]]:
    """The last line of the screen, and the widgets in it, after each of some keys."""
    lines, widgets = [], []

    async def run() -> None:
        app = Screen(line)
        async with app.run_test(size=(40, 6)) as pilot:

            async def look() -> None:
                await pilot.pause()
                await pilot.pause()
                lines.append([*app.screen._compositor.render_strips(app.size)[-1]])
                widgets.append([*line.children])

            await look()
            for _ in range(3):
                await pilot.press("tab")
                await look()
            await pilot.press("shift+tab")
            await look()
            app.full = True
            app.refresh_bindings()
            await look()

    asyncio.run(run())
    return lines, widgets


def test_the_line_is_drawn_as_textuals_own():
    ours, theirs = follow(KeyLine()), follow(textuals_own())
    assert ours[0] == theirs[0]
    texts = ["".join(segment.text for segment in line) for line in ours[0]]
    assert [("Move" in text, "Play" in text, "Quit" in text) for text in texts] == [
        (True, False, True), (False, True, True), (False, True, True),
        (True, False, True), (False, True, True), (False, True, True),
    ]  # fmt: skip
    assert ours[0][-1] != ours[0][-2]  # a key that has no meaning now is dim


@pytest.mark.parametrize(("make", "kept"), [(KeyLine, True), (textuals_own, False)])
def test_keys_that_stay_the_same_are_not_made_anew(make, kept):
    _, (_, of_list, of_other, of_map, of_list_again, dim) = follow(make())
    assert (of_list == of_other) is kept
    assert not {*of_other} & {*of_map}
    assert not {*of_map} & {*of_list_again}
    assert not {*of_list_again} & {*dim}
