//! What applications register: where it stands, who may, and what evaluations make of it.

use serde_json::{Value, json};
use sqlx::Executor;
use uuid::Uuid;

use crate::{
    harness::{Client, TestApp},
    tenants::{Tenant, all, column, given},
};

struct World {
    app: TestApp,
    admin: Client,
    editor: Client,
    viewer: Client,
    stranger: Client,
    first: Tenant,
    second: Tenant,
}

/// Two organizations; the editor and the viewer hold their roles on the first one's project.
async fn world() -> World {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let (editor, viewer, stranger) = (
        app.user("editor").await,
        app.user("viewer").await,
        app.user("stranger").await,
    );
    let first = Tenant::create(&admin, "First").await;
    let second = Tenant::create(&admin, "Second").await;
    given(&admin, &editor, "editor", first.resource("project")).await;
    given(&admin, &viewer, "viewer", first.resource("project")).await;
    given(&admin, &stranger, "owner", second.resource("organization")).await;
    World {
        app,
        admin,
        editor,
        viewer,
        stranger,
        first,
        second,
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "calls read better with what `json!` makes"
)]
fn body(parent: &Value, properties: Value) -> Value {
    json!({"parent": parent, "properties": properties})
}

async fn allows(who: &Client, user: &Client, action: &str, kind: &str, id: &str) -> bool {
    let question = json!({
        "subject": {"type": "user", "id": user.user_id}, "action": {"name": action},
        "resource": {"type": kind, "id": id},
    });
    let answer = who.post("/access/v1/evaluation", question).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["decision"].as_bool().unwrap()
}

#[actix_web::test]
async fn a_resource_is_registered_read_changed_listed_and_taken_off() {
    let world = world().await;
    let project = world.first.resource("project");
    let path = "/api/resources/record/a%2Fb%20%C3%BC";
    let new = body(&project, json!({"status": "active", "size": 1.5}));
    let made = world.editor.put(path, new.clone()).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("location"), path);
    assert_eq!(made.header("etag"), "\"v1\"");
    assert!(made.header("gatepost-revision").parse::<i64>().unwrap() > 0);
    assert_eq!(made.body["id"], "a/b ü");
    assert_eq!(made.body["parent"], project);
    assert_eq!(made.body["organization_id"], world.first.organization);
    let same = world.editor.put(path, new).await;
    assert_eq!((same.status, same.header("etag")), (200, "\"v1\""));
    assert_eq!(
        same.header("gatepost-revision"),
        made.header("gatepost-revision")
    );
    let changed = world
        .editor
        .put_with(path, body(&project, json!({})), &[("if-match", "\"v1\"")])
        .await;
    assert_eq!((changed.status, changed.header("etag")), (200, "\"v2\""));
    assert_ne!(
        changed.header("gatepost-revision"),
        made.header("gatepost-revision")
    );
    let stale = [("if-match", "\"v1\"")];
    let answer = world
        .editor
        .put_with(path, body(&project, json!({"a": 1})), &stale)
        .await;
    assert_eq!(
        (answer.status, answer.problem()),
        (412, "precondition_failed")
    );
    let read = world.viewer.get(path).await;
    assert_eq!((read.status, &read.body), (200, &changed.body));

    let below = json!({"type": "record", "id": "a/b ü"});
    for id in ["1", "2", "3"] {
        let answer = world
            .editor
            .put(
                &format!("/api/resources/page/{id}"),
                body(&below, json!({})),
            )
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.body["parent"], below);
    }
    let ids = async |who: &Client, query: &str| {
        let mut ids = column(&all(who, &format!("/api/resources{query}"), 2).await, "id");
        ids.sort();
        ids
    };
    assert_eq!(ids(&world.viewer, "").await, ["1", "2", "3", "a/b ü"]);
    assert_eq!(ids(&world.viewer, "?type=page").await, ["1", "2", "3"]);
    let of_project = format!("?parent=project:{}", world.first.project);
    assert_eq!(ids(&world.admin, &of_project).await, ["a/b ü"]);
    assert_eq!(
        ids(&world.admin, "?parent=record:a%2Fb%20%C3%BC&type=page").await,
        ["1", "2", "3"]
    );
    assert_eq!(ids(&world.stranger, "").await, Vec::<String>::new());

    assert!(allows(&world.admin, &world.viewer, "read", "page", "1").await);
    let gone = world.editor.delete(path).await;
    assert_eq!(gone.status, 204, "{gone:?}");
    assert_eq!(world.editor.get(path).await.status, 404);
    assert_eq!(world.editor.get("/api/resources/page/1").await.status, 404);
    assert!(!allows(&world.admin, &world.viewer, "read", "page", "1").await);
    let entries = world.admin.get("/api/admin/audit?limit=200").await;
    let actions = column(entries.body["items"].as_array().unwrap(), "action");
    for action in [
        "resource.registered",
        "resource.updated",
        "resource.deleted",
    ] {
        assert!(
            actions.iter().any(|one| one == action),
            "{action} in {actions:?}"
        );
    }
}

