#!/bin/sh
# Gives the server its certificate. The key on the host belongs to whoever made it, and PostgreSQL
# takes none that is not its own: so it gets a copy. Run as root: at the start (with the command to
# run then), and after `gatepost db tls renew` (without; then reload the server).
set -eu
from=/etc/gatepost/ssl to=/var/lib/postgresql/ssl
for file in server.crt server.key; do
    if [ ! -s "$from/$file" ]; then
        echo "There is no certificate. Run this beside the compose file, and start again:" >&2
        echo "    gatepost db tls init postgres localhost" >&2
        exit 78
    fi
done
mkdir -p "$to"
for file in server.crt server.key; do
    install -o postgres -g postgres -m 600 "$from/$file" "$to/$file.new"
done
mv "$to/server.key.new" "$to/server.key"
mv "$to/server.crt.new" "$to/server.crt"
if [ $# -gt 0 ]; then
    exec docker-entrypoint.sh "$@"
fi
