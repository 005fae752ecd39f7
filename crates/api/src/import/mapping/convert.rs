//! Values of other systems in the forms of ours.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use serde_json::{Map, Value};

/// What a field of ours holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Text; space around it does not count.
    Text,
    /// One of a few words, in lower case.
    Word,
    /// Text that is taken exactly.
    Exact,
    /// A number or a text that names something.
    Key,
    /// Yes or no.
    Bool,
    /// A moment.
    Time,
    /// Any JSON.
    Json,
}

/// Makes `value` what a field of this type wants; `None` if it says nothing.
///
/// # Errors
///
/// What is wrong with it.
pub fn convert(kind: Type, value: &Value) -> Result<Option<Value>, String> {
    if value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty()) {
        return Ok(None);
    }
    let converted = match kind {
        Type::Exact => Value::from(plain(value)),
        Type::Text => Value::from(plain(value).trim()),
        Type::Word => Value::from(plain(value).trim().to_lowercase()),
        Type::Key => match value {
            Value::Number(number) if number.is_i64() => value.clone(),
            _ => Value::from(plain(value).trim()),
        },
        Type::Bool => Value::from(boolean(value)?),
        Type::Time => Value::from(moment(value)?),
        Type::Json => json(value)?,
    };
    Ok(Some(converted))
}

/// As text: a string itself, anything else as JSON writes it.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn boolean(value: &Value) -> Result<bool, String> {
    if let Value::Bool(flag) = value {
        return Ok(*flag);
    }
    match plain(value).trim().to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "y" | "yes" | "on" => Ok(true),
        "0" | "f" | "false" | "n" | "no" | "off" => Ok(false),
        other => Err(format!("{other:?} is neither true nor false")),
    }
}

/// Texts without an offset are UTC; numbers are seconds since 1970, from 10^11 on milliseconds.
fn moment(value: &Value) -> Result<String, String> {
    let wrong = || format!("{} is no time such as 2024-05-01T12:00:00Z", plain(value));
    let at = match value {
        Value::Number(number) => {
            let number = number.as_f64().ok_or_else(wrong)?;
            let millis = if number.abs() < 1e11 {
                number * 1000.0
            } else {
                number
            };
            #[expect(
                clippy::cast_possible_truncation,
                reason = "what does not fit is far from every date and refused below"
            )]
            DateTime::<Utc>::from_timestamp_millis(millis as i64).ok_or_else(wrong)?
        }
        Value::String(text) => time_of(text.trim()).ok_or_else(wrong)?,
        _ => return Err(wrong()),
    };
    Ok(at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

fn time_of(text: &str) -> Option<DateTime<Utc>> {
    let spaced = text.replacen(' ', "T", 1);
    if let Ok(at) = DateTime::parse_from_rfc3339(&spaced) {
        return Some(at.to_utc());
    }
    // PostgreSQL writes "+00" where RFC 3339 wants "+00:00".
    if let Ok(at) = DateTime::parse_from_str(&spaced, "%Y-%m-%dT%H:%M:%S%.f%#z") {
        return Some(at.to_utc());
    }
    if let Ok(at) = NaiveDateTime::parse_from_str(&spaced, "%Y-%m-%dT%H:%M:%S%.f") {
        return Some(at.and_utc());
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    day.and_hms_opt(0, 0, 0).map(|at| at.and_utc())
}

/// A text that holds JSON is read, because SQLite and comma-separated values have nothing else.
fn json(value: &Value) -> Result<Value, String> {
    match value {
        Value::String(text) => {
            serde_json::from_str(text).map_err(|error| format!("{error}: the field holds JSON"))
        }
        other => Ok(other.clone()),
    }
}

/// An object, if there is anything.
///
/// # Errors
///
/// It is something else.
pub fn object(value: &Value) -> Result<Map<String, Value>, String> {
    match convert(Type::Json, value)? {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map),
        Some(_) => Err("is not a JSON object".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_every_database_become_ours() {
        let time = "2024-05-01T12:00:00.000000Z";
        for (kind, value, ours) in [
            (Type::Bool, json!(1), json!(true)),
            (Type::Bool, json!("f"), json!(false)),
            (Type::Bool, json!("Yes"), json!(true)),
            (Type::Key, json!(17), json!(17)),
            (Type::Key, json!(" a "), json!("a")),
            (Type::Text, json!(" Ada "), json!("Ada")),
            (Type::Exact, json!(" Ada "), json!(" Ada ")),
            (Type::Word, json!("ADMIN"), json!("admin")),
            (Type::Text, json!(7), json!("7")),
            (Type::Time, json!("2024-05-01 12:00:00"), json!(time)),
            (Type::Time, json!("2024-05-01T14:00:00+02:00"), json!(time)),
            (Type::Time, json!("2024-05-01 14:00:00.000+02"), json!(time)),
            (Type::Time, json!(1_714_564_800), json!(time)),
            (Type::Time, json!(1_714_564_800_000_i64), json!(time)),
            (
                Type::Time,
                json!("2024-05-01"),
                json!("2024-05-01T00:00:00.000000Z"),
            ),
            (Type::Json, json!("{\"a\": 1}"), json!({"a": 1})),
        ] {
            assert_eq!(convert(kind, &value), Ok(Some(ours)), "{kind:?} {value}");
        }
        assert_eq!(convert(Type::Text, &json!("  ")), Ok(None));
        assert_eq!(convert(Type::Bool, &Value::Null), Ok(None));
        for (kind, value) in [
            (Type::Bool, json!("perhaps")),
            (Type::Time, json!("yesterday")),
            (Type::Time, json!(1e300)),
            (Type::Json, json!("{")),
        ] {
            assert!(convert(kind, &value).is_err(), "{kind:?} {value}");
        }
        assert!(object(&json!("[1]")).is_err());
    }
}
