//! What a proxy asks.

use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::{
    access::resource::{ResourceRef, ResourceType},
    policy::{Place, is_permission},
    problem::Problem,
};

/// The query of the call.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// What the caller has to be permitted besides: `type:verb`.
    #[param(max_length = 127, example = "report:read")]
    pub permission: Option<String>,
    /// On what: `type:id`, or `system`, which it is if nothing is said. What is not one of
    /// Gatepost's own types stands where it was registered, else right below the system.
    #[param(max_length = 320, example = "system")]
    pub resource: Option<String>,
    /// Where a browser is to come back to after the login: a path, or an address on the host of
    /// `PUBLIC_URL` or of `CORS_ORIGINS`. If it is left out, `X-Forwarded-Proto`, `-Host` and
    /// `-Uri` say it.
    #[param(max_length = 2000)]
    pub redirect: Option<String>,
}

/// A permission on something.
#[derive(Debug, PartialEq, Eq)]
pub struct Demand {
    /// The permission.
    pub permission: String,
    /// The resource if it is one of ours, else what it stands below unless it is registered.
    pub base: ResourceRef,
    /// The resource if it is an application's.
    pub below: Option<Place>,
}

impl Asked {
    /// What is asked for besides a caller who is known.
    ///
    /// # Errors
    ///
    /// `400` for what no answer could be right for.
    pub fn demand(&self) -> Result<Option<Demand>, Problem> {
        let Some(permission) = &self.permission else {
            return match self.resource {
                None => Ok(None),
                Some(_) => Err(Problem::invalid(
                    "permission",
                    "missing_field",
                    "belongs to resource",
                )),
            };
        };
        if !is_permission(permission) || permission.contains('*') {
            let message = "must be type:verb";
            return Err(Problem::invalid("permission", "invalid_value", message));
        }
        let resource = self.resource.as_deref().unwrap_or("system");
        let (base, below) = place(resource).ok_or_else(|| {
            let message = "must be type:id, or system";
            Problem::invalid("resource", "invalid_value", message)
        })?;
        Ok(Some(Demand {
            permission: permission.clone(),
            base,
            below,
        }))
    }
}

fn place(text: &str) -> Option<(ResourceRef, Option<Place>)> {
    if text == "system" {
        return Some((ResourceRef::SYSTEM, None));
    }
    let (kind, id) = text.split_once(':')?;
    if id.is_empty() || id.chars().count() > 256 || id.chars().any(char::is_control) {
        return None;
    }
    match kind.parse::<ResourceType>() {
        Ok(ResourceType::System) => None,
        Ok(kind) => {
            // What has no id of ours does not exist, as an unknown one.
            let id = Uuid::try_parse(id).unwrap_or(Uuid::nil());
            Some((ResourceRef::new(kind, id), None))
        }
        Err(()) => (!kind.contains('*') && is_permission(&format!("{kind}:read")))
            .then(|| (ResourceRef::SYSTEM, Some(Place::new(kind, id)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(permission: &str, resource: &str) -> Result<Option<Demand>, Problem> {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Asked {
            permission: given(permission),
            resource: given(resource),
            redirect: None,
        }
        .demand()
    }

    #[test]
    fn permissions_and_resources_are_told_from_other_text() {
        assert_eq!(asked("", "").unwrap(), None);
        let system = asked("token:introspect", "").unwrap().unwrap();
        assert_eq!((system.base, system.below), (ResourceRef::SYSTEM, None));
        let foreign = asked("report:read", "report:2026/11").unwrap().unwrap();
        assert_eq!(foreign.below, Some(Place::new("report", "2026/11")));
        let id = Uuid::now_v7();
        let own = asked("project:read", &format!("project:{id}"))
            .unwrap()
            .unwrap();
        assert_eq!(own.base, ResourceRef::new(ResourceType::Project, id));
        for (permission, resource) in [
            ("", "system"),
            ("read", ""),
            ("*", ""),
            ("report:*", ""),
            ("report:read", "report"),
            ("report:read", "report:"),
            ("report:read", "system:1"),
            ("report:read", "Report:1"),
            ("report:read", "*:1"),
        ] {
            assert!(
                asked(permission, resource).is_err(),
                "{permission} {resource}"
            );
        }
    }
}
