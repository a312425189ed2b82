#!/bin/sh
# Start a container engine for the tests where none answers and one can be had: as root, on Debian.
# Never fails: without an engine the container tests are skipped, and say why.
set -u
answers() { "$1" -c 'import docker; docker.from_env(timeout=5).ping()' 2>/dev/null; }
python=${1:?usage: start_engine.sh PYTHON}
answers "$python" && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "note: no container engine answers, and only root on Debian can be given one: container tests will be skipped"
  exit 0
fi
log=$(mktemp)
if ! command -v dockerd >/dev/null || ! command -v debootstrap >/dev/null; then
  echo "installing docker.io and debootstrap for the container tests"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq docker.io debootstrap; } >"$log" 2>&1 ||
    { echo "note: docker.io could not be installed: container tests will be skipped"; tail -n 5 "$log"; exit 0; }
fi
# What a killed engine leaves behind keeps the next from starting; its process may stay as a zombie, without a command.
for file in /var/run/docker.pid /var/run/docker/containerd/containerd.pid; do
  grep -qa -e dockerd -e containerd "/proc/$(cat "$file" 2>/dev/null)/cmdline" 2>/dev/null || rm -f "$file"
done
nohup setsid dockerd >"$log" 2>&1 </dev/null &
for _ in $(seq 60); do
  answers "$python" && exit 0
  sleep 0.5
done
echo "note: dockerd does not answer: container tests will be skipped"
tail -n 5 "$log"
