//! What a stranger can grow, and how far. Every limit has a name here and a test that pushes it.
//!
//! Specified in `docs/protocol/03-relay.md` (RLY-33).

use stonechat_wire::frame::FromRelay;
use stonechat_wire::frame::blobs::BlobTell;
use stonechat_wire::frame::forward::ForwardTell;

/// How far a relay lets things grow. The defaults are what ships; tests take smaller ones.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Envelopes in one mailbox (RLY-27).
    pub mailbox_envelopes: u64,
    /// Bytes in one mailbox (RLY-27).
    pub mailbox_bytes: u64,
    /// Mailboxes that are not empty: each costs about 100 bytes of memory.
    pub mailboxes: usize,
    /// Envelopes in all mailboxes together: each costs about 100 bytes of memory (RLY-28).
    pub envelopes: u64,
    /// Bytes on disk (RLY-28).
    pub total_bytes: u64,
    /// Bytes a second that one source may put in the long run (RLY-37).
    pub source_bytes_per_s: u64,
    /// Bytes that one source may put at once (RLY-37).
    pub source_bytes_max: u64,
    /// Sources that are known at once: each costs about 40 bytes of memory.
    pub sources: usize,
    /// Bytes a day that may be put with one access secret, or all together at an open relay (RLY-37).
    pub secret_bytes_per_day: u64,
    /// Connections at once.
    pub connections: usize,
    /// Connections of one address at once.
    pub connections_per_address: usize,
    /// Connections that have not said hello yet, all addresses together.
    pub strangers: usize,
    /// Connections of one address that have not said hello yet.
    pub strangers_per_address: usize,
    /// Time from the first byte to the hello, in ms (RLY-35).
    pub hello_ms: u64,
    /// Longest silence of a connection, in ms; clients ping (RLY-35).
    pub silence_ms: u64,
    /// How long a session waits for another connection after it lost one, in ms (SES-6).
    pub session_ms: u64,
    /// Longest time one write may hang, in ms (RLY-35).
    pub write_ms: u64,
    /// Mailboxes one connection reads: each costs about 150 bytes of memory.
    pub subscriptions_per_connection: usize,
    /// Mailboxes all connections read together.
    pub subscriptions: usize,
    /// Doors that stand.
    pub doors: usize,
    /// How often one door answers (RLY-29).
    pub door_uses: u32,
    /// Blobs that are kept: each costs about 200 bytes of memory, and 12 for each chunk (BLB-8).
    pub blobs: usize,
    /// Bytes of all blobs, counted as what they are to be (BLB-8).
    pub blob_bytes: u64,
    /// Bytes of envelopes taken between two syncs; beyond them a put is answered busy (RLY-33).
    pub batch_bytes: usize,
    /// Bytes pushed to a connection that it has not taken yet (RLY-26).
    pub push_bytes: usize,
    /// Bytes of all answers that a connection has not taken yet; beyond them it is closed (RLY-26).
    pub outstanding_bytes: usize,
    /// Channels to other relays, all connections together (FWD-5).
    pub forwards: usize,
    /// Channels of one connection (FWD-5).
    pub forwards_per_connection: usize,
    /// Bytes a second that one source may have passed on in the long run, both ways together (FWD-5).
    pub forward_bytes_per_s: u64,
    /// Bytes that one source may have passed on at once (FWD-5).
    pub forward_bytes_max: u64,
    /// Bytes a day that are passed on, all sources together (FWD-13); beyond them no channel goes on.
    pub forward_bytes_per_day: u64,
    /// Bytes of all that a connection was sent and has not confirmed, beyond which nothing is read for its channels (FWD-3).
    pub forward_unconfirmed_bytes: u64,
    /// Bytes of one answer to a fetch; the first envelope may exceed them.
    pub fetch_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mailbox_envelopes: 65_536,
            mailbox_bytes: 16 << 20,
            mailboxes: 4_000_000,
            envelopes: 10_000_000,
            total_bytes: 64 << 30,
            source_bytes_per_s: 8 << 20,
            source_bytes_max: 256 << 20,
            sources: 65_536,
            secret_bytes_per_day: 64 << 30,
            connections: 10_000,
            connections_per_address: 1024,
            strangers: 512,
            strangers_per_address: 128,
            hello_ms: 10_000,
            silence_ms: 120_000,
            session_ms: 120_000,
            write_ms: 60_000,
            subscriptions_per_connection: 32_768,
            subscriptions: 2_000_000,
            doors: 16_384,
            door_uses: 1024,
            blobs: 262_144,
            blob_bytes: 16 << 30,
            batch_bytes: 16 << 20,
            push_bytes: 256 << 10,
            outstanding_bytes: 2 << 20,
            forwards: 1024,
            forwards_per_connection: 4,
            forward_bytes_per_s: 1 << 20,
            forward_bytes_max: 64 << 20,
            forward_bytes_per_day: u64::MAX,
            forward_unconfirmed_bytes: 256 << 10,
            fetch_bytes: 256 << 10,
        }
    }
}

