//! Every line of "Local security": who on this machine may talk to the interface's server.

use std::time::Duration;

use futures_util::SinkExt as _;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::harness::{Said, Served, ask_socket, said};

#[tokio::test]
async fn only_loopback_is_bound_loc_1() {
    let served = Served::start().await;
    let lines = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{:04X} ", served.port);
    let bound: Vec<&str> = lines
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .filter(|a| format!("{a} ").contains(&port))
        .collect();
    assert!(
        !bound.is_empty() && bound.iter().all(|address| address.starts_with("0100007F:")),
        "{bound:?}"
    );
}

#[tokio::test]
async fn a_rebound_dns_name_is_misdirected_on_every_path_loc_2() {
    let served = Served::start_with(Some("ana"), None).await;
    for line in ["GET /", "GET /x.js", "POST /launch", "GET /ws"] {
        let evil = format!("evil.example:{}", served.port);
        assert_eq!(served.http(line, &[("host", &evil)], "").await.status, 421, "{line}");
    }
    for name in ["127.0.0.1", "localhost", "ana.localhost"] {
        let host = format!("{name}:{}", served.port);
        assert_eq!(served.http("GET /", &[("host", &host)], "").await.status, 200, "{name}");
    }
    assert_eq!(served.http("GET /", &[("host", "127.0.0.1")], "").await.status, 421);
}

#[tokio::test]
async fn another_names_localhost_is_not_ours_loc_2() {
    let served = Served::start().await;
    let host = format!("ana.localhost:{}", served.port);
    assert_eq!(served.http("GET /", &[("host", &host)], "").await.status, 421);
}

#[tokio::test]
async fn a_websocket_of_another_origin_is_forbidden_loc_3() {
    let served = Served::start().await;
    let window = served.window().await;
    let other_port = format!("http://127.0.0.1:{}", served.port ^ 1);
    for origin in ["http://evil.example", "null", other_port.as_str()] {
        let headers = [("origin", origin), ("cookie", window.cookie.as_str())];
        assert_eq!(served.websocket(&headers).await.err(), Some(403), "{origin}");
    }
    assert_eq!(served.websocket(&[("cookie", &window.cookie)]).await.err(), Some(403));
}

#[tokio::test]
async fn a_websocket_or_write_that_is_not_same_origin_is_forbidden_loc_3() {
    let served = Served::start().await;
    let (host, origin, token) = (served.host(), served.origin(), served.token());
    let body = json!({ "token": token }).to_string();
    for site in ["cross-site", "same-site", "none"] {
        let headers = [("host", host.as_str()), ("origin", &origin), ("sec-fetch-site", site)];
        assert_eq!(served.http("POST /launch", &headers, &body).await.status, 403, "{site}");
        assert_eq!(served.websocket(&headers[1..]).await.err(), Some(403), "{site}");
    }
    assert_eq!(served.http("POST /launch", &[("host", &host)], &body).await.status, 403);
    // None of these used the token up.
    assert_eq!(served.launch(&token).await.status, 200);
}

#[tokio::test]
async fn another_sites_link_does_not_open_the_page_but_a_typed_address_does_loc_3() {
    let served = Served::start().await;
    let host = served.host();
    for (site, status) in [
        ("none", 200),
        ("same-origin", 200),
        ("same-site", 403),
        ("cross-site", 403),
    ] {
        let answer = served
            .http("GET /", &[("host", &host), ("sec-fetch-site", site)], "")
            .await;
        assert_eq!(answer.status, status, "{site}");
    }
    let answer = served
        .http("GET /assets/x.js", &[("host", &host), ("sec-fetch-site", "none")], "")
        .await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn a_launch_token_is_exchanged_once_for_cookie_and_secret_loc_4() {
    let served = Served::start().await;
    let token = served.token();
    let answer = served.launch(&token).await;
    assert_eq!(answer.status, 200);
    let cookie = answer.header("set-cookie").unwrap();
    let id = std::fs::read_to_string(served.dir.path().join("profile")).unwrap();
    assert!(cookie.starts_with(&format!("stonechat-{id}=")), "{cookie}");
    assert!(
        cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Strict"),
        "{cookie}"
    );
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["profile"], id);
    assert!(!cookie.contains(body["secret"].as_str().unwrap()));
    assert_eq!(served.launch(&token).await.status, 401);
    assert_eq!(served.launch("").await.status, 401);
}

