#!/bin/sh
# The keys of an etcd that only its own nodes and the brokers may use: an authority of its
# own, one certificate for the nodes and one for the brokers.
#
#   certificates.sh DIRECTORY NAME...     NAME: DNS:etcd1.example.cn or IP:10.0.0.1, of all nodes
#
# Leaves ca.pem, node.pem, node.key, broker.pem and broker.key. Whoever has ca.key can let
# others in: keep it away from the nodes. Run it again before a year is over.
set -eu
directory=$1
shift
names=$(printf ',%s' "$@")
umask 077
mkdir -p "$directory"
cd "$directory"

key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
if [ ! -e ca.key ]; then
    # shellcheck disable=SC2086 # several words
    openssl req -x509 $key -keyout ca.key -out ca.pem -days 3650 -subj '/CN=etcd of Suan' 2>log
fi
for who in node broker; do
    # shellcheck disable=SC2086
    openssl req $key -keyout $who.key -out $who.csr -subj "/CN=$who" 2>>log
    {
        echo 'basicConstraints=critical,CA:FALSE'
        echo 'extendedKeyUsage=serverAuth,clientAuth'
        [ $who = node ] && echo "subjectAltName=${names#,}"
    } >$who.ext || true
    openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 \
        -extfile $who.ext -out $who.pem 2>>log
    rm $who.csr $who.ext
done
