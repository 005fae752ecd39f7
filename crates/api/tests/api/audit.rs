//! The audit log's chain: everything is in it once, and what is done to it shows.

use std::{
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use gatepost::audit::{
    chain::{self, GENESIS, Hash},
    sealer,
    verify::{self, Kind, Position},
};
use sea_orm::{EntityTrait, QueryOrder};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{
    harness::{PASSWORD, TestApp},
    program,
};

/// Waits until everything is sealed.
async fn sealed(app: &TestApp) {
    let wait = async {
        while sealer::unsealed(&app.state.db).await.unwrap().count > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, wait)
        .await
        .expect("the sealer works");
}

/// Checks the chain to its end or to the first fault.
async fn walk(app: &TestApp) -> (Position, Option<verify::Break>) {
    let mut position = Position::START;
    loop {
        let step = verify::step(&app.state.db, position).await.unwrap();
        position = step.position;
        if step.is_end || step.broken.is_some() {
            return (position, step.broken);
        }
    }
}

async fn number(app: &TestApp, sql: &str) -> i64 {
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::query_scalar(sql)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap()
}

/// Does something as the superuser, whom no trigger stops.
async fn tamper(app: &TestApp, sql: &str) {
    let mut superuser = app.sql().await;
    let sql = format!("SET session_replication_role = replica; {sql}");
    superuser.execute(AssertSqlSafe(sql)).await.unwrap();
}

/// Entries by several requests at once.
async fn fill(app: &TestApp, count: usize) {
    // Another name each time: after a few failures a name has to wait.
    static NAMES: AtomicUsize = AtomicUsize::new(0);
    let client = app.anonymous();
    let tries = (0..count).map(|_| {
        let number = NAMES.fetch_add(1, Ordering::Relaxed);
        let wrong = json!({"login": format!("nobody{number}"), "password": "wrong"});
        client.post("/api/auth/login", wrong)
    });
    assert!(
        join_all(tries)
            .await
            .iter()
            .all(|answer| answer.status == 401)
    );
}

#[actix_web::test]
async fn entries_of_two_instances_make_one_chain_without_gaps() {
    let app = TestApp::spawn().await;
    let second = app.second().await;
    // Written first, committed last: younger entries do not wait for it.
    let mut superuser = app.sql().await;
    let mut slow = superuser.begin().await.unwrap();
    let old = "INSERT INTO audit_log (id, at, actor_type, action, outcome)
        VALUES ('00000000-0000-7000-8000-000000000001', now(), 'program', 'test.slow', 'success')";
    slow.execute(old).await.unwrap();
    for _ in 0..3 {
        tokio::join!(fill(&app, 12), fill(&second, 12));
    }
    sealed(&app).await;
    let before = verify::head(&app.state.db).await.unwrap();
    assert!(before.seq >= 72);
    slow.commit().await.unwrap();
    sealed(&app).await;
    let (position, broken) = walk(&app).await;
    assert_eq!(broken, None);
    assert_eq!(position.seq, before.seq + 1, "the slow one came last");
    assert_eq!(
        position.seq,
        number(&app, "SELECT count(*) FROM audit_log").await
    );
    assert_eq!(verify::stray(&app.state.db).await.unwrap(), None);

    // Several at once: the lock lets one work, and nobody fails.
    fill(&app, 8).await;
    let rounds = [&app, &second, &app, &second].map(|app| sealer::seal_batch(&app.state));
    for round in join_all(rounds).await {
        round.unwrap();
    }
    sealed(&app).await;
    assert_eq!(walk(&app).await.1, None);
    second.stop().await;
}

#[actix_web::test]
async fn stopping_seals_what_is_left() {
    let app = TestApp::spawn().await;
    fill(&app, 5).await;
    let mut superuser = app.sql().await;
    app.stop().await;
    let waiting = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM audit_pending");
    assert_eq!(waiting.fetch_one(&mut superuser).await.unwrap(), 0);
}

#[actix_web::test]
async fn the_chain_goes_on_after_a_restart() {
    let app = TestApp::spawn().await;
    fill(&app, 5).await;
    let second = app.second().await;
    app.stop().await;
    fill(&second, 5).await;
    sealed(&second).await;
    let (position, broken) = walk(&second).await;
    assert_eq!(broken, None);
    assert_eq!(
        position.seq,
        number(&second, "SELECT count(*) FROM audit_log").await
    );
    second.stop().await;
}

#[actix_web::test]
async fn what_somebody_did_to_the_chain_is_found_and_named() {
    let app = TestApp::spawn().await;
    fill(&app, 12).await;
    sealed(&app).await;
    let head = verify::head(&app.state.db).await.unwrap();
    assert!(head.seq > 10);
    let at = |seq: i64| format!("(SELECT entry_id FROM audit_seals WHERE seq = {seq})");
    let backup =
        "CREATE TABLE kept_log AS TABLE audit_log; CREATE TABLE kept_seals AS TABLE audit_seals";
    tamper(&app, backup).await;
    let undo = "DELETE FROM audit_log; INSERT INTO audit_log SELECT * FROM kept_log;
        DELETE FROM audit_seals; INSERT INTO audit_seals SELECT * FROM kept_seals ORDER BY seq";
    let swap = "UPDATE audit_seals SET entry_id = entries.id FROM (VALUES
        (5, (SELECT entry_id FROM kept_seals WHERE seq = 6)),
        (6, (SELECT entry_id FROM kept_seals WHERE seq = 5))) AS entries (place, id)
        WHERE seq = place";
    // Deferring the constraint is not possible, so one of the two steps aside first.
    let swap =
        format!("UPDATE audit_seals SET entry_id = gen_random_uuid() WHERE seq IN (5, 6); {swap}");
    let cases = [
        (
            format!("UPDATE audit_log SET action = 'x' WHERE id = {}", at(4)),
            4,
            Kind::Altered,
        ),
        (
            format!(
                "UPDATE audit_log SET details = '{{\"a\": 1}}' WHERE id = {}",
                at(7)
            ),
            7,
            Kind::Altered,
        ),
        (
            format!(
                "UPDATE audit_log SET at = at - interval '1 microsecond' WHERE id = {}",
                at(3)
            ),
            3,
            Kind::Altered,
        ),
        (
            format!("DELETE FROM audit_log WHERE id = {}", at(9)),
            9,
            Kind::EntryMissing,
        ),
        (
            "DELETE FROM audit_seals WHERE seq = 2".to_owned(),
            2,
            Kind::SealMissing,
        ),
        (swap, 5, Kind::Reordered),
        (
            "UPDATE audit_seals SET hash = decode(repeat('ab', 32), 'hex') WHERE seq = 8"
                .to_owned(),
            8,
            Kind::Altered,
        ),
        (
            "UPDATE audit_seals SET prev_hash = decode(repeat('ab', 32), 'hex') WHERE seq = 8"
                .to_owned(),
            8,
            Kind::Unlinked,
        ),
    ];
    for (sql, seq, kind) in cases {
        tamper(&app, &sql).await;
        let (position, broken) = walk(&app).await;
        let broken = broken.unwrap_or_else(|| panic!("not found: {sql}"));
        assert_eq!((broken.seq, broken.kind), (seq, kind), "{sql}: {broken}");
        assert_eq!(position.seq, seq - 1);
        tamper(&app, undo).await;
    }
    assert_eq!(walk(&app).await.1, None, "as it was");
}

