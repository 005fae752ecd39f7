//! The engine in an OPA server, asked over HTTP.
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use reqwest::{
    Client, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
    redirect,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use url::Url;

use super::{
    Decision, Input, Policy, PolicyUnavailable, breaker::Breaker, check_known_answers,
    known_questions,
};

/// No answer to our questions is near this size, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;

/// Where the OPA server is, and how long to wait for it.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// Its address, `http` or `https`; a path in it is kept.
    pub url: Url,
    /// What one question may take in all: connecting, the one retry, and reading the answer.
    pub timeout: Duration,
    /// A bearer token, if the server asks for one.
    pub token: Option<SecretString>,
}

/// Why a client for the OPA server cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RemoteFault {
    /// Not an address that HTTP can use.
    #[error("the OPA server's address must begin with http:// or https://")]
    Url,
    /// The token has characters that no header can hold.
    #[error("the OPA server's token has characters that a header cannot hold")]
    Token,
    /// TLS or the resolver cannot be set up.
    #[error("no HTTP client for the OPA server: {0}")]
    Client(reqwest::Error),
}

/// Asks an OPA server that has loaded the policy.
///
/// One retry at most, within the time-out, and only if the connection failed or a proxy
/// said that the server is away. A server that keeps failing is left alone for a while.
pub struct Remote {
    client: Client,
    decision: Url,
    decisions: Url,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    breaker: Breaker,
    /// The revision of the bundle that the last answer came from, if it said one.
    revision: ArcSwapOption<String>,
}

impl Remote {
    /// A client; it connects when the first question is asked.
    ///
    /// # Errors
    ///
    /// One of the options is unusable.
    pub fn new(options: RemoteOptions) -> Result<Self, RemoteFault> {
        let RemoteOptions {
            url,
            timeout,
            token,
        } = options;
        let client = Client::builder()
            // Questions hold personal data: they go to the address given, not to a proxy
            // from the environment, nor where an answer points.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            .tcp_nodelay(true)
            .build()
            .map_err(RemoteFault::Client)?;
        Ok(Self {
            client,
            decision: endpoint(&url, "decision")?,
            decisions: endpoint(&url, "decisions")?,
            authorization: token.as_ref().map(bearer).transpose()?,
            timeout,
            breaker: Breaker::new(),
            revision: ArcSwapOption::empty(),
        })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        url: &Url,
        input: impl Serialize,
    ) -> Result<(T, Option<Arc<str>>), PolicyUnavailable> {
        #[derive(Serialize)]
        struct Question<I> {
            input: I,
        }
        // A question that was never sent says nothing about the server.
        let question =
            serde_json::to_vec(&Question { input }).map_err(PolicyUnavailable::evaluation)?;
        let pass = self
            .breaker
            .admit(Instant::now())
            .ok_or(PolicyUnavailable::CircuitOpen)?;
        let answer = tokio::time::timeout(self.timeout, self.exchange(url, question))
            .await
            .unwrap_or(Err(PolicyUnavailable::TimedOut(self.timeout)));
        match &answer {
            // An answer that is wrong is still an answer: one question that the policy
            // fails on must not close the way for all others.
            Err(failure) if is_outage(failure) => pass.failed(Instant::now()),
            _ => pass.succeeded(),
        }
        let (answer, revision) = parse(&answer?)?;
        if self.revision.load().as_deref().map(String::as_str) != revision.as_deref() {
            let revision = revision.as_deref().map(|text| Arc::new(text.to_owned()));
            self.revision.store(revision);
        }
        Ok((answer, revision))
    }

    async fn exchange(&self, url: &Url, question: Vec<u8>) -> Result<Vec<u8>, PolicyUnavailable> {
        let first = self.send(url, question.clone()).await;
        let response = match first {
            Ok(response) if !is_away(response.status()) => response,
            Err(PolicyUnavailable::TimedOut(budget)) => {
                return Err(PolicyUnavailable::TimedOut(budget));
            }
            _ => self.send(url, question).await?,
        };
        let status = response.status();
        if status != StatusCode::OK {
            return Err(PolicyUnavailable::Status(status.as_u16()));
        }
        read(response).await
    }

