# Rules that refuse, whatever role someone holds: outside office hours, from foreign domains,
# and without a second factor.
package gatepost.custom

# Whoever reads may do so at any hour.
deny contains {"code": "office_hours", "message": "Projects change Monday to Friday, 7 to 19 o'clock UTC."} if {
	input.resource.type == "project"
	not endswith(input.action.name, ":read")
	not _office_hours
}

# Who has proven no address has none of ours.
deny contains {"code": "foreign_domain", "message": "Projects are for addresses of example.com."} if {
	input.resource.type == "project"
	input.subject.type == "user"
	not endswith(object.get(input.subject.properties, "email", ""), "@example.com")
}

# Written so that a missing property denies.
deny contains {"code": "mfa_needed", "message": "Deleting takes a login with a second factor."} if {
	endswith(input.action.name, ":delete")
	input.subject.type == "user"
	not input.subject.properties.mfa == true
}

_office_hours if {
	now := time.parse_rfc3339_ns(input.context.time)
	not time.weekday(now) in {"Saturday", "Sunday"}
	[hour, _, _] := time.clock(now)
	hour >= 7
	hour < 19
}
