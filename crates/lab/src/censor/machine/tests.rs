//! Censors against flows made by hand, in virtual time.

use std::collections::BTreeMap;

use super::*;
use crate::censor::people::Place;
use crate::censor::sight::tests::hello_for;
use crate::packet::{opening, segment};

const RELAY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 443);

fn client(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 2), port)
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A censor with one rule that has begun.
fn machine(rule: &str) -> Machine {
    let text = format!("id='x'\nabout='x'\nsource='x'\nconfidence='invented'\n[[rule]]\n{rule}");
    let mut machine = Machine::new(Censor::parse(&text, &BTreeMap::new()).unwrap(), 1, 1.0);
    machine.begin(Duration::ZERO);
    machine
}

/// One client's connection, packet by packet.
struct Talk<'a> {
    machine: &'a mut Machine,
    at: f64,
    client: SocketAddrV4,
    seq: u32,
}

impl<'a> Talk<'a> {
    fn open(machine: &'a mut Machine, port: u16, at: f64) -> (Self, Verdict) {
        let mut talk = Self {
            machine,
            at,
            client: client(port),
            seq: 100,
        };
        let verdict = talk.judge(Way::Out, &opening(talk.client, RELAY, 99));
        (talk, verdict)
    }

    fn judge(&mut self, way: Way, bytes: &[u8]) -> Verdict {
        self.machine.judge(seconds(self.at), way, &Packet::read(bytes).unwrap())
    }

    fn say(&mut self, payload: &[u8]) -> Verdict {
        let bytes = segment(self.client, RELAY, self.seq, payload);
        self.seq += u32::try_from(payload.len()).unwrap();
        self.judge(Way::Out, &bytes)
    }

    fn hear(&mut self, payload: &[u8]) -> Verdict {
        self.judge(Way::In, &segment(RELAY, self.client, 1, payload))
    }
}

const BLOCKED: &str = "match.sni = ['*.blocked.example']\n";

#[test]
fn a_blocked_name_goes_silent_and_others_do_not() {
    let mut machine = machine(&format!("{BLOCKED}action = {{ kind = 'drop' }}"));
    let (mut talk, syn) = Talk::open(&mut machine, 1, 0.0);
    assert!(syn.passes, "the SYN has no name");
    assert!(!talk.say(&hello_for("chat.blocked.example")).passes);
    assert!(!talk.hear(b"hello").passes, "for good");
    let (mut talk, _) = Talk::open(&mut machine, 2, 0.0);
    assert!(talk.say(&hello_for("own.example")).passes);
    assert_eq!(machine.deeds().hits, 1);
}

#[test]
fn a_reset_goes_to_both_ends_and_the_packet_passes() {
    let mut machine = machine(&format!("{BLOCKED}action = {{ kind = 'rst' }}"));
    let (mut talk, _) = Talk::open(&mut machine, 1, 0.0);
    let hello = hello_for("chat.blocked.example");
    let verdict = talk.say(&hello);
    assert!(verdict.passes);
    let forged: Vec<_> = verdict
        .forged
        .iter()
        .map(|bytes| Packet::read(bytes).unwrap())
        .collect();
    assert_eq!([forged[0].to, forged[1].to], [*client(1).ip(), *RELAY.ip()]);
    let Kind::Tcp(to_server) = forged[1].kind else { panic!() };
    assert_eq!(
        to_server.seq,
        100 + u32::try_from(hello.len()).unwrap(),
        "the number the server waits for"
    );
}

#[test]
fn a_freeze_counts_packets_of_each_connection() {
    let mut machine = machine("match.to = ['hosting']\ncount.packets = 25\naction = { kind = 'drop' }");
    for port in 1..3 {
        let (mut talk, _) = Talk::open(&mut machine, port, 0.0);
        let passed = (0..40).take_while(|_| talk.say(b"x").passes).count();
        assert_eq!(passed, 25, "a new connection begins anew");
        assert!(!talk.hear(b"x").passes);
    }
}

#[test]
fn a_freeze_counts_bytes_from_the_server() {
    let mut machine = machine("count.bytes = 16384\naction = { kind = 'drop', direction = 'in' }");
    let (mut talk, _) = Talk::open(&mut machine, 1, 0.0);
    assert_eq!((0..40).take_while(|_| talk.hear(&[0; 1024]).passes).count(), 16);
    assert!(talk.say(b"x").passes, "the other way is open");
}