    async fn send(&self, url: &Url, question: Vec<u8>) -> Result<Response, PolicyUnavailable> {
        let mut request = self
            .client
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(question);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        request.send().await.map_err(|error| self.broken(error))
    }

    fn broken(&self, error: reqwest::Error) -> PolicyUnavailable {
        if error.is_timeout() {
            PolicyUnavailable::TimedOut(self.timeout)
        } else {
            unreachable(error)
        }
    }
}

#[async_trait]
impl Policy for Remote {
    async fn decide(&self, input: &Input) -> Result<Decision, PolicyUnavailable> {
        self.ask(&self.decision, input).await.map(told)
    }

    async fn decide_many(&self, inputs: &[Input]) -> Result<Vec<Decision>, PolicyUnavailable> {
        #[derive(Serialize)]
        struct Batch<'a> {
            checks: &'a [Input],
        }
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let batch = Batch { checks: inputs };
        let (mut decisions, revision) = self.ask::<Vec<Decision>>(&self.decisions, batch).await?;
        if decisions.len() != inputs.len() {
            return Err(PolicyUnavailable::InvalidAnswer(format!(
                "{} answers to {} questions",
                decisions.len(),
                inputs.len()
            )));
        }
        for decision in &mut decisions {
            decision.policy.clone_from(&revision);
        }
        Ok(decisions)
    }

    async fn decide_document(
        &self,
        input: &serde_json::Value,
    ) -> Result<Decision, PolicyUnavailable> {
        self.ask(&self.decision, input).await.map(told)
    }

    fn engine(&self) -> &'static str {
        "opa"
    }

    fn digest(&self) -> Option<String> {
        self.revision.load().as_deref().cloned()
    }

    async fn health(&self) -> Result<(), PolicyUnavailable> {
        // OPA's own health is fine without any policy: only answers show that it has ours.
        check_known_answers(&self.decide_many(&known_questions()).await?)
    }
}

fn told((decision, policy): (Decision, Option<Arc<str>>)) -> Decision {
    Decision { policy, ..decision }
}

fn bearer(token: &SecretString) -> Result<HeaderValue, RemoteFault> {
    let text = format!("Bearer {}", token.expose_secret());
    let mut header = HeaderValue::try_from(text).map_err(|_| RemoteFault::Token)?;
    header.set_sensitive(true);
    Ok(header)
}

fn endpoint(base: &Url, rule: &str) -> Result<Url, RemoteFault> {
    if !matches!(base.scheme(), "http" | "https") {
        return Err(RemoteFault::Url);
    }
    let mut url = base.clone();
    url.set_fragment(None);
    url.path_segments_mut()
        .map_err(|()| RemoteFault::Url)?
        .pop_if_empty()
        .extend(["v1", "data", "gatepost", "authz", rule]);
    // As in the embedded engine: swallowed errors would make a failing `deny` silent.
    // The provenance names the bundle's revision, which is our digest if we made the bundle.
    url.set_query(Some("strict-builtin-errors=true&provenance=true"));
    Ok(url)
}

/// A proxy's word that the server behind it is away.
fn is_away(status: StatusCode) -> bool {
    (502..=504).contains(&status.as_u16())
}

fn is_outage(failure: &PolicyUnavailable) -> bool {
    matches!(
        failure,
        PolicyUnavailable::Unreachable(_)
            | PolicyUnavailable::TimedOut(_)
            | PolicyUnavailable::Status(502..=504)
    )
}

fn unreachable(error: reqwest::Error) -> PolicyUnavailable {
    // The address may hold a password.
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    PolicyUnavailable::Unreachable(text)
}

