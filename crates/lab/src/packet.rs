//! IPv4 packets as a censor sees them, and the ones that it forges.
//!
//! In: the bytes of one packet. Out: addresses, ports, flags and payload; or a forged RST or datagram with right
//! checksums. IPv6, fragments and other protocols are [`Kind::Other`]: they are carried, not read.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};

/// One packet, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Who sends it.
    pub from: Ipv4Addr,
    /// Who is to have it.
    pub to: Ipv4Addr,
    /// What it carries.
    pub kind: Kind<'a>,
    /// Length of the whole, in bytes.
    pub size: usize,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A TCP segment.
    Tcp(Segment<'a>),
    /// A UDP datagram.
    Udp(Datagram<'a>),
    /// Anything else.
    Other,
}

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Port it comes from.
    pub from: u16,
    /// Port it goes to.
    pub to: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Whether it opens a connection: SYN without ACK.
    pub is_opening: bool,
    /// What it brings.
    pub payload: &'a [u8],
}

/// A UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Port it comes from.
    pub from: u16,
    /// Port it goes to.
    pub to: u16,
    /// What it brings.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a packet; nothing when it is no IPv4.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let sliced = SlicedPacket::from_ip(bytes).ok()?;
        let Some(NetSlice::Ipv4(ip)) = &sliced.net else {
            return None;
        };
        let kind = match &sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => Kind::Tcp(Segment {
                from: tcp.source_port(),
                to: tcp.destination_port(),
                seq: tcp.sequence_number(),
                ack: tcp.acknowledgment_number(),
                is_opening: tcp.syn() && !tcp.ack(),
                payload: tcp.payload(),
            }),
            Some(TransportSlice::Udp(udp)) => Kind::Udp(Datagram {
                from: udp.source_port(),
                to: udp.destination_port(),
                payload: udp.payload(),
            }),
            _ => Kind::Other,
        };
        let header = ip.header();
        Some(Self {
            from: header.source_addr(),
            to: header.destination_addr(),
            kind,
            size: bytes.len(),
        })
    }
}

/// A forged RST from one end of a connection to the other.
pub fn reset(from: SocketAddrV4, to: SocketAddrV4, seq: u32, ack: u32) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(from.ip().octets(), to.ip().octets(), 64)
        .tcp(from.port(), to.port(), seq, 0)
        .rst()
        .ack(ack);
    written(builder.size(0), |bytes| builder.write(bytes, &[]).is_ok())
}

/// A datagram, true or forged.
pub fn datagram(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(from.ip().octets(), to.ip().octets(), 64).udp(from.port(), to.port());
    written(builder.size(payload.len()), |bytes| {
        builder.write(bytes, payload).is_ok()
    })
}

/// A segment with data, for tests of what reads them.
#[cfg(test)]
pub(crate) fn segment(from: SocketAddrV4, to: SocketAddrV4, seq: u32, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(from.ip().octets(), to.ip().octets(), 64)
        .tcp(from.port(), to.port(), seq, 4096)
        .ack(1);
    written(builder.size(payload.len()), |bytes| {
        builder.write(bytes, payload).is_ok()
    })
}

/// A connection's first packet, for tests of what reads it.
#[cfg(test)]
pub(crate) fn opening(from: SocketAddrV4, to: SocketAddrV4, seq: u32) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(from.ip().octets(), to.ip().octets(), 64)
        .tcp(from.port(), to.port(), seq, 4096)
        .syn();
    written(builder.size(0), |bytes| builder.write(bytes, &[]).is_ok())
}

fn written(size: usize, write: impl FnOnce(&mut Vec<u8>) -> bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size);
    assert!(write(&mut bytes), "a packet that fits its length field");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ANA: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 2), 40_000);
    const RELAY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 443);

    #[test]
    fn a_segment_reads_back() {
        let bytes = segment(ANA, RELAY, 7, b"hello");
        let packet = Packet::read(&bytes).unwrap();
        assert_eq!((packet.from, packet.to, packet.size), (*ANA.ip(), *RELAY.ip(), 45));
        let Kind::Tcp(tcp) = packet.kind else {
            panic!("{packet:?}")
        };
        assert_eq!(
            (tcp.from, tcp.to, tcp.seq, tcp.payload),
            (40_000, 443, 7, b"hello".as_slice())
        );
        assert!(!tcp.is_opening);
    }

    #[test]
    fn forged_packets_have_right_checksums() {
        let bytes = reset(RELAY, ANA, 1, 2);
        let sliced = SlicedPacket::from_ip(&bytes).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else {
            panic!()
        };
        assert!(tcp.rst());
        let right = tcp.calc_checksum_ipv4(RELAY.ip().octets(), ANA.ip().octets()).unwrap();
        assert_eq!(tcp.checksum(), right);
    }

    proptest! {
        #[test]
        fn any_bytes_read_or_do_not(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = Packet::read(&bytes);
        }
    }
}
