#!/usr/bin/env bash
# Eclipse Mosquitto on loopback for the tests, in a directory of its own.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$here/lib.sh"
NAME=mosquitto
# Debian puts the server where the PATH of a user who is not root does not look.
PATH=$PATH:/usr/sbin

usage() {
  cat <<USAGE
Usage: mosquitto.sh install|start|stop|status [--dir DIR] [--port PORT]
  install   the Debian packages mosquitto and mosquitto-clients, if missing
  start     start a server and wait until it is ready
  stop      stop the server that start made; its data stays
  status    say whether it runs; exit code 3 if not
  --dir     data, log and pid file (default $CACHE/mosquitto)
  --port    default 21883; 0 for any free port
USAGE
}

installed() { command -v mosquitto >/dev/null && command -v mosquitto_sub >/dev/null; }

install() {
  installed && return
  apt_install mosquitto mosquitto-clients
  # The package starts a service on port 1883. The tests don't want it, and a
  # machine that had no MQTT server before should not keep one.
  if [[ -d /run/systemd/system ]]; then
    systemctl disable --now --quiet mosquitto || true
  elif [[ -x /etc/init.d/mosquitto ]]; then
    /etc/init.d/mosquitto stop >/dev/null 2>&1 || true
  fi
}

start() {
  installed || die "mosquitto is not installed; run: $0 install"
  lock
  choose_port
  mkdir -p "$DIR/data"
  # user: started as root, mosquitto would become a user who may not write here.
  # max_queued_messages 0: the default of 1000 drops messages for a slow or
  # absent subscriber without a word.
  cat >"$DIR/mosquitto.conf" <<CONF
listener $PORT 127.0.0.1
user $(id -un)
allow_anonymous true
max_queued_messages 0
persistence true
persistence_location $DIR/data/
log_dest stderr
CONF
  launch mosquitto -c "$DIR/mosquitto.conf"
  wait_ready 20 answers
}

# answers: a subscription is accepted, which a port that merely listens is not.
answers() { mosquitto_sub -h 127.0.0.1 -p "$PORT" -t ready -E -W 2 >/dev/null 2>&1; }

parse_args "$CACHE/mosquitto" 21883 "$@"
case ${ARGS[*]-} in
  install | start | stop | status) "${ARGS[0]}" ;;
  help) usage ;;
  *) usage >&2; exit 2 ;;
esac
