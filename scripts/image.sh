#!/bin/sh
# Runs the image `streamclf` with a simulated microphone, until its health check succeeds, and ends it.
# It needs Docker; scripts/try_image.py does the same without.
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'docker rm --force streamclf-trial >/dev/null 2>&1; rm -rf "$folder"' EXIT
cp examples/afternoon.flac "$folder"
sed 's|^name = "microphone".*|url = "sim:/trial/afternoon.flac"\nloop = true|' container/streamclf.toml >"$folder/trial.toml"
chmod 755 "$folder"
run() {
    docker run --name streamclf-trial --read-only --tmpfs /tmp --volume "$folder:/trial:ro" \
        --volume streamclf-trial:/var/lib/streamclf "$@" serve --config /trial/trial.toml $last
}
last=--set-password
echo "for this trial alone" | run --rm --interactive streamclf
last=
run --detach --health-interval 2s streamclf
for _ in $(seq 60); do
    state=$(docker inspect --format '{{.State.Health.Status}}' streamclf-trial)
    [ "$state" != healthy ] || break
    sleep 2
done
docker stop streamclf-trial >/dev/null
docker logs streamclf-trial
code=$(docker inspect --format '{{.State.ExitCode}}' streamclf-trial)
docker volume rm streamclf-trial >/dev/null 2>&1 || true
echo "it was $state, and ended with $code"
[ "$state" = healthy ] && [ "$code" = 130 ]
