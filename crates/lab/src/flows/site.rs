//! An ordinary chat's server: the other side of `chat.html`.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use std::{io, thread};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, accept};

/// The page.
pub(super) const PAGE: &str = include_str!("chat.html");
/// How often the server looks whether it has something to say.
const TICK: Duration = Duration::from_millis(50);

/// Serves the chat. Out: where.
pub(super) fn serve() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for (number, stream) in (0..).zip(listener.incoming().map_while(Result::ok)) {
            // One that goes away has nothing more to be told.
            thread::spawn(move || drop(talk(stream, number)));
        }
    });
    Ok(address)
}

fn talk(stream: TcpStream, number: u64) -> Result<(), Box<Error>> {
    stream.set_nodelay(true).map_err(Error::from)?;
    let mut socket = accept(stream).map_err(|_| Error::AttackAttempt)?;
    socket.get_mut().set_read_timeout(Some(TICK)).map_err(Error::from)?;
    let mut dice = ChaCha20Rng::seed_from_u64(number);
    let mut next = Instant::now() + between(&mut dice, 500, 2_500);
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => answer(&mut socket, &mut dice, &text)?,
            Ok(_) => {}
            Err(Error::Io(error)) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(Box::new(error)),
        }
        if Instant::now() >= next {
            next = Instant::now() + between(&mut dice, 500, 4_000);
            say(&mut socket, &message(&mut dice))?;
        }
    }
}

fn answer(socket: &mut WebSocket<TcpStream>, dice: &mut ChaCha20Rng, text: &str) -> Result<(), Box<Error>> {
    let said: Value = serde_json::from_str(text).unwrap_or_default();
    match said["kind"].as_str() {
        Some("hello") => {
            let history: Vec<Value> = (0..dice.next_u32() % 40).map(|_| message(dice)).collect();
            say(
                socket,
                &json!({ "kind": "history", "messages": history, "online": dice.next_u32() % 50 }),
            )
        }
        Some("message") => say(
            socket,
            &json!({ "kind": "stored", "id": said["id"], "at": dice.next_u32() }),
        ),
        _ => Ok(()),
    }
}

fn say(socket: &mut WebSocket<TcpStream>, value: &Value) -> Result<(), Box<Error>> {
    Ok(socket.send(Message::text(value.to_string()))?)
}

fn message(dice: &mut ChaCha20Rng) -> Value {
    let length = usize::try_from(5 + dice.next_u32() % 300).unwrap();
    json!({ "kind": "message", "id": dice.next_u64().to_string(), "from": "somebody", "text": "x".repeat(length) })
}

fn between(dice: &mut ChaCha20Rng, least_ms: u64, most_ms: u64) -> Duration {
    Duration::from_millis(least_ms + dice.next_u64() % (most_ms - least_ms))
}
