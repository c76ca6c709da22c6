"""A frame draws what has changed, and lays nothing out anew."""

from dashboards import SCENE, Script, drive, heard, make_dashboard, settle, text_of
from textual.widget import Widget

from streamclf.dashboard.widgets.header import StatusHeader


def test_a_frame_draws_only_what_has_changed(tmp_path, tone_model, monkeypatch):
    app = make_dashboard(tmp_path, tone_model, Script(SCENE))
    drawn = []
    refresh = Widget.refresh

    def note(widget, *regions, layout=False, **options):
        drawn.append((type(widget), layout))
        return refresh(widget, *regions, layout=layout, **options)

    async def script(pilot):
        await settle(pilot, heard(app, 10))
        monkeypatch.setattr(Widget, "refresh", note)
        app.draw()
        app.draw()
        assert drawn == []
        await pilot.press("space")
        await settle(pilot)
        assert "view frozen" in text_of(app)
        assert (StatusHeader, False) in drawn
        assert (StatusHeader, True) not in drawn

    drive(app, script)
