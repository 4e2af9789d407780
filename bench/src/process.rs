//! Real processes to measure: a relay, daemons, and a line to their sockets.
//!
//! Each is ended, by its pid, when its value is dropped.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running `stonechat`, and the first line it said.
pub(crate) struct Program {
    child: Child,
    pub(crate) said: String,
}

impl Program {
    /// Starts the program beside this one with `words`, and waits for its first line.
    ///
    /// Errors: it is not built, or says nothing.
    pub(crate) fn start(words: &[&str]) -> Result<Self> {
        let mut child = Command::new(program()?)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("starting stonechat")?;
        let mut said = String::new();
        let out = child.stdout.take().context("its output")?;
        BufReader::new(out).read_line(&mut said)?;
        ensure!(!said.is_empty(), "stonechat ended without a word");
        Ok(Self {
            child,
            said: said.trim().to_owned(),
        })
    }

    /// Resident memory, bytes.
    ///
    /// Errors: the system does not say.
    pub(crate) fn resident_bytes(&self) -> Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .context("no VmRSS")?;
        let kilobytes: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
        Ok(kilobytes * 1024.0)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A program that has ended by itself needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program beside this one.
///
/// Errors: it is not built.
pub(crate) fn program() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("stonechat");
    ensure!(path.exists(), "{} is not built", path.display());
    Ok(path)
}

/// A connection to a daemon's socket.
pub(crate) struct Line {
    write: UnixStream,
    read: BufReader<UnixStream>,
    last_id: u64,
    events: Vec<Value>,
}

impl Line {
    /// Reaches the daemon of a home and hears its events.
    ///
    /// Errors: no socket.
    pub(crate) fn to(home: &Path) -> Result<Self> {
        let write = UnixStream::connect(home.join("socket")).context("reaching the daemon")?;
        write.set_read_timeout(Some(Duration::from_secs(30)))?;
        let read = BufReader::new(write.try_clone()?);
        let mut line = Self {
            write,
            read,
            last_id: 0,
            events: vec![],
        };
        line.ask("subscribe", &json!({}))?;
        Ok(line)
    }

    /// Asks and waits for the answer.
    ///
    /// Errors: a refusal, or silence.
    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.last_id += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params});
        writeln!(self.write, "{request}")?;
        loop {
            let mut said = self.next()?;
            if said.get("id").and_then(Value::as_u64) != Some(self.last_id) {
                self.events.push(said);
                continue;
            }
            if let Some(error) = said.get("error") {
                bail!("{method}: {error}");
            }
            return Ok(said.get_mut("result").map(Value::take).unwrap_or_default());
        }
    }

    /// Waits for an event that `wanted` knows; the ones before it are forgotten.
    ///
    /// Errors: silence.
    pub(crate) fn wait(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<()> {
        let event = |said: &Value| said.pointer("/params/event").cloned().unwrap_or_default();
        if std::mem::take(&mut self.events).iter().any(|said| wanted(&event(said))) {
            return Ok(());
        }
        loop {
            let said = self.next()?;
            if wanted(&event(&said)) {
                return Ok(());
            }
        }
    }

    fn next(&mut self) -> Result<Value> {
        let mut said = String::new();
        ensure!(self.read.read_line(&mut said)? > 0, "the daemon hung up");
        Ok(serde_json::from_str(&said)?)
    }
}
