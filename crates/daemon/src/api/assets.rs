//! The interface's files, as built into the program.
//!
//! In: the path of a request. Out: bytes, content type, and how long a browser may keep them.
//! A build without the interface has one page that says how to make it.

use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

const NOT_BUILT: &[u8] = b"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Stonechat</title>\
<h1>Stonechat runs, without its interface</h1>\
<p>This program was built before <code>ui/dist</code> was there. Run <code>npm ci</code> and <code>npm run build</code> in \
<code>ui</code>, then build again; <code>./run</code> does both. The command line works as it is.</p></html>\n";

/// One file of the interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asset {
    /// Its bytes.
    pub(crate) bytes: &'static [u8],
    /// With the character set where it is text.
    pub(crate) content_type: &'static str,
    /// How long a browser may keep it.
    pub(crate) cache: Cache,
    place: usize,
}

/// How long a browser may keep a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    /// The page: never, so that an update is seen at once.
    Never,
    /// Ask each time whether it changed.
    Ask,
    /// For good: its name changes with its content.
    Forever,
}

/// Whether the interface is part of this build.
pub fn is_built() -> bool {
    FILES.iter().any(|(path, _)| *path == "/index.html")
}

/// Finds a file by the path of a request; `/` is the page.
pub(crate) fn find(path: &str) -> Option<Asset> {
    let path = if path == "/" { "/index.html" } else { path };
    if path == "/index.html" && !is_built() {
        return Some(Asset {
            bytes: NOT_BUILT,
            content_type: content_type(path),
            cache: Cache::Never,
            place: usize::MAX,
        });
    }
    let place = FILES.iter().position(|(name, _)| *name == path)?;
    let (_, bytes) = FILES.get(place)?;
    Some(Asset {
        bytes,
        content_type: content_type(path),
        cache: cache(path),
        place,
    })
}

impl Asset {
    /// A short name of the content, in quotes as HTTP wants it.
    pub(crate) fn etag(&self) -> &'static str {
        static TAGS: OnceLock<Vec<String>> = OnceLock::new();
        let tags = TAGS.get_or_init(|| FILES.iter().map(|(_, bytes)| etag(bytes)).collect());
        tags.get(self.place).map_or("\"-\"", String::as_str)
    }
}

fn etag(bytes: &[u8]) -> String {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    let short: String = hex::encode(hash).chars().take(24).collect();
    format!("\"{short}\"")
}

fn cache(path: &str) -> Cache {
    match path {
        "/index.html" => Cache::Never,
        _ if path.starts_with("/assets/") => Cache::Forever,
        _ => Cache::Ask,
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("wasm") => "application/wasm",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_page() {
        let page = find("/").unwrap();
        assert_eq!(
            (page.content_type, page.cache),
            ("text/html; charset=utf-8", Cache::Never)
        );
        assert!(!page.bytes.is_empty());
    }

    #[test]
    fn paths_are_looked_up_never_walked() {
        for path in [
            "/../Cargo.toml",
            "/etc/passwd",
            "//index.html",
            "/%2e%2e/x",
            "index.html",
            "",
        ] {
            assert!(find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn files_with_their_hash_in_the_name_are_kept_for_good_and_others_are_asked_for() {
        assert_eq!(
            (cache("/assets/a-1.js"), cache("/logo.svg"), cache("/index.html")),
            (Cache::Forever, Cache::Ask, Cache::Never)
        );
        assert_eq!(content_type("/assets/inter.woff2"), "font/woff2");
    }
}
