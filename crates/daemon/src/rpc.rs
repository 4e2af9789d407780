//! JSON-RPC 2.0: one text in, one call out; one result in, one text out.
//!
//! In: the text of one frame or line. Out: a [`Call`], or the [`Failure`] to answer with. Pipes and answers are not
//! its job. Batches and notifications are refused: every request gets one answer. Specified in `docs/protocol/10-api.md`.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stonechat_core::api::{Command, Fault, Query};
use zeroize::Zeroizing;

/// A request may have at most so many bytes: the largest photo as base64, and room.
pub const REQUEST_BYTES_MAX: usize = 384 * 1024;

/// What a request asks for.
#[derive(Debug)]
pub enum Call {
    /// For core, as a change.
    Command(Command),
    /// For core, read only.
    Query(Query),
    /// Events from now on, or after the one seen last.
    Subscribe {
        /// Number of the event seen last.
        since: Option<u64>,
    },
    /// Sets, changes or (without `new`) removes the passphrase.
    PassphraseSet {
        /// The one in force, where there is one.
        old: Option<Secret>,
        /// The next one.
        new: Option<Secret>,
    },
    /// Closes the profile until its passphrase is given.
    Lock,
    /// Opens a locked profile.
    Unlock {
        /// Its passphrase.
        passphrase: Secret,
    },
    /// Destroys the profile.
    Wipe,
    /// Lends the connection to those who know the near relay, or does not any more.
    Lend {
        /// Whether it does.
        on: bool,
    },
    /// A fresh one-time address of the interface.
    Open,
    /// The address of the dialer's page, good once.
    Dialer,
    /// Version and commit of the program.
    Version,
}

/// A passphrase on its way in. Erased when dropped; prints nothing.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a passphrase.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The passphrase.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Why a request was not done, as the caller is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// JSON-RPC code.
    pub code: i64,
    /// In words.
    pub message: String,
    /// For programs.
    pub kind: Fault,
}

impl Failure {
    /// A fault in other words than its own.
    pub fn new(kind: Fault, message: impl Into<String>) -> Self {
        Self {
            code: code_of(kind),
            message: message.into(),
            kind,
        }
    }
}

impl From<Fault> for Failure {
    fn from(kind: Fault) -> Self {
        Self::new(kind, kind.to_string())
    }
}

fn code_of(kind: Fault) -> i64 {
    match kind {
        Fault::NoMethod => -32601,
        Fault::BadParams => -32602,
        // Every fault of the messenger itself: `data.kind` tells them apart.
        _ => -32000,
    }
}

/// Reads one request. Out: its id and what it asks for.
///
/// Errors: the id as far as it could be read (else null), and the failure to answer with.
pub fn read(text: &str) -> Result<(Value, Call), (Value, Failure)> {
    let (id, method, params) = envelope(text)?;
    match call(&method, params) {
        Ok(call) => Ok((id, call)),
        Err(fault) => Err((id, fault.into())),
    }
}

fn envelope(text: &str) -> Result<(Value, String, Value), (Value, Failure)> {
    if text.len() > REQUEST_BYTES_MAX {
        return Err((Value::Null, not_a_request("the request is too big")));
    }
    let value: Value = serde_json::from_str(text).map_err(|_| (Value::Null, not_json()))?;
    let Value::Object(mut object) = value else {
        return Err((Value::Null, not_a_request("a request is one object")));
    };
    let Some(id @ (Value::Number(_) | Value::String(_))) = object.remove("id") else {
        return Err((Value::Null, not_a_request("a request has an id: a number or a text")));
    };
    if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err((id, not_a_request("a request says \"jsonrpc\": \"2.0\"")));
    }
    match object.remove("method") {
        Some(Value::String(method)) => Ok((id, method, object.remove("params").unwrap_or(Value::Null))),
        _ => Err((id, not_a_request("a request has a method: a text"))),
    }
}

fn not_json() -> Failure {
    Failure {
        code: -32700,
        message: "this is not JSON".to_owned(),
        kind: Fault::BadParams,
    }
}

