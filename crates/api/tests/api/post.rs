//! An instance, and the mail server that its mails arrive at.

use std::time::Duration;

use serde_json::json;

use crate::{
    harness::{PASSWORD, TestApp},
    smtp_sink::SmtpSink,
};

pub struct Post {
    pub app: TestApp,
    pub sink: SmtpSink,
}

impl Post {
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let sink = SmtpSink::start().await;
        let url = sink.url("tls=none");
        let mut all = vec![("SMTP_URL", url.as_str())];
        all.extend(settings);
        Self {
            app: TestApp::with(&all).await,
            sink,
        }
    }

    /// Whoever registers comes in, without a proof of the address.
    pub async fn open() -> Self {
        Self::with(&[("REGISTRATION_MODE", "open")]).await
    }

    /// Whoever registers has to prove the address.
    pub async fn verifying(mode: &str) -> Self {
        Self::with(&[
            ("REGISTRATION_MODE", mode),
            ("EMAIL_VERIFICATION", "required"),
        ])
        .await
    }

    /// The text of the `number`th mail to an address that holds `mark`.
    pub async fn mail(&self, to: &str, mark: &str, number: usize) -> String {
        loop {
            if let Some(text) = self.mails(to, mark).into_iter().nth(number - 1) {
                return text;
            }
            let more = tokio::time::timeout(Duration::from_secs(20), self.sink.received());
            more.await
                .unwrap_or_else(|_| panic!("mail {number} to {to} with {mark} comes"));
        }
    }

    /// All mails to an address so far that hold `mark`.
    pub fn mails(&self, to: &str, mark: &str) -> Vec<String> {
        let to = format!("<{to}>");
        let mails = self.sink.mails().into_iter().filter(|mail| mail.to == to);
        mails
            .map(|mail| mail.content.replace("=\n", "").replace("=3D", "="))
            .filter(|text| text.contains(mark))
            .collect()
    }

    /// The token with this prefix in the `number`th mail that has one.
    pub async fn token(&self, to: &str, prefix: &str, number: usize) -> String {
        let text = self.mail(to, prefix, number).await;
        text[text.find(prefix).unwrap()..][..47].to_owned()
    }

    /// A token that was asked for with "forgot password".
    pub async fn reset_token(&self, to: &str, number: usize) -> String {
        let asked = json!({"email": to});
        let answer = self
            .app
            .anonymous()
            .post("/api/auth/password/forgot", asked)
            .await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        self.token(to, "gpw_", number).await
    }

    pub async fn register(&self, name: &str) {
        let new =
            json!({"email": format!("{name}@example.com"), "username": name, "password": PASSWORD});
        let answer = self.app.anonymous().post("/api/register", new).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
    }

    /// One number from the database.
    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(&mut self.app.sql().await)
            .await
            .unwrap()
    }

    /// Runs a statement as the superuser.
    pub async fn run(&self, sql: &'static str) {
        sqlx::query(sql)
            .execute(&mut self.app.sql().await)
            .await
            .unwrap();
    }
}
