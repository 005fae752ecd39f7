//! Mail from the transaction that causes it to the server that takes it.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use entity::outbox::{self, Entity as Mails};
use futures_util::FutureExt as _;
use gatepost::{
    clock::Clock,
    crypto::seal::Sealer,
    database::db::Db,
    mail::{Delivery, MAX_ATTEMPTS, Mail, Mailer, Message, Outbox, enqueue},
};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use secrecy::SecretString;
use url::Url;
use uuid::Uuid;

use crate::{
    databases::TestDatabase,
    smtp_sink::{Answer, SmtpSink},
};

/// Stands still until moved.
struct StoppedClock(Mutex<DateTime<Utc>>);

impl StoppedClock {
    fn advance(&self, by: TimeDelta) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Fixture {
    database: TestDatabase,
    sink: SmtpSink,
    clock: Arc<StoppedClock>,
    outbox: Outbox,
}

fn sealer() -> Sealer {
    Sealer::new(&[7; 32], None)
}

fn public_url() -> Url {
    Url::parse("https://auth.example.org").expect("a URL")
}

fn mailer(url: &str) -> Mailer {
    let from = "Gatepost <no-reply@example.org>";
    Mailer::smtp(&SecretString::from(url), from, &public_url()).expect("a mailer")
}

fn one(outcome: &str) -> Delivery {
    Delivery {
        sent: usize::from(outcome == "sent"),
        postponed: usize::from(outcome == "postponed"),
        given_up: usize::from(outcome == "given up"),
    }
}

impl Fixture {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        let sink = SmtpSink::start().await;
        let start = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let clock = Arc::new(StoppedClock(Mutex::new(start)));
        let mailer = mailer(&sink.url("tls=none"));
        let outbox = Outbox::new(database.db.clone(), sealer(), mailer, clock.clone());
        Self {
            database,
            sink,
            clock,
            outbox,
        }
    }

    fn worker(&self, db: Db, mailer: Mailer) -> Outbox {
        Outbox::new(db, sealer(), mailer, self.clock.clone())
    }

    async fn enqueue(&self, to: &str) -> Uuid {
        let message = Message::Invitation {
            inviter: "Ada".to_owned(),
            organization: "Müller & Söhne".to_owned(),
            role: "Viewer".to_owned(),
            link: "https://auth.example.org/invitations/accept?token=gpi_secret".to_owned(),
            expires_at: self.clock.now() + TimeDelta::days(7),
        };
        let mail = Mail::new(to, None, message).expect("an address");
        enqueue(&self.database.db, &sealer(), &mail, self.clock.now())
            .await
            .expect("it is written")
    }

    async fn row(&self, id: Uuid) -> outbox::Model {
        let row = Mails::find_by_id(id).one(&self.database.db).await;
        row.expect("it can be read").expect("it is there")
    }

    async fn deliver(&self) -> Delivery {
        self.outbox.deliver().await.expect("the database answers")
    }
}

#[tokio::test]
async fn a_mail_is_sent_once_and_its_content_forgotten() {
    let fixture = Fixture::new().await;
    let id = fixture.enqueue("bob@example.org").await;
    let waiting = fixture.row(id).await.payload;
    for secret in ["gpi_secret", "bob@example.org"] {
        let found = waiting
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!found, "{secret} stands readable in the table");
    }
    assert_eq!(fixture.deliver().await, one("sent"));
    assert_eq!(fixture.deliver().await, Delivery::default());

    let mails = fixture.sink.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].to, "<bob@example.org>");
    let content = &mails[0].content;
    for expected in [
        "From: Gatepost <no-reply@example.org>\n",
        "To: bob@example.org\n",
        "Auto-Submitted: auto-generated\n",
        "Date: Fri, 15 Jan 2027 08:00:00 +0000\n",
        &format!("Message-ID: <{id}@example.org>\n"),
        "multipart/alternative",
        "text/plain",
        "text/html",
    ] {
        assert!(content.contains(expected), "{expected} in {content}");
    }
    let row = fixture.row(id).await;
    assert_eq!(row.sent_at, Some(fixture.clock.now()));
    assert!(row.payload.is_empty());
    assert_eq!(row.error, None);
}

#[tokio::test]
async fn what_is_rolled_back_is_not_sent() {
    let fixture = Fixture::new().await;
    let tx = fixture.database.db.begin().await.unwrap();
    let mail = Mail::new("bob@example.org", None, Message::AccountRejected).unwrap();
    enqueue(&tx, &sealer(), &mail, fixture.clock.now())
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(fixture.deliver().await, Delivery::default());
}