fn not_a_request(message: &str) -> Failure {
    Failure {
        code: -32600,
        message: message.to_owned(),
        kind: Fault::BadParams,
    }
}

/// Finds the method and fits the parameters to it.
///
/// Errors: [`Fault::NoMethod`], [`Fault::BadParams`].
pub fn call(method: &str, params: Value) -> Result<Call, Fault> {
    match method {
        "subscribe" => fit(params).map(|Since { since }| Call::Subscribe { since }),
        "passphrase.set" => fit(params).map(|PassphraseSet { old, new }| Call::PassphraseSet { old, new }),
        "lock" => fit(params).map(|Nothing {}| Call::Lock),
        "unlock" => fit(params).map(|Unlock { passphrase }| Call::Unlock { passphrase }),
        "wipe" => fit(params).map(|Wipe { confirm: Confirm::Wipe }| Call::Wipe),
        "lend" => fit(params).map(|Lend { on }| Call::Lend { on }),
        "open" => fit(params).map(|Nothing {}| Call::Open),
        "dialer" => fit(params).map(|Nothing {}| Call::Dialer),
        "version" => fit(params).map(|Nothing {}| Call::Version),
        _ if COMMANDS.contains(&method) => tagged(method, params).map(Call::Command),
        _ if QUERIES.contains(&method) => tagged(method, params).map(Call::Query),
        _ => Err(Fault::NoMethod),
    }
}

/// Method names of [`Command`]; a test holds them together.
const COMMANDS: &[&str] = &[
    "init",
    "restore",
    "restore.giveUp",
    "words",
    "invite.create",
    "invite.revoke",
    "public.create",
    "public.revoke",
    "accept",
    "accept.retry",
    "accept.forget",
    "approve",
    "decline",
    "send",
    "media.send",
    "react",
    "edit",
    "delete",
    "timer.set",
    "pin",
    "poll.send",
    "poll.vote",
    "poll.close",
    "forward",
    "card.send",
    "place.send",
    "typing",
    "saved.open",
    "group.create",
    "group.add",
    "group.remove",
    "group.leave",
    "group.role",
    "group.consent",
    "group.edit",
    "group.picture.set",
    "group.link",
    "markRead",
    "verify",
    "contact.rename",
    "device.link",
    "device.accept",
    "device.confirm",
    "device.remove",
    "contact.block",
    "bundle.export",
    "bundle.import",
    "introduce",
    "introduction.answer",
    "contact.noticed",
    "relay.add",
    "relay.remove",
    "relay.forgetWay",
    "profile.rename",
    "settings.set",
    "draft.set",
];

/// Method names of [`Query`]; a test holds them together.
const QUERIES: &[&str] = &[
    "status",
    "invites",
    "publics",
    "acceptances",
    "requests",
    "contacts",
    "introductions",
    "blocked",
    "chats",
    "messages",
    "message",
    "pins",
    "history",
    "media.get",
    "group",
    "group.picture.get",
    "search",
    "safetyNumber",
    "firstContact",
    "devices",
    "settings.get",
    "draft.get",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    #[serde(default)]
    since: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PassphraseSet {
    #[serde(default)]
    old: Option<Secret>,
    #[serde(default)]
    new: Option<Secret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unlock {
    passphrase: Secret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lend {
    on: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wipe {
    confirm: Confirm,
}

/// Typed out by the caller, so that no slip of a program wipes a profile.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Confirm {
    Wipe,
}

/// Parameters by name; none at all counts as an empty object.
fn fit<T: DeserializeOwned>(params: Value) -> Result<T, Fault> {
    let params = if params.is_null() { json!({}) } else { params };
    if !params.is_object() {
        return Err(Fault::BadParams);
    }
    serde_json::from_value(params).map_err(|_| Fault::BadParams)
}

/// Core's own methods: an enum tagged `method`, with `params` where the method has some.
fn tagged<T: DeserializeOwned>(method: &str, params: Value) -> Result<T, Fault> {
    if !params.is_null() && !params.is_object() {
        return Err(Fault::BadParams);
    }
    let empty = params.is_null() || params.as_object().is_some_and(serde_json::Map::is_empty);
    let whole = if empty {
        json!({ "method": method })
    } else {
        json!({ "method": method, "params": params })
    };
    serde_json::from_value(whole).map_err(|_| Fault::BadParams)
}

/// The answer to one request, as text.
pub fn answer(id: &Value, result: &Result<Value, Failure>) -> String {
    match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(Failure { code, message, kind }) => {
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message, "data": { "kind": kind } } })
        }
    }
    .to_string()
}

