//! Files that are no exports, or want to be more: each is refused in words, and nothing is written.

use super::*;
use crate::kit::server;
use std::io::{Seek, SeekFrom};
use zip::{CompressionMethod, write::SimpleFileOptions};

fn with(ada: &Founder, more: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut entries = vec![entry("users.json", slack_people(ada)), entry("channels.json", slack_channels())];
    entries.extend(more.iter().cloned());
    packed(&entries)
}

fn linked(ada: &Founder) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in [entry("users.json", slack_people(ada)), entry("channels.json", slack_channels())] {
        zip.start_file(name, SimpleFileOptions::default().compression_method(CompressionMethod::Stored)).unwrap();
        zip.write_all(&content).unwrap();
    }
    zip.add_symlink("general/2024-01-01.json", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    zip.finish().unwrap().into_inner()
}

#[tokio::test]
async fn what_is_no_export_is_refused_in_words_and_nothing_comes() {
    let server = server().await;
    let ada = server.founder().await;
    let good = with(&ada, &[]);
    let day = |content: &[u8]| with(&ada, &[("general/2024-01-01.json", content.to_vec())]);
    let bomb = day(&vec![b' '; 30 << 20]);
    let version = "{\"type\":\"version\",\"version\":1}\n";
    let lines = |more: &str| format!("{version}{more}").into_bytes();
    let climbing = [("../outside.json", b"[]".to_vec())];
    let absolute = [("/etc/outside.json", b"[]".to_vec())];
    for (source, name, content, words) in [
        ("slack", "a.zip", b"hello".to_vec(), "is not a zip file"),
        ("slack", "a.zip", Vec::new(), "is not a zip file"),
        ("slack", "a.zip", good[..good.len() / 2].to_vec(), "is not a zip file, or it is damaged"),
        ("slack", "a.zip", packed(&[("data.txt", b"x".to_vec())]), "no export of Slack"),
        ("slack", "a.zip", packed(&[("users.json", b"[]".to_vec())]), "no export of Slack"),
        ("slack", "a.zip", with(&ada, &climbing), "leads out of the package: ../outside.json"),
        ("slack", "a.zip", with(&ada, &absolute), "leads out of the package: /etc/outside.json"),
        ("slack", "a.zip", linked(&ada), "symbolic link"),
        ("slack", "a.zip", bomb, "inflates to more than 200 times"),
        (
            "slack",
            "a.zip",
            day(b"[\n{\"user\":\"U1\",\n\"ts\":}]"),
            "general/2024-01-01.json, line 3: this is not JSON",
        ),
        (
            "slack",
            "a.zip",
            with(&ada, &[("emoji.json", b"{\n\"a\": \"https://a.b\",\n".to_vec())]),
            "emoji.json, line 3: this is not JSON",
        ),
        ("slack", "a.zip", day(b"{}"), "general/2024-01-01.json, line 1: no list of Slack stands here"),
        ("slack", "a.zip", day(b"[\n\n\"\xff\"]"), "general/2024-01-01.json, line 3: this is not UTF-8"),
        (
            "slack",
            "a.zip",
            packed(&[("users.json", b"[\n{\"name\":\"x\"}]".to_vec()), ("channels.json", b"[]".to_vec())]),
            "users.json, line 2: this is not what Slack writes there (missing field `id`",
        ),
        ("mattermost", "a.jsonl", b"hello".to_vec(), "a.jsonl, line 1: this is no export of Mattermost"),
        ("mattermost", "a.jsonl", Vec::new(), "a.jsonl is empty"),
        ("mattermost", "a.jsonl", b"{\"type\":\"team\"}".to_vec(), "line 1: an export of Mattermost begins with"),
        ("mattermost", "a.jsonl", b"{\"type\":\"version\",\"version\":9}".to_vec(), "only version 1"),
        ("mattermost", "a.jsonl", lines("{\"type\":"), "a.jsonl, line 2: this is not JSON"),
        ("mattermost", "a.jsonl", lines("[1]"), "a.jsonl, line 2: a line of an export is an object"),
        (
            "mattermost",
            "a.jsonl",
            lines("{\"type\":\"user\",\"user\":{}}"),
            "line 2: this is not what Mattermost writes there",
        ),
        ("mattermost", "a.jsonl", lines("{\"type\":\"user\"}"), "line 2: the line does not have what its type says"),
        ("mattermost", "a.jsonl", [version.as_bytes(), b"\xff\n"].concat(), "a.jsonl, line 2: this is not UTF-8"),
        ("mattermost", "a.jsonl", lines(&"x".repeat(65 << 20)), "a.jsonl, line 2: the line has"),
        ("mattermost", "a.zip", packed(&[("x", b"x".to_vec())]), "no file .jsonl in it"),
        ("mattermost", "a.zip", good.clone(), "no file .jsonl in it"),
        (
            "mattermost",
            "a.zip",
            packed(&[("a.jsonl", b"".to_vec()), ("b.jsonl", b"".to_vec())]),
            "several files of lines",
        ),
    ] {
        let made = file(name, &content);
        let (code, said) = import(server, &ada, source, &made.path, &[]).await;
        assert!(code == 1 && said.contains(words), "{words}: {code} {}", said.chars().take(500).collect::<String>());
        let left: Vec<_> = std::fs::read_dir(made.folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing is written beside it");
    }
    for table in ["conversations", "messages", "imported_records", "files", "emojis"] {
        let count = format!("SELECT count(*) FROM {table} WHERE organization_id = '{}'", ada.organization);
        assert_eq!(server.count(&count).await, 0, "{table}");
    }
    assert_eq!(
        server.count(&format!("SELECT count(*) FROM memberships WHERE organization_id = '{}'", ada.organization)).await,
        1
    );
    let nowhere = stoa_with_files(server, &["import", "slack", "x.zip", "--organization", "nowhere-to-be"]).await;
    assert!(nowhere.0 == 1 && nowhere.1.contains("There is no organization nowhere-to-be"), "{}", nowhere.1);
    let (code, said) = import(server, &ada, "slack", "/nowhere/x.zip", &[]).await;
    assert!(code == 1 && said.contains("/nowhere/x.zip cannot be read"), "{said}");
}

/// Two gigabytes and more that list fifty million files, of which the disk has nothing but the ends.
#[tokio::test]
async fn more_files_than_memory_is_for_are_refused_before_they_are_read() {
    let server = server().await;
    let ada = server.founder().await;
    let made = file("a.zip", b"PK\x01\x02");
    let (files, bytes) = (50_000_000_u64, 50_000_000_u64 * 46);
    let numbers = [files, files, bytes, 0].map(u64::to_le_bytes).concat();
    let large_end = [&b"PK\x06\x06"[..], &44_u64.to_le_bytes(), &[45, 0, 45, 0], &[0; 8], &numbers].concat();
    let locator = [&b"PK\x06\x07"[..], &[0; 4], &bytes.to_le_bytes(), &[1, 0, 0, 0]].concat();
    let end = [&b"PK\x05\x06"[..], &[0; 4], &[0xff; 12], &[0; 2]].concat();
    let mut zip = fs::OpenOptions::new().write(true).open(&made.path).unwrap();
    zip.seek(SeekFrom::Start(bytes)).unwrap();
    zip.write_all(&[large_end, locator, end].concat()).unwrap();
    let (code, said) = import(server, &ada, "slack", &made.path, &["--dry-run"]).await;
    assert!(code == 1 && said.contains("has more than 1000000 files in it"), "{said}");
}
