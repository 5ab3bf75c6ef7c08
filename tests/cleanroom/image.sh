#!/usr/bin/env bash
# image.sh does what resources/Dockerfile says, instruction by instruction, without
# Docker, and runs what comes out as a container: as a user who is not root, in a root
# that cannot be written to but for the volume, which holds no shell and no libraries.
#
#   image.sh ROOT CHECKOUT DIR
#
# ROOT is a minimal Debian, which takes the place of the image that builds; CHECKOUT is
# the build's context; DIR is empty and is filled. It mounts, so it wants namespaces of
# its own (mount, pid, net, ipc): cleanroom.sh gives them. There is no network but
# loopback.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../servers/lib.sh
source "$here/../servers/lib.sh"
(($# == 3)) || die "usage: image.sh ROOT CHECKOUT DIR"
ROOT=$1 CHECKOUT=$2 DIR=$3
DOCKERFILE=$CHECKOUT/resources/Dockerfile
NONROOT=65532 # of distroless
CHROOT=$(command -v chroot)

declare -A STAGES=() # directory by name
STAGE='' WORKDIR=/ RUN_ENV=() IMAGE_USER=root
ENTRYPOINT=() CMD=() HEALTHCHECK=() STEPS=0

# words JSON sets WORDS to the strings of a JSON array without escapes.
words() {
  local text=$1
  [[ $text == \[*\] && $text != *\\* ]] || die "the Dockerfile's $text is no array of plain strings"
  text=${text#\[} text=${text%\]} WORDS=()
  while [[ $text =~ ^[[:space:]]*\"([^\"]*)\"[[:space:]]*,?(.*)$ ]]; do
    WORDS+=("${BASH_REMATCH[1]}") text=${BASH_REMATCH[2]}
  done
  [[ ! ${text//[[:space:]]/} ]] || die "the Dockerfile's $1 is no array of strings"
}

# from makes the root of a stage. The images are not here: what they give stands in.
from() {
  local image=$1 name=${3-last} dir
  dir=$DIR/$name
  mkdir -p "$dir"
  case $image in
    golang:*)
      [[ $(go env GOVERSION) == go"${image#golang:}"* ]] || die "the Dockerfile builds with $image, and this machine has $(go env GOVERSION)"
      mkdir -p "$dir"/{usr,etc,proc,dev,tmp,root,cache/mod,cache/build}
      ln -s usr/bin "$dir/bin"; ln -s usr/sbin "$dir/sbin"; ln -s usr/lib "$dir/lib"; ln -s usr/lib64 "$dir/lib64"
      mount --bind "$ROOT/usr" "$dir/usr"
      mount --bind "$ROOT/etc" "$dir/etc"
      mount --bind /dev "$dir/dev"
      mount --bind "$(go env GOROOT)" "$dir/usr/local/go"
      mount --bind "$(go env GOMODCACHE)" "$dir/cache/mod"
      mount --bind "$(go env GOCACHE)" "$dir/cache/build"
      mount -t proc proc "$dir/proc"
      RUN_ENV=(PATH=/usr/local/go/bin:/usr/sbin:/usr/bin HOME=/root GOMODCACHE=/cache/mod GOCACHE=/cache/build GOPROXY=off GOTOOLCHAIN=local)
      ;;
    gcr.io/distroless/static-debian12:nonroot)
      mkdir -p "$dir"/{etc/ssl/certs,tmp,proc,dev,home/nonroot,usr/bin}
      chmod 1777 "$dir/tmp"
      printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:%d:%d:nonroot:/home/nonroot:/sbin/nologin\n' "$NONROOT" "$NONROOT" >"$dir/etc/passwd"
      printf 'root:x:0:\nnonroot:x:%d:\n' "$NONROOT" >"$dir/etc/group"
      echo '127.0.0.1 localhost' >"$dir/etc/hosts"
      cp "$ROOT/etc/ssl/certs/ca-certificates.crt" "$dir/etc/ssl/certs/"
      RUN_ENV=()
      ;;
    *) die "the Dockerfile is built from $image, which this script does not know" ;;
  esac
  STAGES[$name]=$dir STAGE=$dir WORKDIR=/
}

# copy [--from=STAGE] [--chown=USER:GROUP] SOURCE… TARGET
copy() {
  local source=$CHECKOUT chown='' all target i
  while [[ ${1-} == --* ]]; do
    case $1 in
      --from=*) source=${STAGES[${1#--from=}]} ;;
      --chown=nonroot:nonroot) chown=$NONROOT:$NONROOT ;;
      *) die "the Dockerfile copies with $1, which this script does not know" ;;
    esac
    shift
  done
  all=("$@") target=${all[-1]}
  [[ $target == /* ]] || target=$WORKDIR/$target
  for ((i = 0; i < ${#all[@]} - 1; i++)); do
    if [[ -d $source/${all[i]} ]]; then # its contents
      mkdir -p "$STAGE$target"
      cp -rT "$source/${all[i]}" "$STAGE$target"
    elif [[ $target == */ ]]; then
      mkdir -p "$STAGE$target"
      cp "$source/${all[i]}" "$STAGE$target"
    else
      mkdir -p "$(dirname "$STAGE$target")"
      cp "$source/${all[i]}" "$STAGE$target"
    fi
  done
  [[ ! $chown ]] || chown -R "$chown" "$STAGE$target"
}

# step does one instruction.
step() {
  local name=$1 rest=$2
  echo "image: $name $rest"
  STEPS=$((STEPS + 1))
  case $name in
    FROM)
      # shellcheck disable=SC2086 # its words
      from $rest ;;
    WORKDIR) WORKDIR=$rest && mkdir -p "$STAGE$rest" ;;
    ARG) RUN_ENV+=("$rest") ;;
    COPY)
      # shellcheck disable=SC2086 # its words
      copy $rest ;;
    RUN) env -i "${RUN_ENV[@]}" chroot "$STAGE" sh -c "cd $WORKDIR && $rest" ;;
    USER) IMAGE_USER=$rest ;;
    EXPOSE) ;;
    ENTRYPOINT) words "$rest" && ENTRYPOINT=("${WORDS[@]}") ;;
    CMD) words "$rest" && CMD=("${WORDS[@]}") ;;
    HEALTHCHECK) words "${rest##*CMD }" && HEALTHCHECK=("${WORDS[@]}") ;;
    *) die "the Dockerfile has $name, which this script does not know" ;;
  esac
}

