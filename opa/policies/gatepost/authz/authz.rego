# METADATA
# title: Gatepost authorization
# description: |
#   Decides one question: may this subject take this action on this resource?
#   Pure: all it knows comes from `input`, from `data.gatepost.catalog`, and from
#   the operator's own rules in `data.gatepost.custom`.
#
#   Nothing is allowed unless a rule says so, and a question that is not fully
#   and correctly asked is refused. Both engines raise the errors of built-in
#   functions instead of swallowing them, so no rule here calls one with a value
#   whose type it has not tested.
#
#   The embedded engine interprets this for every request. What looks repeated
#   or written out is so because a rule or a function costs it more than a line.
# scope: package
package gatepost.authz

# METADATA
# description: |
#   The answer: whether it is allowed, why, by which grants, and what the caller
#   must do besides. It is defined for every input.
# entrypoint: true
default decision := {
	"allow": false,
	"reasons": [{"code": "malformed_input", "message": "The question is not complete, or has a wrong type in it."}],
	"matched_grants": [],
	"obligations": [],
}

decision := verdict if {
	is_string(input.subject.type)
	is_string(input.subject.id)
	is_string(input.resource.type)
	not "" in [input.subject.type, input.subject.id, input.resource.type]

	# There is one system: it needs no id.
	id := object.get(input.resource, "id", object.get({"system": "system"}, input.resource.type, ""))
	is_string(id)
	id != ""

	is_array(input.resource.path)
	is_array(input.grants)

	# An asterisk is for what roles hold: nobody asks for all verbs in one question.
	is_string(input.action.name)
	not contains(input.action.name, "*")
	[type, verb] := split(input.action.name, ":")
	not "" in [type, verb]

	_now
}

# METADATA
# description: |
#   One answer for each of `input.checks`, in order: many questions in one call.
# entrypoint: true
decisions := [answer |
	some check in input.checks
	answer := decision with input as check
]

# METADATA
# description: |
#   The answer to a question that is complete and correctly typed, which is not
#   looked at again. For callers whose types say so; everyone else asks `decision`.
# entrypoint: true
verdict := {
	"allow": false,
	"reasons": [{"code": "subject_inactive", "message": "The subject is not active."}],
	"matched_grants": [],
	"obligations": [],
} if {
	not input.subject.properties.status == "active"
} else := {
	"allow": false,
	"reasons": _denied_because,
	"matched_grants": [],
	"obligations": [],
} if {
	# Whatever is there but an empty set denies: a `deny` that was written as a
	# boolean, a list or a string was meant to deny, too.
	deny := data.gatepost.custom.deny
	not deny in {set(), false}
} else := {
	"allow": true,
	"reasons": _allowed_because,
	"matched_grants": _matched_grants,
	"obligations": [],
} if {
	_allowed_because != set()
} else := {
	"allow": false,
	"reasons": _refused_because,
	"matched_grants": [],
	"obligations": [],
}

# -- what an operator's rules say ---------------------------------------------

_denied_because contains {"code": "denied_by_rule", "message": "A rule of this installation denies it."}

_denied_because contains _reason(given) if {
	is_set(data.gatepost.custom.deny)
	some given in data.gatepost.custom.deny
}

_allowed_because contains _reason(given) if {
	is_set(data.gatepost.custom.allow)
	some given in data.gatepost.custom.allow
	_explained(given)
}

_explained(given) if {
	is_string(given.code)
	is_string(given.message)
}

# The prefix keeps a custom rule from passing itself off as one of ours.
_reason(given) := {"code": concat(":", ["custom", given.code]), "message": given.message} if {
	_explained(given)
} else := {"code": "custom", "message": "A custom rule gave no reason."}

# -- what everyone may --------------------------------------------------------

_allowed_because contains {"code": "self", "message": "Everyone may do this with their own account."} if {
	input.resource.type == "user"
	input.subject.type == "user"
	input.resource.id == input.subject.id
	input.action.name in data.gatepost.catalog.self
}

# A service account has no person's account: it can be recognised, and ask about itself.
_allowed_because contains {"code": "self", "message": "Everyone may do this with their own account."} if {
	input.resource.type == "service_account"
	input.subject.type == "service_account"
	input.resource.id == input.subject.id
	input.action.name in {"self:read", "self:evaluate"}
}

_allowed_because contains {"code": "everyone", "message": "Everyone who is active may do this."} if {
	input.action.name in data.gatepost.catalog.everyone
}

_allowed_because contains {"code": "everyone", "message": "Everyone who is active may do this."} if {
	input.action.name == "organization:create"
	input.subject.type == "user"
	input.context.settings.organization_creation == "open"
}

# -- what grants carry --------------------------------------------------------

_allowed_because contains {"code": "granted", "message": "A role that the subject holds here carries the permission."} if {
	_matched_grants != set()
}

_matched_grants contains grant.id if {
	some grant in _carrying
	grant.expires_at == null
}

# It ends at its second: at that instant it no longer holds.
_matched_grants contains grant.id if {
	some grant in _carrying
	is_string(grant.expires_at)
	_now < _instant(grant.expires_at)
}

_refused_because contains {"code": "no_grant", "message": "No role that the subject holds here carries the permission."}

_refused_because contains {"code": "expired_grant", "message": "A role that carried the permission has expired."} if {
	some grant in _carrying
	_now >= _instant(grant.expires_at)
}

# The grants on this resource, or on what is above it, that carry the
# permission: in force or not.
_carrying contains grant if {
	some grant in input.grants
	grant.resource in input.resource.path
	is_array(grant.permissions)
	some permission in _sufficient
	permission in grant.permissions
	is_string(grant.id)
	is_string(grant.resource.type)
	place := object.get(grant.resource, "id", object.get({"system": "system"}, grant.resource.type, ""))
	is_string(place)
	not "" in [grant.id, grant.resource.type, place]
}

# Any one of these permissions is enough. A type that is not one of ours belongs
# to an application: there, what a role may do with `resource` counts, too.
_sufficient := {"*", input.action.name, concat(":", [type, "*"]), concat(":", ["*", verb])} if {
	[type, verb] := split(input.action.name, ":")
	data.gatepost.catalog.permissions[type]
} else := {
	"*", input.action.name, concat(":", [type, "*"]), concat(":", ["*", verb]),
	"resource:*", concat(":", ["resource", verb]),
} if {
	[type, verb] := split(input.action.name, ":")
}

# -- instants -----------------------------------------------------------------

_now := _instant(input.context.time)

# Nanoseconds since 1970 of an instant as RFC 3339 writes it, within the years
# that they can count. Only days that exist match, so parsing cannot fail.
_instant(text) := time.parse_rfc3339_ns(text) if {
	is_string(text)
	regex.match(
		`^(?:(?:19[7-9][0-9]|2[01][0-9]{2}|22[0-5][0-9])-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)|(?:19(?:[79][26]|8[048])|2000|2[01](?:0[48]|[2468][048]|[13579][26])|22(?:0[48]|[24][048]|[135][26]))-02-29)T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])$`,
		text,
	)
}