#[actix_web::test]
async fn an_end_that_was_cut_off_or_written_anew_is_found_by_an_anchor() {
    let app = TestApp::spawn().await;
    fill(&app, 6).await;
    sealed(&app).await;
    let (code, anchor) = program::told(&app, &["audit", "anchor"]).await;
    assert_eq!(code, 0, "{anchor}");
    let anchor = anchor.trim();
    let head: Value = serde_json::from_str(anchor).unwrap();
    let seq = head["seq"].as_i64().unwrap();
    let whole = program::told(&app, &["audit", "verify", "--anchor", anchor]).await;
    assert_eq!(whole.0, 0, "{}", whole.1);
    assert!(
        whole
            .1
            .contains(&format!("links that hold: {seq}, from 1 to {seq}\n")),
        "{}",
        whole.1
    );
    assert!(whole.1.contains("anchors in the chain: 1\n"), "{}", whole.1);
    let part = program::told(&app, &["audit", "verify", "--from", "3"]).await;
    assert!(
        part.1
            .contains(&format!("links that hold: {}, from 3 to {seq}\n", seq - 2)),
        "{}",
        part.1
    );
    assert_eq!(
        program::told(&app, &["audit", "verify", "--from", "9999"])
            .await
            .0,
        1
    );
    assert_eq!(
        program::told(&app, &["audit", "verify", "--from", "0"])
            .await
            .0,
        2
    );
    assert_eq!(
        program::told(&app, &["audit", "verify", "--anchor", "{}"])
            .await
            .0,
        1
    );
    assert_eq!(
        program::told(&app, &["audit", "verify", "--anchor", "/no/such/file"])
            .await
            .0,
        1
    );

    // Seals alone: the entries that they leave behind tell.
    tamper(&app, &format!("DELETE FROM audit_seals WHERE seq = {seq}")).await;
    let (code, text) = program::told(&app, &["audit", "verify"]).await;
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("has no seal and waits for none"), "{text}");
    // Both: without the anchor nothing is missing, with it the cut shows.
    tamper(
        &app,
        "DELETE FROM audit_log l WHERE NOT EXISTS (SELECT FROM audit_seals WHERE entry_id = l.id)",
    )
    .await;
    assert_eq!(program::told(&app, &["audit", "verify"]).await.0, 0);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{anchor}\n\n")).unwrap();
    let path = file.path().to_str().unwrap();
    let (code, text) = program::told(&app, &["audit", "verify", "--anchor", path]).await;
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains(&format!(
            "BROKEN at {seq}: the anchor is at seal {seq}, the chain ends at {}",
            seq - 1
        )),
        "{text}"
    );
    // Another entry in its place has another hash.
    fill(&app, 1).await;
    sealed(&app).await;
    let (code, text) = program::told(&app, &["audit", "verify", "--anchor", path]).await;
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("it was replaced"), "{text}");
    assert_eq!(walk(&app).await.1, None);
}

