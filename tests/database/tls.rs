//! `sslmode` against a server with certificates.

use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn tls_modes_check_what_their_names_say() {
    let folder = folder();
    let plain = Postgres::start(&options(folder.path())).await.unwrap();
    plain.stop().await;
    let cluster = folder.path().join("postgres");
    let of = fs::metadata(&cluster).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/database/certificates");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ca = source.join("ca.crt");
    let own = source.join("self.crt");
    let verdicts = |certificate: &'static str, kind: &'static str, cases: Vec<(String, bool)>| {
        let (cluster, source, folder) = (cluster.clone(), source.clone(), folder.path().to_owned());
        let (uid, gid) = (of.uid(), of.gid());
        async move {
            for (from, to, mode) in [("crt", "server.crt", 0o644), ("key", "server.key", 0o600)] {
                let to = cluster.join(to);
                fs::copy(source.join(format!("{certificate}.{from}")), &to).unwrap();
                fs::set_permissions(&to, fs::Permissions::from_mode(mode)).unwrap();
                std::os::unix::fs::chown(&to, Some(uid), Some(gid)).unwrap();
            }
            let hba = format!("local all all trust\n{kind} all all 127.0.0.1/32 trust\n");
            fs::write(cluster.join("pg_hba.conf"), hba).unwrap();
            let mut options = options(&folder);
            let tls = [("ssl", "on"), ("listen_addresses", "127.0.0.1"), ("port", &port.to_string())];
            options.settings.extend(tls.map(|(name, value)| (name.to_owned(), value.to_owned())));
            let server = Postgres::start(&options).await.unwrap();
            for (url, good) in cases {
                let answer = Address::parse(&url).unwrap().connect().await;
                assert_eq!(answer.is_ok(), good, "{certificate} {url}: {:?}", answer.err());
            }
            server.stop().await;
        }
    };
    let to = |host: &str, query: &str| format!("postgres://postgres@{host}:{port}/postgres?{query}");
    let with = |mode: &str, roots: &Path| format!("sslmode={mode}&sslrootcert={}", roots.display());
    let signed = vec![
        (to("127.0.0.1", "sslmode=disable"), false),
        (to("127.0.0.1", "sslmode=prefer"), true),
        (to("127.0.0.1", "sslmode=require"), true),
        (to("127.0.0.1", &with("require", &ca)), true),
        (to("127.0.0.1", &with("require", &own)), false),
        (to("127.0.0.1", &with("verify-ca", &ca)), true),
        (to("127.0.0.1", &with("verify-ca", &own)), false),
        (to("127.0.0.1", &with("verify-full", &ca)), false),
        (to("localhost", &with("verify-full", &ca)), true),
        (to("localhost", "sslmode=verify-full"), false),
        (to("localhost", "sslrootcert=system"), false),
    ];
    verdicts("server", "hostssl", signed).await;
    let itself = vec![
        (to("127.0.0.1", &with("verify-ca", &own)), true),
        (to("127.0.0.1", &with("verify-full", &own)), false),
        (to("localhost", &with("verify-full", &own)), true),
        (to("localhost", &with("verify-full", &ca)), false),
    ];
    verdicts("self", "hostssl", itself).await;
    // A server that wants no TLS from us: `prefer` gives in, `require` does not.
    let plain = vec![
        (to("127.0.0.1", "sslmode=prefer"), true),
        (to("127.0.0.1", "sslmode=disable"), true),
        (to("127.0.0.1", "sslmode=require"), false),
    ];
    verdicts("server", "hostnossl", plain).await;
}
