#!/bin/sh
# Installs the servers that the tests of several brokers start by themselves: etcd, from the
# system's packages. Does nothing when it is there; where it may not install it prints a
# hint and goes on, because everything else works without, and the tests say what they skip.
#
#   deploy/servers.sh
set -eu

policy=/usr/sbin/policy-rc.d # what Debian's packages ask before they start a daemon
kept=

say() { printf 'servers: %s\n' "$*"; }
go_on() {
    printf 'servers: %s\n' "$1" >&2
    printf 'hint: %s\n' "$2" >&2
    exit 0
}

# The package would start a daemon of its own, with its own data, on the usual ports.
forbid_daemons() {
    if [ -e "$policy" ] || [ -L "$policy" ]; then
        kept=$(mktemp -u "$policy.XXXXXX")
        mv "$policy" "$kept"
    fi
    trap allow_daemons EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}

allow_daemons() {
    trap - EXIT
    rm -f "$policy"
    if [ -n "$kept" ]; then
        mv "$kept" "$policy"
    fi
}

# Debian: the server and etcdctl are two packages; older releases have both in etcd.
install_etcd() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q &&
        { apt-get install -qy --no-install-recommends etcd-server etcd-client ||
            apt-get install -qy --no-install-recommends etcd; }
}

if command -v etcd >/dev/null && command -v etcdctl >/dev/null; then
    say "etcd is there"
    exit
fi
by_hand="install it, on Debian: sudo apt-get install etcd-server etcd-client; tests that need it are skipped"
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    go_on "etcd is not installed, and this user cannot install it" "$by_hand"
fi
say "installing etcd with apt-get"
forbid_daemons
if ! install_etcd </dev/null >&2; then
    allow_daemons
    go_on "etcd could not be installed" "$by_hand"
fi
# The package enables its unit, so that the next boot would start it.
if command -v systemctl >/dev/null; then
    systemctl disable --quiet etcd.service 2>/dev/null || :
fi
allow_daemons
say "etcd is there"
