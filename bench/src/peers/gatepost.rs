//! Gatepost itself: people ask about themselves with their own tokens.

use std::{
    collections::HashMap,
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
use crate::people::{self, EVALUATION, EVALUATIONS};

pub struct Gatepost {
    pub program: PathBuf,
    pub name: &'static str,
    pub decision_log: &'static str,
    pub askers: Vec<u32>,
    /// By the person's number. They outlive a restart.
    pub tokens: HashMap<u32, String>,
}

impl Peer for Gatepost {
    fn name(&self) -> &'static str {
        self.name
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
            .arg("serve")
            .env("APP_HOST", "127.0.0.1")
            .env("APP_PORT", ports.http.to_string())
            .env("METRICS_PORT", ports.others[0].to_string())
            .env("DECISION_LOG", self.decision_log)
            .env("LOG_LEVEL", "error")
            .env("LOG_FORMAT", "json");
        command
    }

    fn load(&mut self, address: &str, _facts: &Facts) -> anyhow::Result<()> {
        for person in &self.askers {
            if !self.tokens.contains_key(person) {
                let token = people::log_in(address, *person)?.token;
                self.tokens.insert(*person, token);
            }
        }
        Ok(())
    }

    fn ask(&self, _facts: &Facts, questions: &[Question]) -> anyhow::Result<Ask> {
        let first = questions.first().context("no question")?;
        let subject = json!({"type": "user", "id": first.user});
        let about = |question: &Question| {
            json!({
                "action": {"name": question.action},
                "resource": {"type": "project", "id": question.project.id},
            })
        };
        let ask = if let [question] = questions {
            let mut body = about(question);
            body["subject"] = subject;
            Ask::new(EVALUATION, &body)
        } else {
            let all: Vec<_> = questions.iter().map(about).collect();
            Ask::new(
                EVALUATIONS,
                &json!({"subject": subject, "evaluations": all}),
            )
        };
        let token = self.tokens.get(&first.person).context("has no token")?;
        Ok(ask.with_token(token))
    }

    fn answers(&self, answer: &Value, questions: &[Question]) -> Option<Vec<bool>> {
        if questions.len() == 1 {
            return Some(vec![answer["decision"].as_bool()?]);
        }
        let all = answer["evaluations"].as_array()?;
        all.iter().map(|one| one["decision"].as_bool()).collect()
    }
}
