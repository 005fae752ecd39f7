//! Many questions at once.

use serde_json::{Value, json};

use super::{MANY, World, decision, decisions, record};

#[actix_web::test]
async fn a_batch_fills_in_its_defaults_and_keeps_its_order() {
    let world = World::new().await;
    let body = json!({
        "subject": {"type": "user", "id": world.bob.user_id},
        "resource": world.record("record-1"),
        "context": {"time": "2024-05-31T15:22-07:00"},
        "evaluations": [
            {"action": {"name": "read"}},
            {"action": {"name": "write"}},
            world.ask(&world.alice, "write", "record-2"),
            {"action": {"name": "read"}, "resource": record("r", world.foreign_project)},
        ],
    });
    let answer = world.admin.post(MANY, body).await;
    assert_eq!(decisions(&answer), [true, false, true, false]);

    let mut body = world.ask(&world.alice, "read", "record-1");
    body["evaluations"] = json!([{}, {"resource": world.record("record-2")}]);
    let answer = world.gate.post(MANY, body.clone()).await;
    assert_eq!(decisions(&answer), [true, true]);
    body["evaluations"] = json!(vec![json!({}); 500]);
    let answer = world.gate.post(MANY, body.clone()).await;
    assert_eq!(decisions(&answer), [true; 500]);
    body["evaluations"] = json!(vec![json!({}); 501]);
    let answer = world.gate.post(MANY, body).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (400, "validation_failed")
    );
}

#[actix_web::test]
async fn without_items_a_batch_is_a_single_evaluation() {
    let world = World::new().await;
    let mut body = world.ask(&world.alice, "read", "record-1");
    assert!(decision(&world.gate.post(MANY, body.clone()).await));
    body["evaluations"] = json!([]);
    assert!(decision(&world.gate.post(MANY, body.clone()).await));
    let answer = world
        .alice
        .post(MANY, world.ask(&world.bob, "read", "record-1"))
        .await;
    assert_eq!((answer.status, answer.problem()), (403, "forbidden"));
}

#[actix_web::test]
async fn a_fault_of_one_item_is_told_in_its_place() {
    let world = World::new().await;
    let body = json!({
        "subject": {"type": "user", "id": world.alice.user_id},
        "action": {"name": "read"},
        "resource": {},
        "options": {"evaluations_semantic": "execute_all", "other": 1},
        "evaluations": [
            {"resource": world.record("record-1")},
            {"action": {"name": "read"}},
            {"resource": record("r", world.foreign_project)},
            {"resource": world.record("record-2")},
        ],
    });
    let answer = world.gate.post(MANY, body).await;
    assert_eq!(decisions(&answer), [true, false, false, true]);
    let error = |index: usize| &answer.body["evaluations"][index]["context"]["error"];
    assert_eq!(error(1)["status"], 400);
    assert_eq!(error(1)["message"], "resource.type: is missing");
    assert_eq!(error(2)["status"], 403);
    assert!(error(0).is_null() && error(3).is_null());
}

#[actix_web::test]
async fn a_batch_ends_where_its_semantic_says() {
    let world = World::new().await;
    let (read, write) = (
        json!({"action": {"name": "read"}}),
        json!({"action": {"name": "write"}}),
    );
    let faulty = json!({"action": {}});
    let ask = async |semantic: &str, items: Vec<&Value>| {
        let mut body = world.ask(&world.bob, "read", "record-1");
        body["options"] = json!({"evaluations_semantic": semantic});
        body["evaluations"] = json!(items);
        world.gate.post(MANY, body).await
    };
    let answer = ask("execute_all", vec![&read, &write, &read]).await;
    assert_eq!(decisions(&answer), [true, false, true]);
    let answer = ask("deny_on_first_deny", vec![&read, &write, &read]).await;
    assert_eq!(decisions(&answer), [true, false]);
    let answer = ask("deny_on_first_deny", vec![&read, &faulty, &read]).await;
    assert_eq!(decisions(&answer), [true, false]);
    let answer = ask("permit_on_first_permit", vec![&write, &read, &write]).await;
    assert_eq!(decisions(&answer), [false, true]);
    let answer = ask("permit_on_first_permit", vec![&write, &faulty, &write]).await;
    assert_eq!(decisions(&answer), [false, false, false]);
    // Further than what is decided at once.
    let mut late = vec![&read; 40];
    late.insert(37, &write);
    let answer = ask("deny_on_first_deny", late).await;
    assert_eq!(decisions(&answer).len(), 38);
    let answer = ask("first_wins", vec![&read]).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (400, "validation_failed")
    );
}