#[actix_web::test]
async fn only_who_manages_the_place_registers_there_and_tenants_do_not_meet() {
    let world = world().await;
    let (project, foreign) = (
        world.first.resource("project"),
        world.second.resource("project"),
    );
    let path = "/api/resources/record/1";
    for (who, parent, status) in [
        (&world.viewer, &project, 403),
        (&world.stranger, &project, 404),
        (&world.editor, &foreign, 404),
        (&world.editor, &world.first.resource("account"), 404),
        (
            &world.editor,
            &json!({"type": "record", "id": "nothing"}),
            404,
        ),
        (
            &world.editor,
            &json!({"type": "project", "id": Uuid::now_v7()}),
            404,
        ),
    ] {
        let answer = who.put(path, body(parent, json!({}))).await;
        assert_eq!(answer.status, status, "{parent}: {answer:?}");
    }
    assert_eq!(
        world
            .editor
            .put(path, body(&project, json!({})))
            .await
            .status,
        201
    );
    let taken = world.stranger.put(path, body(&foreign, json!({}))).await;
    assert_eq!((taken.status, taken.problem()), (404, "not_found"));
    for who in [&world.stranger, &world.viewer] {
        let status = if who.user_id == world.viewer.user_id {
            403
        } else {
            404
        };
        assert_eq!(who.delete(path).await.status, status);
    }
    assert_eq!(world.stranger.get(path).await.status, 404);
    // Moving takes the right on both ends.
    given(
        &world.admin,
        &world.editor,
        "viewer",
        world.second.resource("project"),
    )
    .await;
    assert_eq!(
        world
            .editor
            .put(path, body(&foreign, json!({})))
            .await
            .status,
        403
    );
    assert_eq!(
        world
            .admin
            .put(path, body(&foreign, json!({})))
            .await
            .status,
        200
    );
    assert_eq!(world.stranger.get(path).await.status, 200);
    assert!(!allows(&world.admin, &world.viewer, "read", "record", "1").await);

    for (path, body) in [
        ("/api/resources/record/1", json!({})),
        (
            "/api/resources/record/1",
            json!({"parent": project, "more": 1}),
        ),
        (
            "/api/resources/record/1",
            json!({"parent": {"type": "system", "id": "x"}}),
        ),
        (
            "/api/resources/record/1",
            json!({"parent": {"type": "project", "id": "x"}}),
        ),
        (
            "/api/resources/record/1",
            json!({"parent": {"type": "user", "id": Uuid::now_v7()}}),
        ),
        (
            "/api/resources/record/1",
            json!({"parent": project, "properties": []}),
        ),
        (
            "/api/resources/record/1",
            json!({"parent": project, "properties": {"parent": 1}}),
        ),
        (
            "/api/resources/record/1",
            json!({"parent": project, "properties": {"a": "\u{0}"}}),
        ),
        (
            "/api/resources/record/1",
            json!({"parent": project, "properties": {"a": "x".repeat(17000)}}),
        ),
    ] {
        let answer = world.admin.put(path, body.clone()).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (400, "validation_failed"),
            "{body}"
        );
    }
    for path in ["/api/resources/project/1", "/api/resources/Record/1"] {
        let answer = world.admin.put(path, body(&project, json!({}))).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (404, "not_found"),
            "{path}"
        );
    }
}

