//! What a censor does to packets: flows, counts, residuals, verdicts. Pure: no socket, no clock.
//!
//! In: a [`Censor`], a seed, and one packet after another with its time and way. Out: a [`Verdict`] on each, and the
//! packets that the censor forges. Carrying them is the router's job.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::listed::Listed;
use super::people::{Place, Present, Source};
use super::probe::{Probe, SUSPECTS_MAX, Sign, Suspect};
use super::sight::{Beginning, Sight, answer, is_meant, question};
use super::{Action, Censor, Count, Direction, Proto, Reassembly, Rule, Scope};
use crate::packet::{Datagram, Kind, Packet, Segment, datagram, reset};

/// Most flows kept in mind; above it all are forgotten, as filters do.
pub const FLOWS_MAX: usize = 65_536;
/// Seconds of traffic that a policer lets through at once.
const BURST_S: f64 = 0.25;

/// Which way a packet crosses the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From a client to a server.
    Out,
    /// From a server to a client.
    In,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it goes on.
    pub passes: bool,
    /// What is sent besides, each to where it says.
    pub forged: Vec<Vec<u8>>,
}

/// What a censor has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deeds {
    /// Flows that a rule took hold of.
    pub hits: u64,
    /// Packets that vanished.
    pub dropped: u64,
    /// Packets that were forged.
    pub forged: u64,
}

/// A censor at work.
#[derive(Debug)]
pub struct Machine {
    censor: Censor,
    begins: Option<Duration>,
    residual_scale: f64,
    dice: ChaCha20Rng,
    flows: HashMap<FlowKey, Flow>,
    hellos: HashMap<HelloKey, VecDeque<Duration>>,
    residuals: BTreeMap<(usize, Fate), (Duration, Duration)>,
    present: Present,
    listed: Listed,
    /// To be probed.
    suspects: Vec<Suspect>,
    /// Rules and servers that were noted for it.
    noted: BTreeSet<(usize, SocketAddrV4)>,
    /// Servers that were taken for proxies.
    convicted: Vec<(SocketAddrV4, Sign)>,
    deeds: Deeds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FlowKey {
    is_tcp: bool,
    client: SocketAddrV4,
    server: SocketAddrV4,
}

/// Who said hello (where it is counted for each client), to which server, with which name.
type HelloKey = (Option<Ipv4Addr>, SocketAddrV4, String);

/// Whom a residual hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fate {
    client: Option<Ipv4Addr>,
    server: Ipv4Addr,
    port: Option<u16>,
}

#[derive(Debug)]
struct Flow {
    opened: Duration,
    beginning: Beginning,
    packets: u32,
    bytes_in: u64,
    /// A list has closed it.
    is_closed: bool,
    holds: Vec<Hold>,
}

/// How a rule stands to a flow.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Hold {
    /// Not decided.
    Open,
    /// It fits; the count is not reached.
    Fits,
    /// It does not concern it.
    Spared,
    /// It has taken hold; a policer's two buckets, in bytes, and when they were filled.
    Taken { buckets: [f64; 2], filled: [Duration; 2] },
}

impl Machine {
    /// A censor that waits for [`Machine::begin`]. `residual_scale`: residual times are divided by it.
    pub fn new(censor: Censor, seed: u64, residual_scale: f64) -> Self {
        Self {
            present: Present::roll(&censor.person, seed),
            censor,
            begins: None,
            residual_scale,
            dice: ChaCha20Rng::seed_from_u64(seed),
            flows: HashMap::new(),
            hellos: HashMap::new(),
            residuals: BTreeMap::new(),
            listed: Listed::default(),
            suspects: Vec::new(),
            noted: BTreeSet::new(),
            convicted: Vec::new(),
            deeds: Deeds::default(),
        }
    }

    /// Who of its people is there.
    pub const fn present(&self) -> Present {
        self.present
    }

    /// Somebody hears of a place: who serves the censor, and hears what comes from there, has it listed.
    pub fn told(&mut self, now: Duration, source: Source, place: &Place) {
        for person in &self.censor.person {
            if person.hears(source, self.present) {
                let from = now + Duration::from_secs_f64(person.after_s / self.residual_scale);
                person.marks(place).for_each(|mark| self.listed.add(mark, from));
            }
        }
    }

