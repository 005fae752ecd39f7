//! JSON bodies: read within their limits, refused with the field that is wrong.

use std::time::Duration;

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::CONTENT_TYPE,
    web::{Bytes, BytesMut},
};
use aws_lc_rs::digest::{SHA256, digest};
use futures_util::{StreamExt, future::LocalBoxFuture};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::problem::{Code, Problem};

/// Most bodies.
const LIMIT: usize = 64 * 1024;
/// Below `/api/auth/`.
const AUTH_LIMIT: usize = 16 * 1024;
/// Batches of evaluations, and of resources.
const BATCH_LIMIT: usize = 256 * 1024;
/// The whole body arrives within this time.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// Levels of arrays and objects.
const DEPTH: usize = 32;

/// A body of `application/json`, as `T`.
///
/// `T` says with `deny_unknown_fields` and with types that parse what is
/// acceptable; the first fault becomes a `400` that names its field.
pub struct Body<T> {
    /// What was sent.
    pub value: T,
    /// SHA-256 of method, path and bytes: what [`super::idempotency`] compares.
    pub hash: [u8; 32],
}

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let acceptable = is_json(req);
        let limit = limit(req.path());
        let mut hashed = format!("{} {}\n", req.method(), req.path()).into_bytes();
        let payload = payload.take();
        Box::pin(async move {
            let bytes = read(payload, limit).await?;
            if !acceptable {
                return Err(Problem::plain(Code::UnsupportedMediaType));
            }
            hashed.extend_from_slice(&bytes);
            let mut hash = [0; 32];
            hash.copy_from_slice(digest(&SHA256, &hashed).as_ref());
            Ok(Self {
                value: parse(&bytes)?,
                hash,
            })
        })
    }
}

/// Like [`Body`], for requests that need none: an empty body stands for `T::default()`.
pub struct OptionalBody<T>(pub T);

impl<T: DeserializeOwned + Default + 'static> FromRequest for OptionalBody<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let acceptable = is_json(req);
        let limit = limit(req.path());
        let payload = payload.take();
        Box::pin(async move {
            let bytes = read(payload, limit).await?;
            let value = if bytes.is_empty() {
                T::default()
            } else if acceptable {
                parse(&bytes)?
            } else {
                return Err(Problem::plain(Code::UnsupportedMediaType));
            };
            Ok(Self(value))
        })
    }
}

/// The body of a request that needs none: empty, or an empty object.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl Nothing {
    /// What [`Body::hash`] is for `request` with a body; `request` is method and path.
    pub fn hash(request: &str) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, request.as_bytes()).as_ref());
        hash
    }
}

/// Reads a body of at most `limit` bytes, in time.
///
/// # Errors
///
/// `413`, `408`, or `400` when the connection broke.
pub(crate) async fn read(mut payload: Payload, limit: usize) -> Result<Bytes, Problem> {
    let all = async {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|error| {
                Problem::new(Code::MalformedBody, "The body did not arrive whole.").because(error)
            })?;
            if bytes.len() + chunk.len() > limit {
                let detail = format!("The body may have at most {limit} bytes here.");
                return Err(Problem::new(Code::PayloadTooLarge, detail));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    };
    tokio::time::timeout(TIME_LIMIT, all)
        .await
        .unwrap_or_else(|_| Err(Problem::plain(Code::RequestTimeout)))
}

/// Bytes that the body at `path` may have.
pub(crate) fn limit(path: &str) -> usize {
    if path.starts_with("/api/auth/") {
        AUTH_LIMIT
    } else if ["/access/v1/evaluations", "/api/resources/batch"].contains(&path) {
        BATCH_LIMIT
    } else {
        LIMIT
    }
}

