//! `OpenFGA` on PostgreSQL, which holds roles and what is below what as tuples.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use serde_json::{Value, json};

use super::{
    Peer,
    facts::{Facts, Question},
    postgres,
    running::{Ask, Ports},
    tuples,
};

const MODEL: &str = include_str!("../../peers/openfga.json");
/// As many as it takes in one request.
const WRITTEN_AT_ONCE: usize = 100;

pub struct OpenFga {
    program: PathBuf,
    name: &'static str,
    database: &'static str,
    /// Whether the caches are on that its documentation recommends.
    caches: bool,
    /// Of the database.
    url: String,
    /// The path of what it has been told.
    store: String,
    model: String,
}

impl OpenFga {
    pub fn new(program: PathBuf, caches: bool) -> Self {
        let (name, database) = if caches {
            ("OpenFGA, caches on", "openfga_caches")
        } else {
            ("OpenFGA", "openfga")
        };
        Self {
            program,
            name,
            database,
            caches,
            url: String::new(),
            store: String::new(),
            model: String::new(),
        }
    }

    fn key(question: &Question) -> Value {
        json!({
            "user": format!("user:{}", question.user),
            "relation": format!("can_{}", question.action),
            "object": format!("project:{}", question.project.id),
        })
    }
}

impl Peer for OpenFga {
    fn name(&self) -> &'static str {
        self.name
    }

    fn program(&self) -> &Path {
        &self.program
    }

    fn version_by(&self) -> &'static str {
        "version"
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        self.url = postgres::create(self.database)?;
        let mut migrate = Command::new(&self.program);
        migrate.args(["migrate", "--datastore-engine=postgres"]);
        migrate.arg(format!("--datastore-uri={}", self.url));
        super::finish(&mut migrate)
    }

    fn command(&self, ports: &Ports) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["run", "--datastore-engine=postgres", "--log-level=error"])
            .arg(format!("--datastore-uri={}", self.url))
            .arg("--playground-enabled=false")
            .arg(format!("--http-addr=127.0.0.1:{}", ports.http))
            .arg(format!("--grpc-addr=127.0.0.1:{}", ports.others[0]))
            .arg(format!("--metrics-addr=127.0.0.1:{}", ports.others[1]));
        if self.caches {
            command
                .arg("--check-query-cache-enabled")
                .arg("--check-iterator-cache-enabled");
        }
        command
    }

    fn load(&mut self, address: &str, facts: &Facts) -> anyhow::Result<()> {
        let text = |answer: &Value, name: &str| {
            let text = answer[name].as_str().map(str::to_owned);
            text.with_context(|| format!("no {name} in {answer}"))
        };
        let store = Ask::new("/stores", &json!({"name": "peers"})).send(address)?;
        self.store = format!("/stores/{}", text(&store, "id")?);
        let model = serde_json::from_str(MODEL)?;
        let path = format!("{}/authorization-models", self.store);
        let model = Ask::new(path, &model).send(address)?;
        self.model = text(&model, "authorization_model_id")?;
        let path = format!("{}/write", self.store);
        for some in tuples(facts).chunks(WRITTEN_AT_ONCE) {
            let keys: Vec<_> = some
                .iter()
                .map(|tuple| {
                    let [user, object] =
                        [tuple.subject, tuple.object].map(|(kind, id)| format!("{kind}:{id}"));
                    json!({"user": user, "relation": tuple.relation, "object": object})
                })
                .collect();
            let body =
                json!({"writes": {"tuple_keys": keys}, "authorization_model_id": self.model});
            Ask::new(&path, &body).send(address)?;
        }
        postgres::ask(self.database, "ANALYZE")?;
        Ok(())
    }

    fn ask(&self, _facts: &Facts, questions: &[Question]) -> anyhow::Result<Ask> {
        Ok(if let [question] = questions {
            let path = format!("{}/check", self.store);
            let key = Self::key(question);
            Ask::new(
                path,
                &json!({"tuple_key": key, "authorization_model_id": self.model}),
            )
        } else {
            let checks: Vec<_> = (0..)
                .zip(questions)
                .map(|(number, question): (u32, _)| {
                    json!({"tuple_key": Self::key(question), "correlation_id": number.to_string()})
                })
                .collect();
            let path = format!("{}/batch-check", self.store);
            Ask::new(
                path,
                &json!({"checks": checks, "authorization_model_id": self.model}),
            )
        })
    }

    fn answers(&self, answer: &Value, questions: &[Question]) -> Option<Vec<bool>> {
        if questions.len() == 1 {
            return Some(vec![answer["allowed"].as_bool()?]);
        }
        let result = answer["result"].as_object()?;
        // What is false is left out; an error is not.
        (0..questions.len())
            .map(|number| {
                let one = result.get(&number.to_string())?;
                let failed = one.get("error").is_some();
                (!failed).then(|| one["allowed"].as_bool().unwrap_or(false))
            })
            .collect()
    }
}
