//! `stoa user` beside a Stoa that runs a PostgreSQL of its own: the command joins it and leaves it as it is.

use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_command_joins_the_postgresql_of_a_stoa_that_runs() {
    let (postgres, folder) = migrated().await;
    let run = || {
        Command::new(env!("CARGO_BIN_EXE_stoa"))
            .args(["user", "create", "ada@example.com", "--name", "Ada", "--organization", "acme", "--found", "Acme"])
            .args(["--log", "warn", "--data-dir"])
            .arg(folder.path())
            .env_remove("DATABASE_URL")
            .env_remove("STOA_DATABASE_URL")
            .output()
            .unwrap()
    };
    let made = run();
    let said = String::from_utf8(made.stdout).unwrap();
    assert!(made.status.success() && said.starts_with("ada@example.com is owner of acme"), "{said}{:?}", made.stderr);
    let found = "DO $$ BEGIN ASSERT (SELECT count(*) FROM users) = 1; END $$";
    admin(postgres.url(), found).await;
    postgres.stop().await;

    // Nobody runs it now: the command starts it for itself.
    let again = run();
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(again.status.code() == Some(1) && said.contains("There is an organization acme already"), "{said}");
}
