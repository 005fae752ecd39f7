//! `SpiceDB` on PostgreSQL, which holds roles and what is below what as relationships.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    Peer,
    facts::{Facts, Question},
    postgres,
    running::{Ask, Ports},
    tuples,
};

const SCHEMA: &str = include_str!("../../peers/spicedb.zed");
/// It answers nobody without one.
const KEY: &str = "peers";
/// As many as it takes in one request.
const WRITTEN_AT_ONCE: usize = 1000;
/// Its answers are up to 5.5 s old unless a question says otherwise.
const STALENESS: Duration = Duration::from_secs(7);

pub struct SpiceDb {
    program: PathBuf,
    /// Of the database.
    url: String,
}

impl SpiceDb {
    pub const fn new(program: PathBuf) -> Self {
        let url = String::new();
        Self { program, url }
    }

    fn check(question: &Question) -> Value {
        json!({
            "resource": {"objectType": "project", "objectId": question.project.id},
            "permission": question.action,
            "subject": {"object": {"objectType": "user", "objectId": question.user}},
        })
    }
}

impl Peer for SpiceDb {
    fn name(&self) -> &'static str {
        "SpiceDB"
    }

    fn program(&self) -> &Path {
        &self.program
    }

    fn version_by(&self) -> &'static str {
        "version"
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        self.url = postgres::create("spicedb")?;
        let mut migrate = Command::new(&self.program);
        migrate.args(["datastore", "migrate", "head", "--log-level=error"]);
        migrate.args(["--datastore-engine=postgres"]);
        migrate.arg(format!("--datastore-conn-uri={}", self.url));
        super::finish(&mut migrate)
    }

    fn command(&self, ports: &Ports) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["serve", "--datastore-engine=postgres", "--log-level=error"])
            .arg(format!("--datastore-conn-uri={}", self.url))
            .arg(format!("--grpc-preshared-key={KEY}"))
            .args(["--telemetry-endpoint=", "--http-enabled"])
            .arg(format!("--http-addr=127.0.0.1:{}", ports.http))
            .arg(format!("--grpc-addr=127.0.0.1:{}", ports.others[0]))
            .arg(format!("--metrics-addr=127.0.0.1:{}", ports.others[1]));
        command
    }

    fn load(&mut self, address: &str, facts: &Facts) -> anyhow::Result<()> {
        let send = |path: &str, body: &Value| Ask::new(path, body).with_token(KEY).send(address);
        send("/v1/schema/write", &json!({"schema": SCHEMA}))?;
        for some in tuples(facts).chunks(WRITTEN_AT_ONCE) {
            let updates: Vec<_> = some
                .iter()
                .map(|tuple| {
                    let [subject, object] = [tuple.subject, tuple.object]
                        .map(|(kind, id)| json!({"objectType": kind, "objectId": id}));
                    json!({"operation": "OPERATION_TOUCH", "relationship": {
                        "resource": object,
                        "relation": tuple.relation,
                        "subject": {"object": subject},
                    }})
                })
                .collect();
            send("/v1/relationships/write", &json!({"updates": updates}))?;
        }
        postgres::ask("spicedb", "ANALYZE")?;
        thread::sleep(STALENESS);
        Ok(())
    }

    fn ask(&self, _facts: &Facts, questions: &[Question]) -> anyhow::Result<Ask> {
        let consistency = json!({"minimizeLatency": true});
        let ask = if let [question] = questions {
            let mut body = Self::check(question);
            body["consistency"] = consistency;
            Ask::new("/v1/permissions/check", &body)
        } else {
            let items: Vec<_> = questions.iter().map(Self::check).collect();
            let body = json!({"consistency": consistency, "items": items});
            Ask::new("/v1/permissions/checkbulk", &body)
        };
        Ok(ask.with_token(KEY))
    }

    fn answers(&self, answer: &Value, questions: &[Question]) -> Option<Vec<bool>> {
        let one = |item: &Value| match item["permissionship"].as_str()? {
            "PERMISSIONSHIP_HAS_PERMISSION" => Some(true),
            "PERMISSIONSHIP_NO_PERMISSION" => Some(false),
            _ => None,
        };
        if questions.len() == 1 {
            return Some(vec![one(answer)?]);
        }
        let pairs = answer["pairs"].as_array()?;
        pairs.iter().map(|pair| one(&pair["item"])).collect()
    }
}