#[actix_web::test]
async fn what_is_registered_counts_and_the_request_only_adds() {
    let world = world().await;
    let project = world.first.resource("project");
    let made = world
        .editor
        .put("/api/resources/record/1", body(&project, json!({})))
        .await;
    assert_eq!(made.status, 201);
    assert!(allows(&world.admin, &world.editor, "write", "record", "1").await);
    assert!(!allows(&world.admin, &world.viewer, "write", "record", "1").await);
    // Whoever asks cannot say that it stands elsewhere.
    let question = json!({
        "subject": {"type": "user", "id": world.stranger.user_id}, "action": {"name": "read"},
        "resource": {"type": "record", "id": "1", "properties": {"parent": world.second.resource("project")}},
    });
    let answer = world.stranger.post("/access/v1/evaluation", question).await;
    assert_eq!(answer.body["decision"], false, "{answer:?}");
    // A stranger does not even learn that there is one.
    let answer_about = async |id: &str| {
        let question = json!({
            "subject": {"type": "user", "id": world.stranger.user_id},
            "action": {"name": "read"}, "resource": {"type": "record", "id": id},
            "context": {"explain": true},
        });
        world
            .stranger
            .post("/access/v1/evaluation", question)
            .await
            .body
    };
    assert_eq!(answer_about("1").await, answer_about("2").await);
    // What is not registered stands below what is.
    let question = json!({
        "subject": {"type": "user", "id": world.editor.user_id}, "action": {"name": "write"},
        "resource": {"type": "line", "id": "7", "properties": {"parent": {"type": "record", "id": "1"}}},
    });
    let answer = world.admin.post("/access/v1/evaluation", question).await;
    assert_eq!(answer.body["decision"], true, "{answer:?}");
}

#[actix_web::test]
async fn nothing_stands_below_itself_nor_deeper_than_eight() {
    let world = world().await;
    let parent = |number: usize| match number {
        0 => world.first.resource("project"),
        _ => json!({"type": "folder", "id": (number - 1).to_string()}),
    };
    let put = async |number: usize, parent: Value| {
        let path = format!("/api/resources/folder/{number}");
        world.editor.put(&path, body(&parent, json!({}))).await
    };
    for number in 0..9 {
        assert_eq!(put(number, parent(number)).await.status, 201, "{number}");
    }
    for (number, below) in [(9, 9), (0, 9), (0, 1), (3, 4), (3, 6)] {
        let answer = put(number, parent(below)).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (409, "conflict"),
            "{number} below {below}"
        );
    }
    // A cycle that a batch would make in two steps, in either order.
    assert_eq!(put(20, parent(0)).await.status, 201);
    let item = |id: &str, below: &str| json!({"type": "folder", "id": id, "parent": {"type": "folder", "id": below}});
    for items in [
        [item("0", "20"), item("20", "2")],
        [item("20", "2"), item("0", "20")],
    ] {
        let answer = world
            .editor
            .post("/api/resources/batch", json!({"resources": items}))
            .await;
        assert_eq!(
            (answer.status, answer.problem()),
            (409, "conflict"),
            "{items:?}"
        );
    }
    // A move takes along what is below, within the depth.
    assert_eq!(put(4, parent(0)).await.status, 200);
    assert_eq!(put(3, parent(9)).await.status, 200);
    let answer = world.editor.get("/api/resources/folder/8").await;
    assert_eq!(answer.body["parent"], json!({"type": "folder", "id": "7"}));
    let mut sql = world.app.sql().await;
    let depth: i32 =
        sqlx::query_scalar("SELECT cardinality(ancestors) FROM resources WHERE external_id = '3'")
            .fetch_one(&mut sql)
            .await
            .unwrap();
    assert_eq!(depth, 5, "4, 5, 6, 7 and 8 stand above it");
    assert_eq!(put(30, parent(3)).await.status, 201);
    assert_eq!(put(31, parent(31)).await.status, 201);
    let answer = put(4, parent(32)).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (409, "conflict"),
        "3 would have ten above it"
    );
    let answer = world.editor.get("/api/resources/folder/4").await;
    assert_eq!(answer.body["parent"]["type"], "project");
}

