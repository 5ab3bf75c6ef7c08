# shellcheck shell=bash
# Helpers of mosquitto.sh, kafka.sh and prometheus.sh: one server process, on loopback, that
# lives in one directory and is described there by server.pid.

# shellcheck disable=SC2034 # used by the scripts that source this file
CACHE=${XDG_CACHE_HOME:-${HOME:?HOME is not set; set it or XDG_CACHE_HOME}/.cache}/robustmq-connect

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# parse_args DEFAULT_DIR DEFAULT_PORT ARGS… sets DIR, PORT and ARGS, the words
# that are not options. PORT 0 asks for any free port.
parse_args() {
  DIR=$1 PORT=$2 ARGS=()
  shift 2
  while (($#)); do
    case $1 in
      --dir) DIR=${2:?--dir needs a directory}; shift 2 ;;
      --port) PORT=${2:?--port needs a number}; shift 2 ;;
      -*) die "unknown option $1" ;;
      *) ARGS+=("$1"); shift ;;
    esac
  done
  if ! [[ $PORT =~ ^(0|[1-9][0-9]{0,4})$ ]] || ((PORT > 65535)); then
    die "port $PORT is not a number from 0 to 65535"
  fi
  DIR=$(realpath -m -- "$DIR")
  PID_FILE=$DIR/server.pid
  LOG=$DIR/server.log
}

port_in_use() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port prints a port that nothing listens on. It stays below 32768, where
# Linux starts to hand out ports to clients.
free_port() {
  local port
  while port=$((20000 + RANDOM % 12000)); port_in_use "$port"; do :; done
  echo "$port"
}

# started_at PID prints when the process was started, in clock ticks since boot,
# and fails when there is none. Process ids are used again; a pid together with
# this number is not. A zombie counts as gone.
started_at() {
  local stat
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  # The command name may hold blanks and parentheses: read after the last one.
  read -ra stat <<<"${stat##*) }"
  [[ ${stat[0]} != [ZX] ]] && echo "${stat[19]}"
}

# running succeeds while the process that this directory's start made is alive.
# It sets PID and RUNNING_PORT.
running() {
  local ticks
  [[ -r $PID_FILE ]] || return 1
  read -r PID ticks RUNNING_PORT <"$PID_FILE" || return 1
  [[ $PID =~ ^[0-9]+$ && $(started_at "$PID") == "$ticks" ]]
}

# lock keeps two starts or stops of one directory from crossing, until this
# script ends.
lock() {
  mkdir -p "$DIR"
  exec 9>"$DIR/lock"
  flock -w 120 9 || die "another start or stop is at work in $DIR"
}

# choose_port ends the script when this server is running already, drops a pid
# file whose process is gone, and makes sure that PORT is free.
choose_port() {
  if running; then
    if ((PORT != 0 && PORT != RUNNING_PORT)); then
      die "already running at port $RUNNING_PORT (pid $PID), not $PORT; stop it first, or give another --dir"
    fi
    echo "$NAME is already running at 127.0.0.1:$RUNNING_PORT (pid $PID)"
    exit 0
  fi
  rm -f "$PID_FILE"
  if ((PORT == 0)); then
    PORT=$(free_port)
  elif port_in_use "$PORT"; then
    die "port $PORT is in use by another program; choose one with --port, or --port 0 for any"
  fi
}

# launch COMMAND… starts the server in a session of its own, so that Ctrl-C in
# the terminal does not reach it, and writes the pid file.
launch() {
  setsid "$@" >"$LOG" 2>&1 </dev/null 9>&- &
  PID=$!
  echo "$PID $(started_at "$PID") $PORT" >"$PID_FILE" || true
}

# wait_ready SECONDS CHECK… waits until CHECK succeeds; a server that ends or
# stays silent is stopped, and the end of its log is shown.
wait_ready() {
  local deadline=$((SECONDS + $1)) why=''
  shift
  until "$@"; do
    if ! running; then
      why='ended while starting'
    elif ((SECONDS >= deadline)); then
      why='was not ready in time'
    fi
    if [[ $why ]]; then
      tail -n 20 "$LOG" >&2
      terminate
      die "$NAME $why; its log is $LOG"
    fi
    sleep 0.2
  done
  # The check may have been answered by a program that took the port first.
  running || die "$NAME ended while starting; its log is $LOG"
  echo "$NAME ready at 127.0.0.1:$PORT"
}

# terminate stops the process of the pid file and no other.
terminate() {
  local i
  if running; then
    kill "$PID" 2>/dev/null || true
    # One that a test has suspended hears it only when it goes on.
    kill -CONT "$PID" 2>/dev/null || true
    for ((i = 0; i < 150; i++)); do
      running || break
      sleep 0.2
    done
    if running; then
      echo "$NAME did not stop within 30 s; killing pid $PID" >&2
      kill -KILL "$PID" 2>/dev/null || true
    fi
  fi
  rm -f "$PID_FILE"
}

stop() {
  if [[ ! -d $DIR ]]; then
    echo "$NAME is not running"
    return
  fi
  lock
  if running; then
    terminate
    echo "$NAME stopped (pid $PID); its data stays in $DIR"
  else
    rm -f "$PID_FILE"
    echo "$NAME is not running"
  fi
}

# status exits 0 while the server runs and 3 while it does not, as init scripts do.
status() {
  if running; then
    echo "$NAME is running at 127.0.0.1:$RUNNING_PORT (pid $PID, directory $DIR)"
  else
    echo "$NAME is not running"
    exit 3
  fi
}

# apt_install PACKAGE… installs from Debian, or says what to install.
apt_install() {
  if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
    die "missing packages; install them with: sudo apt-get install $*"
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq </dev/null
  apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
}
