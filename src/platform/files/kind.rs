//! What a file is by its content, whatever it says of itself. Invariant: nothing that a browser could run as a page of
//! ours passes for a picture, and none is ever shown in its place.

/// The media types by which a content may be known that infer knows by another one.
const ALIKE: [(&str, &str); 15] = [
    ("application/gzip", "application/x-gzip"),
    ("audio/mp3", "audio/mpeg"),
    ("audio/mp4", "audio/m4a"),
    ("audio/x-m4a", "audio/m4a"),
    ("audio/mp4", "video/mp4"),
    ("audio/wav", "audio/x-wav"),
    ("audio/vnd.wave", "audio/x-wav"),
    ("audio/flac", "audio/x-flac"),
    ("audio/webm", "video/webm"),
    ("audio/ogg", "audio/opus"),
    ("video/ogg", "audio/ogg"),
    ("video/mp4", "video/x-m4v"),
    ("image/jpg", "image/jpeg"),
    // What telephones take, as browsers call it.
    ("image/heic", "image/heif"),
    ("image/x-icon", "image/vnd.microsoft.icon"),
];

/// Whether a file that begins like this (8 KiB are enough) can be of that media type (in lower case, without parameters).
pub fn has_type(head: &[u8], kind: &str) -> bool {
    let found = infer::get(head).map(|found| found.mime_type());
    if is_text(kind) {
        // Texts have no mark. What has that of something else is none, nor is what has zeros (UTF-16 begins with a mark).
        let page = ["text/html", "text/xml"].contains(&found.unwrap_or_default());
        let utf16 = head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]);
        return (page || found.is_none_or(|found| found.starts_with("text/"))) && (utf16 || !head.contains(&0));
    }
    match found {
        Some(found) if found == kind || ALIKE.contains(&(kind, found)) => true,
        // Documents of offices are archives, and not all that make them put the mark where it is looked for.
        Some("application/zip") => is_archive(kind),
        Some("application/x-ole-storage") => OLD_OFFICE.contains(&kind),
        Some(_) => false,
        // Pictures, sounds and films all have a mark; of others nobody knows.
        None => !["image/", "audio/", "video/"].iter().any(|of| kind.starts_with(of)) && !infer_knows(kind),
    }
}

const OLD_OFFICE: [&str; 3] = ["application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint"];

fn is_archive(kind: &str) -> bool {
    kind == "application/epub+zip"
        || ["application/vnd.openxmlformats-officedocument.", "application/vnd.oasis.opendocument."]
            .iter()
            .any(|of| kind.starts_with(of))
}

fn infer_knows(kind: &str) -> bool {
    matches!(kind, "application/pdf" | "application/zip" | "application/gzip")
        || is_archive(kind)
        || OLD_OFFICE.contains(&kind)
}

fn is_text(kind: &str) -> bool {
    kind.starts_with("text/") || kind.ends_with("+xml") || kind.ends_with("json") || kind == "application/xml"
}

/// How a browser that opens it is to treat a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// In its place in a page.
    Inline,
    /// Saved, never opened.
    Attachment,
}

/// Pictures without scripts, sounds, films and plain text may be looked at; everything else is saved.
pub fn shown(kind: &str) -> Shown {
    let picture = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"].contains(&kind);
    let plays = kind.starts_with("audio/") || kind.starts_with("video/");
    if picture || plays || kind == "text/plain" { Shown::Inline } else { Shown::Attachment }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const PAGE: &[u8] = b"<!DOCTYPE html><script>alert(1)</script>";
    const DRAWING: &[u8] = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";

    #[test]
    fn a_file_is_what_it_says_it_is() {
        for (head, kind) in [
            (PNG, "image/png"),
            (b"\xff\xd8\xff\xe0".as_slice(), "image/jpeg"),
            (b"GIF89a".as_slice(), "image/gif"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".as_slice(), "image/heic"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".as_slice(), "image/heif"),
            (b"\0\0\0\x18ftypM4V \0\0\0\0M4V mp42".as_slice(), "video/mp4"),
            (b"%PDF-1.7".as_slice(), "application/pdf"),
            (b"PK\x03\x04\x14\0".as_slice(), "application/zip"),
            (b"PK\x03\x04\x14\0".as_slice(), "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
            (b"\x1f\x8b\x08".as_slice(), "application/gzip"),
            (b"name,age\nAnn,7\n".as_slice(), "text/csv"),
            (b"gr\xfc\xdfe".as_slice(), "text/plain"),
            (b"\xff\xfeh\0i\0".as_slice(), "text/plain"),
            (b"{}".as_slice(), "application/json"),
            (PAGE, "text/plain"),
            (DRAWING, "image/svg+xml"),
            (b"whatever".as_slice(), "application/x-own"),
        ] {
            assert!(has_type(head, kind), "{kind} {head:?}");
        }
    }

    #[test]
    fn what_it_is_not_it_does_not_pass_for() {
        for (head, kind) in [
            (PAGE, "image/png"),
            (PAGE, "application/pdf"),
            (PAGE, "application/x-own"),
            (DRAWING, "image/png"),
            (b"MZ\x90\0".as_slice(), "image/png"),
            (b"MZ\x90\0".as_slice(), "text/plain"),
            (b"\x7fELF\x02\x01\x01\0".as_slice(), "application/pdf"),
            (PNG, "image/jpeg"),
            (PNG, "image/heic"),
            (PNG, "text/plain"),
            (b"PK\x03\x04\x14\0".as_slice(), "image/png"),
            (b"nothing".as_slice(), "image/png"),
            (b"nothing".as_slice(), "video/mp4"),
            (b"nothing".as_slice(), "application/pdf"),
            (b"a\0b".as_slice(), "text/plain"),
            (b"".as_slice(), "image/png"),
        ] {
            assert!(!has_type(head, kind), "{kind} {head:?}");
        }
    }

    #[test]
    fn what_could_have_scripts_is_never_shown() {
        for kind in ["image/png", "image/jpeg", "video/mp4", "text/plain"] {
            assert_eq!(shown(kind), Shown::Inline, "{kind}");
        }
        for kind in
            ["image/svg+xml", "text/html", "text/xml", "application/pdf", "application/xhtml+xml", "image/x-own", ""]
        {
            assert_eq!(shown(kind), Shown::Attachment, "{kind}");
        }
    }
}