    /// Servers that were noted for probing since the last time.
    pub fn suspects(&mut self) -> Vec<(Suspect, Probe)> {
        let taken = std::mem::take(&mut self.suspects);
        let how = |suspect: Suspect| {
            let Action::Probe(probe) = &self.censor.rule[suspect.rule].action else {
                return None;
            };
            Some((suspect, probe.clone()))
        };
        taken.into_iter().filter_map(how).collect()
    }

    /// A server was taken for a proxy: its rule's residual drops it for everybody.
    pub fn convict(&mut self, now: Duration, suspect: &Suspect, sign: Sign) {
        let nobody = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let (client, server) = (nobody, suspect.server);
        let key = FlowKey {
            is_tcp: true,
            client,
            server,
        };
        self.leave_residual(now, key, suspect.rule);
        self.convicted.push((server, sign));
    }

    /// What is on its lists, in words.
    pub fn listed(&self) -> Vec<String> {
        let convicted = self.convicted.iter();
        let convicted = convicted.map(|(server, sign)| format!("{server} ({})", sign.name()));
        self.listed.told().chain(convicted).collect()
    }

    /// From this time on it censors.
    pub const fn begin(&mut self, at: Duration) {
        self.begins = Some(at);
    }

    /// What it has done.
    pub const fn deeds(&self) -> Deeds {
        self.deeds
    }

    /// Judges one packet that crosses the border.
    pub fn judge(&mut self, now: Duration, way: Way, packet: &Packet<'_>) -> Verdict {
        let mut verdict = Verdict {
            passes: true,
            forged: Vec::new(),
        };
        if let Kind::Udp(asked) = packet.kind
            && way == Way::Out
            && asked.to == 53
            && self.has_begun(now)
        {
            self.judge_question(packet, &asked, &mut verdict);
        }
        match key(way, packet) {
            Some(key) => self.judge_flow(now, way, packet, key, &mut verdict),
            None => self.judge_stray(now, packet, way, &mut verdict),
        }
        self.deeds.dropped += u64::from(!verdict.passes);
        self.deeds.forged += verdict.forged.len() as u64;
        verdict
    }

    fn has_begun(&self, now: Duration) -> bool {
        self.begins.is_some_and(|begins| begins <= now)
    }

    fn judge_question(&mut self, packet: &Packet<'_>, asked: &Datagram<'_>, verdict: &mut Verdict) {
        let Some(name) = question(asked.payload) else { return };
        for rule in &self.censor.rule {
            let Action::ForgeDns {
                answer: lie,
                truth_follows,
            } = rule.action
            else {
                continue;
            };
            let is_meant = rule.fits.qname.iter().any(|pattern| is_meant(pattern, &name));
            if !is_meant || !is_there(rule, packet.to, Some(53)) {
                continue;
            }
            let (from, to) = (
                SocketAddrV4::new(packet.to, 53),
                SocketAddrV4::new(packet.from, asked.from),
            );
            verdict.forged.push(datagram(from, to, &answer(asked.payload, lie)));
            verdict.passes &= truth_follows;
            self.deeds.hits += 1;
            return;
        }
    }

    /// ICMP and the like: only rules about places concern it.
    fn judge_stray(&self, now: Duration, packet: &Packet<'_>, way: Way, verdict: &mut Verdict) {
        let server = if way == Way::Out { packet.to } else { packet.from };
        let is_dropped = self.has_begun(now)
            && self.censor.rule.iter().any(|rule| {
                rule.fits.proto.is_none()
                    && !reads_content(rule)
                    && rule.fits.port.is_empty()
                    && rule.count.is_none()
                    && is_there(rule, server, None)
                    && matches!(rule.action, Action::Drop { .. })
            });
        verdict.passes &= !is_dropped;
    }

    fn judge_flow(&mut self, now: Duration, way: Way, packet: &Packet<'_>, key: FlowKey, verdict: &mut Verdict) {
        self.learn(now, way, packet, key);
        if !self.has_begun(now) {
            return;
        }
        if self.is_closed(now, key) {
            verdict.passes = false;
            return;
        }
        for index in 0..self.censor.rule.len() {
            if !matches!(self.censor.rule[index].action, Action::ForgeDns { .. }) {
                self.hold(now, way, key, index);
                self.act(now, way, packet, key, index, verdict);
            }
        }
    }

