"""SQL statements by which a stream's sink writes its rows.

Each row is found by names that the sink knows, such as the token of its run, and by no number of a
row: so a statement that waited can be written into a new store as well.
"""

from __future__ import annotations

from streamclf.store.writers import CLOSE_EVENTS

OUTDATE_RECORDING = """
UPDATE runs SET state = 'cut'
WHERE state = 'ended' AND recording_id = (
    SELECT id FROM recordings
    WHERE path = :path AND (bytes != :bytes OR modified_us != :modified_us)
)"""
"""Marks the runs of a recording as cut if its file has changed since it was heard."""
UPSERT_RECORDING = """
INSERT INTO recordings (path, bytes, modified_us) VALUES (:path, :bytes, :modified_us)
ON CONFLICT (path) DO UPDATE SET bytes = excluded.bytes, modified_us = excluded.modified_us"""
UPSERT_MODEL = """
INSERT INTO models (name, version, sha256, display_names, broader, sureness)
VALUES (:name, :version, :sha256, :display_names, :broader, :sureness)
ON CONFLICT (sha256) DO UPDATE SET
    broader = CASE broader WHEN '{}' THEN excluded.broader ELSE broader END,
    sureness = CASE sureness WHEN '{}' THEN excluded.sureness ELSE sureness END
WHERE broader = '{}' OR sureness = '{}'"""
"""A store of an earlier version does not know yet which labels are broader, or how sure scores are.
"""
_RUN = "(SELECT id FROM runs WHERE token = :run)"
INSERT_RUN = """
INSERT INTO runs (token, source_id, model_id, recording_id, writer, sample_rate, first_position,
                  begun_us, utc_offset_min, state)
VALUES (:run, (SELECT id FROM sources WHERE name = :source),
        (SELECT id FROM models WHERE sha256 = :sha256),
        (SELECT id FROM recordings WHERE path = :path),
        :writer, :sample_rate, :first_position, :begun_us, :utc_offset_min, 'open')"""
UPSERT_SOURCE = """
INSERT INTO sources (name, calibration_db) VALUES (:name, :calibration_db)
ON CONFLICT (name) DO UPDATE SET calibration_db = excluded.calibration_db
WHERE excluded.calibration_db IS NOT NULL"""
COUNT_RUN = """
UPDATE runs SET first_position = :first, elapsed_samples = :elapsed, heard_samples = :heard,
                gap_samples = :gap, rows_lost = :lost, begun_us = :begun_us,
                utc_offset_min = :utc_offset_min
WHERE token = :run"""
UPSERT_EVENT = f"""
INSERT INTO events (run_id, source_id, label, onset_us, offset_us, utc_offset_min, began_us, score,
                    highest_score, onset, offset, short, state)
VALUES ({_RUN}, (SELECT source_id FROM runs WHERE token = :run), :label, :onset_us, :offset_us,
        :utc_offset_min, :began_us, :score, :highest_score, :onset, :offset, :short, :state)
ON CONFLICT (run_id, label, onset) DO UPDATE SET
    onset_us = excluded.onset_us, offset_us = excluded.offset_us,
    highest_score = excluded.highest_score, offset = excluded.offset, short = excluded.short,
    state = excluded.state"""
INSERT_GAP = f"""
INSERT INTO gaps (run_id, position, n_samples, begun_us, cause)
VALUES ({_RUN}, :position, :n_samples, :begun_us, :cause)"""
UPSERT_MINUTE = f"""
INSERT INTO levels (run_id, position, minute_us, utc_offset_min, heard_samples,
                    laeq, lamax, la10, la50, la90, zeq)
VALUES ({_RUN}, :position, :minute_us, :utc_offset_min, :heard,
        :laeq, :lamax, :la10, :la50, :la90, :zeq)
ON CONFLICT (run_id, position) DO UPDATE SET
    heard_samples = excluded.heard_samples, laeq = excluded.laeq, lamax = excluded.lamax,
    la10 = excluded.la10, la50 = excluded.la50, la90 = excluded.la90, zeq = excluded.zeq"""
LEVELS = ("laeq", "lamax", "la10", "la50", "la90", "zeq")
CUT_EVENTS = f"{CLOSE_EVENTS} AND run_id = {_RUN}"
END_RUN = "UPDATE runs SET state = :state WHERE token = :run"
_OLDER = f"""
SELECT id FROM runs
WHERE recording_id = (SELECT recording_id FROM runs WHERE token = :run)
  AND model_id = (SELECT model_id FROM runs WHERE token = :run)
  AND state != 'open' AND id != {_RUN}"""
DELETE_OLDER_RUNS = f"DELETE FROM runs WHERE id IN ({_OLDER})"
_SAME_EVENT = f"""
SELECT new.id FROM events AS old JOIN events AS new
    ON new.run_id = {_RUN} AND new.label = old.label AND new.onset = old.onset
WHERE old.id = reviews.event_id"""
MOVE_REVIEWS = f"""
UPDATE reviews SET event_id = ({_SAME_EVENT})
WHERE event_id IN (SELECT id FROM events WHERE run_id IN ({_OLDER})) AND EXISTS ({_SAME_EVENT})"""
"""What somebody said of an event holds for the same event of a recording that is heard again."""
KEEP_CLIPS = f"""
UPDATE clips SET kept = 1 WHERE event_id IN (
    SELECT new.id FROM clips AS before JOIN events AS old ON old.id = before.event_id
    JOIN events AS new ON new.run_id = {_RUN} AND new.label = old.label AND new.onset = old.onset
    WHERE before.kept AND old.run_id IN ({_OLDER}))"""
_SAME_EVENT_OF_CLIP = _SAME_EVENT.replace("reviews.", "clips.")
MOVE_CLIPS = f"""
UPDATE OR IGNORE clips SET event_id = ({_SAME_EVENT_OF_CLIP})
WHERE event_id IN (SELECT id FROM events WHERE run_id IN ({_OLDER}))
  AND EXISTS ({_SAME_EVENT_OF_CLIP})"""
"""A clip that was not written again belongs to the same event of the recording heard again."""
