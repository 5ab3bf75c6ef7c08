#!/usr/bin/env bash
# with_strace.sh COMMAND… runs a command with strace installed, which needs root
# and apt where it is missing.
set -euo pipefail
# shellcheck source=tests/servers/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../servers/lib.sh"
command -v strace >/dev/null || apt_install strace >&2
exec "$@"
