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

install() {
    echo "Installing for the tests:$* …"
    log=$(mktemp)
    # shellcheck disable=SC2048,SC2086
    { apt-get -q update && apt-get -q install -y --no-install-recommends $*; } >"$log" 2>&1 ||
        cat "$log" >&2
    rm -f "$log"
}

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    packages=$(missing)
    [ -z "${packages# }" ] || install "$packages"
    # The collector's tests with a browser are left out where there is none.
    command -v chromium >/dev/null || install " chromium"
fi
packages=$(missing)
[ -z "${packages# }" ] || {
    echo "The tests start real servers, and these are missing:$packages" >&2
    echo "Install them (Homebrew: brew install redis postgresql rabbitmq), or use environment.yml" >&2
    exit 1
}
