BEGIN TRANSACTION;
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
INSERT INTO "clips" VALUES(1,1,'/heard','dog/a.flac',99,1,1,NULL,NULL);
CREATE TABLE deliveries (               -- a row for each target of a message
    message_id INTEGER NOT NULL REFERENCES messages ON DELETE CASCADE,
    target TEXT NOT NULL,               -- its name in the settings
    state TEXT NOT NULL CHECK (state IN ('waiting', 'sent', 'failed')),
    tries INTEGER NOT NULL DEFAULT 0,
    settled_us INTEGER,                 -- when it was sent or given up; NULL: it waits
    reason TEXT,                        -- of the last failure, without secrets
    PRIMARY KEY (message_id, target)
) WITHOUT ROWID;
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
INSERT INTO "events" VALUES(1,1,1,'dog',1782880250000000,1782880250500000,0,1795750354594827,0.7,0.7,0,500,0,'ended');
INSERT INTO "events" VALUES(2,1,1,'dog',1782880251500000,1782880252000000,0,1795750354594923,0.7,0.7,1500,2000,0,'ended');
INSERT INTO "events" VALUES(3,2,1,'cat',1782880251000000,NULL,0,1795750354595070,0.6,0.6,1000,NULL,0,'open');
CREATE TABLE gaps (                     -- audio that is known to be missing
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    position INTEGER NOT NULL,
    n_samples INTEGER NOT NULL,
    begun_us INTEGER,
    cause TEXT NOT NULL                 -- one or two words: overflow, device lost, ...
);
INSERT INTO "gaps" VALUES(1,1,1000,500,1782880251000000,'overflow');
CREATE TABLE levels (                   -- a row a minute in which something was heard
    run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    position INTEGER NOT NULL,          -- of the first sample
    minute_us INTEGER,                  -- the local clock's full minute
    utc_offset_min INTEGER,
    heard_samples INTEGER NOT NULL,
    laeq REAL, lamax REAL, la10 REAL, la50 REAL, la90 REAL, zeq REAL,   -- dB re full scale
    PRIMARY KEY (run_id, position)
) WITHOUT ROWID;
INSERT INTO "levels" VALUES(1,0,1782880200000000,0,2000,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "levels" VALUES(2,0,1782880200000000,0,2500,NULL,NULL,NULL,NULL,NULL,NULL);
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
CREATE TABLE models (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    sha256 TEXT NOT NULL UNIQUE,
    display_names TEXT NOT NULL DEFAULT '{}'    -- JSON object: label -> name shown to people
, broader TEXT NOT NULL DEFAULT '{}', sureness TEXT NOT NULL DEFAULT '{}');
INSERT INTO "models" VALUES(1,'unknown','','4c5b832482cb7cfb6ee1586012d5aa48a335bc1b00bffae8b63c59f058fe0dda','{}','{"dog": ["animal"]}','{"dog": [0.5, 0.7]}');
CREATE TABLE recordings (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,          -- absolute
    bytes INTEGER NOT NULL,
    modified_us INTEGER NOT NULL
);
INSERT INTO "recordings" VALUES(1,'/data/a.wav',44,1);
CREATE TABLE reviews (                  -- what somebody said of an event; the newest row counts
    id INTEGER PRIMARY KEY,
    event_id INTEGER NOT NULL REFERENCES events ON DELETE CASCADE,
    reviewed_us INTEGER NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('right', 'wrong')),
    label TEXT                          -- what it was, where somebody said so
);
INSERT INTO "reviews" VALUES(1,1,2,'right',NULL);
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
INSERT INTO "runs" VALUES(1,'r1',1,1,NULL,'20261127T033234Z-80802fd5',1000,0,1782880250000000,0,2500,2000,500,0,'ended');
INSERT INTO "runs" VALUES(2,'r2',1,1,NULL,'20261127T033234Z-80802fd5',1000,0,1782880250000000,0,2500,2500,0,0,'open');
INSERT INTO "runs" VALUES(3,'r3',1,1,1,'x',8000,0,NULL,NULL,0,0,0,0,'ended');
CREATE TABLE sources (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,          -- a microphone's, a stream's, or a folder of recordings
    calibration_db REAL                 -- added to dBFS for dB SPL; NULL: levels are dBFS
);
INSERT INTO "sources" VALUES(1,'yard',94.5);
CREATE INDEX events_by_onset ON events (onset_us);
CREATE INDEX events_by_label ON events     -- holds all that `heard` counts, and so does the next
    (label, onset_us, source_id, run_id, utc_offset_min, offset_us, highest_score);
CREATE INDEX events_by_hour ON events
    ((onset_us / 60000000 + coalesce(utc_offset_min, 0)) / 60, run_id, onset_us, utc_offset_min, offset_us, highest_score);
CREATE INDEX events_cut ON events (onset_us) WHERE state = 'cut';
CREATE INDEX events_open ON events (run_id) WHERE state = 'open';
CREATE INDEX gaps_by_run ON gaps (run_id, position);
CREATE INDEX gaps_by_time ON gaps (begun_us);
CREATE INDEX levels_by_minute ON levels (minute_us);
CREATE INDEX levels_by_hour ON levels
    ((minute_us / 60000000 + coalesce(utc_offset_min, 0)) / 60, run_id, minute_us, utc_offset_min, heard_samples);
CREATE INDEX clips_there ON clips (written_us) WHERE gone_us IS NULL;
CREATE INDEX reviews_by_event ON reviews (event_id, reviewed_us);
CREATE INDEX messages_by_rule ON messages (rule, told_us);
CREATE INDEX messages_by_time ON messages (told_us);
CREATE INDEX deliveries_waiting ON deliveries (target, message_id) WHERE state = 'waiting';
COMMIT;
