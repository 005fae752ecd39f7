# From `manage.py dumpdata auth.user > users.json`:
#   jq -c -f django.jq users.json > users.jsonl
.[]
| select(.model == "auth.user") | .fields
| select(.email != "")
| {
    email,
    username,
    display_name: ([.first_name, .last_name] | map(select(. != "")) | join(" ") | if . == "" then null else . end),
    # Django writes "!" and random characters for users without a password.
    password_hash: (if .password == "" or (.password | startswith("!")) then null else .password end),
    status: (if .is_active then "active" else "disabled" end),
    created_at: .date_joined
  }
# Django takes @ and + in usernames.
| if .username | test("^[A-Za-z0-9][A-Za-z0-9._-]{1,49}$") then . else .username = null end
| with_entries(select(.value != null))