/// Whether the request says that its body is JSON in UTF-8.
pub(crate) fn is_json(req: &HttpRequest) -> bool {
    let Some(text) = req
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
    else {
        return false;
    };
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case("application/json")
        && parts.all(|parameter| {
            let parameter = parameter.to_ascii_lowercase().replace('"', "");
            !parameter.starts_with("charset=") || parameter == "charset=utf-8"
        })
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let value = json(bytes)?;
    if let Some(field) = field_with_nul(&value) {
        return Err(Problem::invalid(
            field,
            "invalid_character",
            "holds a NUL character",
        ));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let message = error.inner().to_string();
        let (field, code) = locate(&path, &message);
        Problem::invalid(field, code, message)
    })
}

/// Reads JSON of bounded depth.
///
/// # Errors
///
/// `400 malformed_body`, with the place where reading stopped.
pub(crate) fn json(bytes: &[u8]) -> Result<Value, Problem> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| Problem::new(Code::MalformedBody, format!("Not JSON: {error}.")))?;
    if depth(&value) > DEPTH {
        let detail = format!("The body nests deeper than {DEPTH} levels.");
        return Err(Problem::new(Code::MalformedBody, detail));
    }
    Ok(value)
}

/// serde names an unknown or missing field only in its message.
fn locate(path: &str, message: &str) -> (String, &'static str) {
    let named = |prefix: &str| {
        let rest = message.strip_prefix(prefix)?.strip_prefix('`')?;
        rest.split('`').next().map(ToOwned::to_owned)
    };
    let parent = if path == "." { "" } else { path };
    let join = |name: String| match parent {
        "" => name,
        // serde_path_to_error has the unknown field in the path already.
        parent if parent == name || parent.ends_with(&format!(".{name}")) => parent.to_owned(),
        parent => format!("{parent}.{name}"),
    };
    if let Some(name) = named("unknown field ") {
        (join(name), "unknown_field")
    } else if let Some(name) = named("missing field ") {
        (join(name), "missing_field")
    } else if message.starts_with("invalid type") {
        (parent.to_owned(), "invalid_type")
    } else {
        (parent.to_owned(), "invalid_value")
    }
}

fn depth(value: &Value) -> usize {
    let below = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(members) => members.values().map(depth).max(),
        _ => return 0,
    };
    1 + below.unwrap_or(0)
}

/// PostgreSQL cannot hold NUL in text; nothing we take needs it.
pub fn field_with_nul(value: &Value) -> Option<String> {
    let within = |name: String, value: &Value| {
        field_with_nul(value).map(|rest| match rest.as_str() {
            "" => name,
            rest => format!("{name}.{rest}"),
        })
    };
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| within(index.to_string(), item)),
        Value::Object(members) => members.iter().find_map(|(name, member)| {
            if name.contains('\0') {
                return Some(name.replace('\0', "\u{fffd}"));
            }
            within(name.clone(), member)
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only parsed")]
        name: String,
        #[expect(dead_code, reason = "only parsed")]
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only parsed")]
        id: u8,
    }

    fn fault(body: &str) -> String {
        parse::<Outer>(body.as_bytes())
            .unwrap_err()
            .detail()
            .to_owned()
    }

    #[test]
    fn a_fault_names_its_field() {
        assert!(fault(r#"{"name":1}"#).starts_with("name: invalid type"));
        assert!(fault(r#"{"nome":"a"}"#).starts_with("nome: unknown field"));
        assert!(fault("{}").starts_with("name: missing field"));
        assert!(fault(r#"{"name":"a","inner":{"id":300}}"#).starts_with("inner.id: "));
        assert!(fault(r#"{"name":"a","inner":{"ix":3}}"#).starts_with("inner.ix: unknown"));
        assert!(fault("{\"name\":\"a\\u0000b\"}").starts_with("name: holds a NUL"));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = format!("{}{}", "[".repeat(33), "]".repeat(33));
        assert!(json(deep.as_bytes()).is_err());
        let fine = format!("{}{}", "[".repeat(32), "]".repeat(32));
        assert!(json(fine.as_bytes()).is_ok());
    }
}
