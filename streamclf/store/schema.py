"""The tables of the store, and the steps from each of its versions to the next.

All times are microseconds since 1970-01-01 UTC; ``utc_offset_min`` beside them is the place's
offset from UTC in minutes, by which local days and hours are told. They are NULL where nothing
tells the time, such as in a recording without a date. Positions and lengths are in samples at the
run's ``sample_rate``. They are exact, and stand beside the times.

A rule holds after each transaction: in each run, the ``heard_samples`` of its `levels` add up to
its ``heard_samples``, the ``n_samples`` of its `gaps` to its ``gap_samples``, and both together
to its ``elapsed_samples``.
"""

from __future__ import annotations

LOCAL_HOUR = "(onset_us / 60000000 + coalesce(utc_offset_min, 0)) / 60"
"""Hours from 1970-01-01 to an event's onset by the place's own clock. SQLite takes an index of an
expression only where a query has the same expression, so all write it by this name."""
LOCAL_HOUR_OF_MINUTE = LOCAL_HOUR.replace("onset_us", "minute_us")
"""The same of a row in `levels`."""

APPLICATION_ID = 0x73636C66
"""Number in the file's header, ``sclf``, by which ``file`` and streamclf tell a store."""

_VERSION_1 = f"""
CREATE TABLE sources (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,          -- a microphone's, a stream's, or a folder of recordings
    calibration_db REAL                 -- added to dBFS for dB SPL; NULL: levels are dBFS
);
CREATE TABLE models (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    sha256 TEXT NOT NULL UNIQUE,
    display_names TEXT NOT NULL DEFAULT '{{}}'    -- JSON object: label -> name shown to people
);
CREATE TABLE recordings (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,          -- absolute
    bytes INTEGER NOT NULL,
    modified_us INTEGER NOT NULL
);
CREATE TABLE runs (                     -- one model over one stream, from its begin to its end
    id INTEGER PRIMARY KEY,
    token TEXT NOT NULL UNIQUE,         -- its name; live, that behind the @ in ids of events
    source_id INTEGER NOT NULL REFERENCES sources,
    model_id INTEGER NOT NULL REFERENCES models,
    recording_id INTEGER REFERENCES recordings,   -- NULL: live
    writer TEXT NOT NULL,               -- the process that writes it; import: it is from lines
    sample_rate INTEGER NOT NULL,       -- in Hz, of all positions and lengths of the run
    first_position INTEGER NOT NULL,
    begun_us INTEGER,                   -- when its first sample sounded
    utc_offset_min INTEGER,
    elapsed_samples INTEGER NOT NULL DEFAULT 0,
    heard_samples INTEGER NOT NULL DEFAULT 0,
    gap_samples INTEGER NOT NULL DEFAULT 0,
    rows_lost INTEGER NOT NULL DEFAULT 0,         -- events that could not be written in time
    state TEXT NOT NULL CHECK (state IN ('open', 'ended', 'cut'))
                                        -- open: it goes on; cut: its process was killed, or its
                                        -- recording not heard to its end, or nothing says that
);
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    source_id INTEGER NOT NULL REFERENCES sources,
    label TEXT NOT NULL,
    onset_us INTEGER,
    offset_us INTEGER,                  -- NULL: it still sounds, or the time is unknown
    utc_offset_min INTEGER,
    began_us INTEGER,                   -- when its begin was known; NULL in recordings
    score REAL NOT NULL,                -- when it began
    highest_score REAL NOT NULL,
    onset INTEGER NOT NULL,             -- position of its first sample
    offset INTEGER,                     -- position after its last sample; NULL: it still sounds
    short INTEGER NOT NULL DEFAULT 0,   -- found in audio shorter than the model's window
    state TEXT NOT NULL CHECK (state IN ('open', 'ended', 'cut')),   -- cut: it ends with its run
    UNIQUE (run_id, label, onset)
);
CREATE INDEX events_by_onset ON events (onset_us);
CREATE INDEX events_by_label ON events     -- holds all that `heard` counts, and so does the next
    (label, onset_us, source_id, run_id, utc_offset_min, offset_us, highest_score);
CREATE INDEX events_by_hour ON events
    ({LOCAL_HOUR}, run_id, onset_us, utc_offset_min, offset_us, highest_score);
CREATE INDEX events_cut ON events (onset_us) WHERE state = 'cut';
CREATE INDEX events_open ON events (run_id) WHERE state = 'open';
CREATE TABLE gaps (                     -- audio that is known to be missing
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    position INTEGER NOT NULL,
    n_samples INTEGER NOT NULL,
    begun_us INTEGER,
    cause TEXT NOT NULL                 -- one or two words: overflow, device lost, ...
);
CREATE INDEX gaps_by_run ON gaps (run_id, position);
CREATE INDEX gaps_by_time ON gaps (begun_us);
CREATE TABLE levels (                   -- a row a minute in which something was heard
    run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    position INTEGER NOT NULL,          -- of the first sample
    minute_us INTEGER,                  -- the local clock's full minute
    utc_offset_min INTEGER,
    heard_samples INTEGER NOT NULL,
    laeq REAL, lamax REAL, la10 REAL, la50 REAL, la90 REAL, zeq REAL,   -- dB re full scale
    PRIMARY KEY (run_id, position)
) WITHOUT ROWID;
CREATE INDEX levels_by_minute ON levels (minute_us);
CREATE INDEX levels_by_hour ON levels
    ({LOCAL_HOUR_OF_MINUTE}, run_id, minute_us, utc_offset_min, heard_samples);
CREATE TABLE clips (                    -- a row outlives its file
    id INTEGER PRIMARY KEY,
    event_id INTEGER NOT NULL UNIQUE REFERENCES events ON DELETE CASCADE,
    folder TEXT NOT NULL,               -- of the clips, absolute
    path TEXT NOT NULL,                 -- below that folder
    bytes INTEGER NOT NULL,
    written_us INTEGER NOT NULL,
    kept INTEGER NOT NULL DEFAULT 0,    -- somebody wants it kept
    gone_us INTEGER,                    -- when its file went; NULL: it is there
    gone_why TEXT                       -- 'limit', 'age', 'deleted' (by somebody)
);
CREATE INDEX clips_there ON clips (written_us) WHERE gone_us IS NULL;
CREATE TABLE reviews (                  -- what somebody said of an event; the newest row counts
    id INTEGER PRIMARY KEY,
    event_id INTEGER NOT NULL REFERENCES events ON DELETE CASCADE,
    reviewed_us INTEGER NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('right', 'wrong')),
    label TEXT                          -- what it was, where somebody said so
);
CREATE INDEX reviews_by_event ON reviews (event_id, reviewed_us);
CREATE TABLE messages (                 -- what rules told
    id INTEGER PRIMARY KEY,
    token TEXT NOT NULL UNIQUE,         -- its identifier for those who receive it
    rule TEXT NOT NULL,
    occasion TEXT NOT NULL CHECK (occasion IN ('begin', 'ongoing', 'end', 'quiet', 'test')),
    source TEXT NOT NULL,               -- its name
    label TEXT NOT NULL,
    event TEXT,                         -- identifier of the event; NULL: of quiet
    told_us INTEGER NOT NULL,
    body TEXT NOT NULL                  -- JSON: all that it says
);
CREATE INDEX messages_by_rule ON messages (rule, told_us);
CREATE INDEX messages_by_time ON messages (told_us);
CREATE TABLE deliveries (               -- a row for each target of a message
    message_id INTEGER NOT NULL REFERENCES messages ON DELETE CASCADE,
    target TEXT NOT NULL,               -- its name in the settings
    state TEXT NOT NULL CHECK (state IN ('waiting', 'sent', 'failed')),
    tries INTEGER NOT NULL DEFAULT 0,
    settled_us INTEGER,                 -- when it was sent or given up; NULL: it waits
    reason TEXT,                        -- of the last failure, without secrets
    PRIMARY KEY (message_id, target)
) WITHOUT ROWID;
CREATE INDEX deliveries_waiting ON deliveries (target, message_id) WHERE state = 'waiting';
"""

_VERSION_2 = """
ALTER TABLE models ADD COLUMN
    broader TEXT NOT NULL DEFAULT '{}'; -- JSON object: label -> labels broader by one step
"""

_VERSION_3 = """
ALTER TABLE models ADD COLUMN
    sureness TEXT NOT NULL DEFAULT '{}'; -- JSON object: label -> scores of likely and of sure
"""

MIGRATIONS = (_VERSION_1, _VERSION_2, _VERSION_3)
"""Statements that lead from version ``i`` of the store to ``i + 1``; version 0 is an empty file."""

VERSION = len(MIGRATIONS)
"""Version of the store that this streamclf writes, in the file's ``user_version``."""
