#!/usr/bin/env bash
# Chromium for the tests of the console. Nothing is started here: each test starts its
# own, without a window.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$here/lib.sh"

case ${1-} in
  # Fonts decide what fits into a line.
  install) command -v chromium >/dev/null || apt_install chromium fonts-dejavu-core ;;
  *) echo "Usage: chromium.sh install: the Debian package chromium, if missing" >&2; exit 2 ;;
esac
