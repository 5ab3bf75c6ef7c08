#!/usr/bin/env bash
# Apache Kafka on loopback for the tests: one KRaft node, started from the jars
# of Maven Central, so that neither Docker nor a Kafka distribution is needed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$here/lib.sh"
NAME=kafka
POM=$here/kafka/pom.xml
# A changed pom gets a directory of its own.
JARS=$CACHE/kafka-jars-$(sha256sum <"$POM" | cut -c1-12)

usage() {
  cat <<USAGE
Usage: kafka.sh install|start|stop|status [--dir DIR] [--port PORT]
       kafka.sh topic NAME PARTITIONS [--dir DIR]
  install   Java 17, Maven, kcat and a Kerberos KDC by apt-get if missing, and
            Kafka's jars
  start     start a server and wait until it is ready
  stop      stop the server that start made; its data stays
  status    say whether it runs; exit code 3 if not
  topic     create a topic on the running server
  --dir     data, log and pid file (default $CACHE/kafka)
  --port    default 29092; 0 for any free port
  --advertise HOST:PORT
            what clients connect to, where that is not the server itself
  --listeners NAME://HOST:PORT[,…] --properties FILE
            more listeners, of which the file has the settings; it is added to
            server.properties. KAFKA_OPTS is handed to Java.
USAGE
}

java_ok() {
  local version
  version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1) || return 1
  ((${version:-0} >= 17))
}

install() {
  local packages=() tmp
  java_ok || packages+=(openjdk-17-jre-headless)
  command -v kcat >/dev/null || packages+=(kcat)
  [[ -d $JARS ]] || command -v mvn >/dev/null || packages+=(maven)
  # For the test that logs in to Kafka by Kerberos, with a KDC of its own.
  PATH=$PATH:/usr/sbin command -v krb5kdc >/dev/null || packages+=(krb5-kdc krb5-admin-server)
  ((${#packages[@]} == 0)) || apt_install "${packages[@]}"
  java_ok || die "Java 17 or later is needed; java -version says: $(java -version 2>&1 | head -n 1)"
  [[ -d $JARS ]] && return
  # Copied aside and renamed, so that the directory is either whole or absent.
  mkdir -p "$CACHE"
  tmp=$(mktemp -d "$CACHE/kafka-jars.XXXXXX")
  if ! mvn -B -q -f "$POM" dependency:copy-dependencies -DoutputDirectory="$tmp" </dev/null; then
    rm -rf "$tmp"
    die "fetching Kafka's jars from Maven Central failed"
  fi
  mv -T "$tmp" "$JARS" 2>/dev/null || rm -rf "$tmp"
}

# kafka_java HEAP CLASS ARGS… runs a class of Kafka.
kafka_java() {
  java "-Xmx$1" -Dorg.slf4j.simpleLogger.defaultLogLevel="${LOG_LEVEL:-warn}" \
    -Dlog4j2.level=ERROR -cp "$JARS/*" "${@:2}"
}

start() {
  local controller
  { java_ok && [[ -d $JARS ]]; } || die "Kafka is not installed; run: $0 install"
  lock
  choose_port
  controller=$(free_port)
  while ((controller == PORT)); do controller=$(free_port); done
  # The authorizer is there for tests that take a permission away. One partition
  # for the internal topics: the default of 50 makes the first
  # consumer group and the first transaction slow.
  cat >"$DIR/server.properties" <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$PORT,CONTROLLER://127.0.0.1:$controller${LISTENERS:+,$LISTENERS}
advertised.listeners=PLAINTEXT://${ADVERTISE:-127.0.0.1:$PORT}${LISTENERS:+,$LISTENERS}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$DIR/data
auto.create.topics.enable=true
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
num.partitions=1
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
CONF
  [[ -z $PROPERTIES ]] || cat "$PROPERTIES" >>"$DIR/server.properties"
  if [[ ! -f $DIR/data/meta.properties ]]; then
    kafka_java 256m kafka.tools.StorageTool format --cluster-id robustmqConnectTests1 \
      --config "$DIR/server.properties" >"$LOG" 2>&1 || { cat "$LOG" >&2; die "formatting $DIR/data failed"; }
  fi
  # shellcheck disable=SC2086 # KAFKA_OPTS holds several words
  launch java -Xmx1g ${KAFKA_OPTS-} -Dorg.slf4j.simpleLogger.defaultLogLevel=info -Dlog4j2.level=ERROR \
    -cp "$JARS/*" kafka.Kafka "$DIR/server.properties"
  # The broker says this last, once it takes produce requests; the log is new
  # with every start.
  wait_ready 90 grep -q 'Kafka Server started' "$LOG"
}

topic() {
  running || die "kafka is not running; start it first"
  kafka_java 256m org.apache.kafka.tools.TopicCommand --bootstrap-server "127.0.0.1:$RUNNING_PORT" \
    --create --if-not-exists --topic "$1" --partitions "$2" --replication-factor 1
}

# The options that only this server has.
ADVERTISE='' LISTENERS='' PROPERTIES='' rest=()
while (($#)); do
  case $1 in
    --advertise) ADVERTISE=${2:?--advertise needs host:port}; shift 2 ;;
    --listeners) LISTENERS=${2:?--listeners needs NAME://HOST:PORT}; shift 2 ;;
    --properties) PROPERTIES=${2:?--properties needs a file}; shift 2 ;;
    *) rest+=("$1"); shift ;;
  esac
done
parse_args "$CACHE/kafka" 29092 ${rest[@]+"${rest[@]}"}
case ${ARGS[*]-} in
  install | start | stop | status) "${ARGS[0]}" ;;
  topic\ *\ *) ((${#ARGS[@]} == 3)) || { usage >&2; exit 2; }; topic "${ARGS[1]}" "${ARGS[2]}" ;;
  help) usage ;;
  *) usage >&2; exit 2 ;;
esac