#[test]
fn many_hellos_at_once_close_the_name_for_a_while() {
    let mut machine = machine(
        "match.sni = ['*']\ncount = { hellos = 4, window_s = 10.0 }\naction = { kind = 'drop' }\n\
         residual = { scope = 'triple', seconds = 60.0 }",
    );
    let mut tries = |port, at| {
        Talk::open(&mut machine, port, at)
            .0
            .say(&hello_for("own.example"))
            .passes
    };
    assert_eq!([1, 2, 3, 4].map(|port| tries(port, 1.0)), [true, true, true, false]);
    assert!(!tries(5, 60.0), "the residual lasts a minute");
    assert!(tries(6, 61.5));
}

#[test]
fn slow_hellos_are_let_through() {
    let mut machine = machine("match.sni = ['*']\ncount = { hellos = 4, window_s = 10.0 }\naction = { kind = 'drop' }");
    for n in 0..20_u16 {
        let (mut talk, _) = Talk::open(&mut machine, n + 1, f64::from(n) * 3.5);
        assert!(talk.say(&hello_for("own.example")).passes, "{n}");
    }
}

#[test]
fn a_list_is_made_first_and_sent_out_later() {
    let mut machine = machine(
        "match.first = ['not-tls']\naction = { kind = 'list' }\n\
         residual = { scope = 'server', seconds = 3600.0, after_s = 300.0 }",
    );
    let (mut talk, _) = Talk::open(&mut machine, 1, 0.0);
    assert!(talk.say(b"GET / HTTP/1.1").passes, "it is only noted");
    talk.at = 299.0;
    assert!(talk.say(b"more").passes);
    talk.at = 301.0;
    assert!(!talk.say(b"more").passes, "open connections too");
    assert!(
        !Talk::open(&mut machine, 2, 302.0).1.passes,
        "everybody, from the SYN on"
    );
}

#[test]
fn a_residual_that_is_tried_again_begins_anew() {
    let rule = format!(
        "{BLOCKED}action = {{ kind = 'drop' }}\nresidual = {{ scope = 'triple', seconds = 60.0, reset_on_retry = true }}"
    );
    let mut machine = machine(&rule);
    assert!(
        !Talk::open(&mut machine, 1, 0.0)
            .0
            .say(&hello_for("a.blocked.example"))
            .passes
    );
    assert!(!Talk::open(&mut machine, 2, 50.0).1.passes);
    assert!(!Talk::open(&mut machine, 3, 100.0).1.passes);
    assert!(Talk::open(&mut machine, 4, 161.0).1.passes);
}

#[test]
fn a_policer_lets_its_rate_through() {
    let mut machine = machine("action = { kind = 'police', bytes_per_s = 16000 }");
    let (mut talk, _) = Talk::open(&mut machine, 1, 0.0);
    let mut passed = 0;
    for n in 0..1000 {
        talk.at = f64::from(n) / 100.0;
        passed += usize::from(talk.hear(&[0; 960]).passes) * 1000;
    }
    assert!((150_000..=170_000).contains(&passed), "{passed} bytes in 10 s");
}

#[test]
fn a_name_that_is_no_longer_listed_gets_a_lie() {
    let query = [
        &[7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..],
        b"\x04chat\x07blocked\x07example\0",
        &[0, 1, 0, 1],
    ]
    .concat();
    let asked = datagram(client(5), SocketAddrV4::new([8, 8, 8, 8].into(), 53), &query);
    for (follows, passes) in [("true", true), ("false", false)] {
        let rule = format!(
            "match.qname = ['*.blocked.example']\naction = {{ kind = 'forge-dns', answer = '10.10.34.34', truth_follows = {follows} }}"
        );
        let mut machine = machine(&rule);
        let verdict = machine.judge(Duration::ZERO, Way::Out, &Packet::read(&asked).unwrap());
        assert_eq!((verdict.passes, verdict.forged.len()), (passes, 1));
        let forged = Packet::read(&verdict.forged[0]).unwrap();
        let Kind::Udp(lie) = forged.kind else { panic!() };
        assert_eq!((forged.to, lie.from, lie.to), (*client(5).ip(), 53, 5));
        assert!(lie.payload.ends_with(&[10, 10, 34, 34]));
    }
}

