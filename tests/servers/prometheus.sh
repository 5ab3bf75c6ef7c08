#!/usr/bin/env bash
# Prometheus on loopback for the tests, in a directory of its own.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$here/lib.sh"
NAME=prometheus

usage() {
  cat <<USAGE
Usage: prometheus.sh install|start|stop|status [--dir DIR] [--port PORT] [--config FILE]
  install   the Debian package prometheus, which has promtool, if missing
  start     start a server and wait until it is ready
  stop      stop the server that start made; its data stays
  status    say whether it runs; exit code 3 if not
  --dir     data, log and pid file (default $CACHE/prometheus)
  --port    default 29090; 0 for any free port
  --config  what it scrapes, a prometheus.yml; start needs it
USAGE
}

installed() { command -v prometheus >/dev/null && command -v promtool >/dev/null; }

install() {
  installed && return
  apt_install prometheus
  # The package starts a service on port 9090, which the tests don't want, and with it
  # the exporter of the machine that the package recommends would come.
  if [[ -d /run/systemd/system ]]; then
    systemctl disable --now --quiet prometheus || true
  elif [[ -x /etc/init.d/prometheus ]]; then
    /etc/init.d/prometheus stop >/dev/null 2>&1 || true
  fi
}

start() {
  installed || die "prometheus is not installed; run: $0 install"
  [[ $CONFIG ]] || die "start needs --config FILE"
  lock
  choose_port
  launch prometheus --config.file="$CONFIG" --storage.tsdb.path="$DIR/data" \
    --web.listen-address="127.0.0.1:$PORT" --log.level=warn
  wait_ready 30 answers
}

# answers: it has loaded its configuration and replayed its log.
answers() {
  local status
  exec 3<>"/dev/tcp/127.0.0.1/$PORT" || return 1
  printf 'GET /-/ready HTTP/1.0\r\n\r\n' >&3
  read -r status <&3 || true
  exec 3>&-
  [[ $status == *' 200 '* ]]
} 2>/dev/null

# The option that only this server has.
CONFIG='' rest=()
while (($#)); do
  case $1 in
    --config) CONFIG=$(realpath -- "${2:?--config needs a file}"); shift 2 ;;
    *) rest+=("$1"); shift ;;
  esac
done
parse_args "$CACHE/prometheus" 29090 ${rest[@]+"${rest[@]}"}
case ${ARGS[*]-} in
  install | start | stop | status) "${ARGS[0]}" ;;
  help) usage ;;
  *) usage >&2; exit 2 ;;
esac
