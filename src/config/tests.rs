//! Settings as people give them: right, wrong, misspelt, from every source.

use super::{
    load::{known, variable},
    *,
};
use std::collections::BTreeSet;

const DOCUMENTED: &str = include_str!("../../config.default.toml");

fn with_variables(variables: &[(&str, &str)]) -> Result<Loaded, Vec<Fault>> {
    let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    load(Sources { variables, directory: "nowhere".into(), ..Sources::default() })
}

fn with_file(text: &str) -> Result<Loaded, Vec<Fault>> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stoa.toml"), text).unwrap();
    load(Sources { directory: folder.path().into(), ..Sources::default() })
}

fn told(outcome: Result<Loaded, Vec<Fault>>) -> Vec<String> {
    outcome.expect_err("these settings are wrong").iter().map(Fault::to_string).collect()
}

fn json(config: &Config) -> serde_json::Value {
    serde_json::to_value(config).unwrap()
}

/// The names of all settings; sections are not among them.
fn names() -> Vec<String> {
    known().into_iter().filter(|(_, default)| !default.is_object()).map(|(name, _)| name).collect()
}

#[test]
fn defaults_are_right() {
    let loaded = with_variables(&[]).unwrap();
    assert_eq!(json(&loaded.config), json(&Config::default()));
    assert_eq!(loaded.file, None);
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    assert_eq!(json(&with_file(DOCUMENTED).unwrap().config), json(&Config::default()));
}

/// Presence believes a socket for `ping_ms + grace_ms` after its last answer, whenever two missed pings close it, and a
/// node for `lease_ms` after it was heard.
#[test]
fn the_defaults_show_whoever_crashes_as_away_within_half_a_minute() {
    let Config { socket, presence, .. } = Config::default();
    // What is over is looked for each second; half of one is for the way to those who see it.
    for believed in [socket.ping_ms + presence.grace_ms, presence.lease_ms] {
        assert!(believed + 1500 <= 30_000, "{believed} ms");
    }
    // And nobody who answers is taken for silent: the first ping comes up to a hundredth later than the others.
    assert!(socket.ping_ms / 100 < presence.grace_ms);
}

#[test]
fn every_setting_is_documented_and_every_example_can_be_used() {
    // A line that begins with `#name = ` is an example of a setting without a default.
    let is_example = |line: &str| {
        line.strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()) && rest.contains(" = "))
    };
    let all: String = DOCUMENTED
        .lines()
        .map(|line| if is_example(line) { line.trim_start_matches('#') } else { line })
        .collect::<Vec<_>>()
        .join("\n");
    with_file(&all).expect("every example can be used");

    let (mut section, mut explained, mut found) = (String::new(), false, BTreeSet::new());
    for line in all.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            assert!(explained, "{section}{name} has no comment above it");
            found.insert(format!("{section}{name}"));
        }
        // A comment speaks for the settings right below it, up to the next empty line.
        explained = line.starts_with("# ") || (explained && !line.is_empty());
    }
    assert_eq!(found, names().into_iter().collect());
}

#[test]
fn every_number_has_a_range() {
    let defaults = json(&Config::default());
    for name in names() {
        let default = name.split('.').fold(&defaults, |value, part| &value[part]);
        if default.is_number() {
            let faults = told(with_variables(&[(&variable(&name), &i64::MAX.to_string())]));
            assert!(faults.iter().any(|fault| fault.starts_with(&name)), "{name} takes any number: {faults:?}");
        }
    }
}

#[test]
fn no_two_settings_share_a_variable() {
    let variables: BTreeSet<_> = names().iter().map(|name| variable(name)).collect();
    assert_eq!(variables.len(), names().len());
}