#[actix_web::test]
async fn an_auditor_sees_the_chains_state_and_each_entrys_place() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let admin = app.admin().await;
    fill(&app, 4).await;
    sealed(&app).await;
    let path = "/api/admin/audit/verify";
    assert_eq!(user.get(path).await.status, 403);
    let answer = admin.get(path).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let head = verify::head(&app.state.db).await.unwrap();
    let body = &answer.body;
    assert_eq!(body["state"], "whole", "{body}");
    assert_eq!(body["verified_seq"], head.seq);
    assert_eq!(body["head"]["seq"], head.seq);
    assert_eq!(body["head"]["hash"], head.hash.to_string());
    assert_eq!(body["unsealed"], json!({"count": 0, "oldest_seconds": 0.0}));
    assert_eq!(body["fault"], Value::Null);

    let list = admin
        .get("/api/admin/audit?order=created_at&limit=200")
        .await;
    let items = list.body["items"].as_array().unwrap();
    let mut places: Vec<_> = items
        .iter()
        .map(|item| item["seq"].as_i64().unwrap())
        .collect();
    places.sort_unstable();
    assert_eq!(places, (1..=head.seq).collect::<Vec<_>>());
    assert!(
        items
            .iter()
            .all(|item| item["hash"].as_str().unwrap().len() == 64)
    );

    tamper(&app, "UPDATE audit_log SET action = 'x' WHERE id = (SELECT entry_id FROM audit_seals WHERE seq = 2)").await;
    let again = admin.get(path).await;
    assert_eq!(again.body["state"], "whole", "only what is new was checked");
    let anew = admin.get(&format!("{path}?from=1")).await;
    assert_eq!(anew.body["state"], "broken", "{}", anew.body);
    assert_eq!(anew.body["verified_seq"], 1);
    assert_eq!(anew.body["fault"]["kind"], "altered");
    assert_eq!(anew.body["fault"]["seq"], 2);
    assert_eq!(
        admin.get(path).await.body["state"],
        "broken",
        "and stays so"
    );
    for wrong in ["0", "-1", "x", "99999999999"] {
        assert_eq!(
            admin.get(&format!("{path}?from={wrong}")).await.status,
            400,
            "{wrong}"
        );
    }
    // A backup that is older than what was checked.
    let second = app.second().await;
    let admin = admin.at(&second);
    assert_eq!(
        admin.get(&format!("{path}?from=3")).await.body["state"],
        "whole"
    );
    tamper(&app, "DELETE FROM audit_seals WHERE seq > 3; DELETE FROM audit_log l WHERE NOT EXISTS (SELECT FROM audit_seals WHERE entry_id = l.id)").await;
    assert_eq!(admin.get(path).await.body["fault"]["kind"], "cut");
    second.stop().await;
}

#[actix_web::test]
async fn what_waits_for_its_seal_is_told() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    sealed(&app).await;
    // Whoever holds the lock keeps all sealers waiting.
    let mut superuser = app.sql().await;
    let lock =
        "SELECT pg_advisory_lock(hashtextextended('gatepost_audit_seal ' || current_schema(), 0))";
    superuser.execute(lock).await.unwrap();
    fill(&app, 3).await;
    app.clock.advance(chrono::TimeDelta::seconds(7));
    let answer = admin.get("/api/admin/audit/verify").await;
    assert_eq!(answer.body["unsealed"]["count"], 3, "{}", answer.body);
    assert_eq!(answer.body["unsealed"]["oldest_seconds"], 7.0);
    let list = admin.get("/api/admin/audit?limit=1").await;
    assert_eq!(list.body["items"][0]["seq"], Value::Null);
    drop(superuser);
    sealed(&app).await;
}

