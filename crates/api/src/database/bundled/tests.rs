//! Real clusters, each in a folder of its own.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;

use super::{account::Account, home::Home, programs::Programs, *};

/// Names the data folder to [`a_process_that_will_be_killed`].
const FOLDER_VARIABLE: &str = "GATEPOST_TEST_FOLDER";

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn options(folder: &Path) -> Options {
    Options {
        durable: false,
        ..Options::new(folder)
    }
}

async fn start(folder: &Path) -> Cluster {
    Cluster::start(options(folder)).await.unwrap()
}

async fn execute(url: &SecretString, sql: &'static str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url.expose_secret()).await?;
    connection.execute(sql).await?;
    connection.close().await
}

async fn text(url: &SecretString, sql: &'static str) -> String {
    let mut connection = PgConnection::connect(url.expose_secret()).await.unwrap();
    sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

/// Leaves a mark that only this cluster has.
async fn mark(cluster: &Cluster) {
    execute(&cluster.owner_url(), "CREATE TABLE mark ()")
        .await
        .unwrap();
}

async fn is_marked(cluster: &Cluster) -> bool {
    let found = "SELECT (to_regclass('mark') IS NOT NULL)::text";
    text(&cluster.owner_url(), found).await == "true"
}

fn alive(pid: u32) -> bool {
    if Path::new("/proc/self/stat").exists() {
        let state = fs::read_to_string(format!("/proc/{pid}/stat"));
        // `pid (name) state …`; a zombie only waits to be counted.
        return state.is_ok_and(|text| !text.contains(") Z "));
    }
    let mut command = Command::new("ps");
    command.args(["-p", &pid.to_string()]);
    command.output().unwrap().status.success()
}

fn kill(signal: &str, pid: u32) {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("kill -{signal} {pid}")]);
    assert!(command.status().unwrap().success());
}

