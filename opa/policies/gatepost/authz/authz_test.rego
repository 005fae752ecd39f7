package gatepost.authz_test

import data.gatepost.authz

question := {
	"subject": {"type": "user", "id": "u1", "properties": {"status": "active"}},
	"action": {"name": "project:update", "properties": {}},
	"resource": {"type": "project", "id": "p1", "properties": {}, "path": [
		{"type": "system"},
		{"type": "organization", "id": "o1"},
		{"type": "account", "id": "a1"},
		{"type": "project", "id": "p1"},
	]},
	"grants": [],
	"context": {"time": "2026-11-21T10:00:00Z"},
}

editor := {
	"id": "g1",
	"role": "editor",
	"permissions": ["project:update"],
	"resource": {"type": "account", "id": "a1"},
	"expires_at": null,
}

with_grant(grant) := object.union(question, {"grants": [grant]})

changed(change) := object.union(question, change)

codes(decision) := {reason.code | some reason in decision.reasons}

test_a_role_on_an_account_holds_on_its_projects if {
	answer := authz.decision with input as with_grant(editor)
	answer.allow
	answer.matched_grants == {"g1"}
	answer.obligations == []
	codes(answer) == {"granted"}
}

test_without_a_grant_nothing_is_allowed if {
	answer := authz.decision with input as question
	not answer.allow
	codes(answer) == {"no_grant"}
	answer.matched_grants == []
}

test_no_input_at_all_is_refused if {
	answer := authz.decision with input as {}
	not answer.allow
	codes(answer) == {"malformed_input"}
}

test_a_role_elsewhere_gives_nothing if {
	elsewhere := object.union(editor, {"resource": {"type": "account", "id": "a2"}})
	not authz.decision.allow with input as with_grant(elsewhere)
}

test_a_role_on_the_system_holds_everywhere if {
	everywhere := object.union(object.remove(editor, ["resource"]), {"resource": {"type": "system"}})
	authz.decision.allow with input as with_grant(everywhere)
}

test_all_four_ways_to_carry_a_permission if {
	every permission in ["*", "project:*", "*:update", "project:update"] {
		authz.decision.allow with input as with_grant(object.union(editor, {"permissions": [permission]}))
	}
	every permission in ["project:updates", "account:*", "*:read", "resource:*", "*:*", ""] {
		not authz.decision.allow with input as with_grant(object.union(editor, {"permissions": [permission]}))
	}
}

test_resource_permissions_count_for_types_of_applications if {
	asked := {"action": {"name": "document:read"}}
	every permission in ["document:read", "resource:read", "resource:*", "*:read"] {
		grant := object.union(editor, {"permissions": [permission]})
		authz.decision.allow with input as object.union(with_grant(grant), asked)
	}
	grant := object.union(editor, {"permissions": ["resource:write"]})
	not authz.decision.allow with input as object.union(with_grant(grant), asked)
}

until(instant) := with_grant(object.union(editor, {"expires_at": instant}))

test_a_grant_ends_at_its_second if {
	authz.decision.allow with input as until("2026-11-21T10:00:00.000000001Z")
	authz.decision.allow with input as until("2026-11-21T12:00:01+02:00")
	every instant in ["2026-11-21T10:00:00Z", "2026-11-21T12:00:00+02:00", "2026-11-21T09:59:59.999Z"] {
		answer := authz.decision with input as until(instant)
		not answer.allow
		codes(answer) == {"expired_grant", "no_grant"}
	}
}

test_an_expiry_that_is_no_instant_gives_nothing if {
	every expiry in ["", "tomorrow", "2026-02-30T00:00:00Z", "2027-01-01", 4070908800, false, {}, []] {
		answer := authz.decision with input as with_grant(object.union(editor, {"expires_at": expiry}))
		not answer.allow
		codes(answer) == {"no_grant"}
	}
	not authz.decision.allow with input as with_grant(object.remove(editor, ["expires_at"]))
}

test_a_time_that_is_no_instant_is_refused if {
	every time in ["", "now", "2026-02-29T00:00:00Z", "2026-11-21T24:00:00Z", "2026-11-21T10:00:60Z", 0, null] {
		answer := authz.decision with input as object.union(with_grant(editor), {"context": {"time": time}})
		not answer.allow
		codes(answer) == {"malformed_input"}
	}
	authz.decision.allow with input as object.union(with_grant(editor), {"context": {"time": "2028-02-29T00:00:00Z"}})
}

test_only_the_active_are_answered_yes if {
	every status in ["disabled", "", null, true, "Active"] {
		subject := {"type": "user", "id": "u1", "properties": {"status": status}}
		answer := authz.decision with input as object.union(with_grant(editor), {"subject": subject})
		not answer.allow
		codes(answer) == {"subject_inactive"}
	}
}

test_the_own_account if {
	own := {
		"action": {"name": "self:read"},
		"resource": {"type": "user", "id": "u1", "path": [{"type": "system"}]},
	}
	answer := authz.decision with input as changed(own)
	answer.allow
	codes(answer) == {"self"}
	not authz.decision.allow with input as changed(object.union(own, {"resource": {"id": "u2"}}))
	not authz.decision.allow with input as changed(object.union(own, {"subject": {"type": "service_account"}}))
	not authz.decision.allow with input as changed(object.union(own, {"action": {"name": "user:update"}}))
}

