//! One connection's conversation: requests in, answers and events out, in whatever frames the pipe has.
//!
//! In: texts. Out: texts. Changes are given to the engine in the order they came; answers may overtake one another.
//! A pipe that does not read is not read from: every queue here is bounded.

use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::Daemon;
use crate::events::Reader;
use crate::rpc::{self, Call, Failure};

/// Who is on the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The interface in a browser.
    Browser,
    /// A program of the same user.
    Program,
}

/// So many requests of one connection are worked on at once.
const AT_ONCE_MAX: usize = 32;
/// So many texts wait for the pipe.
const QUEUE_MAX: usize = 64;

/// Talks until the pipe or the daemon ends, or until its events were missed (then it is to connect again and is told to
/// reload).
pub(crate) async fn converse(
    daemon: Arc<Daemon>,
    caller: Caller,
    incoming: impl Stream<Item = String>,
    outgoing: mpsc::Sender<String>,
) {
    let mut incoming = std::pin::pin!(incoming);
    let room = Arc::new(Semaphore::new(AT_ONCE_MAX));
    let mut tasks = JoinSet::new();
    let mut events: Option<Reader> = None;
    let mut ending = daemon.ending();
    loop {
        tokio::select! {
            biased;
            () = ended(&mut ending) => return,
            batch = next_events(&mut events) => {
                let Ok(batch) = batch else { break };
                for (seq, event) in batch {
                    if outgoing.send(rpc::event(seq, &event)).await.is_err() {
                        return;
                    }
                }
            }
            Some(_) = tasks.join_next() => {}
            text = incoming.next() => {
                let Some(text) = text else { break };
                let Ok(permit) = Arc::clone(&room).acquire_owned().await else { break };
                match rpc::read(&text) {
                    Err((id, failure)) => drop(outgoing.send(rpc::answer(&id, &Err(failure))).await),
                    Ok((id, Call::Subscribe { since })) => {
                        let answer = subscribe(&daemon, since, &mut events);
                        drop(outgoing.send(rpc::answer(&id, &answer)).await);
                    }
                    Ok((id, call)) => {
                        let pending = daemon.begin(call, caller).await;
                        let outgoing = outgoing.clone();
                        tasks.spawn(async move {
                            let _permit = permit;
                            drop(outgoing.send(rpc::answer(&id, &pending.await)).await);
                        });
                    }
                }
            }
        }
    }
    finish(tasks).await;
}

async fn ended(ending: &mut watch::Receiver<bool>) {
    // An error means that the daemon is gone altogether.
    let _ = ending.wait_for(|ending| *ending).await;
}

/// What was begun is still answered: the pipe may have closed only its sending half.
async fn finish(mut tasks: JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

fn subscribe(daemon: &Daemon, since: Option<u64>, events: &mut Option<Reader>) -> Result<Value, Failure> {
    let (reader, seq, reset) = daemon.events().read(since);
    *events = Some(reader);
    Ok(json!({ "seq": seq, "reset": reset }))
}

async fn next_events(events: &mut Option<Reader>) -> Result<Vec<(u64, Arc<str>)>, crate::events::Missed> {
    match events {
        Some(reader) => reader.next().await,
        None => std::future::pending().await,
    }
}

/// A pipe that takes nothing more ends the talk; a talk that ends lets what was said leave first.
pub(super) async fn until_either_ends(writer: impl Future<Output = ()>, talk: impl Future<Output = ()>) {
    let mut writer = std::pin::pin!(writer);
    tokio::select! {
        () = &mut writer => {}
        () = talk => writer.await,
    }
}

/// Talks over a byte pipe, one JSON text a line.
pub async fn converse_lines(daemon: Arc<Daemon>, caller: Caller, pipe: impl AsyncRead + AsyncWrite + Send + 'static) {
    let (read, mut write) = tokio::io::split(pipe);
    let (outgoing, mut queue) = mpsc::channel::<String>(QUEUE_MAX);
    let writer = async move {
        while let Some(mut text) = queue.recv().await {
            text.push('\n');
            if write.write_all(text.as_bytes()).await.is_err() {
                break;
            }
        }
    };
    let talk = converse(daemon, caller, lines(read), outgoing);
    until_either_ends(writer, talk).await;
}

/// The lines of a pipe, each at most one byte longer than a request may be: that one is refused, and the last.
fn lines(read: impl AsyncRead + Send) -> impl Stream<Item = String> {
    let reader = Box::pin(BufReader::new(read));
    futures_util::stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        let mut line = Vec::new();
        let length_max = u64::try_from(rpc::REQUEST_BYTES_MAX)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        (&mut reader).take(length_max).read_until(b'\n', &mut line).await.ok()?;
        let whole = line.ends_with(b"\n");
        if line.is_empty() {
            return None;
        }
        // What is not UTF-8 is not JSON either, and is answered so.
        let text = String::from_utf8(line).unwrap_or_default();
        Some((text.trim_end_matches('\n').to_owned(), whole.then_some(reader)))
    })
}