#[actix_web::test]
async fn entries_go_to_standard_output_as_they_were_sealed() {
    let app = TestApp::spawn().await;
    sealed(&app).await;
    let (database, head) = (&app, verify::head(&app.state.db).await.unwrap());
    let mut command = program::gatepost(database, &["serve"]).await;
    let mut child = command
        .env("APP_PORT", "0")
        .env("METRICS_PORT", "0")
        .env("SECRET_KEY", &"0123456789abcdefa".repeat(4)[..64])
        .env("CSRF_SECRET_KEY", &"0123456789abcdefb".repeat(4)[..64])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The instance of the test stops, so that the program has to seal.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut superuser = app.sql().await;
    app.stop().await;
    let insert = "INSERT INTO audit_log (id, at, actor_type, action, outcome, request_id, ip, details)
        VALUES (gen_random_uuid(), now(), 'program', 'test.line', 'success', 'r', '10.0.0.1', '{\"b\": 1, \"a\": \"ü\"}')";
    for _ in 0..2 {
        superuser.execute(insert).await.unwrap();
    }
    let mut prev = head.hash;
    for number in 1..=2 {
        let wait = tokio::time::timeout(Duration::from_secs(30), lines.next_line());
        let line = wait.await.expect("a line").unwrap().expect("a line");
        let mut entry: Value = serde_json::from_str(&line).unwrap();
        let fields = entry.as_object_mut().unwrap();
        assert_eq!(fields["seq"], head.seq + number);
        assert_eq!(fields["action"], "test.line");
        assert_eq!(fields.remove("prev_hash").unwrap(), prev.to_string());
        let hash = fields.remove("hash").unwrap();
        // What remains is what was hashed.
        let canonical = serde_json_canonicalizer::to_vec(&entry).unwrap();
        let bytes = [prev.0.as_slice(), &canonical].concat();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
        prev = Hash::try_from(digest.as_ref()).unwrap();
        assert_eq!(hash, prev.to_string());
    }
    child.kill().await.unwrap();
}

#[actix_web::test]
async fn the_guides_program_recomputes_the_chain() {
    let app = TestApp::spawn().await;
    fill(&app, 5).await;
    sealed(&app).await;
    let seals = entity::audit_seal::Entity::find()
        .order_by_asc(entity::audit_seal::Column::Seq)
        .all(&app.state.db)
        .await
        .unwrap();
    let mut lines = Vec::new();
    for seal in &seals {
        let entry = entity::audit_log::Entity::find_by_id(seal.entry_id);
        let entry = entry.one(&app.state.db).await.unwrap().unwrap();
        let mut line = chain::document(seal.seq, &entry);
        line["prev_hash"] = sealer::stored(&seal.prev_hash).unwrap().to_string().into();
        line["hash"] = sealer::stored(&seal.hash).unwrap().to_string().into();
        lines.push(line.to_string());
    }
    let guide = include_str!("../../../../docs/guides/audit.md");
    let code = guide.split("```python\n").nth(1).unwrap();
    let code = code.split("```").next().unwrap();
    let run = async |lines: &[String]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines.join("\n")).unwrap();
        let mut python = tokio::process::Command::new("python3");
        python
            .args(["-c", code])
            .stdin(std::fs::File::open(file.path()).unwrap());
        python.output().await.unwrap()
    };
    let output = run(&lines).await;
    let faults = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "all hold\n",
        "{faults}"
    );
    lines.remove(2);
    assert!(!run(&lines).await.status.success());
}

#[actix_web::test]
async fn entries_name_nobody_but_by_id() {
    let app = TestApp::spawn().await;
    let anna = app.user("anna").await;
    let made = anna
        .post("/api/organizations", json!({"name": "Acme"}))
        .await;
    let admin = app.admin().await;
    let organization = if made.status == 201 {
        made.id()
    } else {
        admin
            .post("/api/organizations", json!({"name": "Acme"}))
            .await
            .id()
    };
    let path = format!("/api/organizations/{organization}/invitations");
    let invitation = json!({"email": "bob@example.com", "role": "viewer"});
    let made = admin.post(&path, invitation).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let revoked = admin.delete(&format!("{path}/{}", made.id())).await;
    assert_eq!(revoked.status, 204);
    let name = json!({"display_name": "Anna Q", "current_password": PASSWORD, "new_password": "harbour lentil 41 quiet sail"});
    assert_eq!(anna.put("/api/users/me", name).await.status, 200);
    let named = "SELECT count(*) FROM audit_log
        WHERE details::text ~* 'example.com|anna|bob' OR target_id ~* 'example.com|anna|bob'";
    assert_eq!(number(&app, named).await, 0);
    assert!(number(&app, "SELECT count(*) FROM audit_log").await > 5);
}

#[test]
fn the_first_link_follows_zeros() {
    assert_eq!(GENESIS.to_string(), "0".repeat(64));
    assert_eq!(Position::START.hash, chain::GENESIS);
}
