#!/bin/sh
# From a run of train.distil to the bundled model's file, and its figures on two folds that were held out.
#
#   scripts/pocket.sh TRUNK OUT
#
# TRUNK is the run, ended or not; or a folder of three, held-4, held-3 and final, where layers have heard ESC-50's training
# folds (train.distil --named). The places of the data come from the environment:
#   ESC50         ESC-50's folder
#   SPEECH_MUSIC  speech and music (fetched into it where there is none)
#   TEACHER       mn04_as_mAP_432.pt
#   STRANGERS     free sounds, prepared at 16 kHz, HEARD what the teacher hears in them (train.hear_sources) and AUDIOSET
#                 the names of AudioSet's labels: of those that resemble no label all labels are alike, and those that are
#                 speech are known as speech (left out where it is not set)
#   URBANSOUND8K  for sounds that it does not know (left out where it is not set)
#   FORMAT        --half, --int8 or nothing (--half)
#   VERSION       of the model, for its card
# What exists in OUT already is not made again; THREADS (1) is the number of CPU threads.
set -eu
trunk=$1 out=$2
threads="--threads ${THREADS:-1}"
export OMP_NUM_THREADS="${THREADS:-1}" MALLOC_TRIM_THRESHOLD_=4000000000 MALLOC_MMAP_THRESHOLD_=4000000000
export MALLOC_TOP_PAD_=268435456
mkdir -p "$out"

if [ ! -e "$out/mn04-esc50.npz" ]; then
    # shellcheck disable=SC2086
    python -m train.hear_clips $threads --data "$ESC50" --teacher "$TEACHER" -o "$out/mn04-esc50.npz"
fi
strangers=
[ -n "${STRANGERS:-}" ] && strangers="--strangers $STRANGERS --more-speech $STRANGERS --heard $HEARD --audioset $AUDIOSET"
fit() { # NAME FOLDS TEST_FOLD
    [ -e "$out/$1/weights.safetensors" ] && return
    start=$trunk
    [ -d "$trunk/$1" ] && start=$trunk/$1
    # shellcheck disable=SC2086
    python -m train.pocket $threads $strangers --data "$ESC50" --speech-music "$SPEECH_MUSIC" --download \
        --start "$start" --last-layer --teacher "$out/mn04-esc50.npz" --cache "$out/heard" \
        --folds "$2" --test-fold "$3" --seed 1 --accelerator cpu --save "$out/$1" --overwrite
}
fit held-4 1,2,3 4
fit held-3 1,2,4 3
fit final 1,2,3,4 0
for held in held-4 held-3; do
    python -m export.tune "$out/$held"
    python -m train.levels "$out/$held" --levels 0 -20 -40
    if [ -n "${URBANSOUND8K:-}" ]; then
        python -m train.unknown "$out/$held" --unknown "$URBANSOUND8K" \
            --classes air_conditioner children_playing drilling gun_shot jackhammer
    else
        python -m train.unknown "$out/$held"
    fi
done
python -m export.calibration "$out/held-4" "$out/held-3"
# shellcheck disable=SC2086
python -m export "$out/final" --calibrated-by "$out/held-4" --calibrated-by "$out/held-3" \
    -o "$out/pocket.onnx" --name pocket --version "${VERSION:-1}" ${FORMAT---half} --overwrite
if [ -n "${URBANSOUND8K:-}" ]; then
    for model in "$out/pocket.onnx" pocket; do
        python -m train.cross_dataset "$model" --data "$URBANSOUND8K" --noises 300 --tones 36 \
            --same dog_bark=dog car_horn=car_horn siren=siren engine_idling=engine street_music=music
    done
fi
