#!/bin/sh
# Prints the secrets of a new installation, made on this machine from its random source.
#
#   sh deploy/new-secrets.sh compose      lines for the file .env, beside compose.yaml
#   sh deploy/new-secrets.sh kubernetes   Secrets for `kubectl create --filename -`
#
# Each run prints others. Keep what was printed: without the pepper no key opens anything, and without
# its password no service reaches its tables.
set -eu

random() { # bytes, as hexadecimal digits
    od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'
}

key() { printf 'gs_%s_%s' "$(random 5)" "$(random 32)"; }

secret() { # name, type, then pairs of key and value
    printf -- '---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\n  namespace: groundswell\n' "$1"
    printf 'type: %s\nstringData:\n' "$2"
    shift 2
    while [ $# -gt 0 ]; do
        printf '  %s: "%s"\n' "$1" "$2"
        shift 2
    done
}

database() { # service
    password=$(random 32)
    secret "$1-database" kubernetes.io/basic-auth username "$1" password "$password" \
        url "postgresql://$1:$password@postgres-rw:5432/groundswell"
}

case "${1:-}" in
    compose)
        for name in POSTGRES_PASSWORD INTERNAL_SECRET PEPPER; do
            printf 'GROUNDSWELL_%s=%s\n' "$name" "$(random 32)"
        done
        printf 'GROUNDSWELL_ADMIN_KEY=%s\n' "$(key)"
        ;;
    kubernetes)
        for service in incidents feedback roadmap gateway; do database "$service"; done
        secret postgres Opaque password "$(random 32)"
        secret internal Opaque secret "$(random 32)"
        secret api-keys Opaque pepper "$(random 32)" admin-key "$(key)"
        ;;
    *)
        echo 'Say for what: sh deploy/new-secrets.sh compose, or sh deploy/new-secrets.sh kubernetes.' >&2
        exit 2
        ;;
esac
