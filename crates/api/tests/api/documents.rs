//! The documents say what the program does.

use std::{collections::BTreeSet, path::Path, process::Stdio, time::Duration};

use gatepost::{
    clock::{Clock as _, SystemClock},
    problem::Code,
    routes,
};
use tokio::process::Command;

use crate::harness::{PASSWORD, TestApp};

const API: &str = include_str!("../../../../docs/api.md");
const PROBLEMS: &str = include_str!("../../../../docs/problems.md");

#[test]
fn every_problem_is_explained_as_the_program_explains_it() {
    let rows: Vec<String> = Code::ALL
        .iter()
        .map(|code| {
            format!(
                "| `{}` | {} | {} | {} |",
                code.slug(),
                code.status().as_u16(),
                code.title(),
                code.meaning()
            )
        })
        .collect();
    let documented: Vec<&str> = PROBLEMS
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    assert_eq!(
        documented,
        rows,
        "the table of docs/problems.md has to be:\n\n{}\n",
        rows.join("\n")
    );
}

/// What stands in backticks and begins with a method: `` `GET /api/health` ``.
fn operations(text: &str) -> BTreeSet<String> {
    let is_method = |word: &str| ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"].contains(&word);
    text.split('`')
        .filter_map(|span| {
            let (method, path) = span.split_once(' ')?;
            let path = path.split('?').next().unwrap_or_default();
            (is_method(method) && path.starts_with('/')).then(|| format!("{method} {path}"))
        })
        .collect()
}

#[test]
fn every_route_is_described_and_nothing_that_is_no_route() {
    let public = routes::public();
    let protected = routes::protected();
    let served: BTreeSet<String> = public
        .iter()
        .map(|row| format!("{} {}", row.method, row.path))
        .chain(
            protected
                .iter()
                .map(|row| format!("{} {}", row.method, row.path)),
        )
        .collect();
    let described = operations(API);
    let missing: Vec<_> = served.difference(&described).collect();
    assert!(missing.is_empty(), "docs/api.md lacks {missing:#?}");
    let invented: Vec<_> = described.difference(&served).collect();
    assert!(
        invented.is_empty(),
        "docs/api.md describes what there is not: {invented:#?}"
    );
}

/// The names by which headings are linked.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' '));
    let plain = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
    let name = |title: &str| -> String {
        let kept = title.to_lowercase();
        kept.chars()
            .filter(plain)
            .collect::<String>()
            .replace(' ', "-")
    };
    titles.map(name).collect()
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut documents = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    for folder in ["docs", "docs/decisions", "docs/guides"] {
        let entries = root.join(folder).read_dir().unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        documents.extend(paths.filter(|path| path.extension().is_some_and(|end| end == "md")));
    }
    let mut links = 0;
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        for rest in text.split("](").skip(1) {
            let link = rest.split(')').next().unwrap_or_default();
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            if link.contains("://") {
                continue;
            }
            links += 1;
            let target = match file {
                "" => document.clone(),
                file => document.with_file_name("").join(file),
            };
            assert!(target.exists(), "{}: {link}", document.display());
            if !heading.is_empty() {
                let known = headings(&std::fs::read_to_string(&target).unwrap());
                assert!(known.contains(heading), "{}: {link}", document.display());
            }
        }
    }
    assert!(links > 0);
}

#[actix_web::test]
async fn the_quickstart_runs_to_its_end_again_and_again() {
    let app = TestApp::spawn().await;
    // Chooses the password that the script then logs in with.
    app.admin().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart.sh");
    for _ in 0..2 {
        let run = Command::new(&script)
            .arg(&app.address)
            .env("ADMIN_EMAIL", "admin@example.com")
            .env("ADMIN_PASSWORD", PASSWORD)
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let told = String::from_utf8_lossy(&run.stdout);
        let faults = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{told}\n{faults}");
        assert!(told.ends_with("Every answer was as expected.\n"), "{told}");
    }
}

#[actix_web::test]
async fn the_quickstart_fails_when_an_answer_is_another_one() {
    let app = TestApp::with(&[("REGISTRATION_MODE", "closed")]).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart.sh");
    let run = Command::new(&script)
        .arg(&app.address)
        .env("ADMIN_PASSWORD", PASSWORD)
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let faults = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{faults}");
    assert!(
        faults.contains("POST /api/register: expected 202, got 403"),
        "{faults}"
    );
}

#[actix_web::test]
async fn the_guide_to_second_factors_runs_as_written() {
    let app = TestApp::with(&[("REGISTRATION_MODE", "open")]).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guide = std::fs::read_to_string(root.join("docs/guides/first-login-and-mfa.md")).unwrap();
    let blocks = guide.split("```sh\n").skip(1);
    let script: Vec<_> = blocks
        .map(|block| block.split("```").next().unwrap())
        .collect();
    let script = script
        .concat()
        .replace("http://localhost:8004", &app.address);
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("bash");
    let run = command
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(&folder)
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .output();
    // Its codes are those of the real time, however long it takes.
    let keep_time = async {
        loop {
            app.clock.advance(SystemClock.now() - app.clock.now());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let run = tokio::select! {
        run = run => run.unwrap(),
        () = keep_time => unreachable!("it goes on"),
    };
    let told = String::from_utf8_lossy(&run.stdout);
    let faults = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{told}\n{faults}");
    let picture = std::fs::read_to_string(folder.path().join("qr.svg")).unwrap();
    assert!(picture.contains("<svg"));
}