build() {
  local line text=''
  while IFS= read -r line || [[ $line ]]; do
    [[ $line && $line != \#* ]] || continue
    text+=${line%\\}
    [[ $line == *\\ ]] && continue
    step "${text%% *}" "${text#* }"
    text=''
  done <"$DOCKERFILE"
  [[ ! $text ]] || die "the Dockerfile ends within an instruction"
  ((STEPS >= 10)) || die "the Dockerfile has $STEPS instructions, which is too few to be all"
}

# What Docker does before it starts a program of the image.
container() {
  exec env -i PATH=/usr/bin HOME=/home/nonroot \
    "$CHROOT" --userspec="$NONROOT:$NONROOT" --groups="$NONROOT" "$IMAGE" "$@"
}

# inside COMMAND… runs a program in the container.
inside() { (container "$@"); }

# start ARGS… is docker run: the entry point with these arguments, or with CMD.
start() {
  local arguments=("$@")
  (($#)) || arguments=("${CMD[@]}")
  (container "${ENTRYPOINT[@]}" "${arguments[@]}") >"$DIR/log" 2>&1 &
  CONTAINER=$! # container has become the program
}

# finish is docker stop: SIGTERM, and a clean end.
finish() {
  local code=0
  kill -TERM "$CONTAINER"
  wait "$CONTAINER" || code=$?
  ((code == 0)) || die "on SIGTERM it ended with $code: $(tail -n 5 "$DIR/log")"
}

# becomes COMMAND… waits until it succeeds in the container.
becomes() {
  local i
  for ((i = 0; i < 150; i++)); do
    inside "$@" >"$DIR/answer" 2>&1 && return
    kill -0 "$CONTAINER" 2>/dev/null || die "the container ended: $(tail -n 5 "$DIR/log")"
    sleep 0.2
  done
  die "$* did not succeed: $(<"$DIR/answer")"
}

mount --make-rprivate /
ip link set lo up
build
[[ $IMAGE_USER == nonroot:nonroot ]] || die "the image's user is $IMAGE_USER"
((${#HEALTHCHECK[@]})) || die "the image has no health check"

# The volume, and a root that nobody can write to.
IMAGE=$DIR/container
mkdir -p "$IMAGE" "$DIR/volume"
cp -a "$STAGE/store/." "$DIR/volume/"
chown --reference="$STAGE/store" "$DIR/volume" # as Docker does with a new volume
cat >"$STAGE/pipeline.yaml" <<'YAML'
input:
  robustmq_kafka: { topic_id: sensors/+/data, urls: [ "tcp://127.0.0.1:1883" ], client_id: image }
output:
  robustmq_kafka: { bootstrap_servers: "127.0.0.1:9092", topic: copied }
YAML
(umask 022; printf '0123456789abcdef0123456789abcdef\n' >"$STAGE/token")
mount --bind "$STAGE" "$IMAGE"
mount -o remount,bind,ro "$IMAGE"
mount --bind "$DIR/volume" "$IMAGE/store"
mount --bind /dev "$IMAGE/dev"
mount -t proc proc "$IMAGE/proc"

left=$(find "$STAGE" -xdev \( -name 'ld-linux*' -o -name '*.so*' -o -perm /6000 -o -path '*/bin/sh' \))
[[ ! $left ]] || die "the image holds $left"
inside "${ENTRYPOINT[@]}" --version # it is static: there is nothing to link to
! inside "${HEALTHCHECK[@]}" 2>/dev/null || die "the health check succeeds while nothing runs"

# The servers, in another container of the image.
start demo --mqtt-port 1883 --kafka-port 9092 --rate 20 --output json
servers=$CONTAINER
for ((i = 0; i < 150; i++)); do port_in_use 1883 && port_in_use 9092 && break; sleep 0.2; done
mv "$DIR/log" "$DIR/servers.log"

echo 'image: its command, a pipeline'
start
becomes "${HEALTHCHECK[@]}"
becomes "${HEALTHCHECK[@]}" --ready
user=$(awk '/^Uid:/ { print $2, $3, $4, $5 }' "/proc/$CONTAINER/status")
[[ $user == "$NONROOT $NONROOT $NONROOT $NONROOT" ]] || die "it runs as $user"
finish

# As the first lines of the Dockerfile say.
echo 'image: the service'
line=$(sed -n ':a;/\\$/{N;s/\\\n#//;ba};s/^# *docker run .* robustmq-connect *\(serve .*\)$/\1/p' "$DOCKERFILE")
[[ $line ]] || die "the Dockerfile no longer says how to run the service"
# shellcheck disable=SC2086 # its words
start ${line//broker:/127.0.0.1:}
becomes "${HEALTHCHECK[@]}"
becomes "${HEALTHCHECK[@]}" --ready
control=("${ENTRYPOINT[@]}" mqtt --server 127.0.0.1:58080 --api-token-file /token connector)
inside "${control[@]}" create --connector-name kept --connector-type kafka --topic-id 'sensors/+/data' \
  --config '{"bootstrap_servers": "127.0.0.1:9092", "topic": "kept"}'
finish
# shellcheck disable=SC2086 # its words
start ${line//broker:/127.0.0.1:}
becomes "${HEALTHCHECK[@]}" --ready
inside "${control[@]}" list | grep kept || die "the volume did not keep the connector"
foreign=$(find "$DIR/volume" ! -user "$NONROOT")
[[ ! $foreign ]] || die "another user owns $foreign"
finish
CONTAINER=$servers
finish
echo "image: $STEPS instructions done, a pipeline and the service run in the result"
