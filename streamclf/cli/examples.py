"""Examples at the end of each command's help: three command lines and their explanations."""

STREAMCLF = """
Examples:
  streamclf listen            the microphone: a dashboard, or lines for a pipe
  streamclf night.wav         the sounds in a recording (file night.wav)
  streamclf info              the labels and the licence of the default model
"""

LISTEN = """
Examples:
  streamclf listen --clips heard            save the audio of each event
  streamclf listen --no-ui --only siren     lines of text, for one sound only
  streamclf listen --source rtsp://host/cam -o day.jsonl --append
                                            a camera, appending to one file

Each option can also be set in a file (see streamclf config), or in the
environment (STREAMCLF_HOP=0.25).
"""

SERVE = """
Examples:
  streamclf serve                           the default microphone, remembered
  streamclf serve --config box.toml         the sources of a file
  streamclf serve --config box.toml --check exit code 2 if it cannot start

The file has a table for each source, and options for all above them:
  model = "wide"
  [[sources]]
  name = "yard"
  device = "usb"
  [[sources]]
  name = "gate"
  url = "rtsp://host/cam"
  only = "siren,dog"
SIGHUP reads the file anew: sources that did not change lose nothing.
"""

FILE = """
Examples:
  streamclf file night.wav -o night.txt     labels to open in Audacity
  streamclf file recordings/ -o all.csv --resume
                                            one table; run again to continue it
  streamclf file 'day/*.flac' -o '{dir}/{stem}.csv'
                                            a table beside each recording

In the name of an output, {stem} stands for a recording's name without its
ending and {dir} for its folder, so that each recording gets its own file.
{name} is the name with its ending. Any other name is one file for all
recordings.
"""

ATTACH = """
Examples:
  streamclf attach                          the serve of this machine
  streamclf attach http://box:8787/         that of another machine
  streamclf attach https://sounds.example/  behind a proxy

The page's password is asked for, or stands in the environment, as
STREAMCLF_PASSWORD.
"""

BACKTEST = """
Examples:
  streamclf backtest --only dog --threshold 0.3
                                            dogs of the last 14 days, were it so
  streamclf backtest -m mine.onnx --source yard
                                            what a taught model would have told
  streamclf backtest -m mine.onnx --rules   and what the rules would make of it

It judges what serve keeps of each half second: no audio is heard again.
"""

RULES = """
Examples:
  streamclf rules                           who is told what
  streamclf rules --test --since '7 days ago'
                                            what the rules would have told
  streamclf rules --try smoke               one message of the rule smoke, now

A rule is a table [[rules]] in the settings file, a target a table [[targets]]:
  [[rules]]
  name = "smoke"
  labels = ["smoke_alarm"]
  cooldown = "10m"
  [[targets]]
  name = "phone"
  apprise = "ntfy://my-topic"
"""

HEARD = """
Examples:
  streamclf heard                           today, by label
  streamclf heard --since 'last monday' --label dog --by hour
                                            when the dog barks, and how often
  streamclf heard --since yesterday -o events.csv
                                            a row for each event

Dates: today, yesterday, monday, 2026-11-01, '7 days ago', '3 hours ago', a time
such as 22:00, or a day and a time. --until takes all of a day.
"""

SEARCH = """
Examples:
  streamclf search --like bell.wav          when did something sound like this?
  streamclf search --like siren-1416000@5f3c --since '7 days ago'
                                            what is like an event, by its id
  streamclf search --like frog.wav --features kept --format jsonl
                                            in recordings (file --features kept)

What is compared are features of each half second, which serve keeps beside its
store. The likeness of the same sound is 1; below about 0.3 it is chance.
"""

TEACH = """
Examples:
  streamclf teach 'my doorbell' bell1.wav bell2.wav bell3.wav
                                            a model with it: mine.onnx
  streamclf teach 'my kettle' kettle*.wav --not fridge.wav -m mine.onnx
                                            one more, told apart from another
  streamclf teach 'my doorbell' --forget -m mine.onnx
                                            the model without it

Without recordings it takes the events of which somebody said on the page that
they were it. `streamclf teach dog` makes fewer dogs of what was called wrong.
Three examples of different days are a beginning, five are good. All other
labels keep their scores.
"""

