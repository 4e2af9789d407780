//! Photos and voice notes of any size: the smallest files that the messenger takes for such.

/// A fullband CELT frame of 20 ms, alone in its packet (RFC 6716, section 3.1).
const SOUND: u8 = 0xf8;

/// The smallest JPEG with so many bytes of scan, all of them this one.
pub(crate) fn photo(scan: usize, byte: u8) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8];
    let segments: [(u8, &[u8]); 4] = [
        (0xdb, &[0; 65]),
        (0xc0, &[8, 0, 48, 0, 64, 1, 1, 0x11, 0]),
        (0xc4, &[0; 17]),
        (0xda, &[1, 1, 0, 0, 63, 0]),
    ];
    for (marker, segment) in segments {
        let length = u16::try_from(segment.len() + 2).unwrap_or(u16::MAX);
        out.extend([0xff, marker]);
        out.extend(length.to_be_bytes());
        out.extend(segment);
    }
    out.extend(vec![byte; scan]);
    out.extend([0xff, 0xd9]);
    out
}

/// An Ogg stream of Opus with so many sounds, all of them made of this byte.
pub(crate) fn note(sounds: usize, byte: u8) -> Vec<u8> {
    let head = [b"OpusHead".as_slice(), &[1, 1, 0, 0, 0x80, 0xbb, 0, 0, 0, 0, 0]].concat();
    let mut out = page(2, 0, 0, &[head]);
    out.extend(page(0, 1, 0, &[[b"OpusTags".as_slice(), &[0; 8]].concat()]));
    let sounds: Vec<Vec<u8>> = (0..sounds)
        .map(|n| [vec![SOUND], vec![byte; 40 + n % 20]].concat())
        .collect();
    for (n, some) in sounds.chunks(50).enumerate() {
        let number = u32::try_from(n).unwrap_or(0);
        out.extend(page(0, 2 + number, u64::from(number) * 48_000, some));
    }
    out
}

/// One page of whole packets, each shorter than 255 bytes (RFC 3533, section 6).
fn page(flags: u8, number: u32, granule: u64, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut out = [b"OggS\0".as_slice(), &[flags]].concat();
    out.extend(granule.to_le_bytes());
    out.extend([7, 0, 0, 0]);
    out.extend(number.to_le_bytes());
    out.extend([0; 4]);
    out.push(u8::try_from(packets.len()).unwrap_or(u8::MAX));
    out.extend(packets.iter().map(|packet| u8::try_from(packet.len()).unwrap_or(254)));
    packets.iter().for_each(|packet| out.extend(packet));
    let sum = sum_of(&out);
    out[22..26].copy_from_slice(&sum.to_le_bytes());
    out
}

/// CRC-32 with the polynomial 0x04c11db7, not reflected.
fn sum_of(page: &[u8]) -> u32 {
    page.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum: u32, _| {
            let over = if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 };
            (sum << 1) ^ over
        })
    })
}
