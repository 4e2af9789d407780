//! Giving the app itself to whoever is on the same network: one page, and the program (LAN-10).
//!
//! In: the program's bytes, an invitation, requests of strangers. Out: two files. Nothing that a stranger says is kept or
//! changes anything; who takes the invitation up is approved by the person as always.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use axum::routing::get;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

use super::http::Limited;

/// So many connections at once: those who are given it are in one room.
pub const GIVEN_AT_ONCE_MAX: usize = 16;
/// No script, nothing from elsewhere.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const ENGLISH: &str = include_str!("give/en.html");
const RUSSIAN: &str = include_str!("give/ru.html");

/// What is given.
#[derive(Debug)]
pub struct Gift {
    /// The program that runs here.
    pub program: Vec<u8>,
    /// An invitation's link, or its code.
    pub invitation: String,
}

/// The program and its pages, ready to be given.
#[derive(Debug)]
pub struct Giving {
    listener: TcpListener,
    pages: Pages,
    /// SHA-256 of the program in groups of four digits, to be read aloud.
    pub check: String,
}

#[derive(Debug)]
struct Pages {
    english: String,
    russian: String,
    program: Bytes,
}

impl Giving {
    /// Binds to this address of the computer, at any port. Errors: the system's.
    pub async fn bind(at: IpAddr, gift: Gift) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::new(at, 0)).await?;
        let check = check(&gift.program);
        let page = |text: &str| {
            let megabytes = gift.program.len().div_ceil(1_000_000).to_string();
            let filled = text.replace("{CHECK}", &check).replace("{SIZE}", &megabytes);
            filled.replace("{INVITATION}", &escaped(&gift.invitation))
        };
        let pages = Pages {
            english: page(ENGLISH),
            russian: page(RUSSIAN),
            program: gift.program.into(),
        };
        Ok(Self { listener, pages, check })
    }

    /// Where it is given.
    pub fn url(&self) -> io::Result<String> {
        Ok(format!("http://{}/", self.listener.local_addr()?))
    }

    /// Gives to all who ask, until the future is dropped.
    pub async fn serve(self) -> io::Result<()> {
        let app = Router::new()
            .route("/", get(page))
            .route("/stonechat", get(program))
            .layer(DefaultBodyLimit::max(0))
            .with_state(Arc::new(self.pages));
        axum::serve(Limited::new(self.listener, GIVEN_AT_ONCE_MAX), app).await
    }
}

async fn page(State(pages): State<Arc<Pages>>, headers: HeaderMap) -> impl IntoResponse {
    let text = if wants_russian(&headers) {
        &pages.russian
    } else {
        &pages.english
    };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text.clone())
}

async fn program(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"stonechat\""),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, pages.program.clone())
}

/// The language that is named first counts.
fn wants_russian(headers: &HeaderMap) -> bool {
    let wanted = headers
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|value| value.to_str().ok());
    wanted.is_some_and(|wanted| wanted.trim_start().to_ascii_lowercase().starts_with("ru"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn check(program: &[u8]) -> String {
    let mut text = String::new();
    for (n, byte) in Sha256::digest(program).iter().enumerate() {
        let gap = if n > 0 && n % 2 == 0 { " " } else { "" };
        // Writing to a string does not fail.
        let _ = write!(text, "{gap}{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    async fn given() -> SocketAddr {
        let gift = Gift {
            program: b"not really a program".to_vec(),
            invitation: "http://192.168.43.1:5/abc#def".into(),
        };
        let giving = Giving::bind("127.0.0.1".parse().unwrap(), gift).await.unwrap();
        let at = giving.listener.local_addr().unwrap();
        tokio::spawn(giving.serve());
        at
    }

    async fn asked(at: SocketAddr, head: &str) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let request = format!("{head}\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_page_says_what_to_do_in_ones_own_language_lan_10() {
        let at = given().await;
        let english = asked(at, "GET / HTTP/1.1\r\nAccept-Language: de, ru;q=0.5").await;
        assert!(english.contains("lang=\"en\"") && english.contains("#def"), "{english}");
        assert!(english.contains(&check(b"not really a program")), "what to compare");
        assert!(
            english
                .to_ascii_lowercase()
                .contains("content-security-policy: default-src 'none'")
        );
        let russian = asked(at, "GET / HTTP/1.1\r\nAccept-Language: ru-RU,ru;q=0.9,en;q=0.8").await;
        assert!(russian.contains("lang=\"ru\"") && russian.contains("#def"), "{russian}");
        for page in [english, russian] {
            assert!(!page.contains('{') || !page.contains("{CHECK}") && !page.contains("{SIZE}"));
        }
    }

    #[tokio::test]
    async fn the_program_is_given_as_it_is_and_nothing_else_is_lan_10() {
        let at = given().await;
        let program = asked(at, "GET /stonechat HTTP/1.1").await;
        assert!(program.starts_with("HTTP/1.1 200") && program.ends_with("\r\n\r\nnot really a program"));
        for head in [
            "GET /x HTTP/1.1",
            "GET /../etc/passwd HTTP/1.1",
            "GET /stonechat/ HTTP/1.1",
        ] {
            assert!(asked(at, head).await.starts_with("HTTP/1.1 404"), "{head}");
        }
        assert!(
            asked(at, "POST / HTTP/1.1\r\nContent-Length: 0")
                .await
                .starts_with("HTTP/1.1 405")
        );
    }

    #[tokio::test]
    async fn it_is_given_to_so_many_at_once_lan_10() {
        let at = given().await;
        let mut crowd = Vec::new();
        for _ in 0..GIVEN_AT_ONCE_MAX {
            crowd.push(TcpStream::connect(at).await.unwrap());
        }
        let asking = tokio::spawn(async move { asked(at, "GET / HTTP/1.1").await });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!asking.is_finished(), "no room");
        crowd.pop();
        let answer = timeout(Duration::from_secs(5), asking).await.expect("room").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"));
    }
}
