"""What the help of each command shows: three command lines, and what their words mean."""

STREAMCLF = """
Examples:
  streamclf listen            the microphone: a dashboard, or lines into a pipe
  streamclf night.wav         the sounds in a recording (file night.wav)
  streamclf info              what the model names, and what it may be used for
"""

LISTEN = """
Examples:
  streamclf listen --clips heard            what is heard, and its audio
  streamclf listen --no-ui --only siren     lines, of one sound alone
  streamclf listen --source rtsp://host/cam -o day.jsonl --append
                                            a camera, day after day

Each option may also stand in a file (streamclf config), or in the environment
(STREAMCLF_HOP=0.25).
"""

FILE = """
Examples:
  streamclf file night.wav -o night.txt     labels to open in Audacity
  streamclf file recordings/ -o all.csv --resume
                                            one table; run again, it goes on
  streamclf file 'day/*.flac' -o '{dir}/{stem}.csv'
                                            a table beside each recording

In the name of an output {stem} stands for a recording's name without its ending
and {dir} for its folder: each recording has a file of its own. Any other name
is one file for all.
"""

DEVICES = """
Examples:
  streamclf devices                         what can record here
  streamclf listen --device usb             the one with usb in its name
  streamclf devices --json                  for a script
"""

INFO = """
Examples:
  streamclf info                            the model that is used by default
  streamclf info esc10                      another bundled one
  streamclf info mine.onnx --all            all that a file says of itself
"""

BENCH = """
Examples:
  streamclf bench                           the default model on this machine
  streamclf bench --hop 0.1                 with ten windows a second
  streamclf bench --model mine.onnx --json  another model, for a script
"""

VERIFY = """
Examples:
  streamclf verify                          with sounds made for it
  streamclf verify day.wav                  with a recording
  streamclf verify day.wav -m mine.onnx     with another model
"""

CONFIG = """
Examples:
  streamclf config --show                   every option, and where it is from
  streamclf config --check                  could listen begin? exit code 2: no
  streamclf config --show --config box.toml  as that file would have it
"""