    /// Whether a list closes the flow.
    fn is_closed(&mut self, now: Duration, key: FlowKey) -> bool {
        let Some(flow) = self.flows.get_mut(&key) else {
            return false;
        };
        if !flow.is_closed && self.listed.closes(now, key.server, flow.opened, &flow.beginning) {
            flow.is_closed = true;
            self.deeds.hits += 1;
        }
        flow.is_closed
    }

    fn learn(&mut self, now: Duration, way: Way, packet: &Packet<'_>, key: FlowKey) {
        if self.flows.len() >= FLOWS_MAX {
            self.flows.clear();
        }
        let rules = self.censor.rule.len();
        let fresh = || Flow {
            opened: now,
            beginning: Beginning::default(),
            packets: 0,
            bytes_in: 0,
            is_closed: false,
            holds: vec![Hold::Open; rules],
        };
        let flow = self.flows.entry(key).or_insert_with(fresh);
        let (payload, seq) = match packet.kind {
            Kind::Tcp(segment) if segment.is_opening && way == Way::Out => {
                *flow = fresh();
                flow.beginning.opened(segment.seq);
                return;
            }
            Kind::Tcp(segment) => (segment.payload, Some(segment.seq)),
            Kind::Udp(datagram) => (datagram.payload, None),
            Kind::Other => return,
        };
        if payload.is_empty() {
            return;
        }
        flow.packets += 1;
        match (way, seq) {
            (Way::In, _) => flow.bytes_in += payload.len() as u64,
            (Way::Out, Some(seq)) => flow.beginning.segment(seq, payload),
            (Way::Out, None) => flow.beginning.datagram(payload),
        }
    }

    /// Decides whether a rule takes hold of a flow.
    fn hold(&mut self, now: Duration, way: Way, key: FlowKey, index: usize) {
        let rule = &self.censor.rule[index];
        let Some(flow) = self.flows.get_mut(&key) else { return };
        if self
            .residuals
            .iter()
            .any(|((of, fate), (from, until))| *of == index && fate.holds(key) && (*from..*until).contains(&now))
        {
            take_hold(&mut flow.holds[index], now, rule);
        }
        if flow.holds[index] == Hold::Open {
            let is_old = self.begins.is_some_and(|begins| flow.opened < begins);
            let fits = if is_old && reads_content(rule) {
                Some(false)
            } else {
                fits(rule, key, flow)
            };
            flow.holds[index] = match fits {
                None => Hold::Open,
                Some(false) => Hold::Spared,
                Some(true) if self.dice.next_u32() % 100 >= u32::from(rule.percent) => Hold::Spared,
                Some(true) => Hold::Fits,
            };
            if flow.holds[index] == Hold::Fits
                && let Some(Count {
                    hellos: Some(most),
                    window_s: Some(window),
                    ..
                }) = rule.count
                && count_hello(&mut self.hellos, now, key, flow, rule, window) < most as usize
            {
                flow.holds[index] = Hold::Spared;
            }
        }
        if flow.holds[index] == Hold::Fits && is_reached(rule.count, flow) {
            self.deeds.hits += 1;
            match rule.action {
                Action::Probe(_) => {
                    flow.holds[index] = Hold::Spared;
                    self.note(key, index);
                    return;
                }
                Action::List => flow.holds[index] = Hold::Spared,
                _ => take_hold(&mut flow.holds[index], now, rule),
            }
            self.leave_residual(now, key, index);
        } else if matches!(flow.holds[index], Hold::Taken { .. }) && way == Way::Out {
            self.renew_residual(now, key, index);
        }
    }

    /// Notes a server to be probed, once for each rule.
    fn note(&mut self, key: FlowKey, rule: usize) {
        let Some(flow) = self.flows.get(&key).filter(|_| key.is_tcp) else {
            return;
        };
        if self.noted.len() < SUSPECTS_MAX && self.noted.insert((rule, key.server)) {
            let name = match flow.beginning.sight(Reassembly::Tcp) {
                Sight::Hello(hello) => hello.sni,
                Sight::Waiting | Sight::Other => None,
            };
            let (server, first) = (key.server, flow.beginning.first_packet().to_vec());
            self.suspects.push(Suspect {
                rule,
                server,
                first,
                name,
            });
        }
    }