REPORT = """
Examples:
  streamclf report --week -o week.html      the last seven days
  streamclf report --since 2026-11-01 --until 2026-11-30 -o november.html
                                            a month
  streamclf report --day --source yard -o today.html --overwrite
                                            today, of one source
"""

DEVICES = """
Examples:
  streamclf devices                         the microphones of this machine
  streamclf listen --device usb             the microphone with usb in its name
  streamclf devices --json                  the same for a script
"""

CALIBRATE = """
Examples:
  streamclf calibrate                       the microphone, with 94 dB on it
  streamclf calibrate --level 114 --device usb
                                            a louder one, on another microphone
  streamclf calibrate --source rtsp://host/cam --seconds 10
                                            the microphone of a camera

Put the calibrator over the microphone, switch it on, and start this. The line
that it prints goes into streamclf.toml.
"""

INFO = """
Examples:
  streamclf info                            the default model
  streamclf info pocket                     another bundled model
  streamclf info mine.onnx --all            all fields of a model file's card
"""

BENCH = """
Examples:
  streamclf bench                           the default model on this machine
  streamclf bench --hop 0.1                 with ten windows a second
  streamclf bench --model mine.onnx --json  another model, for a script
"""

VERIFY = """
Examples:
  streamclf verify                          with synthetic sounds
  streamclf verify day.wav                  with a recording
  streamclf verify day.wav -m mine.onnx     with another model
"""

CONFIG = """
Examples:
  streamclf config --show                   all options and their origins
  streamclf config --check                  exit code 2 if listen cannot start
  streamclf config --show --config box.toml  the same with another file
"""

ARCHIVE = """
Examples:
  streamclf archive plan /data/2026 --out /data/results
                                            list the recordings, cut the work up
  streamclf archive run /data/results       hear what is not heard yet
  streamclf archive check /data/results --sample 3
                                            is all there, also if heard again
"""

ARCHIVE_PLAN = """
Examples:
  streamclf archive plan /data/2026 --out /data/results
  streamclf archive plan s3://field/2026/ --out s3://results/run1/
                                            pip install s3fs; keys as for aws
  streamclf archive plan /data/2026 --out /data/results --item-minutes 30
                                            smaller items for many short jobs
"""

ARCHIVE_RUN = """
Examples:
  streamclf archive run /data/results       on this machine; again: it goes on
  streamclf archive run s3://results/run1/ --shard 3/40
                                            one of 40 jobs, each has its share
  streamclf archive run /data/results --model my.onnx --hop 1
                                            another run, beside the first
"""

ARCHIVE_STATUS = """
Examples:
  streamclf archive status /data/results    hours heard, gaps, failed, left
  streamclf archive status s3://results/run1/ --json
                                            for a program
  streamclf archive status /data/results --json | jq '.runs[0].events'
                                            a figure of the first run
"""

ARCHIVE_CHECK = """
Examples:
  streamclf archive check /data/results     is all there, does it add up
  streamclf archive check /data/results --sample 5
                                            and hear five items again
  streamclf archive check /data/results --run 4f2a
                                            one run of several
"""

STORE = """
Examples:
  streamclf store check                     is it sound, do its sums add up
  streamclf store import day.jsonl          take lines of an earlier run
  streamclf store export -o all.jsonl       all events and gaps as lines
"""

STORE_IMPORT = """
Examples:
  streamclf store import day.jsonl          what listen -o day.jsonl wrote
  streamclf store import *.jsonl            several files, such as rotated ones
  streamclf store import all.jsonl --folder /data
                                            recordings were named from /data on
"""

STORE_EXPORT = """
Examples:
  streamclf store export -o all.jsonl       a file of lines
  streamclf store export | grep -i siren    lines for another program
  streamclf store export field.db           another store
"""

STORE_CHECK = """
Examples:
  streamclf store check                     your store
  streamclf store check field.db            another one
  streamclf store check --clips             and whether its clips are there
"""

STORE_VACUUM = """
Examples:
  streamclf store vacuum                    after events were deleted
  streamclf store vacuum field.db           another store
  streamclf store check                     how much it holds
"""
