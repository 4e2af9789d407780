//! JSON-RPC over the pipes: answers, order, events, and what is not a request.

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::harness::{Said, Served, ask, ask_socket, ask_text, said};

// proves: API-2
#[tokio::test]
async fn what_is_not_a_request_gets_its_typed_error_and_the_pipe_lives_on() {
    let served = Served::start().await;
    let mut ws = served.open_ws().await;
    let too_big = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"send","params":{{"text":"{}"}}}}"#,
        "x".repeat(stonechat_daemon::rpc::REQUEST_BYTES_MAX)
    );
    for (text, code, kind) in [
        ("{", -32700, "badParams"),
        ("[]", -32600, "badParams"),
        (r#"{"jsonrpc":"2.0","method":"status"}"#, -32600, "badParams"),
        (too_big.as_str(), -32600, "badParams"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"fly"}"#, -32601, "noMethod"),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"send","params":{"chat":"x"}}"#,
            -32602,
            "badParams",
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"words"}"#, -32000, "noAccount"),
    ] {
        let answer = ask_text(&mut ws, text).await;
        assert_eq!(
            (&answer["error"]["code"], &answer["error"]["data"]["kind"]),
            (&json!(code), &json!(kind))
        );
        assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
    }
    ws.send(Message::binary(vec![0xff])).await.unwrap();
    assert!(matches!(said(&mut ws).await, Said::Text(answer) if answer["error"]["code"] == -32700));
    assert_eq!(
        ask(&mut ws, "version", json!({})).await["result"],
        json!({ "version": "test" })
    );
}

#[tokio::test]
async fn the_socket_speaks_the_same_and_refuses_endless_lines_api_1() {
    let served = Served::start().await;
    let answer = ask_socket(&served, r#"{"jsonrpc":"2.0","id":"a","method":"version","params":{}}"#).await;
    assert_eq!(
        answer,
        json!({ "jsonrpc": "2.0", "id": "a", "result": { "version": "test" } })
    );
    assert_eq!(ask_socket(&served, "\u{fffd}").await["error"]["code"], -32700);
    let mut stream = stonechat_daemon::api::connect(served.dir.path()).await.unwrap();
    let endless = vec![b'x'; stonechat_daemon::rpc::REQUEST_BYTES_MAX + 1];
    stream.write_all(&endless).await.ok();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.ok();
    assert!(said.contains("-32600"), "{said}");
}

#[tokio::test]
async fn requests_sent_before_the_pipe_closes_are_answered() {
    let served = Served::start().await;
    let mut stream = stonechat_daemon::api::connect(served.dir.path()).await.unwrap();
    let requests: String = (0..100)
        .map(|id| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"version\"}}\n"))
        .collect();
    stream.write_all(requests.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert_eq!(said.lines().count(), 100);
}

#[tokio::test]
async fn a_subscriber_hears_what_changes_and_resumes_where_it_was_api_3() {
    let served = Served::start().await;
    let mut ws = served.open_ws().await;
    let begun = ask(&mut ws, "subscribe", json!({})).await["result"].clone();
    assert_eq!(begun["reset"], false);
    ask(&mut ws, "init", json!({ "name": "Ana" })).await;
    let mut other = served.open_ws().await;
    let resumed = ask(&mut other, "subscribe", json!({ "since": begun["seq"] })).await["result"].clone();
    assert_eq!(resumed, begun);
    let event = next_event(&mut other).await;
    assert_eq!(event["params"]["seq"], json!(begun["seq"].as_u64().unwrap() + 1));
    let mut late = served.open_ws().await;
    assert_eq!(
        ask(&mut late, "subscribe", json!({ "since": 3 })).await["result"]["reset"],
        true
    );
}

#[tokio::test]
async fn an_ending_daemon_hangs_up_and_does_not_call_itself_locked() {
    let served = Served::start().await;
    let mut ws = served.open_ws().await;
    ask(&mut ws, "subscribe", json!({})).await;
    served.daemon.stop().await;
    assert_eq!(said(&mut ws).await, Said::Closed(1001));
}

async fn next_event(ws: &mut crate::harness::Ws) -> Value {
    match said(ws).await {
        Said::Text(value) if value["method"] == "event" => value,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_account_is_made_once_and_its_words_come_back() {
    let served = Served::start().await;
    let mut ws = served.open_ws().await;
    assert_eq!(ask(&mut ws, "status", json!({})).await["result"]["me"], Value::Null);
    let me = ask(&mut ws, "init", json!({ "name": "Ana" })).await["result"].clone();
    assert_eq!(
        (me["name"].as_str(), me["id"].as_str().map(str::len)),
        (Some("Ana"), Some(64))
    );
    assert_eq!(
        ask(&mut ws, "init", json!({ "name": "Ana" })).await["error"]["data"]["kind"],
        "accountExists"
    );
    let words = ask(&mut ws, "words", json!({})).await["result"]["words"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(words, 24);
    assert_eq!(ask(&mut ws, "status", json!({})).await["result"]["me"], me);
}
