//! A small site of files, for a relay without a web server behind it (RLY-43).
//!
//! In: a folder, once, at the start; then requests as they came. Out: whole answers. Every request gets one answer and the
//! connection ends, so there is little in which a path with a door could differ from one without.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::limits::HEADERS_MAX;

/// Most files of a site.
pub(super) const FILES_MAX: usize = 1024;
/// Most bytes of all of them.
pub(super) const SITE_BYTES_MAX: u64 = 32 << 20;
/// Deepest folder in a folder.
const DEPTH_MAX: usize = 8;

/// Why a folder is no site.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// It cannot be read.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// More than [`FILES_MAX`], [`SITE_BYTES_MAX`] or eight folders deep.
    #[error("the site is too big: at most {FILES_MAX} files and 32 MiB")]
    TooBig,
    /// Without an `index.html` there is nothing at `/`.
    #[error("{0} has no index.html")]
    NoIndex(PathBuf),
}

/// The files, by path.
#[derive(Debug)]
pub(super) struct Site {
    files: BTreeMap<String, Vec<u8>>,
}

impl Site {
    /// No files: everything is missing, and noise is still told from a request, as any web server does (RLY-30).
    pub(super) const fn empty() -> Self {
        Self { files: BTreeMap::new() }
    }

    /// Reads a folder. Hidden files are left out.
    pub(super) fn read(folder: &Path) -> Result<Self, SiteError> {
        let (mut files, mut left) = (BTreeMap::new(), SITE_BYTES_MAX);
        gather(folder, "", DEPTH_MAX, &mut files, &mut left)?;
        if files.contains_key("/index.html") {
            Ok(Self { files })
        } else {
            Err(SiteError::NoIndex(folder.into()))
        }
    }

    /// The answer to a request: a file, or why there is none.
    pub(super) fn answer(&self, request: &[u8]) -> Vec<u8> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut headers);
        let is_whole = matches!(parsed.parse(request), Ok(httparse::Status::Complete(_)));
        let (Some(method), Some(path)) = (parsed.method.filter(|_| is_whole), parsed.path) else {
            return answer("400 Bad Request", "text/html", b"<h1>400 Bad Request</h1>\n", true);
        };
        let has_body = match method {
            "GET" => true,
            "HEAD" => false,
            _ => {
                return answer(
                    "405 Method Not Allowed",
                    "text/html",
                    b"<h1>405 Method Not Allowed</h1>\n",
                    true,
                );
            }
        };
        match self.find(path) {
            Some((name, bytes)) => answer("200 OK", kind(name), bytes, has_body),
            None => match self.files.get("/404.html") {
                Some(page) => answer("404 Not Found", "text/html", page, has_body),
                None => answer("404 Not Found", "text/html", b"<h1>404 Not Found</h1>\n", has_body),
            },
        }
    }

    fn find(&self, path: &str) -> Option<(&str, &[u8])> {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let name = if path.ends_with('/') {
            format!("{path}index.html")
        } else {
            path.to_owned()
        };
        let (name, bytes) = self.files.get_key_value(&name)?;
        Some((name, bytes))
    }
}

fn gather(
    folder: &Path,
    prefix: &str,
    depth: usize,
    files: &mut BTreeMap<String, Vec<u8>>,
    left: &mut u64,
) -> Result<(), SiteError> {
    let wrong = |error| SiteError::Io(folder.into(), error);
    for entry in fs::read_dir(folder).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        let (path, name) = (entry.path(), format!("{prefix}/{name}"));
        let about = fs::metadata(&path).map_err(|error| SiteError::Io(path.clone(), error))?;
        if about.is_dir() {
            let depth = depth.checked_sub(1).ok_or(SiteError::TooBig)?;
            gather(&path, &name, depth, files, left)?;
        } else {
            *left = left.checked_sub(about.len()).ok_or(SiteError::TooBig)?;
            let bytes = fs::read(&path).map_err(|error| SiteError::Io(path.clone(), error))?;
            files.insert(name, bytes);
        }
        if files.len() > FILES_MAX {
            return Err(SiteError::TooBig);
        }
    }
    Ok(())
}

fn answer(status: &str, kind: &str, body: &[u8], has_body: bool) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len(),
    );
    let body = if has_body { body } else { &[] };
    [head.as_bytes(), body].concat()
}

/// The kind of a file, by its name.
fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, end)| end) {
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "js" => "text/javascript",
        "txt" => "text/plain",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" => "application/json",
        "pdf" => "application/pdf",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> (tempfile::TempDir, Site) {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("index.html", "<p>hello");
        write("a.css", "p {}");
        write(".secret", "no");
        fs::create_dir(folder.path().join("more")).unwrap();
        write("more/index.html", "more");
        let site = Site::read(folder.path()).unwrap();
        (folder, site)
    }

    #[test]
    fn files_are_found_and_nothing_else_rly_43() {
        let (_folder, site) = site();
        let cases = [
            ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "<p>hello"),
            ("GET /?a HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "<p>hello"),
            ("GET /more/ HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "more"),
            ("HEAD /a.css HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK", "\r\n\r\n"),
            ("GET /.secret HTTP/1.1\r\n\r\n", "HTTP/1.1 404", "</h1>\n"),
            ("GET /more/../a.css HTTP/1.1\r\n\r\n", "HTTP/1.1 404", "</h1>\n"),
            ("PUT / HTTP/1.1\r\n\r\n", "HTTP/1.1 405", "</h1>\n"),
            ("\x16\x03\x01", "HTTP/1.1 400", "</h1>\n"),
        ];
        for (request, begins, ends) in cases {
            let answer = String::from_utf8(site.answer(request.as_bytes())).unwrap();
            assert!(
                answer.starts_with(begins) && answer.ends_with(ends),
                "{request}: {answer}"
            );
        }
    }

    #[test]
    fn what_is_no_site_is_told_at_the_start_rly_43() {
        let (folder, _) = site();
        assert!(matches!(
            Site::read(&folder.path().join("none")),
            Err(SiteError::Io(..))
        ));
        for n in 0..=FILES_MAX {
            fs::write(folder.path().join(format!("{n}.txt")), "").unwrap();
        }
        assert!(matches!(Site::read(folder.path()), Err(SiteError::TooBig)));
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(Site::read(empty.path()), Err(SiteError::NoIndex(_))));
    }
}
