#!/usr/bin/env bash
# with.sh COMMAND… runs a command beside a new mosquitto and a new Kafka, and
# stops both whatever becomes of it. The command finds them in MQTT_URL and
# KAFKA_BROKERS. Servers that it starts in SERVERS_DIR/NAME/mosquitto,
# SERVERS_DIR/NAME/kafka and SERVERS_DIR/NAME/prometheus are stopped too. Exit code 90
# means that a server did not start.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/robustmq-connect-servers.XXXXXX")

cleanup() {
  local code=$?
  trap - EXIT
  local server
  for server in "$dir"/{,*/}{mosquitto,kafka,prometheus}; do
    [[ ! -d $server ]] || "$here/${server##*/}.sh" stop --dir "$server" >&2 || true
  done
  rm -rf "$dir"
  exit "$code"
}
# Ctrl-C and a cancelled CI job end the servers as well.
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# started SCRIPT prints the address of the server that SCRIPT starts.
started() {
  local out
  if ! "$here/$1.sh" install >&2 || ! out=$("$here/$1.sh" start --dir "$dir/$1" --port 0); then
    echo "with.sh: $1 did not start" >&2
    return 90
  fi
  echo "$out" >&2
  echo "${out##* }"
}

MQTT_URL=tcp://$(started mosquitto)
KAFKA_BROKERS=$(started kafka)
export MQTT_URL KAFKA_BROKERS SERVERS_DIR=$dir
"$@"