#[test]
fn later_sources_win() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.toml");
    std::fs::write(&path, "listen = \"127.0.0.1:1\"\n[http]\nmax_batch = 1\nmax_body = 2048").unwrap();
    let loaded = load(Sources {
        file: Some(path.clone()),
        variables: vec![("STOA_LISTEN".into(), "127.0.0.1:2".into()), ("STOA_HTTP_MAX_BATCH".into(), "2".into())],
        flags: vec![Flag { name: "--listen", setting: "listen", value: "127.0.0.1:3".into() }],
        ..Sources::default()
    })
    .unwrap();
    assert_eq!(loaded.config.listen.port(), 3);
    assert_eq!(loaded.config.http.max_batch, 2);
    assert_eq!(loaded.config.http.max_body, 2048);
    assert_eq!(loaded.file, Some(path));
}

#[test]
fn texts_of_the_environment_become_what_the_setting_is() {
    let config = with_variables(&[
        ("STOA_HTTP_GRAPHIQL", "true"),
        ("STOA_HTTP_CORS_ORIGINS", "https://a.example, http://localhost:5173"),
        ("STOA_HTTP_TRUSTED_PROXIES", "10.0.0.0/8"),
        ("STOA_IDENTITY_ISSUER", "42"),
        ("STOA_LOG_FORMAT", "json"),
        ("STOA_DATA_DIR", ""),
        ("DATABASE_URL", "postgres:///stoa?host=/run/postgresql"),
    ])
    .unwrap()
    .config;
    assert_eq!(config.http.graphiql, Some(true));
    assert_eq!(config.http.cors_origins, ["https://a.example", "http://localhost:5173"]);
    assert_eq!(config.http.trusted_proxies, ["10.0.0.0/8"]);
    assert_eq!(config.identity.issuer, "42");
    assert_eq!(config.log.format, Some(LogFormat::Json));
    assert_eq!(config.data_dir, Config::default().data_dir);
    assert_eq!(config.database.url.as_deref(), Some("postgres:///stoa?host=/run/postgresql"));
}

#[test]
fn stoas_own_variable_wins_over_the_foreign_one() {
    let config = with_variables(&[("DATABASE_URL", "postgres://a/a"), ("STOA_DATABASE_URL", "postgres://b/b")]);
    assert_eq!(config.unwrap().config.database.url.as_deref(), Some("postgres://b/b"));
}