#[tokio::test]
async fn the_websocket_needs_cookie_and_secret_loc_5() {
    let served = Served::start().await;
    let window = served.window().await;
    let other = served.window().await;
    let (_ws, ok) = served.greeted(&window.cookie, &window.secret).await;
    assert_eq!(ok, Said::Text(json!({ "ok": true })));
    for (cookie, secret) in [
        ("", window.secret.as_str()),
        (window.cookie.as_str(), ""),
        (&window.cookie, &other.secret),
        ("x=y", "z"),
    ] {
        let (_ws, said) = served.greeted(cookie, secret).await;
        assert_eq!(said, Said::Closed(4401), "{cookie} {secret}");
    }
}

#[tokio::test]
async fn anything_but_the_secret_first_closes_the_websocket_loc_5() {
    let served = Served::start().await;
    let window = served.window().await;
    for first in [
        Message::text(r#"{"jsonrpc":"2.0","id":1,"method":"status"}"#),
        Message::binary(vec![1]),
        Message::text(""),
    ] {
        let mut ws = served
            .websocket(&[("origin", &served.origin()), ("cookie", &window.cookie)])
            .await
            .unwrap();
        ws.send(first).await.unwrap();
        assert_eq!(said(&mut ws).await, Said::Closed(4401));
    }
}

#[tokio::test]
async fn a_websocket_that_stays_silent_is_closed_after_five_seconds_loc_5() {
    let served = Served::start().await;
    let began = tokio::time::Instant::now();
    let mut ws = served.websocket(&[("origin", &served.origin())]).await.unwrap();
    assert_eq!(said(&mut ws).await, Said::Closed(4401));
    assert!(began.elapsed() >= Duration::from_secs(5));
}

#[tokio::test]
async fn two_profiles_in_one_browser_open_nothing_of_each_other_loc_5() {
    let (ana, bo) = (Served::start().await, Served::start().await);
    let (at_ana, at_bo) = (ana.window().await, bo.window().await);
    // A browser sends the cookies of 127.0.0.1 to every port.
    let both = format!("{}; {}", at_ana.cookie, at_bo.cookie);
    assert_ne!(
        at_ana.cookie.split_once('=').unwrap().0,
        at_bo.cookie.split_once('=').unwrap().0
    );
    assert_eq!(
        ana.greeted(&both, &at_ana.secret).await.1,
        Said::Text(json!({ "ok": true }))
    );
    assert_eq!(
        bo.greeted(&both, &at_bo.secret).await.1,
        Said::Text(json!({ "ok": true }))
    );
    assert_eq!(ana.greeted(&both, &at_bo.secret).await.1, Said::Closed(4401));
    assert_eq!(ana.greeted(&at_bo.cookie, &at_bo.secret).await.1, Said::Closed(4401));
    let renamed = at_bo.cookie.replace(
        at_bo.cookie.split_once('=').unwrap().0,
        at_ana.cookie.split_once('=').unwrap().0,
    );
    assert_eq!(ana.greeted(&renamed, &at_bo.secret).await.1, Said::Closed(4401));
}

#[tokio::test]
async fn every_answer_has_the_strict_headers_loc_7() {
    let served = Served::start().await;
    let host = served.host();
    for (line, host) in [
        ("GET /", host.as_str()),
        ("GET /missing", &host),
        ("POST /launch", &host),
        ("GET /", "evil.example"),
    ] {
        let answer = served.http(line, &[("host", host)], "").await;
        for (name, value) in [
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{line} {name}");
        }
        assert_strict_policy(answer.header("content-security-policy").unwrap());
        assert!(answer.header("access-control-allow-origin").is_none());
    }
}

fn assert_strict_policy(policy: &str) {
    let parts: Vec<&str> = policy.split(';').map(str::trim).collect();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "font-src 'self'",
        "img-src 'self' blob: data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ] {
        assert!(parts.contains(&part), "{part} in {policy}");
    }
    assert!(!policy.contains("unsafe"));
}

#[tokio::test]
async fn the_page_is_never_kept_by_a_cache_loc_7() {
    let served = Served::start().await;
    let answer = served.http("GET /", &[("host", &served.host())], "").await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
}

