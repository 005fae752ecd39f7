//! Where a request came from: what activity and audit entries say about it.

use std::{
    future::{Ready, ready},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header::USER_AGENT};
use ipnet::IpNet;
use ipnetwork::IpNetwork;

use super::request_id;
use crate::{problem::Problem, state::AppState};

/// Where a request came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The client's address; a proxy's word for it counts only from `TRUSTED_PROXIES`.
    pub ip: IpAddr,
    /// At most 512 characters.
    pub user_agent: Option<Arc<str>>,
    /// See [`request_id`].
    pub request_id: Arc<str>,
}

impl Origin {
    /// The program itself, for what it does without being asked over HTTP.
    pub fn program(what: &str) -> Self {
        Self {
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            user_agent: Some(format!("gatepost {what}").into()),
            request_id: uuid::Uuid::now_v7().to_string().into(),
        }
    }

    /// The address in the form of the database.
    pub fn network(&self) -> IpNetwork {
        self.ip.into()
    }

    /// Reads it off a request.
    pub fn of(request: &HttpRequest) -> Self {
        let state = AppState::of(request);
        let header = |name: &str| {
            let values = request.headers().get_all(name);
            let texts: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
            texts.join(",")
        };
        let peer = request
            .peer_addr()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
        let ip = client_address(
            peer.to_canonical(),
            &header("x-forwarded-for"),
            &header("forwarded"),
            &state.config.http.trusted_proxies,
        );
        let user_agent = request
            .headers()
            .get(USER_AGENT)
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .map(|text| {
                text.chars()
                    .filter(|c| !c.is_control())
                    .take(512)
                    .collect::<String>()
                    .into()
            });
        Self {
            ip,
            user_agent,
            request_id: request_id::current().id.into(),
        }
    }
}

impl FromRequest for Origin {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request)))
    }
}

/// The last address that no trusted proxy stands for, read from the right:
/// what stands further left may be the client's invention.
fn client_address(
    peer: IpAddr,
    x_forwarded_for: &str,
    forwarded: &str,
    trusted: &[IpNet],
) -> IpAddr {
    let is_trusted = |ip: &IpAddr| trusted.iter().any(|net| net.contains(ip));
    if !is_trusted(&peer) {
        return peer;
    }
    let hops: Vec<&str> = if x_forwarded_for.is_empty() {
        forwarded.split(',').filter_map(forwarded_for).collect()
    } else {
        x_forwarded_for.split(',').collect()
    };
    let mut client = peer;
    for hop in hops.iter().rev() {
        let Some(ip) = address(hop) else { break };
        client = ip;
        if !is_trusted(&ip) {
            break;
        }
    }
    client
}

/// The `for` of one element of `Forwarded` (RFC 7239, section 4).
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for")
            .then(|| value.trim_matches('"'))
    })
}

/// An address with or without a port and brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.trim_start_matches('[');
    bare.split(']')
        .next()
        .and_then(|host| host.parse().ok())
        .or_else(|| {
            text.parse::<std::net::SocketAddr>()
                .ok()
                .map(|socket| socket.ip())
        })
        .map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, xff: &str, forwarded: &str) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        client_address(peer.parse().unwrap(), xff, forwarded, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(client("1.2.3.4", "9.9.9.9", ""), "1.2.3.4");
        assert_eq!(client("10.0.0.1", "9.9.9.9", ""), "9.9.9.9");
        assert_eq!(
            client("10.0.0.1", "8.8.8.8, 9.9.9.9, 10.0.0.2", ""),
            "9.9.9.9"
        );
        assert_eq!(
            client("10.0.0.1", "", "for=\"[2001:db8::1]:4711\";proto=https"),
            "2001:db8::1"
        );
        assert_eq!(client("10.0.0.1", "nonsense", ""), "10.0.0.1");
        assert_eq!(client("10.0.0.1", "9.9.9.9:1234", ""), "9.9.9.9");
    }
}