impl Limits {
    /// A relay that a device runs for the local network while no other is reached (LAN-6): for a house or a hotspot, on a
    /// disk that is meant for something else.
    pub fn near() -> Self {
        Self {
            mailboxes: 200_000,
            envelopes: 100_000,
            total_bytes: 512 << 20,
            secret_bytes_per_day: 1 << 30,
            connections: 256,
            connections_per_address: 32,
            strangers: 64,
            strangers_per_address: 16,
            subscriptions: 400_000,
            doors: 64,
            blobs: 0,
            blob_bytes: 0,
            forwards: 0,
            ..Self::default()
        }
    }

    /// The same where the device lends its connection (FWD-13): somebody's line at home, and not all of it.
    pub fn lending() -> Self {
        Self {
            forwards: 16,
            forward_bytes_per_s: 256 << 10,
            forward_bytes_max: 8 << 20,
            forward_bytes_per_day: 1 << 30,
            ..Self::near()
        }
    }
}

/// A day, in seconds.
pub const DAY_S: u64 = 24 * 3600;
/// Longest life of an envelope or a door, in seconds: 60 days (RLY-32).
pub const TTL_S_MAX: u64 = 60 * 24 * 3600;
/// Above this share of [`Limits::total_bytes`], in percent, no mailbox is opened that was empty (RLY-28).
pub const NEW_MAILBOX_PERCENT_MAX: u64 = 80;
/// Above this share, in percent, nothing is taken (RLY-28).
pub const PUT_PERCENT_MAX: u64 = 90;
/// What a blob costs its source and its secret besides its bytes and its list (BLB-8).
pub const BLOB_OVERHEAD_BYTES: u64 = 512;
/// Most credit that a connection may have, in bytes (RLY-44).
pub const CREDIT_BYTES_MAX: u64 = 64 << 20;
/// How often expired envelopes are looked for, in ms (RLY-32).
pub const EXPIRE_EVERY_MS: u64 = 60_000;
/// How long nothing new is taken after the store failed, in ms: a full disk is not asked again at once (RLY-28).
pub const UNSYNCED_PAUSE_MS: u64 = 5_000;
/// What a busy relay asks for, in ms (RLY-33).
pub const BUSY_RETRY_MS: u32 = 250;
/// How far apart clients come back after a relay went down, in ms (RLY-38).
pub const COMEBACK_MS_EACH: u64 = 3;
/// Longest that anybody is asked to stay away when a relay goes down, in ms: all come back, but not at once (RLY-38).
pub const COMEBACK_MS_MAX: u32 = 30_000;
/// Access secrets of one relay (RLY-20).
pub const SECRETS_MAX: usize = 1024;
/// Most connections that are served from the store between two batches of frames.
pub const SERVED_AT_ONCE: usize = 64;
/// Most envelopes read from the store for one mailbox in one go.
pub const READ_ENVELOPES_MAX: usize = 512;

/// Longest head of an HTTP request, in bytes (RLY-30).
pub const HEAD_BYTES_MAX: usize = 8192;
/// Most header lines of an HTTP request (RLY-30).
pub const HEADERS_MAX: usize = 64;
/// Most bytes of the stream in a long poll's request or answer (RLY-47).
pub const POLL_BYTES_MAX: usize = 64 << 10;
/// How long a long poll's request waits for something to say, in ms (RLY-47): less than boxes in between let one wait, and
/// than clients do before they ask for a sign of life.
pub const POLL_WAIT_MS: u64 = 20_000;
/// The same for one that brought bytes of the stream, in ms: what they ask for is answered with it, if it comes soon.
pub const POLL_SOON_MS: u64 = 50;
/// Requests that wait for the service's thread.
pub const REQUESTS_WAITING_MAX: usize = 1024;
/// Bytes of frames that wait for the service's thread.
pub const REQUEST_BYTES_WAITING_MAX: usize = 32 << 20;

/// What a frame counts against a connection's budget, in bytes: its length, or a little more.
pub fn weight(frame: &FromRelay) -> usize {
    const FIXED: usize = 64;
    const ID: usize = 32;
    const SET: usize = 128;
    let body = match frame {
        FromRelay::Stored { ids, .. } | FromRelay::Full { ids, .. } => ids.len().saturating_mul(ID),
        FromRelay::Arrived { envelope, .. } | FromRelay::Ephemeral { envelope, .. } => envelope.len(),
        FromRelay::Fetched { items, .. } => items.iter().map(|(_, bytes)| bytes.len().saturating_add(16)).sum(),
        FromRelay::Hello { .. }
        | FromRelay::Refused { .. }
        | FromRelay::Busy { .. }
        | FromRelay::DoorOpen { .. }
        | FromRelay::Quota { .. }
        | FromRelay::Hint { .. }
        | FromRelay::Forward(ForwardTell::Open { .. } | ForwardTell::Took { .. } | ForwardTell::Shut { .. })
        | FromRelay::Blob(BlobTell::Gone { .. }) => 0,
        FromRelay::Forward(ForwardTell::Pass(passed)) => passed.bytes.len(),
        FromRelay::Blob(BlobTell::Has { .. }) => SET,
        FromRelay::Blob(BlobTell::List { list, .. }) => {
            usize::from(list.count()).saturating_mul(ID).saturating_add(SET)
        }
        FromRelay::Blob(BlobTell::Range { range, .. }) => range.bytes.len(),
    };
    body.saturating_add(FIXED)
}