#[test]
fn everything_wrong_is_told_at_once_by_name() {
    let faults = told(with_variables(&[
        ("STOA_LISTEN", "everywhere"),
        ("STOA_PRODUCTION", "perhaps"),
        ("STOA_HTTP_MAX_BODY", "lots"),
        ("STOA_HTTP_MAX_BATCH", "-1"),
        ("STOA_HTTP_MAX_BDOY", "1"),
        ("STOA_DATABASE_POOL", "0"),
        ("STOA_LOG_FORMAT", "xml"),
        ("STOA_LOG_FILTER", "stoa=loud"),
        ("STOA_HTTP_CORS_ORIGINS", "https://a.example/"),
        ("STOA_HTTP_TRUSTED_PROXIES", "10.0.0.0/33"),
    ]));
    insta::assert_snapshot!(faults.join("\n"), @r#"
    STOA_HTTP_MAX_BDOY: there is no such setting; did you mean STOA_HTTP_MAX_BODY?
    http.max_batch (STOA_HTTP_MAX_BATCH): "-1" is not a whole number of 0 or more.
    http.max_body (STOA_HTTP_MAX_BODY): "lots" is not a whole number of 0 or more.
    listen (STOA_LISTEN): "everywhere" is not an address with a port, such as 127.0.0.1:4000.
    log.format (STOA_LOG_FORMAT): "xml" is not pretty or json.
    production (STOA_PRODUCTION): "perhaps" is not true or false.
    database.pool (STOA_DATABASE_POOL): 0 is too small; 1 at least.
    http.cors_origins (STOA_HTTP_CORS_ORIGINS): "https://a.example/" is not an origin such as https://app.example.com, nor *.
    http.trusted_proxies (STOA_HTTP_TRUSTED_PROXIES): "10.0.0.0/33" is not an address such as 10.0.0.7, nor a block such as 10.0.0.0/8.
    log.filter (STOA_LOG_FILTER): must be a filter such as info,stoa=debug.
    "#);
}

#[test]
fn faults_of_a_file_name_the_line() {
    let faults = told(with_file(
        "listne = \"127.0.0.1:1\"\nhttp = 5\n\n[socket]\nqueue = \"many\"\nping_ms = 1\n[sokcet]\n[events.ring]\na = 1\n",
    ));
    let without_folder = |fault: &String| {
        let (setting, rest) = fault.split_once(" (")?;
        Some(format!("{setting} (stoa.toml{}", rest.split_once("stoa.toml")?.1))
    };
    let lines: Vec<_> = faults.iter().filter_map(without_folder).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    http (stoa.toml, line 2): this is a section; write [http] and its settings below.
    listne (stoa.toml, line 1): there is no such setting; did you mean listen?
    sokcet (stoa.toml, line 7): there is no such setting; did you mean socket?
    socket.queue (stoa.toml, line 5): "many" is not a whole number of 0 or more.
    events.ring.a (stoa.toml, line 9): there is no such setting; did you mean events.ring?
    socket.ping_ms (stoa.toml, line 6): 1 is too small; 10 at least.
    "#);
}

#[test]
fn a_file_that_is_not_toml_is_told_with_every_mistake() {
    let faults = told(with_file("listen = \n[http\nmax_body = 5 6\n"));
    assert!(faults.len() >= 2, "{faults:?}");
    assert!(faults.iter().all(|fault| fault.contains("stoa.toml, line ")), "{faults:?}");
}

#[test]
fn a_named_file_must_exist() {
    let faults = told(load(Sources { file: Some("nowhere.toml".into()), ..Sources::default() }));
    assert_eq!(faults, ["nowhere.toml: there is no such file."]);
}

#[test]
fn a_secret_is_never_shown() {
    let faults = told(with_variables(&[("DATABASE_URL", "mysql://root:hunter2@db/stoa")]));
    assert_eq!(faults, ["database.url (DATABASE_URL): must look like postgres://user@host:5432/name."]);
    let faults = told(with_file("[database]\nurl = [\"hunter2\"]"));
    assert!(!faults.concat().contains("hunter2"), "{faults:?}");
}

#[test]
fn links_between_containers_are_no_settings() {
    with_variables(&[
        ("STOA_SERVICE_HOST", "10.0.0.1"),
        ("STOA_PORT", "tcp://10.0.0.1:4000"),
        ("STOA_PORT_4000_TCP_PORT", "4000"),
        ("STOA_TEST_DATABASE_URL", "postgres://x/y"),
    ])
    .map(|loaded| assert!(loaded.strange.is_empty()))
    .unwrap();
}

#[test]
fn a_name_without_its_section_is_told_the_whole_name() {
    let faults = told(with_variables(&[("STOA_SIGNING_KEY", "k")]));
    assert_eq!(faults, ["STOA_SIGNING_KEY: there is no such setting; did you mean STOA_IDENTITY_SIGNING_KEY?"]);
    let faults = told(with_file("max_body = 1"));
    assert!(faults[0].ends_with("did you mean http.max_body?"), "{faults:?}");
}

#[test]
fn a_variable_that_is_like_no_setting_is_only_strange() {
    let loaded = with_variables(&[("STOA_URL", "http://x"), ("STOA_SCHEMA", "y")]).unwrap();
    assert_eq!(loaded.strange, ["STOA_SCHEMA", "STOA_URL"]);
}

#[test]
fn production_refuses_what_is_for_trying_out() {
    let faults = told(with_variables(&[
        ("STOA_PRODUCTION", "true"),
        ("STOA_DEMO", "true"),
        ("STOA_IDENTITY_ARGON2_MEMORY_KIB", "64"),
    ]));
    assert_eq!(faults.len(), 2, "{faults:?}");
}

const PROVIDERS: &str = r#"
[identity]
[[identity.oidc]]
name = "keycloak"
issuer = "https://id.example.com/realms/example"
client_id = "stoa"
client_secret = "hunter2"
redirect_uris = ["https://app.example.com/signed-in"]
[[identity.oidc]]
name = "google"
label = "Google"
issuer = "https://accounts.google.com"
client_id = "1-a.apps.googleusercontent.com"
client_secret = "hunter3"
redirect_uris = ["http://localhost:5173/", "http://127.0.0.1:5173/"]
email_domains = ["example.com"]
organization = "example"
role = "guest"
"#;

#[test]
fn providers_are_tables_of_the_file_and_one_list_in_the_environment() {
    let of_file = with_file(PROVIDERS).unwrap().config.identity.oidc;
    assert_eq!(
        of_file.iter().map(|one| (&*one.name, one.label())).collect::<Vec<_>>(),
        [("keycloak", "keycloak"), ("google", "Google")]
    );
    let list = r#"[{ name = "keycloak", issuer = "https://id.example.com", client_id = "stoa",
                     redirect_uris = ["https://app.example.com/"] }]"#;
    let of_environment = with_variables(&[("STOA_IDENTITY_OIDC", list)]).unwrap().config.identity.oidc;
    assert_eq!(of_environment[0].redirect_uris, ["https://app.example.com/"]);
    assert_eq!(of_environment[0].scopes, ["openid", "email", "profile"]);
    assert!(of_environment[0].client_secret.is_none());
}

