#!/usr/bin/env bash
# Shows what Gatepost does, against a running instance: each request, and its answer in short.
# Needs curl and jq.
#
#   examples/quickstart.sh [BASE_URL]        http://localhost:8004 if not given
#
#   ADMIN_EMAIL         the administrator; admin@localhost if not set
#   ADMIN_PASSWORD      their password; asked for on the terminal if not set
#   ADMIN_NEW_PASSWORD  what to change it to at the first login; made up and printed once if not set
#
# Ends with 0 if every answer was as expected. Leaves two users and an organization behind, under
# new names each time, so it may be run again.
set -euo pipefail

url=${1:-http://localhost:8004}
case $url in
--help | -h)
    sed -n '2,13s/^# \{0,1\}//p' "$0"
    exit
    ;;
http://* | https://*) url=${url%/} ;;
*)
    echo "quickstart: $url is not a URL such as http://localhost:8004" >&2
    exit 64
    ;;
esac
for program in curl jq; do
    command -v "$program" >/dev/null || {
        echo "quickstart: $program is needed; scripts/setup installs it" >&2
        exit 69
    }
done

# --- asking, and holding the answer against what is expected

token='' method='' path='' status='' answer='' steps=0

step() {
    steps=$((steps + 1))
    printf '\n%2d  %s\n' "$steps" "$*"
}

fail() {
    printf '\nquickstart: %s\n' "$*" >&2
    exit 1
}

random() { od -An -N "$1" -t x1 /dev/urandom | tr -d ' \n'; }

# An object of strings, from arguments NAME=VALUE. They reach jq by a pipe, because everybody on
# the machine can read the arguments of a program.
object() { printf '%s\n' "$@" | jq -Rnc '[inputs | capture("^(?<key>[^=]+)=(?<value>.*)$")] | from_entries'; }

