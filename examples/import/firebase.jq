# From `firebase auth:export users.json --format=json`, with the project's parameters (Firebase
# console: Authentication, Users, the menu beside "Add user", "Password hash parameters"):
#   jq -c --arg key SIGNER_KEY --arg sep SALT_SEPARATOR --arg rounds 8 --arg mem_cost 14 \
#     -f firebase.jq users.json > users.jsonl
.users[]
| select(.email)
| {
    email,
    display_name: .displayName,
    email_verified: (.emailVerified // false),
    status: (if .disabled then "disabled" else "active" end),
    created_at: (.createdAt | if . then tonumber / 1000 | todate else null end),
    password_hash: (
      if .passwordHash then
        "$firebase-scrypt$ln=\($mem_cost),r=\($rounds),sep=\($sep),key=\($key)$\(.salt)$\(.passwordHash)"
      else null end
    )
  }
| if .display_name == "" then .display_name = null else . end
| with_entries(select(.value != null))