    fn leave_residual(&mut self, now: Duration, key: FlowKey, index: usize) {
        if let Some(residual) = self.censor.rule[index].residual {
            let scaled = |seconds: f64| Duration::from_secs_f64(seconds / self.residual_scale);
            let from = now + scaled(residual.after_s);
            let fate = Fate::of(residual.scope, key);
            let entry = self.residuals.entry((index, fate)).or_insert((from, from));
            entry.1 = entry.1.max(from + scaled(residual.seconds));
        }
    }

    fn renew_residual(&mut self, now: Duration, key: FlowKey, index: usize) {
        if let Some(residual) = self.censor.rule[index]
            .residual
            .filter(|residual| residual.reset_on_retry)
            && let Some((_, until)) = self.residuals.get_mut(&(index, Fate::of(residual.scope, key)))
            && *until > now
        {
            *until = now + Duration::from_secs_f64(residual.seconds / self.residual_scale);
        }
    }

    /// Does to a packet what the rule wants.
    fn act(&mut self, now: Duration, way: Way, packet: &Packet<'_>, key: FlowKey, index: usize, verdict: &mut Verdict) {
        let Some(flow) = self.flows.get_mut(&key) else { return };
        let Hold::Taken { buckets, filled } = &mut flow.holds[index] else {
            return;
        };
        match &self.censor.rule[index].action {
            Action::Drop { direction } => {
                let is_dropped = match direction {
                    Direction::Out => way == Way::Out,
                    Direction::In => way == Way::In,
                    Direction::Both => true,
                };
                verdict.passes &= !is_dropped;
            }
            Action::List | Action::Probe(_) => verdict.passes = false,
            Action::Rst => {
                if let Kind::Tcp(segment) = packet.kind
                    && way == Way::Out
                {
                    verdict.forged.extend(resets((key.client, key.server), &segment));
                }
            }
            Action::Police { bytes_per_s } => {
                let (lane, rate) = (usize::from(way == Way::In), *bytes_per_s as f64);
                let since = now.saturating_sub(filled[lane]).as_secs_f64();
                let bucket = (buckets[lane] + since * rate).min((rate * BURST_S).max(3000.0));
                let fits = bucket >= packet.size as f64;
                buckets[lane] = if fits { bucket - packet.size as f64 } else { bucket };
                filled[lane] = now;
                verdict.passes &= fits;
            }
            Action::ForgeDns { .. } => {}
        }
    }
}

/// The flow a packet belongs to.
fn key(way: Way, packet: &Packet<'_>) -> Option<FlowKey> {
    let (is_tcp, from, to) = match packet.kind {
        Kind::Tcp(Segment { from, to, .. }) => (true, from, to),
        Kind::Udp(Datagram { from, to, .. }) => (false, from, to),
        Kind::Other => return None,
    };
    let (from, to) = (SocketAddrV4::new(packet.from, from), SocketAddrV4::new(packet.to, to));
    let (client, server) = if way == Way::Out { (from, to) } else { (to, from) };
    Some(FlowKey { is_tcp, client, server })
}

impl Fate {
    const fn of(scope: Scope, key: FlowKey) -> Self {
        let (client, server) = (*key.client.ip(), *key.server.ip());
        let port = key.server.port();
        match scope {
            Scope::Triple => Self {
                client: Some(client),
                server,
                port: Some(port),
            },
            Scope::Pair => Self {
                client: Some(client),
                server,
                port: None,
            },
            Scope::Server => Self {
                client: None,
                server,
                port: Some(port),
            },
        }
    }

    fn holds(self, key: FlowKey) -> bool {
        self.server == *key.server.ip()
            && self.client.is_none_or(|client| client == *key.client.ip())
            && self.port.is_none_or(|port| port == key.server.port())
    }
}

