//! An OPA server with Gatepost's policy, asked as Gatepost would ask it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use super::{
    Peer,
    facts::{Facts, Question},
    running::{Ask, Ports},
};

pub struct Opa {
    pub program: PathBuf,
    /// The folder with the policy and its data.
    pub policy: PathBuf,
}

fn input(facts: &Facts, question: &Question) -> Value {
    let place = |kind: &str, id: Option<&str>| match id {
        Some(id) => json!({"type": kind, "id": id}),
        None => json!({"type": kind}),
    };
    let path: Vec<_> = question
        .project
        .path()
        .map(|(kind, id)| place(kind, id))
        .into();
    let grants: Vec<_> = facts
        .grants_on(&question.user, &question.project)
        .map(|grant| {
            json!({
                "id": grant.id,
                "role": grant.role,
                "permissions": grant.permissions,
                "resource": place(&grant.kind, grant.place.as_deref()),
                "expires_at": null,
            })
        })
        .collect();
    json!({
        "subject": {"type": "user", "id": question.user, "properties": {"status": "active"}},
        "action": {"name": format!("project:{}", question.action), "properties": {}},
        "resource": {
            "type": "project", "id": question.project.id, "properties": {}, "path": path,
        },
        "grants": grants,
        "context": {"time": "2026-06-01T12:00:00Z", "ip": "127.0.0.1"},
    })
}

impl Peer for Opa {
    fn name(&self) -> &'static str {
        "OPA server"
    }

    fn program(&self) -> &Path {
        &self.program
    }

    fn version_by(&self) -> &'static str {
        "version"
    }

    fn command(&self, ports: &Ports) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["run", "--server", "--log-level=error"])
            .args(["--disable-telemetry", "--ignore=*_test.rego"])
            .arg(format!("--addr=127.0.0.1:{}", ports.http))
            .args([self.policy.join("policies"), self.policy.join("data")]);
        command
    }

    fn load(&mut self, _address: &str, _facts: &Facts) -> anyhow::Result<()> {
        Ok(())
    }

    fn ask(&self, facts: &Facts, questions: &[Question]) -> anyhow::Result<Ask> {
        Ok(if let [question] = questions {
            let input = json!({"input": input(facts, question)});
            Ask::new("/v1/data/gatepost/authz/decision", &input)
        } else {
            let all: Vec<_> = questions.iter().map(|one| input(facts, one)).collect();
            let input = json!({"input": {"checks": all}});
            Ask::new("/v1/data/gatepost/authz/decisions", &input)
        })
    }

    fn answers(&self, answer: &Value, questions: &[Question]) -> Option<Vec<bool>> {
        let result = &answer["result"];
        if questions.len() == 1 {
            return Some(vec![result["allow"].as_bool()?]);
        }
        let all = result.as_array()?;
        all.iter().map(|one| one["allow"].as_bool()).collect()
    }
}