#[actix_web::test]
async fn a_batch_is_done_as_a_whole_or_not_at_all() {
    let world = world().await;
    let project = world.first.resource("project");
    let item = |id: usize, parent: &Value| json!({"type": "record", "id": id.to_string(), "parent": parent, "properties": {"n": id}});
    let send = async |items: Vec<Value>| {
        world
            .editor
            .post("/api/resources/batch", json!({"resources": items}))
            .await
    };
    let mut items: Vec<_> = (0..1000).map(|id| item(id, &project)).collect();
    items[999]["parent"] = json!({"type": "record", "id": "0"});
    let answer = send(items.clone()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.body,
        json!({"created": 1000, "updated": 0, "unchanged": 0})
    );
    items[5]["properties"]["n"] = json!(-5);
    let answer = send(items.clone()).await;
    assert_eq!(
        answer.body,
        json!({"created": 0, "updated": 1, "unchanged": 999})
    );
    items.push(item(1000, &project));
    assert_eq!(send(items).await.problem(), "validation_failed");
    assert_eq!(send(Vec::new()).await.problem(), "validation_failed");
    assert_eq!(
        send(vec![item(1, &project), item(1, &project)])
            .await
            .problem(),
        "validation_failed"
    );
    let foreign = world.second.resource("project");
    let answer = send(vec![item(5000, &project), item(5001, &foreign)]).await;
    assert_eq!(answer.status, 404);
    assert_eq!(
        world.editor.get("/api/resources/record/5000").await.status,
        404
    );
    assert!(allows(&world.admin, &world.viewer, "read", "record", "999").await);
}

#[actix_web::test]
async fn what_moves_above_takes_it_along_and_every_instance_hears_of_it() {
    let world = world().await;
    let other = world.app.second().await;
    let there = world.admin.at(&other);
    let project = world.first.resource("project");
    let made = world
        .editor
        .put("/api/resources/record/1", body(&project, json!({})))
        .await;
    assert_eq!(made.status, 201);
    let below = body(&json!({"type": "record", "id": "1"}), json!({}));
    assert_eq!(
        world
            .editor
            .put("/api/resources/page/1", below)
            .await
            .status,
        201
    );
    for admin in [&world.admin, &there] {
        assert!(allows(admin, &world.viewer, "read", "page", "1").await);
        assert!(
            !allows(admin, &world.viewer, "read", "page", "2").await,
            "now known not to be there"
        );
    }
    let late = world
        .editor
        .put("/api/resources/page/2", body(&project, json!({})))
        .await;
    assert_eq!(late.status, 201);
    // The project goes to the other organization, with what is below it.
    let sql = format!(
        "UPDATE projects SET organization_id = '{}', account_id = '{}' WHERE id = '{}'",
        world.second.organization, world.second.account, world.first.project
    );
    let mut connection = world.app.sql().await;
    connection.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    let home = "SELECT count(*) FROM resources WHERE organization_id = $1 AND account_id = $2";
    let moved: i64 = sqlx::query_scalar(home)
        .bind(world.second.organization.parse::<Uuid>().unwrap())
        .bind(world.second.account.parse::<Uuid>().unwrap())
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(moved, 3);
    for admin in [&world.admin, &there] {
        for _ in 0..200 {
            let hears = allows(admin, &world.stranger, "write", "page", "1").await
                && allows(admin, &world.viewer, "read", "page", "2").await;
            if hears {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert!(allows(admin, &world.stranger, "write", "page", "1").await);
        assert!(allows(admin, &world.viewer, "read", "page", "2").await);
    }
    assert_eq!(
        world.admin.delete(&world.first.project_path()).await.status,
        204
    );
    assert_eq!(world.admin.get("/api/resources/page/1").await.status, 404);
    assert!(!allows(&world.admin, &world.viewer, "read", "page", "1").await);
    other.stop().await;
}