#[tokio::test]
async fn bodies_and_frames_have_limits_loc_8() {
    let served = Served::start().await;
    let (host, origin) = (served.host(), served.origin());
    let big = "x".repeat(10_000);
    let answer = served
        .http("POST /launch", &[("host", &host), ("origin", &origin)], &big)
        .await;
    assert_eq!(answer.status, 413);
    let mut ws = served.open_ws().await;
    ws.send(Message::text("x".repeat(4 << 20))).await.ok();
    assert!(matches!(said(&mut ws).await, Said::Ended | Said::Closed(_)));
}

#[tokio::test]
async fn other_methods_do_nothing() {
    let served = Served::start().await;
    let (host, origin) = (served.host(), served.origin());
    for line in [
        "PUT /",
        "DELETE /index.html",
        "OPTIONS /launch",
        "POST /",
        "GET /launch",
    ] {
        let answer = served.http(line, &[("host", &host), ("origin", &origin)], "").await;
        assert!([404, 405].contains(&answer.status), "{line} {}", answer.status);
    }
}

#[tokio::test]
async fn the_number_of_connections_is_bounded_loc_8() {
    let served = Served::start().await;
    let mut idle = Vec::new();
    for _ in 0..128 {
        idle.push(TcpStream::connect(("127.0.0.1", served.port)).await.unwrap());
    }
    let host = served.host();
    let headers = [("host", host.as_str())];
    let next = served.http("GET /", &headers, "");
    let waited = tokio::time::timeout(Duration::from_millis(300), next).await;
    assert!(waited.is_err(), "a further connection waits");
    drop(idle);
    assert_eq!(served.http("GET /", &headers, "").await.status, 200);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_loc_8() {
    use tokio::io::AsyncReadExt as _;
    let served = Served::start().await;
    let mut silent = TcpStream::connect(("127.0.0.1", served.port)).await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(15), silent.read(&mut [0; 1])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))));
}

#[cfg(unix)]
#[tokio::test]
async fn socket_and_token_file_are_for_their_owner_only_loc_6() {
    use std::os::unix::fs::PermissionsExt as _;
    let served = Served::start().await;
    let _token = served.token();
    let mode = |name: &str| {
        std::fs::metadata(served.dir.path().join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!((mode("socket"), mode("launch"), mode(".")), (0o600, 0o600, 0o700));
    let _window = served.window().await;
    assert_eq!(mode("sessions"), 0o600);
}

/// What another user of the machine gets from the socket; `None` where this user cannot become another one.
async fn asked_by_nobody(socket: &std::path::Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let ask = "import socket, sys
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(sys.argv[1])
    s.sendall(b'{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"open\"}\\n')
    print('answer', s.recv(4096).decode())
except OSError as error:
    print('error', error.errno)";
    let mut command = tokio::process::Command::new("python3");
    let said = command
        .args(["-c", ask])
        .arg(socket)
        .uid(65_534)
        .output()
        .await
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    Some(String::from_utf8(said.stdout).unwrap().trim().to_owned())
}

#[tokio::test]
async fn another_user_gets_nothing_from_the_socket_loc_6() {
    use std::os::unix::fs::PermissionsExt;
    let served = Served::start().await;
    let (dir, socket) = (served.dir.path(), served.dir.path().join("socket"));
    let Some(said) = asked_by_nobody(&socket).await else {
        return;
    };
    assert_eq!(said, "error 13", "EACCES");
    // Even where somebody has opened folder and socket to everybody, the daemon looks at who is there.
    let open = |path: &std::path::Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    open(dir, 0o755);
    open(&socket, 0o666);
    let said = asked_by_nobody(&socket).await.unwrap();
    assert!(said == "answer" || said == "error 104" || said == "error 32", "{said}");
    let mine = ask_socket(&served, r#"{"jsonrpc":"2.0","id":1,"method":"open"}"#).await;
    assert!(mine["result"]["url"].is_string());
}

#[tokio::test]
async fn only_the_socket_gives_a_fresh_address_loc_9() {
    let served = Served::start_with(Some("ana"), None).await;
    let answer = ask_socket(&served, r#"{"jsonrpc":"2.0","id":1,"method":"open"}"#).await;
    let url = answer["result"]["url"].as_str().unwrap();
    assert!(
        url.starts_with(&format!("http://ana.localhost:{}/#launch=", served.port)),
        "{url}"
    );
    let mut ws = served.open_ws().await;
    let answer = crate::harness::ask(&mut ws, "open", json!({})).await;
    assert_eq!(answer["error"]["data"]["kind"], "noMethod");
}
