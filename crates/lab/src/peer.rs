//! Who is measured: programs that want to talk over the border, each in its own way.
//!
//! In: a running [`Router`] with the hosts of [`hosts`]. Out: for each text when it was due, and when it came.
//! The simple ones ([`echo`]) stand for what others do; [`ours`] runs the real program.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

pub mod echo;
pub mod ephemeral;
mod honeypot;
pub(crate) mod insider;
pub mod ours;
pub mod stream;
mod tunnel;

/// A peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// TLS to one name that is on the list, found by DNS: what a blocked messenger does.
    TlsBlocked,
    /// TLS to a name of its own, found by DNS.
    TlsOwn,
    /// A plain WebSocket.
    WebSocket,
    /// Bytes that look random from the first on.
    Random,
    /// The same through shadowsocks-libev, the real program.
    Shadowsocks,
    /// The same through obfs4proxy, without Tor.
    Obfs4,
    /// TLS to a name of its own over many connections: eight texts on each, three handshakes in ten seconds.
    Adaptive,
    /// Stonechat: a relay and two people. Its relay has a name, a certificate and port 443.
    Stonechat,
    /// The same with a second relay, in another network.
    StonechatTwo,
    /// The same, and the two talk by the first one alone; the second one passes on to it.
    StonechatHop,
    /// The same, and each of them has the second one for itself: no other contact is told of it.
    StonechatPrivate,
    /// As [`Peer::Stonechat`], and strangers see a site.
    StonechatSite,
    /// As [`Peer::Stonechat`], and the relay's name is on the list of those that censors let nobody say.
    StonechatListed,
    /// The same without a relay: a dead drop at a server on a listed network, of a listed name.
    StonechatDrop,
    /// The same with a mailbox in the place of the folder.
    StonechatMail,
    /// The same with a relay at an address, without TLS.
    StonechatPlain,
    /// The same by the relay's obfs4 bridge alone, with the real obfs4proxy at both ends.
    StonechatBridge,
    /// Two ends that say what nobody keeps through a relay; no courier and no people.
    StonechatEphemeral,
}

/// All peers.
pub const PEERS: [Peer; 18] = [
    Peer::TlsBlocked,
    Peer::TlsOwn,
    Peer::WebSocket,
    Peer::Random,
    Peer::Shadowsocks,
    Peer::Obfs4,
    Peer::Adaptive,
    Peer::Stonechat,
    Peer::StonechatTwo,
    Peer::StonechatHop,
    Peer::StonechatPrivate,
    Peer::StonechatSite,
    Peer::StonechatListed,
    Peer::StonechatDrop,
    Peer::StonechatMail,
    Peer::StonechatPlain,
    Peer::StonechatBridge,
    Peer::StonechatEphemeral,
];

impl Peer {
    /// Its name in tables and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TlsBlocked => "tls-blocked",
            Self::TlsOwn => "tls-own",
            Self::WebSocket => "websocket",
            Self::Random => "random",
            Self::Shadowsocks => "shadowsocks",
            Self::Obfs4 => "obfs4",
            Self::Adaptive => "adaptive",
            Self::Stonechat => "stonechat",
            Self::StonechatTwo => "stonechat-two",
            Self::StonechatHop => "stonechat-hop",
            Self::StonechatPrivate => "stonechat-private",
            Self::StonechatSite => "stonechat-site",
            Self::StonechatListed => "stonechat-listed",
            Self::StonechatDrop => "stonechat-drop",
            Self::StonechatMail => "stonechat-mail",
            Self::StonechatPlain => "stonechat-plain",
            Self::StonechatBridge => "stonechat-obfs4",
            Self::StonechatEphemeral => "stonechat-ephemeral",
        }
    }

    /// The peer of this name.
    pub fn named(name: &str) -> Option<Self> {
        PEERS.into_iter().find(|peer| peer.name() == name)
    }

    /// Whether it can say this.
    pub const fn says(self, load: Load) -> bool {
        match self {
            Self::TlsBlocked | Self::TlsOwn | Self::WebSocket | Self::Random | Self::Shadowsocks | Self::Obfs4 => true,
            Self::StonechatEphemeral => matches!(load, Load::Stream),
            Self::Adaptive
            | Self::Stonechat
            | Self::StonechatTwo
            | Self::StonechatHop
            | Self::StonechatPrivate
            | Self::StonechatSite
            | Self::StonechatListed
            | Self::StonechatDrop
            | Self::StonechatMail
            | Self::StonechatPlain
            | Self::StonechatBridge => !matches!(load, Load::Stream),
        }
    }
}