#[tokio::test]
async fn the_first_start_makes_a_database_and_two_plain_roles() {
    let folder = folder();
    let cluster = start(folder.path()).await;
    mark(&cluster).await;
    let refused = execute(&cluster.api_url(), "CREATE TABLE theirs ()").await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("permission denied")
    );
    let special = "SELECT count(*)::text FROM pg_roles WHERE rolname LIKE 'gatepost%' \
                   AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolbypassrls OR rolreplication)";
    assert_eq!(text(&cluster.owner_url(), special).await, "0");
    let settings = "SELECT current_setting('server_encoding') || current_setting('data_checksums') \
                    || current_setting('listen_addresses') || current_setting('fsync')";
    assert_eq!(
        text(&cluster.owner_url(), settings).await,
        "UTF8on127.0.0.1off"
    );
    let mode = fs::metadata(cluster.home().join("passwords")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn nobody_connects_without_the_password() {
    let folder = folder();
    let cluster = start(folder.path()).await;
    let port = cluster.port();
    for role in [SUPERUSER, OWNER_ROLE, API_ROLE] {
        let url = SecretString::from(format!("postgres://{role}:guess@127.0.0.1:{port}/gatepost"));
        let refused = execute(&url, "SELECT 1").await.unwrap_err().to_string();
        assert!(
            refused.contains("password authentication failed"),
            "{refused}"
        );
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn the_second_start_finds_what_the_first_has_written() {
    let folder = folder();
    let first = start(folder.path()).await;
    mark(&first).await;
    first.stop().await.unwrap();
    let second = start(folder.path()).await;
    assert!(is_marked(&second).await);
    let log = fs::read_to_string(second.home().join("server.log")).unwrap();
    assert!(!log.contains("not properly shut down"), "{log}");
    second.stop().await.unwrap();
}

#[tokio::test]
async fn an_ephemeral_cluster_leaves_nothing_and_touches_nothing() {
    let folder = folder();
    let kept = start(folder.path()).await;
    let ephemeral = Options {
        ephemeral: true,
        ..options(folder.path())
    };
    let cluster = Cluster::start(ephemeral).await.unwrap();
    mark(&cluster).await;
    assert!(!is_marked(&kept).await);
    let home = cluster.home().to_owned();
    assert!(home.exists());
    cluster.stop().await.unwrap();
    assert!(!home.exists());
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2, "postgres and its lock");
    kept.stop().await.unwrap();
}

#[tokio::test]
async fn a_dropped_cluster_stops_its_server() {
    let folder = folder();
    let cluster = start(folder.path()).await;
    let pid = cluster.pid();
    assert!(alive(pid));
    drop(cluster);
    assert!(!alive(pid));
}

#[tokio::test]
async fn a_busy_port_makes_way_for_the_next_one() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let wanted = Options {
        port: Some(port),
        ..options(folder.path())
    };
    let cluster = Cluster::start(wanted).await.unwrap();
    assert!(cluster.port() > port);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn two_gateposts_cannot_share_a_data_folder() {
    let folder = folder();
    let first = start(folder.path()).await;
    let error = Cluster::start(options(folder.path())).await.unwrap_err();
    assert!(matches!(error, BundledError::InUse { .. }), "{error}");
    mark(&first).await;
    first.stop().await.unwrap();
}

#[tokio::test]
async fn a_folder_out_of_reach_gets_a_link_to_a_home_within_reach() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = start(folder.path()).await;
    mark(&cluster).await;
    let home = cluster.home().to_owned();
    cluster.stop().await.unwrap();
    let door = folder.path().join("postgres");
    let Ok(target) = fs::read_link(&door) else {
        // An ordinary user reaches all of its own folders.
        assert_eq!(home, door.canonicalize().unwrap());
        return;
    };
    assert_eq!(target, home);
    let again = start(folder.path()).await;
    assert!(is_marked(&again).await);
    again.stop().await.unwrap();

    fs::remove_file(&door).unwrap();
    let afresh = start(folder.path()).await;
    assert!(!is_marked(&afresh).await);
    afresh.stop().await.unwrap();
    let above = home.parent().unwrap();
    assert_eq!(
        fs::read_dir(above).unwrap().count(),
        2,
        "the old one is kept"
    );
    fs::remove_dir_all(above).unwrap();
}

#[tokio::test]
async fn an_interrupted_first_start_is_done_again() {
    let folder = folder();
    let half_made = folder.path().join("postgres/unfinished/base");
    fs::create_dir_all(&half_made).unwrap();
    fs::write(half_made.join("1"), "half").unwrap();
    let cluster = start(folder.path()).await;
    mark(&cluster).await;
    assert!(!cluster.home().join("unfinished").exists());
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_recovers() {
    let folder = folder();
    let cluster = Cluster::start(Options::new(folder.path())).await.unwrap();
    mark(&cluster).await;
    kill("KILL", cluster.pid());
    assert!(cluster.ended().await.contains("signal: 9"));
    drop(cluster);
    let again = start(folder.path()).await;
    assert!(is_marked(&again).await);
    again.stop().await.unwrap();
}

#[test]
#[ignore = "run by a_killed_gatepost_takes_its_server_along, which kills it"]
fn a_process_that_will_be_killed() {
    let folder = PathBuf::from(env::var_os(FOLDER_VARIABLE).expect("set by the other test"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cluster = runtime.block_on(async {
        let cluster = start(&folder).await;
        mark(&cluster).await;
        cluster
    });
    println!("\nserver {}", cluster.pid());
    loop {
        std::thread::park();
    }
}

#[tokio::test]
async fn a_killed_gatepost_takes_its_server_along() {
    let folder = folder();
    let mut gatepost = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--nocapture", "a_process_that_will_be_killed"])
        .env(FOLDER_VARIABLE, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(gatepost.stdout.take().unwrap()).lines();
    let pid = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("server ")?.parse().ok())
        .expect("the process tells its server's number");
    assert!(alive(pid));
    gatepost.kill().unwrap();
    gatepost.wait().unwrap();
    let again = start(folder.path()).await;
    assert!(!alive(pid));
    assert!(is_marked(&again).await);
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_was_left_running_is_stopped_first() {
    let folder = folder();
    let cluster = start(folder.path()).await;
    mark(&cluster).await;
    let sockets = cluster.socket_dir().to_owned();
    cluster.stop().await.unwrap();

    let data = Home::kept_data(&folder.path().canonicalize().unwrap());
    let account = Account::choose(Some(&data)).await.unwrap();
    let programs = Programs::find(None, None, &data).await.unwrap();
    let mut left = account.command(&programs.path("pg_ctl"));
    left.args(["start", "--silent", "--wait", "-D"]).arg(&data);
    let flags = format!("-c listen_addresses= -k {}", sockets.display());
    left.args(["-o", &flags, "-l", "/dev/null"]);
    assert!(left.status().unwrap().success());
    let pid_file = fs::read_to_string(data.join("postmaster.pid")).unwrap();
    let pid = pid_file.lines().next().unwrap().parse().unwrap();
    assert!(alive(pid));

    let again = start(folder.path()).await;
    assert!(!alive(pid));
    assert!(is_marked(&again).await);
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_pid_file_that_names_another_program_is_stale() {
    let folder = folder();
    let cluster = start(folder.path()).await;
    mark(&cluster).await;
    let pid_file = cluster.home().join("data/postmaster.pid");
    let text = fs::read_to_string(&pid_file).unwrap();
    let pid = cluster.pid().to_string();
    cluster.stop().await.unwrap();
    let ours = std::process::id().to_string();
    fs::write(&pid_file, text.replacen(&pid, &ours, 1)).unwrap();
    let again = start(folder.path()).await;
    assert!(is_marked(&again).await);
    again.stop().await.unwrap();
}

#[tokio::test]
async fn lost_passwords_are_replaced() {
    let folder = folder();
    let cluster = start(folder.path()).await;
    mark(&cluster).await;
    let passwords = cluster.home().join("passwords");
    let before = fs::read_to_string(&passwords).unwrap();
    cluster.stop().await.unwrap();
    fs::remove_file(&passwords).unwrap();
    let again = start(folder.path()).await;
    assert!(is_marked(&again).await);
    execute(&again.api_url(), "SELECT 1").await.unwrap();
    execute(&again.superuser_url(), "SELECT 1").await.unwrap();
    assert_ne!(fs::read_to_string(&passwords).unwrap(), before);
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_path_too_long_for_sockets_gets_a_short_folder() {
    let folder = folder();
    let long = folder.path().join("a".repeat(100));
    let cluster = start(&long).await;
    let sockets = cluster.socket_dir().to_owned();
    assert!(sockets.starts_with("/tmp"), "{}", sockets.display());
    assert_eq!(
        fs::metadata(&sockets).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert_eq!(fs::read_dir(&sockets).unwrap().count(), 2);
    cluster.stop().await.unwrap();
    assert!(!sockets.exists());
}

#[tokio::test]
async fn another_versions_data_are_refused_by_name_and_number() {
    let folder = folder();
    let cluster = start(folder.path()).await;
    let version = cluster.home().join("data/PG_VERSION");
    cluster.stop().await.unwrap();
    fs::write(&version, "9\n").unwrap();
    let error = Cluster::start(options(folder.path())).await.unwrap_err();
    assert!(matches!(error, BundledError::WrongVersion { .. }));
    assert!(error.to_string().contains("PostgreSQL 9,"), "{error}");
}

#[tokio::test]
async fn missing_programs_are_told_with_the_places_searched() {
    let (folder, empty) = (folder(), folder());
    let wanted = Options {
        programs: Some(empty.path().to_owned()),
        ..options(folder.path())
    };
    let error = Cluster::start(wanted).await.unwrap_err();
    assert!(matches!(error, BundledError::ProgramsMissing { .. }));
    assert!(error.to_string().contains(empty.path().to_str().unwrap()));
}

#[tokio::test]
async fn a_setting_the_server_refuses_is_quoted_from_its_log() {
    let folder = folder();
    let mut wrong = options(folder.path());
    wrong.settings = vec![("shared_buffers".to_owned(), "many".to_owned())];
    let error = Cluster::start(wrong).await.unwrap_err().to_string();
    assert!(
        error.contains("invalid value for parameter \"shared_buffers\""),
        "{error}"
    );
}
