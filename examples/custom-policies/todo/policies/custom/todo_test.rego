package gatepost.custom_test

import data.gatepost.authz

# The people of the scenario, and what they are.
people := {
	"rick": ["admin", "evil_genius"],
	"morty": ["editor"],
	"summer": ["editor"],
	"beth": ["viewer"],
	"jerry": ["viewer"],
	"stranger": [],
}

asked(who, action, resource) := {
	"subject": {"type": "user", "id": who, "properties": {
		"status": "active",
		"email": concat("", [who, "@example.com"]),
		"todo_roles": people[who],
	}},
	"action": {"name": action, "properties": {}},
	"resource": object.union({"id": "1", "path": [{"type": "system"}], "properties": {}}, resource),
	"grants": [],
	"context": {"time": "2026-11-23T10:00:00Z"},
}

todo_of(owner) := {"type": "todo", "properties": {"ownerID": owner}}

allowed(action, resource) := {who |
	some who, _ in people
	authz.decision.allow with input as asked(who, action, resource)
}

members := {"rick", "morty", "summer", "beth", "jerry"}

test_members_see_people_and_todos if {
	allowed("user:can_read_user", {"type": "user"}) == members
	allowed("todo:can_read_todos", {"type": "todo"}) == members
}

test_editors_and_administrators_make_todos if {
	allowed("todo:can_create_todo", {"type": "todo"}) == {"rick", "morty", "summer"}
}

test_editors_change_their_own_and_the_genius_all if {
	allowed("todo:can_update_todo", todo_of("morty")) == {"rick", "morty"}
	allowed("todo:can_update_todo", todo_of("summer@example.com")) == {"rick", "summer"}
	allowed("todo:can_update_todo", todo_of("rick")) == {"rick"}
}

test_editors_delete_their_own_and_administrators_all if {
	allowed("todo:can_delete_todo", todo_of("morty@example.com")) == {"rick", "morty"}
	allowed("todo:can_delete_todo", todo_of("jerry")) == {"rick"}
}

test_an_attribute_of_another_type_is_no_role if {
	every roles in ["admin", {"admin": true}, null, 1] {
		question := asked("rick", "todo:can_read_todos", {"type": "todo"})
		changed := object.union(question, {"subject": {"properties": {"todo_roles": roles}}})
		not authz.decision.allow with input as changed
	}
}

test_a_service_account_is_nobody_here if {
	question := object.union(
		asked("rick", "todo:can_read_todos", {"type": "todo"}),
		{"subject": {"type": "service_account"}},
	)
	not authz.decision.allow with input as question
}