#[test]
fn what_was_open_before_is_not_read_again() {
    let mut machine = machine("match.first = ['not-tls']\naction = { kind = 'drop' }");
    machine.begins = None;
    let (mut talk, _) = Talk::open(&mut machine, 1, 0.0);
    assert!(talk.say(b"GET /").passes);
    talk.machine.begin(seconds(5.0));
    talk.at = 6.0;
    assert!(talk.say(b"more").passes);
    assert!(!Talk::open(&mut machine, 2, 7.0).0.say(b"GET /").passes);
}

#[test]
fn a_censor_that_reads_no_pieces_misses_a_split_hello() {
    let hello = hello_for("chat.blocked.example");
    for (reassembly, passes) in [("none", true), ("tcp", false), ("tcp-and-records", false)] {
        let rule = format!("{BLOCKED}reassembly = '{reassembly}'\naction = {{ kind = 'drop' }}");
        let mut machine = machine(&rule);
        let (mut talk, _) = Talk::open(&mut machine, 1, 0.0);
        let at = hello.windows(7).position(|part| part == b"blocked").unwrap();
        assert!(talk.say(&hello[..at]).passes);
        assert_eq!(talk.say(&hello[at..]).passes, passes, "{reassembly}");
    }
}

#[test]
fn a_whitelist_lets_only_its_names_through() {
    let mut machine = machine("match.not_sni = ['bank.example']\nreassembly = 'tcp'\naction = { kind = 'drop' }");
    for (port, first, passes) in [
        (1, hello_for("bank.example"), true),
        (2, hello_for("own.example"), false),
        (3, b"GET / HTTP/1.1".to_vec(), false),
    ] {
        let (mut talk, syn) = Talk::open(&mut machine, port, 0.0);
        assert!(syn.passes);
        assert_eq!(talk.say(&first).passes, passes, "{port}");
    }
}

/// A censor with people and rules that has begun.
fn with_people(text: &str) -> Machine {
    let text = format!("id='x'\nabout='x'\nsource='x'\nconfidence='invented'\n{text}");
    let mut machine = Machine::new(Censor::parse(&text, &BTreeMap::new()).unwrap(), 1, 1.0);
    machine.begin(Duration::ZERO);
    machine
}

fn place(name: &str) -> Place {
    Place {
        name: Some(name.to_owned()),
        at: vec![RELAY],
    }
}

#[test]
fn an_invitation_that_was_read_closes_the_address_that_stood_in_it_a_while_later() {
    let mut machine = with_people("[[person]]\ndoes='read-invites'\nafter_s=5.0\nlists=['address']");
    machine.told(seconds(1.0), Source::Invitation, &place("own.example"));
    let (mut talk, syn) = Talk::open(&mut machine, 1, 5.9);
    assert!(syn.passes, "not yet");
    talk.at = 6.1;
    assert!(
        !talk.hear(b"x").passes && !talk.hear(b"y").passes,
        "what stands is cut off"
    );
    assert!(!Talk::open(&mut machine, 2, 7.0).1.passes, "and nothing begins");
    assert_eq!(machine.deeds().hits, 2);
    assert_eq!(machine.listed(), ["203.0.113.10"]);
}

#[test]
fn a_listed_port_leaves_the_others_open_and_a_listed_name_closes_hellos_alone() {
    let mut ports = with_people("[[person]]\ndoes='read-invites'\nlists=['port']");
    let other = SocketAddrV4::new(*RELAY.ip(), 8443);
    let at = vec![other];
    ports.told(seconds(0.0), Source::Invitation, &Place { name: None, at });
    assert!(Talk::open(&mut ports, 1, 1.0).1.passes, "another port");

    let mut names = with_people("[[person]]\ndoes='read-invites'\nlists=['name']\nreassembly='tcp'");
    let (mut old, _) = Talk::open(&mut names, 1, 0.0);
    assert!(old.say(&hello_for("own.example")).passes);
    old.machine
        .told(seconds(1.0), Source::Invitation, &place("own.example"));
    old.at = 2.0;
    assert!(old.hear(b"x").passes, "a filter for names reads hellos");
    let (mut fresh, _) = Talk::open(&mut names, 2, 3.0);
    let hello = hello_for("own.example");
    assert!(fresh.say(&hello[..200]).passes, "the name is not whole yet");
    assert!(!fresh.say(&hello[200..]).passes, "pieces are put together");
    assert!(!fresh.hear(b"x").passes, "for good");
    assert!(Talk::open(&mut names, 3, 3.0).0.say(&hello_for("other.example")).passes);
}

