//! What no service that looks at tokens can be faster than: a server on the same framework that
//! knows its token from a cache, reads the JSON of the body, and answers with as much JSON as we do.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    http::header::AUTHORIZATION,
    web::{self, Bytes, Data},
};
use anyhow::{Context, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use moka::sync::Cache;
use serde_json::{Value, json};

use crate::{http::wait_for, machine};

/// Tokens by their SHA-256, and what is known of them.
type Tokens = Cache<[u8; 32], Arc<str>>;

/// Serves on this port of loopback until it is killed.
pub fn serve(port: u16) -> anyhow::Result<()> {
    let tokens: Tokens = Cache::builder()
        .max_capacity(100_000)
        .time_to_live(Duration::from_mins(10))
        .build();
    let serving = HttpServer::new(move || {
        App::new()
            .app_data(Data::new(tokens.clone()))
            .default_service(web::to(echo))
    })
    .workers(machine::cores())
    .bind(("127.0.0.1", port))?
    .run();
    actix_web::rt::System::new().block_on(serving)?;
    Ok(())
}

async fn echo(request: HttpRequest, tokens: Data<Tokens>, body: Bytes) -> HttpResponse {
    let Some(token) = request.headers().get(AUTHORIZATION) else {
        return HttpResponse::Unauthorized().finish();
    };
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    // The first time counts as the check of its signature.
    let who = tokens.get_with(key, || "somebody".into());
    let Ok(asked) = serde_json::from_slice::<Value>(&body) else {
        return HttpResponse::BadRequest().finish();
    };
    let answer = |asked: &Value| json!({"decision": true, "context": {"who": &*who, "asked": asked["resource"]}});
    HttpResponse::Ok().json(match asked["evaluations"].as_array() {
        Some(many) => json!({"evaluations": many.iter().map(answer).collect::<Vec<_>>()}),
        None => answer(&asked),
    })
}

/// A server of this kind in a process of its own; killed when this is dropped.
pub struct Echo {
    child: Child,
    /// Host and port.
    pub address: String,
}

impl Echo {
    /// Starts it, and waits until it answers.
    pub fn start() -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new(std::env::current_exe()?)
            .args(["echo", "--port", &port.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start the echo")?;
        let address = format!("127.0.0.1:{port}");
        let echo = Self { child, address };
        let status = wait_for(&echo.address, "/")?;
        ensure!(status == 401, "the echo answers {status} to nobody");
        Ok(echo)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
