//! The way to the login, for people who are not known yet.
//!
//! It begins with `PUBLIC_URL`, and what it comes back to is on a host that
//! the operator named: nobody is sent elsewhere, whatever a header says.

use actix_web::{
    HttpRequest,
    http::header::{ACCEPT, HeaderMap},
};
use url::Url;

use crate::config::Config;

/// Where to send whoever sent `request`, if that is a person with a browser who asked for a page.
pub fn page(config: &Config, request: &HttpRequest, redirect: Option<&str>) -> Option<Url> {
    let headers = request.headers();
    let wants_page = header(headers, ACCEPT.as_str()).is_some_and(|accept| {
        let mut types = accept.split(',').filter_map(|part| part.split(';').next());
        types.any(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
    });
    let method = header(headers, "x-forwarded-method").unwrap_or("GET");
    let wanted = match redirect {
        Some(text) => config.public_url.join(text).ok(),
        None if says_where(headers) => forwarded(headers),
        None => return None,
    };
    if !wants_page || !["GET", "HEAD"].contains(&method) {
        return None;
    }
    let mut page = config.public_url.join("/console/login").ok()?;
    if let Some(url) = wanted.filter(|url| is_ours(config, url)) {
        page.query_pairs_mut()
            .append_pair("return_to", url.as_str());
    }
    Some(page)
}

/// Whether the proxy says what was asked for.
fn says_where(headers: &HeaderMap) -> bool {
    header(headers, "x-forwarded-uri").is_some_and(|uri| !uri.is_empty())
}

/// What the proxy says was asked for, if that is an address.
fn forwarded(headers: &HeaderMap) -> Option<Url> {
    let scheme = header(headers, "x-forwarded-proto").unwrap_or("https");
    let host = header(headers, "x-forwarded-host")?;
    let uri = header(headers, "x-forwarded-uri")?;
    Url::parse(&format!("{scheme}://{host}{uri}")).ok()
}

/// Whether the operator named the host: as that of `PUBLIC_URL`, on any port because cookies know
/// no ports, or in `CORS_ORIGINS`.
fn is_ours(config: &Config, url: &Url) -> bool {
    let public = &config.public_url;
    let is_web = match url.scheme() {
        "https" => true,
        "http" => public.scheme() == "http",
        _ => false,
    };
    let origin = url.origin().ascii_serialization();
    is_web
        && url.username().is_empty()
        && url.password().is_none()
        && (url.host() == public.host() || config.http.cors_origins.contains(&origin))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