fn take_hold(hold: &mut Hold, now: Duration, rule: &Rule) {
    if !matches!(hold, Hold::Taken { .. }) {
        let full = if let Action::Police { bytes_per_s } = rule.action {
            bytes_per_s as f64 * BURST_S
        } else {
            0.0
        };
        *hold = Hold::Taken {
            buckets: [full; 2],
            filled: [now; 2],
        };
    }
}

/// Whether a rule looks into packets: then it is blind for flows that were there before it.
fn reads_content(rule: &Rule) -> bool {
    let fits = &rule.fits;
    !(fits.sni.is_empty() && fits.not_sni.is_empty() && fits.ja4.is_empty() && fits.first.is_empty())
}

fn is_there(rule: &Rule, server: Ipv4Addr, port: Option<u16>) -> bool {
    let fits = &rule.fits;
    (fits.to.is_empty() || fits.to.iter().any(|net| net.holds(server)))
        && !fits.not_to.iter().any(|net| net.holds(server))
        && port.is_none_or(|port| (fits.port.is_empty() || fits.port.contains(&port)) && !fits.not_port.contains(&port))
}

/// Whether a rule is about a flow; nothing while that is not to be seen yet.
fn fits(rule: &Rule, key: FlowKey, flow: &Flow) -> Option<bool> {
    let fits = &rule.fits;
    let is_of_proto = fits.proto.is_none_or(|proto| (proto == Proto::Tcp) == key.is_tcp);
    if !is_of_proto || !is_there(rule, *key.server.ip(), Some(key.server.port())) {
        return Some(false);
    }
    if !fits.first.is_empty() {
        let looks: Option<Vec<bool>> = fits
            .first
            .iter()
            .map(|first| flow.beginning.looks_like(*first))
            .collect();
        if !looks?.contains(&true) {
            return Some(false);
        }
    }
    if fits.sni.is_empty() && fits.not_sni.is_empty() && fits.ja4.is_empty() {
        return Some(true);
    }
    let hello = match flow.beginning.sight(rule.reassembly) {
        Sight::Waiting => return None,
        Sight::Hello(hello) => Some(hello),
        Sight::Other => None,
    };
    let name = hello.as_ref().and_then(|hello| hello.sni.as_deref());
    let is_among =
        |patterns: &[String]| name.is_some_and(|name| patterns.iter().any(|pattern| is_meant(pattern, name)));
    let ja4 = hello.as_ref().and_then(|hello| hello.ja4.as_ref());
    Some(
        (fits.sni.is_empty() || is_among(&fits.sni))
            && (fits.not_sni.is_empty() || !is_among(&fits.not_sni))
            && (fits.ja4.is_empty() || ja4.is_some_and(|ja4| fits.ja4.contains(ja4))),
    )
}

fn is_reached(count: Option<Count>, flow: &Flow) -> bool {
    count.is_none_or(|count| {
        count.packets.is_none_or(|most| flow.packets > most) && count.bytes.is_none_or(|most| flow.bytes_in > most)
    })
}

/// Counts this flow's hello. Out: how many there were within the window, this one included.
fn count_hello(
    hellos: &mut HashMap<HelloKey, VecDeque<Duration>>,
    now: Duration,
    key: FlowKey,
    flow: &Flow,
    rule: &Rule,
    window_s: f64,
) -> usize {
    let Sight::Hello(hello) = flow.beginning.sight(rule.reassembly) else {
        return 0;
    };
    let is_per_client = rule.count.is_some_and(|count| count.per_client);
    let client = is_per_client.then(|| *key.client.ip());
    let times = hellos
        .entry((client, key.server, hello.sni.unwrap_or_default()))
        .or_default();
    let since = now.saturating_sub(Duration::from_secs_f64(window_s));
    times.retain(|time| *time >= since);
    times.push_back(now);
    times.len()
}

/// Forged RSTs to both ends, as if the other had sent them.
pub(crate) fn resets((from, to): (SocketAddrV4, SocketAddrV4), segment: &Segment<'_>) -> [Vec<u8>; 2] {
    let size = u32::try_from(segment.payload.len()).unwrap_or_default() + u32::from(segment.is_opening);
    let next = segment.seq.wrapping_add(size);
    [reset(to, from, segment.ack, next), reset(from, to, next, segment.ack)]
}

#[cfg(test)]
mod tests;
