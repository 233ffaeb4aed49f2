#!/bin/sh
# Makes sure that the servers of the tests are here: Debian's packages when root, else it says what
# to install. None is started: each test run starts its own, on private ports.
set -eu

missing() {
    packages=""
    command -v redis-server >/dev/null || packages="$packages redis-server"
    [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || command -v rabbitmq-server >/dev/null ||
        packages="$packages rabbitmq-server"
    for initdb in "$(command -v initdb || true)" /usr/lib/postgresql/*/bin/initdb; do
        [ -x "$initdb" ] && echo "$packages" && return
    done
    echo "$packages postgresql"
}

packages=$(missing)
command -v chromium >/dev/null || browser=" chromium" # its tests are left out where it is missing
[ -n "${packages# }${browser:=}" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing the servers that the tests start:$packages$browser …"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    # shellcheck disable=SC2086
    { apt-get -q update && apt-get -q install -y --no-install-recommends $packages$browser; } \
        >"$log" 2>&1 || cat "$log" >&2
    rm -f "$log"
fi
packages=$(missing)
[ -z "${packages# }" ] || {
    echo "The tests start real servers, and these are missing:$packages" >&2
    echo "Install them (Homebrew: brew install redis postgresql rabbitmq), or use environment.yml" >&2
    exit 1
}