#[test]
fn whom_a_word_is_for_hears_it_and_nobody_else() {
    let mut machine = with_people("[[person]]\ndoes='tell'\nshare=1.0\nof=1\nlists=['address']");
    machine.told(seconds(0.0), Source::Invitation, &place("a.example"));
    assert!(machine.listed().is_empty(), "nobody reads invitations here");
    machine.told(seconds(0.0), Source::Member, &place("a.example"));
    machine.told(seconds(0.0), Source::Member, &place("a.example"));
    assert_eq!(machine.listed().len(), 1, "once");
}

#[test]
fn a_list_has_an_end() {
    let mut machine = with_people("[[person]]\ndoes='read-invites'\nlists=['name']");
    for n in 0..2 * super::super::listed::LISTED_MAX {
        machine.told(seconds(0.0), Source::Invitation, &place(&format!("{n}.example")));
    }
    assert_eq!(machine.listed().len(), super::super::listed::LISTED_MAX);
}

const PROBING: &str = "match.first=['no-protocol']\nresidual={scope='server',seconds=60.0}\n\
     action={kind='probe',with=['replay'],after_s=1.0,wait_s=1.0,proxy_if=['mute']}";

#[test]
fn what_is_suspected_is_noted_once_with_what_its_client_said_and_closed_only_when_convicted() {
    let mut machine = machine(PROBING);
    for port in 1..4 {
        let (mut talk, _) = Talk::open(&mut machine, port, 0.0);
        assert!(talk.say(b"\x01\x02\x03").passes, "it is only noted");
    }
    assert!(Talk::open(&mut machine, 9, 0.0).0.say(b"GET / HTTP/1.1\r\n").passes);
    let noted = machine.suspects();
    let [(suspect, probe)] = noted.as_slice() else {
        panic!("{noted:?}")
    };
    assert_eq!(
        (suspect.server, suspect.first.as_slice()),
        (RELAY, b"\x01\x02\x03".as_slice())
    );
    assert_eq!(probe.proxy_if, [Sign::Mute]);
    assert!(machine.suspects().is_empty());
    machine.convict(seconds(5.0), suspect, Sign::Mute);
    assert_eq!(machine.listed(), ["203.0.113.10:443 (mute)"]);
    let other = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 3), 7);
    let syn = opening(other, RELAY, 1);
    let judged = |machine: &mut Machine, at| {
        machine
            .judge(seconds(at), Way::Out, &Packet::read(&syn).unwrap())
            .passes
    };
    assert!(!judged(&mut machine, 6.0), "everybody, from the SYN on");
    assert!(judged(&mut machine, 66.0), "until it is over");
}

#[test]
fn only_so_many_servers_are_noted() {
    let mut machine = machine(PROBING);
    for n in 0..2 * u16::try_from(SUSPECTS_MAX).unwrap() {
        let server = SocketAddrV4::new(*RELAY.ip(), 1000 + n);
        let bytes = segment(client(5), server, 1, b"\x01\x02");
        machine.judge(Duration::ZERO, Way::Out, &Packet::read(&bytes).unwrap());
    }
    assert_eq!(machine.suspects().len(), SUSPECTS_MAX);
}

#[test]
fn a_tls_client_s_name_is_said_again_by_the_prober() {
    let rule = PROBING.replace("no-protocol", "tls");
    let mut machine = machine(&rule);
    Talk::open(&mut machine, 1, 0.0).0.say(&hello_for("own.example"));
    assert_eq!(machine.suspects()[0].0.name.as_deref(), Some("own.example"));
}
