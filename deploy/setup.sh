#!/bin/sh
# Makes VENV with exactly what requirements.lock names and this project, editable, in it.
# Needs python3 with pip; brings uv where there is none, because pip alone takes minutes.
# Does nothing, and needs no network, when VENV is already what the files say.
#
#   deploy/setup.sh PYTHON VENV
set -eu

wanted_python=${1:?usage: deploy/setup.sh PYTHON VENV}
venv=${2:?usage: deploy/setup.sh PYTHON VENV}
root=$(cd "$(dirname "$0")/.." && pwd)
case $venv in /*) ;; *) venv=$root/$venv ;; esac
ready=$venv/.ready # what VENV was made from; written last

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$1" >&2
    printf 'hint: %s\n' "$2" >&2
    exit 1
}

is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    candidates=$wanted_python
    if [ "$wanted_python" = python3 ]; then
        candidates="python3 python3.13 python3.12 python3.11"
    fi
    for candidate in $candidates; do
        if is_recent "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    found=$("$wanted_python" -V 2>/dev/null || echo "not there")
    fail "Suan needs Python 3.11 or newer; $wanted_python is $found" \
        "install one, then: make setup PYTHON=python3.11"
}

# Debian splits venv and pip from python3: fetch them when we may, else say which they are.
need_package() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing $1 with apt-get"
        { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy "$1"; } \
            </dev/null >&2 && return
    fi
    fail "$python has no $2" "install it, on Debian: sudo apt-get install $1"
}

make_venv() {
    if [ "$(head -n 1 "$ready" 2>/dev/null)" = "$venv" ] && is_recent "$venv/bin/python"; then
        return # only its contents are out of date
    fi
    "$python" -c 'import venv' 2>/dev/null || need_package python3-venv "venv module"
    # Without pip: that part of venv is what a bare Debian lacks, and uv needs none.
    "$python" -m venv --clear --without-pip "$venv"
}

need_pip() {
    "$python" -m pip --version >/dev/null 2>&1 || need_package python3-pip pip
}

bring_uv() {
    need_pip
    # --target leaves the system's Python untouched.
    PIP_ROOT_USER_ACTION=ignore "$python" -m pip --disable-pip-version-check \
        install --quiet --target "$venv/.uv" uv
}

find_uv() {
    own=$venv/.uv/bin/uv
    if uv --version >/dev/null 2>&1; then
        echo uv
    elif "$own" --version >/dev/null 2>&1 || bring_uv >&2; then
        echo "$own"
    fi
}

# uv does not read pip's configuration: tell it of the mirror that pip uses.
install_with_uv() {
    mirror=${PIP_INDEX_URL:-$("$python" -m pip config get global.index-url 2>/dev/null || :)}
    if [ -n "$mirror" ]; then
        export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$mirror}"
    fi
    export VIRTUAL_ENV="$venv"
    "$1" pip sync --quiet --require-hashes requirements.lock &&
        "$1" pip install --quiet --no-deps --no-build-isolation --editable .
}

install_with_pip() {
    need_pip
    set -- "$python" -m pip --disable-pip-version-check --python "$venv/bin/python" install --quiet
    "$@" --require-hashes --requirement requirements.lock
    "$@" --no-deps --no-build-isolation --editable .
}

# What decides the contents of VENV; pyproject.toml goes on with the settings of the linters.
describe() {
    printf '%s\n' "$venv" "$("$venv/bin/python" -V 2>&1)"
    cat "$root/requirements.lock"
    sed '/^\[tool\.ruff/,$d' "$root/pyproject.toml"
}

cd "$root"
if [ -f "$ready" ] && describe | cmp -s - "$ready"; then
    say "$venv is ready"
    exit
fi
python=$(find_python)
say "making $venv with $("$python" -V)"
make_venv
uv=$(find_uv)
if [ -z "$uv" ] || ! install_with_uv "$uv"; then
    say "pip does it without uv, which takes some minutes"
    install_with_pip
fi
describe >"$ready.part"
mv "$ready.part" "$ready"
say "$venv is ready"
