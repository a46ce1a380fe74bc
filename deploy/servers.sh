#!/bin/sh
# Installs what the tests start by themselves, from the system's packages: etcd, Slurm with munge,
# Charliecloud, which runs jobs in container images, and an SSH server. Does nothing for what is
# there; where it may not install it prints a hint and goes on, because everything else works
# without, and the tests say what they skip.
#
#   deploy/servers.sh
set -eu

policy=/usr/sbin/policy-rc.d # what Debian's packages ask before they start a daemon
kept=
updated=

say() { printf 'servers: %s\n' "$*"; }
hint() {
    printf 'servers: %s\n' "$1" >&2
    printf 'hint: %s; tests that need it are skipped\n' "$2" >&2
}

# The packages would start daemons of their own, with their own data, on the usual ports.
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

is_there() {
    for command in "$@"; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "$command" >/dev/null || return 1
    done
}

update_lists() {
    if [ -z "$updated" ]; then
        apt-get update -q && updated=yes
    fi
}

fetch() { apt-get install -qy --no-install-recommends "$@"; }

# Debian: the server and etcdctl are two packages; older releases have both in etcd.
install_etcd() { fetch etcd-server etcd-client || fetch etcd; }
install_slurm() { fetch slurm-wlm munge; }
install_charliecloud() { fetch charliecloud-runtime; }
install_ssh() { fetch openssh-server openssh-sftp-server; }

# The packages enable their units, so that the next boot would start them.
disable_units() {
    if command -v systemctl >/dev/null; then
        systemctl disable --quiet "$@" 2>/dev/null || :
    fi
}

# bring NAME "COMMANDS" "UNITS" "PACKAGES"; install_NAME does it.
bring() {
    name=$1 commands=$2 units=$3 packages=$4
    # Lists of words on purpose, here and below.
    # shellcheck disable=SC2086
    if is_there $commands; then
        say "$name is there"
        return
    fi
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        hint "$name is not installed, and this user cannot install it" \
            "install it, on Debian: sudo apt-get install $packages"
        return
    fi
    say "installing $name with apt-get"
    forbid_daemons
    export DEBIAN_FRONTEND=noninteractive
    if { update_lists && "install_$name"; } </dev/null >&2; then
        # shellcheck disable=SC2086
        disable_units $units
        say "$name is there"
    else
        hint "$name could not be installed" "install it, on Debian: sudo apt-get install $packages"
    fi
    allow_daemons
}

bring etcd "etcd etcdctl" "etcd.service" "etcd-server etcd-client"
bring slurm "slurmctld slurmd sbatch munged" \
    "slurmctld.service slurmd.service munge.service" "slurm-wlm munge"
bring charliecloud "ch-run" "" "charliecloud-runtime"
bring ssh "sshd" "ssh.service ssh.socket" "openssh-server openssh-sftp-server"
