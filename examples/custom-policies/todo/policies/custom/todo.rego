# METADATA
# title: A to-do application
# description: |
#   The scenario of the AuthZEN interoperability events: who may do what with whose to-dos.
#   What someone is in this application stands in their attributes (`todo_roles`), which
#   administrators of Gatepost set. Whose a to-do is, the application says with its question
#   (`resource.properties.ownerID`): the id or the proven address of a user.
# scope: package
package gatepost.custom

# What there is to ask, so that action search knows it.
actions contains {"type": "todo", "name": name} if {
	some name in {"can_read_todos", "can_create_todo", "can_update_todo", "can_delete_todo"}
}

actions contains {"type": "user", "name": "can_read_user"}

# Everyone who is something here sees everyone, and all to-dos.
allow contains {"code": "todo_member", "message": "Members of the application see people and to-dos."} if {
	_todo_action in {"user:can_read_user", "todo:can_read_todos"}
	some role in _todo_roles
	role in {"viewer", "editor", "admin", "evil_genius"}
}

allow contains {"code": "todo_writer", "message": "Editors and administrators make to-dos."} if {
	_todo_action == "todo:can_create_todo"
	some role in _todo_roles
	role in {"editor", "admin"}
}

allow contains {"code": "todo_owner", "message": "Editors change and delete their own to-dos."} if {
	_todo_action in {"todo:can_update_todo", "todo:can_delete_todo"}
	"editor" in _todo_roles
	_owns_todo
}

allow contains {"code": "todo_genius", "message": "An evil genius changes every to-do."} if {
	_todo_action == "todo:can_update_todo"
	"evil_genius" in _todo_roles
}

allow contains {"code": "todo_admin", "message": "Administrators delete every to-do."} if {
	_todo_action == "todo:can_delete_todo"
	"admin" in _todo_roles
}

_todo_action := input.action.name if {
	input.subject.type == "user"
	input.resource.type in {"todo", "user"}
}

# Nothing but a list counts: whatever else the attribute holds is no role.
_todo_roles := input.subject.properties.todo_roles if is_array(input.subject.properties.todo_roles)

_owns_todo if input.resource.properties.ownerID == input.subject.id

_owns_todo if input.resource.properties.ownerID == input.subject.properties.email