#[tokio::test]
async fn a_server_that_asks_for_patience_is_tried_again_later() {
    let fixture = Fixture::new().await;
    let id = fixture.enqueue("bob@example.org").await;
    fixture
        .sink
        .answer([Answer::Refuse("451 4.3.0 try again"), Answer::HangUp]);
    assert_eq!(fixture.deliver().await, one("postponed"));
    let row = fixture.row(id).await;
    assert!(row.error.unwrap().contains("try again"));
    assert_eq!(
        row.next_attempt_at,
        fixture.clock.now() + TimeDelta::seconds(30)
    );

    fixture.clock.advance(TimeDelta::seconds(29));
    assert_eq!(fixture.deliver().await, Delivery::default());
    fixture.clock.advance(TimeDelta::seconds(1));
    assert_eq!(fixture.deliver().await, one("postponed"));
    fixture.clock.advance(TimeDelta::seconds(60));
    assert_eq!(fixture.deliver().await, one("sent"));
    assert_eq!(fixture.sink.mails().len(), 1);
    assert_eq!(fixture.row(id).await.attempts, 3);
}

#[tokio::test]
async fn a_recipient_who_is_refused_is_not_tried_again() {
    let fixture = Fixture::new().await;
    let id = fixture.enqueue("nobody@example.org").await;
    fixture
        .sink
        .answer([Answer::Refuse("550 5.1.1 no such user")]);
    assert_eq!(fixture.deliver().await, one("given up"));
    fixture.clock.advance(TimeDelta::days(1));
    assert_eq!(fixture.deliver().await, Delivery::default());
    let row = fixture.row(id).await;
    assert!(row.error.unwrap().contains("no such user"));
    assert_eq!(row.sent_at, None);
}

#[tokio::test]
async fn after_ten_attempts_a_mail_is_given_up() {
    let fixture = Fixture::new().await;
    let id = fixture.enqueue("bob@example.org").await;
    fixture
        .sink
        .answer([Answer::Refuse("451 4.3.0 try again"); 12]);
    for _ in 1..MAX_ATTEMPTS {
        assert_eq!(fixture.deliver().await, one("postponed"));
        fixture.clock.advance(TimeDelta::hours(1));
    }
    assert_eq!(fixture.deliver().await, one("given up"));
    fixture.clock.advance(TimeDelta::days(1));
    assert_eq!(fixture.deliver().await, Delivery::default());
    assert_eq!(fixture.row(id).await.attempts, MAX_ATTEMPTS);
}

#[tokio::test]
async fn a_refused_login_and_an_unreachable_server_lose_no_mail() {
    let fixture = Fixture::new().await;
    fixture.enqueue("bob@example.org").await;
    let wrong_login = mailer(&fixture.sink.url_with_login("tls=none"));
    let worker = fixture.worker(fixture.database.db.clone(), wrong_login);
    assert_eq!(worker.deliver().await.unwrap(), one("postponed"));
    fixture.clock.advance(TimeDelta::hours(1));
    // Nothing listens on the port of a socket that is only bound.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("smtp://{}?tls=none", socket.local_addr().unwrap());
    let worker = fixture.worker(fixture.database.db.clone(), mailer(&url));
    assert_eq!(worker.deliver().await.unwrap(), one("postponed"));
    fixture.clock.advance(TimeDelta::hours(1));
    assert_eq!(fixture.deliver().await, one("sent"));
}

#[tokio::test]
async fn no_password_and_no_mail_goes_to_a_server_without_the_required_encryption() {
    let fixture = Fixture::new().await;
    fixture.enqueue("bob@example.org").await;
    let strict = mailer(&fixture.sink.url_with_login("tls=required"));
    let worker = fixture.worker(fixture.database.db.clone(), strict);
    assert_eq!(worker.deliver().await.unwrap(), one("postponed"));
    assert!(fixture.sink.mails().is_empty());
    let commands = fixture.sink.commands();
    assert!(!commands.is_empty());
    assert!(
        !commands.iter().any(|line| line.starts_with("AUTH")),
        "{commands:?}"
    );
}

#[tokio::test]
async fn many_workers_send_each_mail_once() {
    let fixture = Fixture::new().await;
    for number in 0..40 {
        fixture.enqueue(&format!("user{number}@example.org")).await;
    }
    let mut workers = vec![fixture.outbox.clone()];
    for _ in 0..3 {
        let db = fixture.database.another().await;
        workers.push(fixture.worker(db, mailer(&fixture.sink.url("tls=none"))));
    }
    let rounds = workers
        .iter()
        .map(|worker| async { while worker.deliver().await.unwrap() != Delivery::default() {} });
    futures_util::future::join_all(rounds).await;
    let mut recipients: Vec<String> = fixture
        .sink
        .mails()
        .into_iter()
        .map(|mail| mail.to)
        .collect();
    assert_eq!(recipients.len(), 40);
    recipients.sort();
    recipients.dedup();
    assert_eq!(recipients.len(), 40);
    let unsent = Mails::find().filter(outbox::Column::SentAt.is_null());
    assert_eq!(unsent.count(&fixture.database.db).await.unwrap(), 0);
}