/// One event for a subscriber. `event` is JSON text.
pub fn event(seq: u64, event: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"event","params":{{"seq":{seq},"event":{event}}}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(text: &str) -> (i64, Value) {
        let (id, failure) = read(text).unwrap_err();
        let answer: Value = serde_json::from_str(&answer(&id, &Err(failure))).unwrap();
        (
            answer["error"]["code"].as_i64().unwrap(),
            answer["error"]["data"]["kind"].clone(),
        )
    }

    fn request(method: &str, params: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
    }

    #[test]
    fn what_is_not_a_request_is_refused_by_name() {
        let too_big = request("send", &format!("\"{}\"", "x".repeat(REQUEST_BYTES_MAX)));
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        for (text, code) in [
            ("", -32700),
            ("{", -32700),
            (deep.as_str(), -32700),
            ("\u{0}", -32700),
            ("null", -32600),
            ("[]", -32600),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"status"}]"#, -32600),
            (r#"{"jsonrpc":"2.0","method":"status"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":{},"method":"status"}"#, -32600),
            (r#"{"jsonrpc":"1.0","id":1,"method":"status"}"#, -32600),
            (r#"{"id":1,"method":"status"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
            (too_big.as_str(), -32600),
        ] {
            assert_eq!(
                failure(text),
                (code, json!("badParams")),
                "{}",
                text.chars().take(60).collect::<String>()
            );
        }
    }

    #[test]
    fn an_unknown_method_and_parameters_that_do_not_fit_are_told_apart() {
        assert_eq!(failure(&request("fly", "{}")), (-32601, json!("noMethod")));
        for (method, params) in [
            ("send", "{}"),
            ("send", "[1,\"x\"]"),
            ("send", r#"{"chat":"one","text":"x"}"#),
            ("status", "{\"x\":1}"),
            ("messages", r#"{"chat":1,"limit":-1}"#),
            ("unlock", "{}"),
            ("wipe", "{}"),
            ("wipe", r#"{"confirm":"yes"}"#),
            ("subscribe", r#"{"since":-1}"#),
            ("lock", "[]"),
            ("lock", "{\"x\":1}"),
        ] {
            assert_eq!(
                failure(&request(method, params)),
                (-32602, json!("badParams")),
                "{method} {params}"
            );
        }
    }

    #[test]
    fn every_method_of_core_is_known_here() {
        for (names, error) in [
            (
                COMMANDS,
                serde_json::from_value::<Command>(json!({"method": "?"}))
                    .unwrap_err()
                    .to_string(),
            ),
            (
                QUERIES,
                serde_json::from_value::<Query>(json!({"method": "?"}))
                    .unwrap_err()
                    .to_string(),
            ),
        ] {
            let known: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
            assert_eq!(names, known);
        }
    }

    #[test]
    fn methods_without_parameters_take_none_null_or_an_empty_object() {
        for text in [
            request("status", "{}"),
            request("status", "null"),
            r#"{"jsonrpc":"2.0","id":"a","method":"status"}"#.to_owned(),
        ] {
            assert!(matches!(read(&text).unwrap().1, Call::Query(Query::Status)));
        }
    }

    #[test]
    fn faults_of_the_messenger_share_a_code_and_differ_in_kind() {
        let text = answer(&json!(1), &Err(Fault::NoAccount.into()));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value["error"],
            json!({"code": -32000, "message": "there is no account here yet", "data": {"kind": "noAccount"}})
        );
    }

    #[test]
    fn passphrases_do_not_print() {
        let call = call("unlock", json!({"passphrase": "hunter2"})).unwrap();
        assert!(!format!("{call:?}").contains("hunter2"));
    }
}
