//! The embedded PostgreSQL from outside: made, kept, locked, killed, taken up again.

use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_made_kept_and_belongs_to_one_stoa() {
    let folder = folder();
    let options = options(folder.path());
    let postgres = Postgres::start(&options).await.unwrap();
    admin(postgres.url(), "CREATE TABLE kept AS SELECT 1 AS one").await;

    let cluster = folder.path().join("postgres");
    let of = fs::metadata(&cluster).unwrap();
    assert_eq!(of.mode() & 0o777, 0o700);
    let root = rustix::process::geteuid().is_root();
    assert_ne!(of.uid(), 0, "PostgreSQL must not run as root");
    assert!(root || of.uid() == rustix::process::geteuid().as_raw());

    let refused = reason(&Postgres::start(&options).await.err().expect("a second one must be refused"));
    assert!(
        refused.contains(&format!("process {}", std::process::id())) && refused.contains("STOA_DATA_DIR"),
        "{refused}"
    );

    postgres.stop().await;
    assert!(!cluster.join("postmaster.pid").exists());
    let postgres = Postgres::start(&options).await.unwrap();
    admin(postgres.url(), "SELECT one FROM kept").await;
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_too_long_for_a_socket_gets_a_short_one() {
    let folder = folder();
    let deep = folder.path().join("a-name-of-forty-characters-for-a-folder/".repeat(3));
    let postgres = Postgres::start(&options(&deep)).await.unwrap();
    assert!(postgres.url().contains("%2Ftmp%2Fstoa-"), "{}", postgres.url());
    admin(postgres.url(), "SELECT 1").await;
    let socket = url::form_urlencoded::parse(postgres.url().split(['@', ':']).nth(2).unwrap().as_bytes());
    let socket = socket.map(|(name, _)| name.into_owned()).next().unwrap();
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o700);
    postgres.stop().await;
    assert!(!Path::new(&socket).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_postgres_cannot_reach_is_named() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root hands the cluster to somebody else.
    }
    let folder = folder();
    let private = folder.path().join("private");
    fs::create_dir(&private).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    let fault = reason(&Postgres::start(&options(&private.join("data"))).await.err().unwrap());
    assert!(fault.contains(private.to_str().unwrap()), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_of_a_killed_stoa_is_taken_up_again() {
    let folder = folder();
    let postgres = Postgres::start(&options(folder.path())).await.unwrap();
    let url = postgres.url().to_owned();
    admin(&url, "CREATE TABLE kept AS SELECT 1 AS one").await;
    postgres.stop().await;
    let mut owner = Command::new(env!("CARGO_BIN_EXE_stoa"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path())
        .env_remove("DATABASE_URL")
        .env_remove("STOA_DATABASE_URL")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let answers = BufReader::new(owner.stdout.take().unwrap()).lines().next();
    answers.expect("the program starts").unwrap();
    let refused = reason(&Postgres::start(&options(folder.path())).await.err().unwrap());
    assert!(refused.contains(&format!("process {}", owner.id())), "{refused}");

    let (session, _driver) = Address::parse(&url).unwrap().connect().await.unwrap();
    owner.kill().unwrap();
    owner.wait().unwrap();
    let postgres = Postgres::start(&options(folder.path())).await.unwrap();
    admin(postgres.url(), "SELECT one FROM kept").await;
    assert!(session.batch_execute("SELECT 1").await.is_err(), "the server that was left behind still runs");
    postgres.stop().await;
}

/// The process that runs a cluster.
pub fn postmaster(data_dir: &Path) -> i32 {
    let file = fs::read_to_string(data_dir.join("postgres/postmaster.pid")).unwrap();
    file.lines().next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_number_that_belongs_to_somebody_else_hurts_nobody() {
    let (folder, other) = (folder(), folder());
    Postgres::start(&options(folder.path())).await.unwrap().stop().await;
    let second = Postgres::start(&options(other.path())).await.unwrap();
    // As after a reboot: the number in the file is now that of another process.
    let left = fs::read_to_string(other.path().join("postgres/postmaster.pid")).unwrap();
    fs::write(folder.path().join("postgres/postmaster.pid"), left).unwrap();
    let first = Postgres::start(&options(folder.path())).await.unwrap();
    admin(first.url(), "SELECT 1").await;
    admin(second.url(), "SELECT 1").await;
    first.stop().await;
    second.stop().await;
}

/// As on systems where PostgreSQL does not die with its Stoa.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_was_left_running_is_stopped_first() {
    use std::os::unix::process::CommandExt;
    let folder = folder();
    let postgres = Postgres::start(&options(folder.path())).await.unwrap();
    let program = fs::read_link(format!("/proc/{}/exe", postmaster(folder.path()))).unwrap();
    let url = postgres.url().to_owned();
    postgres.stop().await;
    let cluster = folder.path().join("postgres");
    let of = fs::metadata(&cluster).unwrap();
    let mut left = Command::new(program);
    left.arg("-D").arg(&cluster).args(["-c", "listen_addresses=", "-k"]).arg(&cluster);
    if rustix::process::geteuid().is_root() {
        left.uid(of.uid()).gid(of.gid());
    }
    let mut left = left.current_dir(&cluster).stderr(Stdio::null()).spawn().unwrap();
    while Address::parse(&url).unwrap().connect().await.is_err() {
        assert!(left.try_wait().unwrap().is_none(), "it did not start");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let postgres = Postgres::start(&options(folder.path())).await.unwrap();
    assert!(left.wait().unwrap().success(), "it was not stopped in good order");
    admin(postgres.url(), "SELECT 1").await;
    postgres.stop().await;
}