#[test]
fn what_is_wrong_with_a_provider_is_told_without_its_secret() {
    let production = format!("production = true\n{PROVIDERS}");
    let faults = told(with_file(&production));
    assert!(faults.iter().any(|fault| fault.contains("\"google\" needs redirect_uris")), "{faults:?}");
    let bad = [
        ("\"keycloak\"", "\"Key cloak\"", "needs a name"),
        ("\"keycloak\"", "\"google\"", "two providers \"google\""),
        ("https://id.example.com/realms/example", "http://id.example.com", "needs an issuer"),
        ("https://id.example.com/realms/example", "https://a:b@id.example.com", "needs an issuer"),
        ("https://id.example.com/realms/example", "https://accounts.google.com", "has the issuer of another one"),
        ("\"stoa\"", "\"\"", "needs a client_id"),
        ("hunter2", "hunter 2", "strange client_secret"),
        ("redirect_uris = [\"https://app", "scopes = [\"email\"]\nredirect_uris = [\"https://app", "openid among them"),
        ("https://app.example.com/signed-in", "http://app.example.com/", "needs redirect_uris"),
        ("https://app.example.com/signed-in", "https://app.example.com/#a", "needs redirect_uris"),
        ("email_domains = [\"example.com\"]\n", "", "needs email_domains"),
        ("\"guest\"", "\"owner\"", "needs a role"),
        ("client_id = \"stoa\"", "clientid = \"stoa\"", "unknown field clientid"),
        ("client_secret = \"hunter2\"", "client_secret = [\"hunter2\"]", "the value is not a text"),
    ];
    for (right, wrong, wanted) in bad {
        assert!(PROVIDERS.contains(right), "{right}");
        let faults = told(with_file(&PROVIDERS.replacen(right, wrong, 1)));
        assert!(faults.iter().any(|fault| fault.contains(wanted)), "{wrong}: {faults:?}");
        assert!(faults.iter().all(|fault| !fault.contains("hunter") && fault.contains("identity.oidc")), "{faults:?}");
    }
}

proptest::proptest! {
    #[test]
    fn no_file_breaks_the_reader(text in "[a-z\\[\\]=\\.\"'#0-9\n \\-{},]{0,200}") {
        let _ = with_file(&text);
    }
}
