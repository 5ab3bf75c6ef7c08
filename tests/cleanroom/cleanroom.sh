#!/usr/bin/env bash
# cleanroom.sh runs the first commands of README and CONTRIBUTING on HEAD in a minimal
# Debian that has make, git and Go and nothing else, as a new user's machine has. A
# test that relies on something of a developer's machine fails here.
#
# The room is stricter than a new machine: there is no network but loopback, no
# IPv6, no HOME, no name for the user, an unusual time zone, and only the checkout,
# /tmp and Go's build cache can be written to.
#
# Mounts and processes are in namespaces of their own, which the kernel removes with
# their first process, however that ends.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=../servers/lib.sh
source "$here/../servers/lib.sh"

SUITE=bookworm
PACKAGES=make,git,ca-certificates,bash
USER_ID=12345 # in no /etc/passwd
DIR=$top/bin/cleanroom
# Another script gets another root.
ROOT=$DIR/root-$(sha256sum <"${BASH_SOURCE[0]}" | cut -c1-12)
GO_CACHE=$DIR/go-build
# Where in the module cache Go writes what it finds out about the version of the
# checkout that it builds.
VERSIONS=cache/download/github.com/robustmq

# What a new user types; the test results of another run do not count.
in_room() {
  cat <<'ROOM'
timed() {
  echo "=== $*"
  local start=$SECONDS
  "$@"
  echo "=== $* ended well after $((SECONDS - start)) s"
}
cd /checkout
timed make demo ARGS="--duration 3s"
GOFLAGS=-count=1 timed make test
left=$(git status --porcelain)
[[ ! $left ]] || { echo "left in the checkout: $left"; exit 1; }
left=$(ls -A /tmp)
[[ ! $left ]] || { echo "left in /tmp: $left"; exit 1; }
left=$(for p in /proc/[0-9]*; do [[ $p == /proc/$$ || $p == /proc/$BASHPID ]] || tr '\0' ' ' <"$p/cmdline" 2>/dev/null; done) || true
[[ ! $left ]] || { echo "left running: $left"; exit 1; }
ROOM
}

# prepare makes what lasts from run to run: the root, and the modules in this
# machine's cache, which the room reads.
prepare() {
  local packages=() new
  [[ -d $ROOT ]] || command -v mmdebstrap >/dev/null || packages+=(mmdebstrap)
  command -v ip >/dev/null || packages+=(iproute2)
  ((${#packages[@]} == 0)) || apt_install "${packages[@]}"
  (cd "$top" && go mod download)
  mkdir -p "$(go env GOMODCACHE)/$VERSIONS"
  [[ ! -d $ROOT ]] || return 0
  echo "cleanroom: building a minimal Debian $SUITE in $ROOT"
  # Built aside and renamed, so that the directory is either whole or absent.
  rm -rf "$DIR"/new.* "$DIR"/root-*
  new=$(mktemp -d "$DIR/new.XXXXXX")
  chmod 755 "$new"
  # Without documents: git's hold programs in Go, which are below bin/, where Go's
  # tools look for packages.
  if ! mmdebstrap --quiet --variant=minbase --include="$PACKAGES" --dpkgopt='path-exclude=/usr/share/doc/*' "$SUITE" "$new"; then
    rm -rf "$new"
    die "building a Debian root failed"
  fi
  # A machine has this line; tests of "localhost" need it.
  echo 127.0.0.1 localhost >"$new/etc/hosts"
  mkdir -p "$new"/{checkout,cache/build,cache/mod,usr/local/go}
  mv -T "$new" "$ROOT"
}

# enter is the first process of the namespaces: it mounts, and becomes the room's
# user.
enter() {
  local room=$RUN/room
  mount --make-rprivate /
  mount --bind "$ROOT" "$room"
  mount -o remount,bind,ro "$room"
  mount -t proc proc "$room/proc"
  mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$room/dev/pts"
  ! [[ -w /proc/sys/net/ipv6/conf/all/disable_ipv6 ]] || echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
  ip link set lo up
  mount --bind "$(go env GOROOT)" "$room/usr/local/go"
  mount -o remount,bind,ro "$room/usr/local/go"
  mount --bind "$(go env GOMODCACHE)" "$room/cache/mod"
  mount -o remount,bind,ro "$room/cache/mod"
  mount --bind "$RUN/versions" "$room/cache/mod/$VERSIONS"
  mount --bind "$GO_CACHE" "$room/cache/build"
  mount --bind "$RUN/checkout" "$room/checkout"
  mount --bind "$RUN/tmp" "$room/tmp"
  exec chroot --userspec="$USER_ID:$USER_ID" "$room" \
    env -i PATH=/usr/local/go/bin:/usr/bin:/bin TZ=Pacific/Chatham \
    GOCACHE=/cache/build GOMODCACHE=/cache/mod GOPROXY=off GOTOOLCHAIN=local \
    bash -euo pipefail -c "$(in_room)"
}

if [[ ${1-} == enter ]]; then
  enter
fi
(($# == 0)) || die "it takes no arguments"
((EUID == 0)) || die "it needs root, for chroot and its mounts; run: sudo make cleanroom"
mkdir -p "$DIR"
exec 9>"$DIR/lock"
flock -n 9 || die "another run is at work in $DIR"
# Not below bin/, where Go's tools look for packages.
RUN=$(mktemp -d "${TMPDIR:-/tmp}/robustmq-connect-cleanroom.XXXXXX")
export RUN
cleanup() {
  local code=$?
  trap - EXIT
  [[ ! ${room-} ]] || { kill -KILL "$room" 2>/dev/null && wait "$room"; } || true
  rm -rf "$RUN"
  exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start=$SECONDS
mkdir -p "$RUN"/{room,tmp,versions} "$GO_CACHE"
prepare
git clone --quiet --no-hardlinks "$top" "$RUN/checkout"
head=$(git -C "$RUN/checkout" log -1 --format='%h %s')
[[ ! $(git -C "$top" status --porcelain) ]] || echo "cleanroom: what is not committed is not in the room"
chown -R "$USER_ID:$USER_ID" "$RUN"/{checkout,tmp,versions} "$GO_CACHE"
echo "cleanroom: $head, ready after $((SECONDS - start)) s"

# The room dies with this script, even with one that is killed.
setpriv --pdeathsig KILL \
  unshare --mount --pid --net --ipc --fork --kill-child "${BASH_SOURCE[0]}" enter 9>&- &
room=$!
wait "$room"
room=''
# The image is made and run in another room, as root: it has a user of its own.
mkdir "$RUN/image"
GOCACHE=$GO_CACHE setpriv --pdeathsig KILL \
  unshare --mount --pid --net --ipc --fork --kill-child --mount-proc \
  "$here/image.sh" "$ROOT" "$RUN/checkout" "$RUN/image" 9>&- &
room=$!
wait "$room"
room=''
echo "cleanroom: passed in $((SECONDS - start)) s"