/// The lab's hosts: three clients inside, servers abroad, and the censor's prober.
pub fn hosts() -> Vec<(&'static str, Ipv4Addr)> {
    vec![
        ("ana", Ipv4Addr::new(10, 77, 0, 2)),
        ("bo", Ipv4Addr::new(10, 77, 0, 3)),
        ("cy", Ipv4Addr::new(10, 77, 0, 4)),
        ("hosting", OWN_ADDRESS),
        ("messenger", BLOCKED_ADDRESS),
        ("prober", Ipv4Addr::new(10, 77, 1, 20)),
        ("residential", HOME_ADDRESS),
        ("storage", STORAGE_ADDRESS),
    ]
}

/// Where our own servers stand, in a hosting network.
pub const OWN_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// Where somebody's relay at home stands, in a residential network.
pub const HOME_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
/// Where servers stand that keep people's files and mails, in a listed network.
pub const STORAGE_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// Where the blocked messenger stands, in a hosting network too.
pub const BLOCKED_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 20);

/// What is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Load {
    /// Texts of up to a kilobyte.
    #[default]
    Texts,
    /// Texts of a whole kilobyte.
    Kilobytes,
    /// Voice notes of ten seconds and, every fifth, a photo's preview.
    Media,
    /// Sixty bytes at a time, both ways, whether or not the last ones came: what a call would be.
    Stream,
}

/// All loads.
pub const LOADS: [Load; 4] = [Load::Texts, Load::Kilobytes, Load::Media, Load::Stream];

impl Load {
    /// Its name in rows and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Texts => "texts",
            Self::Kilobytes => "kilobytes",
            Self::Media => "media",
            Self::Stream => "stream",
        }
    }

    /// The load of this name.
    pub fn named(name: &str) -> Option<Self> {
        LOADS.into_iter().find(|load| load.name() == name)
    }

    /// Bytes of the `n`th, where no messenger makes more of them.
    pub const fn bytes(self, n: usize) -> usize {
        match self {
            Self::Texts | Self::Kilobytes => TEXT_BYTES,
            Self::Stream => STREAM_BYTES,
            Self::Media if Self::is_photo(n) => PHOTO_BYTES,
            Self::Media => NOTE_SOUNDS * 50,
        }
    }

    /// Whether the `n`th is a photo.
    pub const fn is_photo(n: usize) -> bool {
        n % 5 == 4
    }
}

/// Length of a text, where nothing is put around it.
pub const TEXT_BYTES: usize = 1024;
/// Length of a piece of a stream: 20 ms of speech at 24 kbit/s.
pub const STREAM_BYTES: usize = 60;
/// Bytes of a photo's preview: somewhat less than the largest.
pub const PHOTO_BYTES: usize = 48_000;
/// Sounds of a voice note: 20 ms and about 50 bytes each.
pub const NOTE_SOUNDS: usize = 500;

/// How much is said, and how long is waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// What is said.
    pub load: Load,
    /// How many.
    pub texts: usize,
    /// Time between two.
    pub pace: Duration,
    /// Time after the last in which one may still come.
    pub patience: Duration,
}

impl Work {
    /// When the `n`th text is due.
    pub fn due(&self, started: Instant, n: usize) -> Instant {
        started + self.pace * u32::try_from(n).unwrap_or(u32::MAX)
    }

    /// When all is over.
    pub fn end(&self, started: Instant) -> Instant {
        self.due(started, self.texts) + self.patience
    }
}

/// What became of the texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// For each when it was due, since the work began, and how long it took, if it came.
    pub texts: Vec<(Duration, Option<Duration>)>,
    /// Texts that came twice.
    pub doubled: usize,
    /// Of a stream, the longest time in which nothing came.
    pub gap_max: Option<Duration>,
    /// Texts that a server of the censor's could read.
    pub read: usize,
}
