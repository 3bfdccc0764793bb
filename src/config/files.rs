//! The settings of files.

use super::check::Check;
use serde::{Deserialize, Serialize};

/// What people upload.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    /// A file at most, in bytes.
    pub max_size: u32,
    /// What all files of an organization may take together, in bytes.
    pub quota: u64,
    /// Media types that may be uploaded; `image/*` for all of a kind.
    pub allowed_types: Vec<String>,
    /// How long an upload may take from its beginning to its completion.
    pub upload_seconds: u32,
    /// Uploads of one member that have begun and are not complete.
    pub pending_per_member: u32,
    /// Uploads that this node takes in at once.
    pub max_uploads: usize,
    /// How long an export waits for its reader to take on, in milliseconds.
    pub export_wait_ms: u64,
}

/// What an office sends around.
const USUAL: [&str; 19] = [
    "image/*",
    "audio/*",
    "video/*",
    "text/plain",
    "text/csv",
    "text/markdown",
    "application/pdf",
    "application/json",
    "application/zip",
    "application/gzip",
    "application/msword",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.oasis.opendocument.text",
    "application/vnd.oasis.opendocument.spreadsheet",
    "application/vnd.oasis.opendocument.presentation",
];

impl Default for FileConfig {
    fn default() -> Self {
        FileConfig {
            max_size: 100 << 20,
            quota: 10 << 30,
            allowed_types: USUAL.map(str::to_owned).to_vec(),
            upload_seconds: 3600,
            pending_per_member: 20,
            max_uploads: 32,
            export_wait_ms: 60_000,
        }
    }
}

impl FileConfig {
    pub(super) fn check(&self, check: &mut Check) {
        // The size of a file is an `Int` in the schema.
        check.within("max_size", self.max_size, 1..=i32::MAX.unsigned_abs());
        check.within("quota", self.quota, 1..=1 << 60);
        check.within("upload_seconds", self.upload_seconds, 60..=86_400);
        check.within("pending_per_member", self.pending_per_member, 1..=1000);
        check.within("max_uploads", self.max_uploads, 1..=10_000);
        check.within("export_wait_ms", self.export_wait_ms, 10..=600_000);
        for kind in &self.allowed_types {
            let message =
                format!("\"{kind}\" is not a media type such as image/png, nor all of a kind such as image/*");
            let all = kind.strip_suffix("/*").is_some_and(is_part);
            check.that("allowed_types", all || is_type(kind), message);
        }
    }

    /// Whether files of this media type (in lower case, without parameters) may be uploaded. What is no media type may not:
    /// clients make it up, and it becomes a header.
    pub fn allows(&self, kind: &str) -> bool {
        is_type(kind)
            && self.allowed_types.iter().any(|allowed| match allowed.strip_suffix('*') {
                Some(all) => kind.starts_with(all),
                None => kind == allowed,
            })
    }
}

/// Characters of a media type's half at most (RFC 6838, section 4.2).
const PART: usize = 127;

fn is_type(kind: &str) -> bool {
    kind.split_once('/').is_some_and(|(of, exact)| is_part(of) && is_part(exact))
}

fn is_part(part: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".+-_".contains(&byte);
    (1..=PART).contains(&part.len()) && part.bytes().all(fits)
}