test_a_service_account_is_recognised_and_asks_about_itself if {
	own := {
		"subject": {"type": "service_account", "id": "s1"},
		"resource": {"type": "service_account", "id": "s1", "path": [{"type": "system"}]},
	}
	every name in ["self:read", "self:evaluate"] {
		authz.decision.allow with input as changed(object.union(own, {"action": {"name": name}}))
	}
	not authz.decision.allow with input as changed(object.union(own, {"action": {"name": "self:keys"}}))
	other := {"action": {"name": "self:read"}, "resource": {"id": "s2"}}
	not authz.decision.allow with input as changed(object.union(own, other))
	user := {"action": {"name": "self:read"}, "subject": {"type": "user"}}
	not authz.decision.allow with input as changed(object.union(own, user))
}

test_creating_organizations_is_a_setting if {
	asked := {"action": {"name": "organization:create"}, "resource": {"type": "system", "path": [{"type": "system"}]}}
	open := {"context": {"settings": {"organization_creation": "open"}}}
	asking := object.union(object.remove(question, ["resource"]), asked)
	not authz.decision.allow with input as asking
	answer := authz.decision with input as object.union(asking, open)
	answer.allow
	codes(answer) == {"everyone"}
}

test_everyone_may_list_organizations if {
	authz.decision.allow with input as changed({"action": {"name": "organization:list"}})
}

test_a_custom_deny_wins if {
	reason := {"code": "weekend", "message": "Closed."}
	answer := authz.decision with input as with_grant(editor)
		with data.gatepost.custom as {"deny": {reason}, "allow": {reason}}
	not answer.allow
	codes(answer) == {"denied_by_rule", "custom:weekend"}
}

test_a_deny_of_any_kind_denies if {
	every deny in [true, "no", 0, [], {}, null, {"a": 1}, {7}] {
		answer := authz.decision with input as with_grant(editor) with data.gatepost.custom as {"deny": deny}
		not answer.allow
		"denied_by_rule" in codes(answer)
	}
	every deny in [false, set()] {
		authz.decision.allow with input as with_grant(editor) with data.gatepost.custom as {"deny": deny}
	}
}

test_a_custom_deny_without_reason_denies_and_says_so if {
	answer := authz.decision with input as with_grant(editor) with data.gatepost.custom as {"deny": {"no"}}
	codes(answer) == {"denied_by_rule", "custom"}
}

test_a_custom_allow_adds if {
	reason := {"code": "granted", "message": "Because."}
	answer := authz.decision with input as question with data.gatepost.custom as {"allow": {reason}}
	answer.allow
	codes(answer) == {"custom:granted"}
	answer.matched_grants == set()
}

test_a_custom_allow_must_be_well_formed if {
	every allow in [true, {"yes"}, [{"code": "a", "message": "b"}], {{"code": "a"}}, {{"code": 1, "message": "b"}}] {
		not authz.decision.allow with input as question with data.gatepost.custom as {"allow": allow}
	}
}

test_grants_must_be_well_formed if {
	every change in [
		{"id": ""}, {"id": 1}, {"permissions": "*"}, {"permissions": {"a": "*"}}, {"permissions": null},
		{"resource": null}, {"resource": "account"}, {"resource": {"type": "account", "id": ""}},
	] {
		not authz.decision.allow with input as with_grant(object.union(editor, change))
	}
	every grant in ["*", null, 5, [], {}, ["*"]] {
		not authz.decision.allow with input as with_grant(grant)
	}
}

test_places_without_an_id_are_no_places if {
	every place in [{"type": "account"}, {"type": "account", "id": null}, {"type": "account", "id": ""}, {"type": "", "id": "x"}, {}, null, "a"] {
		asked := changed({
			"grants": [object.union(object.remove(editor, ["resource"]), {"resource": place})],
			"resource": {"path": [place]},
		})
		not authz.decision.allow with input as asked
	}
}

test_every_part_of_the_question_is_needed if {
	every part in ["subject", "action", "resource", "grants", "context"] {
		answer := authz.decision with input as object.remove(with_grant(editor), [part])
		not answer.allow
		"malformed_input" in codes(answer)
		every wrong in [null, true, 7, "text", {}] {
			not authz.decision.allow with input as object.union(object.remove(with_grant(editor), [part]), {part: wrong})
		}
	}
}

test_names_must_be_names if {
	every name in ["", "project", "project:", ":update", "a:b:c", "*", "project:*", "*:update", 7, null] {
		answer := authz.decision with input as object.union(with_grant(editor), {"action": {"name": name}})
		not answer.allow
		codes(answer) == {"malformed_input"}
	}
}

test_many_questions_are_answered_in_order if {
	answers := authz.decisions with input as {"checks": [question, with_grant(editor), {}, with_grant(editor)]}
	[answer.allow | some answer in answers] == [false, true, false, true]
}

test_no_questions_have_no_answers if {
	answers := authz.decisions with input as {"checks": []}
	answers == []
}
