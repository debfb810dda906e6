# Read by the image's entry point when the data folder is new: a role and a schema for each service. A
# role owns its schema and is let into no other, so no service can read another's tables.
# In a subshell, since the entry point goes on afterwards with a shell of its own habits.
(
    set -eu
    role() {
        psql --no-psqlrc --set ON_ERROR_STOP=1 --set name="$1" --set password="$2" \
            --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE SCHEMA :"name" AUTHORIZATION :"name";
SQL
    }
    role incidents "$INCIDENTS_PASSWORD"
    role feedback "$FEEDBACK_PASSWORD"
    role roadmap "$ROADMAP_PASSWORD"
    role gateway "$GATEWAY_PASSWORD"
)
