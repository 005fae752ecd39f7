//! Who may ask about whom, and what is not learned that way.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{ONE, World, decision, question, record, why};

#[actix_web::test]
async fn one_may_ask_about_oneself_and_about_others_only_where_one_may_evaluate() {
    let world = World::new().await;
    let about_bob = world.ask(&world.bob, "read", "record-1");
    for stranger in [&world.alice, &world.carol] {
        let answer = stranger.post(ONE, about_bob.clone()).await;
        assert_eq!((answer.status, answer.problem()), (403, "forbidden"));
    }
    assert!(decision(&world.bob.post(ONE, about_bob).await));
    for name in [
        "bob@example.com",
        "BOB@Example.com",
        "bob",
        &world.bob.user_id.to_uppercase(),
    ] {
        let body = question(name, "read", world.record("record-1"));
        assert!(decision(&world.bob.post(ONE, body).await), "{name}");
    }
    // What is elsewhere, nowhere, or in no organization, is not the gate's to ask about.
    let system = json!({"type": "system", "id": "here"});
    let nowhere = record("r", Uuid::now_v7());
    let user = json!({"type": "user", "id": world.bob.user_id});
    for resource in [record("r", world.foreign_project), nowhere, system, user] {
        let body = question(&world.bob.user_id, "read", resource);
        let answer = world.gate.post(ONE, body.clone()).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (403, "forbidden"),
            "{body}"
        );
        assert!(!decision(&world.admin.post(ONE, body).await));
    }
}

#[actix_web::test]
async fn who_asks_about_themselves_does_not_learn_what_others_have() {
    let world = World::new().await;
    let ask = async |resource: Value| {
        let body = question(&world.alice.user_id, "read", resource);
        let mut answer = world.alice.post(ONE, body).await;
        // What this instance has heard of may have become more in between.
        answer.body["context"]["revision"].take();
        answer
    };
    let there = ask(record("r", world.foreign_project)).await;
    let nowhere = ask(record("r", Uuid::now_v7())).await;
    assert_eq!(why(&there), (false, "resource_not_found"));
    assert_eq!(there.body, nowhere.body);
    let there = ask(json!({"type": "project", "id": world.foreign_project})).await;
    assert_eq!(there.body, nowhere.body);
    let there = ask(json!({"type": "user", "id": world.bob.user_id})).await;
    assert_eq!(there.body, nowhere.body);
    let own = ask(json!({"type": "project", "id": world.project})).await;
    assert_eq!(why(&own), (true, "granted"));
    let deletion = question(
        &world.alice.user_id,
        "delete",
        json!({"type": "project", "id": world.project}),
    );
    assert_eq!(
        why(&world.alice.post(ONE, deletion).await),
        (false, "no_grant")
    );
    let itself = json!({"type": "user", "id": world.alice.user_id});
    let body = question(&world.alice.user_id, "self:update", itself.clone());
    assert_eq!(why(&world.alice.post(ONE, body).await), (true, "self"));
    let body = question(&world.alice.user_id, "approve", itself);
    assert_eq!(why(&world.alice.post(ONE, body).await), (false, "no_grant"));
}
