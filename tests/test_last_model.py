"""Who goes on with another model than before is told so, because its labels have other names."""

from datetime import UTC, datetime

import toys
from stores import Run, make_store

from streamclf.store.last_model import describe_other_models

BEGUN = datetime(2026, 11, 20, tzinfo=UTC)


def test_another_model_than_that_of_the_newest_run_is_told(tmp_path):
    runs = [
        Run("yard", BEGUN, 60, model="wide"), Run("yard", BEGUN, 60), Run("hall", BEGUN, 60),
    ]  # fmt: skip
    store = make_store(tmp_path / "heard.db", runs)
    assert describe_other_models(store, [("yard", "wide"), ("hall", "pocket"), ("new", "x")]) == [
        "yard: heard by pocket until now, and by wide from now on, whose labels have other names: "
        "--model pocket goes on as before"
    ]
    (line,) = describe_other_models(store, [(None, "wide")])
    assert line.startswith(f"{store}: heard by pocket until now")
    assert describe_other_models(tmp_path / "none.db", [(None, "wide")]) == []
    (tmp_path / "text.db").write_text("no store" * 200)
    assert describe_other_models(tmp_path / "text.db", [(None, "wide")]) == []


def test_commands_tell_of_it(streamclf, tmp_path, tone_model, piece):
    other = toys.write_tone_detector(tmp_path / "other.onnx", toys.toy_card(name="others"))
    store = tmp_path / "heard.db"
    said = "heard by tones until now, and by others from now on"
    for command in (
        ["file", piece],
        ["listen", "--no-ui", "--source", f"sim:{piece}", "--speed", 0],
    ):
        for model, told in [(tone_model, False), (other, True), (other, False)]:
            done = streamclf(*command, "--store", store, "--model", model)
            assert done.code == 0, done.err
            assert (said in done.err) is told
        store.unlink()


def test_serve_tells_of_it(streamclf, tmp_path, tone_model, piece):
    other = toys.write_tone_detector(tmp_path / "other.onnx", toys.toy_card(name="others"))
    settings = tmp_path / "box.toml"
    settings.write_text(f'[[sources]]\nname = "yard"\nurl = "sim:{piece}"\nspeed = 0\n')
    serve = "serve", "--config", settings, "--store", tmp_path / "heard.db", "--model"
    assert "until now" not in streamclf(*serve, tone_model).err
    told = streamclf(*serve, other).err
    assert "yard: heard by tones until now, and by others from now on" in told