#[tokio::test]
async fn a_mail_whose_worker_was_killed_is_sent_by_another_two_minutes_later() {
    let fixture = Fixture::new().await;
    let id = fixture.enqueue("bob@example.org").await;
    fixture.sink.answer([Answer::Silence]);
    {
        let mut round = Box::pin(fixture.outbox.deliver());
        tokio::select! {
            _ = &mut round => panic!("the server has not answered"),
            () = fixture.sink.received() => {}
        }
        // Here the worker dies.
    }
    let other = fixture.worker(
        fixture.database.another().await,
        mailer(&fixture.sink.url("tls=none")),
    );
    fixture.clock.advance(TimeDelta::seconds(119));
    assert_eq!(other.deliver().await.unwrap(), Delivery::default());
    fixture.clock.advance(TimeDelta::seconds(1));
    assert_eq!(other.deliver().await.unwrap(), one("sent"));
    // The receiver can tell that it is the same.
    let mails = fixture.sink.mails();
    assert_eq!(mails.len(), 2);
    let message_id = format!("Message-ID: <{id}@");
    assert!(mails.iter().all(|mail| mail.content.contains(&message_id)));
}

#[tokio::test]
async fn without_a_server_mails_wait_and_in_development_they_are_logged() {
    let fixture = Fixture::new().await;
    fixture.enqueue("bob@example.org").await;
    let from = "no-reply@example.org";
    let db = || fixture.database.db.clone();
    let waiting = fixture.worker(db(), Mailer::unconfigured(from, &public_url()).unwrap());
    assert_eq!(waiting.status(), "not configured");
    assert_eq!(waiting.deliver().await.unwrap(), Delivery::default());
    let logging = fixture.worker(db(), Mailer::log(from, &public_url()).unwrap());
    assert_eq!(logging.status(), "log");
    assert_eq!(logging.deliver().await.unwrap(), one("sent"));
    assert!(fixture.sink.mails().is_empty());
}

#[tokio::test]
async fn mails_wait_for_the_secret_that_sealed_them() {
    let fixture = Fixture::new().await;
    let id = fixture.enqueue("bob@example.org").await;
    let other_secret = Outbox::new(
        fixture.database.db.clone(),
        Sealer::new(&[8; 32], None),
        mailer(&fixture.sink.url("tls=none")),
        fixture.clock.clone(),
    );
    assert_eq!(other_secret.deliver().await.unwrap(), one("postponed"));
    assert!(
        fixture
            .row(id)
            .await
            .error
            .unwrap()
            .contains("SECRET_KEY_PREVIOUS")
    );
    fixture.clock.advance(TimeDelta::seconds(30));
    assert_eq!(fixture.deliver().await, one("sent"));
}

#[tokio::test]
async fn what_is_done_is_deleted_after_thirty_days() {
    let fixture = Fixture::new().await;
    let sent = fixture.enqueue("bob@example.org").await;
    assert_eq!(fixture.deliver().await, one("sent"));
    fixture.clock.advance(TimeDelta::days(30));
    assert_eq!(fixture.outbox.prune().await.unwrap(), 0);
    fixture.clock.advance(TimeDelta::seconds(1));
    let fresh = fixture.enqueue("eve@example.org").await;
    assert_eq!(fixture.outbox.prune().await.unwrap(), 1);
    let gone = Mails::find_by_id(sent).one(&fixture.database.db).await;
    assert_eq!(gone.unwrap(), None);
    assert_eq!(fixture.row(fresh).await.sent_at, None);
}

#[tokio::test]
async fn the_running_worker_sends_what_is_due_and_ends_when_told() {
    let fixture = Fixture::new().await;
    fixture.enqueue("bob@example.org").await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = tokio::spawn(fixture.outbox.clone().run(stopped.map(drop)));
    fixture.sink.received().await;
    fixture.enqueue("eve@example.org").await;
    fixture.outbox.wake();
    fixture.sink.received().await;
    stop.send(()).unwrap();
    worker.await.unwrap();
    assert_eq!(fixture.sink.mails().len(), 2);
}
