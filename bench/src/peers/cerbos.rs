//! Cerbos, which is told the roles of the person with each question.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use serde_json::{Value, json};

use super::{
    Peer,
    facts::{Facts, Question},
    running::{Ask, Ports},
};

pub struct Cerbos {
    pub program: PathBuf,
    /// The folder with its policies.
    pub policy: PathBuf,
}

/// A place in one word.
fn place(kind: &str, id: Option<&str>) -> String {
    id.map_or_else(|| kind.to_owned(), |id| format!("{kind}:{id}"))
}

impl Peer for Cerbos {
    fn name(&self) -> &'static str {
        "Cerbos"
    }

    fn program(&self) -> &Path {
        &self.program
    }

    fn version_by(&self) -> &'static str {
        "--version"
    }

    fn command(&self, ports: &Ports) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["server", "--log-level=error"])
            .arg(format!(
                "--set=server.httpListenAddr=127.0.0.1:{}",
                ports.http
            ))
            .arg(format!(
                "--set=server.grpcListenAddr=127.0.0.1:{}",
                ports.others[0]
            ))
            .args(["--set=storage.driver=disk", "--set=telemetry.disabled=true"])
            .arg(format!(
                "--set=storage.disk.directory={}",
                self.policy.display()
            ));
        command
    }

    fn load(&mut self, _address: &str, _facts: &Facts) -> anyhow::Result<()> {
        Ok(())
    }

    /// Questions of a batch come in pairs about the same project, which is one resource with two
    /// actions here.
    fn ask(&self, facts: &Facts, questions: &[Question]) -> anyhow::Result<Ask> {
        let user = &questions.first().context("no question")?.user;
        let held = facts.grants.get(user).into_iter().flatten();
        let grants: Vec<_> = held
            .map(|grant| {
                json!({
                    "role": grant.role,
                    "type": grant.kind,
                    "on": place(&grant.kind, grant.place.as_deref()),
                })
            })
            .collect();
        let resources: Vec<_> = questions
            .chunks(2)
            .map(|about| {
                let project = &about[0].project;
                let path: Vec<_> = project.path().map(|(kind, id)| place(kind, id)).into();
                let actions: Vec<_> = about.iter().map(|question| question.action).collect();
                json!({
                    "resource": {"kind": "project", "id": project.id, "attr": {"path": path}},
                    "actions": actions,
                })
            })
            .collect();
        let principal = json!({"id": user, "roles": ["user"], "attr": {"grants": grants}});
        Ok(Ask::new(
            "/api/check/resources",
            &json!({"principal": principal, "resources": resources}),
        ))
    }

    fn answers(&self, answer: &Value, questions: &[Question]) -> Option<Vec<bool>> {
        let results = answer["results"].as_array()?;
        let effect = |(number, question): (usize, &Question)| {
            let result = results.get(number / 2)?;
            if result["resource"]["id"].as_str()? != question.project.id {
                return None;
            }
            match result["actions"][question.action].as_str()? {
                "EFFECT_ALLOW" => Some(true),
                "EFFECT_DENY" => Some(false),
                _ => None,
            }
        };
        questions.iter().enumerate().map(effect).collect()
    }
}
