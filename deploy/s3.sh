#!/bin/sh
# Makes DIRECTORY with moto_server, the S3 server of the tests, apart from the project's own
# environment: what it needs does not go with the Kubernetes client. Where it cannot be had a hint
# is printed, and the tests that need it are skipped.
#
#   deploy/s3.sh VENV DIRECTORY
set -eu

venv=${1:?usage: deploy/s3.sh VENV DIRECTORY}
place=${2:?usage: deploy/s3.sh VENV DIRECTORY}
wanted='moto[s3,server]==5.2.5'
ready=$place/.ready # written last

say() { printf 'servers: %s\n' "$*"; }

if [ "$(cat "$ready" 2>/dev/null)" = "$wanted" ]; then
    say "moto_server is there"
    exit
fi
python=$venv/bin/python
uv=$venv/.uv/bin/uv
[ -x "$uv" ] || uv=uv
mirror=${PIP_INDEX_URL:-$(python3 -m pip config get global.index-url 2>/dev/null || :)}
if [ -n "$mirror" ]; then
    export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$mirror}"
fi
say "making $place with $wanted"
if "$python" -m venv --clear --without-pip "$place" &&
    "$uv" pip install --quiet --python "$place/bin/python" "$wanted" >&2; then
    printf '%s\n' "$wanted" >"$ready"
    say "moto_server is there"
else
    printf 'servers: moto_server could not be brought\n' >&2
    printf 'hint: pip install "%s" into an environment, and name its moto_server in %s\n' \
        "$wanted" "SUAN_TEST_MOTO_SERVER; tests that need it are skipped" >&2
fi
