"""Where the results of `file` go: files by ending, none lost, none created in vain."""

import toys


def test_outputs_are_written_by_ending(streamclf, scene, tone_model, tmp_path):
    names = ["e.jsonl", "e.csv", "e.txt", "e.selections.txt"]
    outputs = [option for name in names for option in ("--output", tmp_path / name)]
    result = streamclf("file", scene, "--model", tone_model, *outputs)
    assert result.code == 0
    assert (tmp_path / "e.jsonl").read_text() == result.out
    rows = (tmp_path / "e.csv").read_text().splitlines()
    assert rows[0] == "type,source,label,onset,offset,score,time,utc_offset"
    assert len(rows) == 4
    labels = [line.split("\t") for line in (tmp_path / "e.txt").read_text().splitlines()]
    assert [label for _, _, label in labels] == ["quiet", "middle", "quiet"]
    assert (tmp_path / "e.selections.txt").read_text().startswith("Selection\tView\t")


def test_an_output_that_exists_is_kept(streamclf, scene, tone_model, tmp_path):
    output = tmp_path / "e.csv"
    output.write_text("precious")
    arguments = ["file", scene, "--model", tone_model, "--output", output]
    result = streamclf(*arguments)
    assert result.code == 2
    assert "exists already: add --overwrite to replace it" in result.err
    assert output.read_text() == "precious"
    assert streamclf(*arguments, "--overwrite").code == 0
    assert output.read_text().startswith("type,source")


def test_an_output_that_exists_is_told_with_the_ways_to_go_on(
    streamclf, scene, tone_model, tmp_path
):
    """Each way that is told is taken by the command that told it."""
    output, stats = tmp_path / "e.csv", tmp_path / "s.json"
    live = ("listen", "--source", f"sim:{scene}", "--speed", 0, "--no-ui", "--model", tone_model)
    for run, way in [(live, "--append"), (("file", scene, "--model", tone_model), "--resume")]:
        output.unlink(missing_ok=True)
        assert streamclf(*run, "-o", output).code == 0
        again = streamclf(*run, "-o", output)
        assert again.code == 2
        assert f"to replace it, {way} to " in again.err
        assert streamclf(*run, "-o", output, way).code == 0
    stats.write_text("{}")
    for run in (live, ("file", scene, "--model", tone_model)):
        told = streamclf(*run, "--stats", stats).err
        assert "s.json: exists already: add --overwrite to replace it, or name another" in told


def test_audacity_labels_of_several_recordings_need_a_name_each(
    streamclf, write_wav, tone_model, tmp_path
):
    paths = [write_wav(toys.tone(440, 2), f"{name}.wav") for name in "ab"]
    arguments = ["file", *paths, "--model", tone_model, "--output"]
    refused = streamclf(*arguments, tmp_path / "all.txt")
    assert refused.code == 2
    assert "put {stem} into the name" in refused.err
    assert streamclf(*arguments, tmp_path / "{stem}.txt").code == 0
    for name in "ab":
        assert (tmp_path / f"{name}.txt").read_text() == "0.000000\t2.000000\tlow\n"


def test_output_names_that_would_collide_are_refused(streamclf, write_wav, tone_model, tmp_path):
    paths = [write_wav(toys.tone(440, 2), f"{name}/x.wav") for name in "ab"]
    arguments = ["file", *paths, "--model", tone_model, "--output"]
    result = streamclf(*arguments, tmp_path / "{stem}.csv")
    assert result.code == 2
    assert "would share" in result.err
    assert streamclf(*arguments, "{dir}/{stem}.csv").code == 0
    assert (tmp_path / "a" / "x.csv").exists()
    beside = (paths[0], write_wav(toys.tone(440, 2), "a/x.flac"))
    arguments = ["file", *beside, "--model", tone_model, "--output"]
    result = streamclf(*arguments, "{dir}/{stem}.csv")
    assert result.err.strip().endswith("the name with its ending, as in '{dir}/{name}.csv'")
    assert streamclf(*arguments, "{dir}/{name}.csv").code == 0
    assert (tmp_path / "a" / "x.flac.csv").exists()


def test_no_output_is_created_when_another_one_cannot_be(
    streamclf, write_wav, tone_model, tmp_path
):
    paths = [write_wav(toys.tone(440, 2), f"{name}.wav") for name in "ab"]
    (tmp_path / "b.csv").write_text("precious")
    new = tmp_path / "new.csv"
    arguments = ["file", *paths, "--model", tone_model, "--output", new]
    for more in (["--output", tmp_path / "{stem}.csv"], ["--scores", tmp_path / "b.csv"]):
        result = streamclf(*arguments, *more)
        assert result.code == 2
        assert f"{tmp_path / 'b.csv'}: exists already" in result.err
    result = streamclf(*arguments, "--scores", new)
    assert result.code == 2
    assert "is named twice" in result.err
    assert not new.exists()
    assert not (tmp_path / "a.csv").exists()
    assert (tmp_path / "b.csv").read_text() == "precious"


def test_formats_of_standard_output(streamclf, scene, tone_model):
    result = streamclf("file", scene, "--model", tone_model, "--format", "text")
    assert result.out.splitlines()[0] == str(scene)
    assert "middle" in result.out.splitlines()[2]
    csv = streamclf("file", scene, "--model", tone_model, "--format", "csv")
    assert csv.out.startswith("type,source,label")