async fn read(mut response: Response) -> Result<Vec<u8>, PolicyUnavailable> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(PolicyUnavailable::InvalidAnswer(format!(
                "it is larger than {MAX_ANSWER} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The answer, and the revision of the bundle that it came from.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<(T, Option<Arc<str>>), PolicyUnavailable> {
    // Absent if the policy does not define it: OPA answers 200 all the same.
    #[derive(Deserialize)]
    struct Answer<T> {
        result: Option<T>,
        provenance: Option<Provenance>,
    }
    #[derive(Deserialize)]
    struct Provenance {
        #[serde(default)]
        bundles: BTreeMap<String, Loaded>,
    }
    #[derive(Deserialize)]
    struct Loaded {
        #[serde(default)]
        revision: String,
    }
    let answer: Answer<T> = serde_json::from_slice(body).map_err(|error| {
        // Where it went wrong, and not what it says.
        let (category, line, column) = (error.classify(), error.line(), error.column());
        PolicyUnavailable::InvalidAnswer(format!("{category:?} error at {line}:{column}"))
    })?;
    let mut bundles = answer
        .provenance
        .map_or_else(BTreeMap::new, |told| told.bundles);
    // The rest may be another bundle's, which holds what has nothing to do with us.
    let ours = match bundles.remove("gatepost") {
        None if bundles.len() == 1 => bundles.into_values().next(),
        ours => ours,
    };
    let revision = ours
        .map(|bundle| bundle.revision)
        .filter(|text| !text.is_empty());
    let result = answer.result.ok_or(PolicyUnavailable::Undefined)?;
    Ok((result, revision.map(Into::into)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn a_path_in_the_address_is_kept() {
        for (base, expected) in [
            (
                "http://opa:8181",
                "http://opa:8181/v1/data/gatepost/authz/decision",
            ),
            (
                "https://h/a/b/#x",
                "https://h/a/b/v1/data/gatepost/authz/decision",
            ),
        ] {
            let endpoint = endpoint(&url(base), "decision").unwrap();
            assert_eq!(
                endpoint.as_str(),
                format!("{expected}?strict-builtin-errors=true&provenance=true")
            );
        }
        assert!(matches!(
            endpoint(&url("unix:/run/opa"), "x"),
            Err(RemoteFault::Url)
        ));
    }

    #[test]
    fn only_a_whole_decision_is_one() {
        let whole =
            r#"{"result":{"allow":true,"reasons":[],"matched_grants":[],"obligations":[]}}"#;
        assert!(parse::<Decision>(whole.as_bytes()).unwrap().0.allow);
        let told = whole.replace(
            "}}",
            r#"},"provenance":{"version":"1","bundles":{"gatepost":{"revision":"r"},"x":{}}}}"#,
        );
        let (_, revision) = parse::<Decision>(told.as_bytes()).unwrap();
        assert_eq!(revision.as_deref(), Some("r"));
        assert!(matches!(
            parse::<Decision>(b"{}"),
            Err(PolicyUnavailable::Undefined)
        ));
        for wrong in [
            "",
            "null",
            "[]",
            r#"{"result":true}"#,
            r#"{"result":{}}"#,
            r#"{"result":{"allow":true}}"#,
            &whole.replace("true", "\"true\""),
            &whole.replace("true", "null"),
            &whole.replace("true", "1"),
            &whole.replace("\"reasons\":[]", "\"reasons\":null"),
        ] {
            let failure = parse::<Decision>(wrong.as_bytes()).unwrap_err();
            assert_eq!(failure.code(), "policy_invalid_answer", "{wrong}");
        }
    }

    #[test]
    fn a_token_that_no_header_can_hold_is_refused() {
        let options = |token: &str| RemoteOptions {
            url: url("http://opa"),
            timeout: Duration::from_millis(250),
            token: Some(token.into()),
        };
        assert!(Remote::new(options("good")).is_ok());
        assert!(matches!(
            Remote::new(options("two\nlines")),
            Err(RemoteFault::Token)
        ));
        assert!(!format!("{:?}", options("hush")).contains("hush"));
    }
}
