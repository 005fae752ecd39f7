package gatepost.custom_test

import data.gatepost.authz

monday := "2026-11-23T10:00:00Z"

asked(action, properties, time) := {
	"subject": {"type": "user", "id": "u1", "properties": object.union({"status": "active"}, properties)},
	"action": {"name": action, "properties": {}},
	"resource": {"type": "project", "id": "p1", "properties": {}, "path": [{"type": "system"}]},
	"grants": [{
		"id": "g1",
		"role": "admin",
		"permissions": ["*"],
		"resource": {"type": "system"},
		"expires_at": null,
	}],
	"context": {"time": time},
}

codes(action, properties, time) := {reason.code |
	some reason in authz.decision.reasons with input as asked(action, properties, time)
}

ours := {"email": "ada@example.com"}

test_in_office_hours_roles_count if {
	codes("project:update", ours, monday) == {"granted"}
	codes("project:update", ours, "2026-11-23T07:00:00Z") == {"granted"}
}

test_outside_of_them_only_reading_is_left if {
	every time in ["2026-11-23T06:59:59Z", "2026-11-23T19:00:00Z", "2026-11-22T10:00:00Z"] {
		"custom:office_hours" in codes("project:update", ours, time)
		codes("project:read", ours, time) == {"granted"}
	}
}

test_addresses_of_others_are_refused if {
	every email in ["ada@example.org", "ada@notexample.com", ""] {
		"custom:foreign_domain" in codes("project:read", {"email": email}, monday)
	}
	"custom:foreign_domain" in codes("project:read", {}, monday)
}

test_deleting_takes_a_second_factor if {
	codes("project:delete", object.union(ours, {"mfa": true}), monday) == {"granted"}
	every mfa in [false, null, "true", 1] {
		"custom:mfa_needed" in codes("project:delete", object.union(ours, {"mfa": mfa}), monday)
	}
	"custom:mfa_needed" in codes("project:delete", ours, monday)
}