# call METHOD PATH [JSON]: as whoever $token belongs to; leaves $status and $answer.
call() {
    method=$1 path=$2
    local reply options=(--silent --show-error --max-time 30 --request "$1" --write-out '\n%{http_code}')
    if (($# > 2)); then
        options+=(--header 'Content-Type: application/json' --data-binary @-)
    fi
    reply=$(printf '%s' "${3:-}" | curl "${options[@]}" --config <(authorization) "$url$2") ||
        fail "$url does not answer. Is Gatepost running there? \`make run\` starts it."
    status=${reply##*$'\n'} answer=${reply%$'\n'*}
}

authorization() {
    [[ -z $token ]] || printf 'header = "Authorization: Bearer %s"\n' "$token"
}

# expect STATUS[|STATUS] [FILTER]: ends here if the answer is another one; prints what FILTER makes of it.
expect() {
    local shown='' asked
    [[ "|$1|" == *"|$status|"* ]] ||
        fail "$method $path: expected $1, got $status: $(jq -r '.detail // .' <<<"$answer" 2>/dev/null || echo "$answer")"
    if [[ -n $answer ]]; then
        shown=$(jq -r "${2:-.code // empty}" <<<"$answer") || fail "$method $path: not the JSON expected: $answer"
    fi
    # The end of an id is enough to tell it from the others.
    asked=$(sed -E 's/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{6}/../g' <<<"$method $path")
    printf '      %-57s %s  %s\n' "$asked" "$status" "$shown"
}

# must FILTER WHAT: ends here unless FILTER holds for the answer.
must() { jq -e "$1" <<<"$answer" >/dev/null || fail "$method $path: expected $2: $answer"; }

get() { jq -r "$1" <<<"$answer"; }

log_in() {
    token=''
    call POST /api/auth/login "$(object "login=$1" "password=$2")"
    expect 200 '.status + ", " + (.user.email // "no session yet")'
}

can() { # can ACTION TYPE ID: asks the policy about $ben, as $ben
    call POST /access/v1/evaluation "$(jq -nc --arg subject "$ben" --arg action "$1" --arg type "$2" --arg id "$3" \
        '{subject: {type: "user", id: $subject}, action: {name: $action}, resource: {type: $type, id: $id}}')"
    expect 200 "\"$1: \\(.decision), \\(.context.reasons | map(.code) | join(\", \"))\""
}

# --- the story

echo "Gatepost at $url"
call GET /api/health/ready
expect 200 .status

suffix=$(random 3)
ada_email=ada-$suffix@example.com ben_email=ben-$suffix@example.com
ada_password=$(random 12) ben_password=$(random 12)

step "Ada and Ben register"
call POST /api/register "$(object "email=$ada_email" "username=ada-$suffix" "password=$ada_password" display_name=Ada)"
expect 202 .status
call POST /api/register "$(object "email=$ben_email" "username=ben-$suffix" "password=$ben_password" display_name=Ben)"
expect 202 .status

admin_email=${ADMIN_EMAIL:-admin@localhost}
step "The administrator, $admin_email, logs in"
admin_password=${ADMIN_PASSWORD:-}
if [[ -z $admin_password ]]; then
    { true </dev/tty; } 2>/dev/null || fail "there is no terminal to ask for the password; set ADMIN_PASSWORD"
    read -rsp "      password (printed when Gatepost started first): " admin_password </dev/tty 2>/dev/tty
    echo
fi
log_in "$admin_email" "$admin_password"
if [[ $(get .status) == password_change_required ]]; then
    new_password=${ADMIN_NEW_PASSWORD:-$(random 12)}
    call POST /api/auth/password/change \
        "$(object "password_change_token=$(get .password_change_token)" "new_password=$new_password")"
    expect 200 '.status + ", " + .user.email'
    if [[ -z ${ADMIN_NEW_PASSWORD:-} ]]; then
        printf '\n      The new password of %s, shown only here:  %s\n' "$admin_email" "$new_password"
    fi
fi
admin=$(get .access_token)

step "and lets both of them in"
token=$admin
for email in "$ada_email" "$ben_email"; do
    call GET "/api/admin/users?email=$email"
    expect 200 '.items[0] | .display_name + ", " + .status'
    id=$(get '.items[0].id')
    call PUT "/api/admin/users/$id/approve"
    expect 200 '.display_name + ", " + .status'
    if [[ $email == "$ada_email" ]]; then ada=$id; else ben=$id; fi
done

step "Ada logs in, by e-mail and a second time by username"
log_in "$ada_email" "$ada_password"
first_token=$(get .access_token) first_session=$(get .session_id)
log_in "ada-$suffix" "$ada_password"
refresh_token=$(get .refresh_token)

step "takes a new pair of tokens for her refresh token"
call POST /api/auth/refresh "$(object "refresh_token=$refresh_token")"
expect 200 '"access token for \(.expires_in) s, refresh token for \(.refresh_expires_in) s"'
[[ $(get .refresh_token) != "$refresh_token" ]] || fail "the refresh token is still the old one"
ada_token=$(get .access_token)

step "looks at herself and her sessions, and ends the first one"
token=$ada_token
call GET /api/users/me
expect 200 '.display_name + ", " + .username + ", " + .email'
call GET /api/users/me/sessions
expect 200 '"\(.items | length) sessions, \(.items | map(select(.current)) | length) of them this one"'
must '.items | length == 2' "two sessions"
call DELETE "/api/users/me/sessions/$first_session"
expect 204
token=$first_token
call GET /api/users/me
expect 401

step "The administrator makes an organization, and Ada its owner"
token=$admin
call POST /api/organizations "$(object "name=Acme $suffix")"
expect 201 '.name + ", slug " + .slug'
organization=$(get .id)
call POST /api/role-assignments "$(jq -nc --arg user "$ada" --arg id "$organization" \
    '{principal: {type: "user", id: $user}, role: "owner", resource: {type: "organization", id: $id}}')"
expect 201 '"\(.role) of the \(.resource.type)"'

step "Ada makes an account in it, and a project in that"
token=$ada_token
call POST "/api/organizations/$organization/accounts" "$(object name=Research)"
expect 201 .name
account=$(get .id)
call POST "/api/accounts/$account/projects" "$(object name=Apollo)"
expect 201 .name
project=$(get .id)

step "To Ben there is no such project"
log_in "$ben_email" "$ben_password"
ben_token=$(get .access_token) token=$(get .access_token)
call GET "/api/projects/$project"
expect 404

step "Ada makes Ben editor of the account"
token=$ada_token
call POST /api/role-assignments "$(jq -nc --arg user "$ben" --arg id "$account" \
    '{principal: {type: "user", id: $user}, role: "editor", resource: {type: "account", id: $id}, reason: "helps with Apollo"}')"
expect 201 '"\(.role) of the \(.resource.type), because: \(.reason)"'
assignment=$(get .id)

step "Ben changes the project below it, and cannot delete the organization above it"
token=$ben_token
call PATCH "/api/projects/$project" "$(object "name=Apollo 11")"
expect 200 .name
call DELETE "/api/organizations/$organization"
expect '403|404'

step "An application asks the policy the same questions"
can project:update project "$project"
must '.decision == true' "a yes"
can organization:delete organization "$organization"
must '.decision == false' "a no"

step "Ada takes the role away: Ben's very next request is refused, with the token he has"
token=$ada_token
call DELETE "/api/role-assignments/$assignment"
expect 204
token=$ben_token
call PATCH "/api/projects/$project" "$(object "name=Apollo 12")"
expect '403|404'
can project:update project "$project"
must '.decision == false' "a no"

step "Everybody logs out, and the tokens are worth nothing"
for token in "$ben_token" "$ada_token" "$admin"; do
    call POST /api/auth/logout
    expect 204
    call GET /api/users/me
    expect 401
done

printf '\nEvery answer was as expected.\n'
