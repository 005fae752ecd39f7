# From `kc.sh export --realm R --users same_file --file realm.json` (or a file of --users
# different_files): jq -c -f keycloak.jq realm.json > users.jsonl
#
# Keycloak's other attributes are lists; they become metadata, which their owner may edit.
.users[]
| select(.email and (.serviceAccountClientId | not))
| {
    email,
    username,
    display_name: ([.firstName, .lastName] | map(select(.)) | join(" ") | if . == "" then null else . end),
    email_verified: (.emailVerified // false),
    status: (if .enabled == false then "disabled" else "active" end),
    locale: (.attributes.locale[0]? // null),
    metadata: ((.attributes // {}) | del(.locale)),
    created_at: (.createdTimestamp | if . then . / 1000 | todate else null end),
    keycloak: ([.credentials[]? | select(.type == "password")][0])
  }
# A username that is the e-mail address is none here, where either logs in.
| if .username == .email then .username = null else . end
| with_entries(select(.value != null))
