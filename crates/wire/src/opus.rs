//! Voice notes as files: Ogg (RFC 3533) with Opus inside (RFC 7845), checked and measured without decoding.
//!
//! In: a stranger's bytes. Out: how long it plays. Every page's sum, order and laces are checked, so that a player gets
//! nothing but one Opus stream. Specified in `docs/protocol/13-content.md` (CON-14).

use crate::codec::{DecodeError, Reader};

/// Longest voice note, in milliseconds (CON-14).
pub const VOICE_MS_MAX: u32 = 120_000;

const PAGE_BEGINS: u8 = 2;
const CONTINUED: u8 = 1;

/// One page: its place and what its packets hold.
struct Page<'a> {
    flags: u8,
    serial: u32,
    number: u32,
    laces: &'a [u8],
    body: &'a [u8],
}

/// Checks a voice note. Out: its length in milliseconds.
/// Errors: not one Ogg stream of Opus with one or two channels, longer than [`VOICE_MS_MAX`], or nothing to hear.
pub fn check(bytes: &[u8]) -> Result<u32, DecodeError> {
    let mut reader = Reader::new(bytes);
    let head = page(&mut reader)?;
    if head.flags != PAGE_BEGINS || head.number != 0 || !is_head(head.body) {
        return Err(DecodeError::Value("opus head"));
    }
    let (mut number, mut packets, mut samples) = (0_u32, 0_u32, 0_u32);
    // Of a packet that goes on over pages only its beginning counts.
    let mut open = false;
    while !reader.rest().is_empty() {
        let next = page(&mut reader)?;
        number = number.checked_add(1).ok_or(DecodeError::Limit("ogg pages"))?;
        let follows = next.serial == head.serial && next.number == number && next.flags & PAGE_BEGINS == 0;
        if !follows || (next.flags & CONTINUED != 0) != open {
            return Err(DecodeError::Value("ogg page"));
        }
        walk(&next, &mut open, &mut |packet| {
            packets = packets.saturating_add(1);
            samples = match packets {
                1 if packet.starts_with(b"OpusTags") => 0,
                1 => return Err(DecodeError::Value("opus tags")),
                _sound => samples.saturating_add(samples_of(packet)?),
            };
            if samples / 48 > VOICE_MS_MAX {
                return Err(DecodeError::Limit("voice length"));
            }
            Ok(())
        })?;
    }
    if samples == 0 || open {
        return Err(DecodeError::Value("opus"));
    }
    Ok(samples / 48)
}

fn page<'a>(reader: &mut Reader<'a>) -> Result<Page<'a>, DecodeError> {
    let whole = reader.rest();
    if reader.array::<5>()? != *b"OggS\0" {
        return Err(DecodeError::Value("ogg page"));
    }
    let flags = reader.u8()?;
    let _granule = reader.array::<8>()?;
    let serial = u32::from_le_bytes(reader.array()?);
    let number = u32::from_le_bytes(reader.array()?);
    let sum = u32::from_le_bytes(reader.array()?);
    let count = usize::from(reader.u8()?);
    let laces = reader.take(count)?;
    let body = reader.take(laces.iter().map(|lace| usize::from(*lace)).sum())?;
    let length = whole.len().saturating_sub(reader.rest().len());
    if flags > 7 || sum_of(whole.get(..length).unwrap_or_default()) != sum {
        return Err(DecodeError::Value("ogg page"));
    }
    Ok(Page {
        flags,
        serial,
        number,
        laces,
        body,
    })
}

/// Gives the packets that begin on a page, as far as they stand on it.
fn walk<'a>(
    page: &Page<'a>,
    open: &mut bool,
    each: &mut impl FnMut(&'a [u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let (mut from, mut to, mut goes_on) = (0_usize, 0_usize, *open);
    for lace in page.laces {
        to = to.saturating_add(usize::from(*lace));
        *open = *lace == 255;
        if !*open {
            if !goes_on {
                each(page.body.get(from..to).unwrap_or_default())?;
            }
            (from, goes_on) = (to, false);
        }
    }
    if *open && !goes_on {
        each(page.body.get(from..to).unwrap_or_default())?;
    }
    Ok(())
}

/// Version 1, one or two channels, in the family of these.
fn is_head(packet: &[u8]) -> bool {
    let mut reader = Reader::new(packet);
    let fits = reader.array::<8>() == Ok(*b"OpusHead")
        && reader.u8() == Ok(1)
        && reader.u8().is_ok_and(|channels| channels == 1 || channels == 2)
        && reader.array::<8>().is_ok()
        && reader.u8() == Ok(0);
    fits && reader.rest().len() <= 1
}

/// Samples at 48 kHz of one packet, by its first bytes (RFC 6716, section 3.1).
fn samples_of(packet: &[u8]) -> Result<u32, DecodeError> {
    let mut reader = Reader::new(packet);
    let toc = reader.u8()?;
    let frame = match (toc >> 3, (toc >> 3) & 3) {
        (0..=11, 3) => 2_880,
        (0..=11, 2) => 1_920,
        (0..=11, 1) | (12..=15, 1 | 3) | (16.., 3) => 960,
        (0..=11, _) | (12..=15, _) | (_, 2) => 480,
        (_, 1) => 240,
        _shortest => 120_u32,
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _many => u32::from(reader.u8()? & 63),
    };
    let samples = frames.saturating_mul(frame);
    if samples == 0 || samples > 5_760 {
        return Err(DecodeError::Value("opus packet"));
    }
    Ok(samples)
}

/// CRC-32 with the polynomial 0x04c11db7, not reflected, over the page with its own sum as zeros.
fn sum_of(page: &[u8]) -> u32 {
    let mut sum = 0_u32;
    for (at, byte) in page.iter().enumerate() {
        let byte = if (22..26).contains(&at) { 0 } else { *byte };
        sum ^= u32::from(byte) << 24;
        for _ in 0..8 {
            sum = if sum & 0x8000_0000 == 0 {
                sum << 1
            } else {
                (sum << 1) ^ 0x04c1_1db7
            };
        }
    }
    sum
}

/// Notes for tests.
#[cfg(test)]
pub(crate) mod samples {
    use super::sum_of;
    use std::vec;
    use std::vec::Vec;

    pub(crate) fn page_of(flags: u8, number: u32, packets: &[&[u8]]) -> Vec<u8> {
        let mut out = b"OggS\0".to_vec();
        out.push(flags);
        out.extend([0; 8]);
        out.extend(7_u32.to_le_bytes());
        out.extend(number.to_le_bytes());
        out.extend([0; 4]);
        let laces: Vec<u8> = packets
            .iter()
            .flat_map(|packet| {
                let mut laces = vec![255; packet.len() / 255];
                laces.push((packet.len() % 255) as u8);
                laces
            })
            .collect();
        out.push(laces.len() as u8);
        out.extend(laces);
        packets.iter().for_each(|packet| out.extend(*packet));
        let sum = sum_of(&out);
        out[22..26].copy_from_slice(&sum.to_le_bytes());
        out
    }

    pub(crate) const HEAD: &[u8] = b"OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0";

    /// So many packets of 20 ms, of so many bytes each.
    pub(crate) fn note(packets: usize, bytes: usize) -> Vec<u8> {
        let mut out = page_of(2, 0, &[HEAD]);
        out.extend(page_of(0, 1, &[b"OpusTags\0\0\0\0\0\0\0\0"]));
        let packet = vec![0x48; bytes];
        let mut number = 2;
        for count in vec![50; packets / 50].into_iter().chain([packets % 50]) {
            if count > 0 {
                out.extend(page_of(0, number, &vec![packet.as_slice(); count]));
                number += 1;
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::samples::{HEAD, note as notes, page_of};

    fn note(packets: usize) -> Vec<u8> {
        notes(packets, 4)
    }

    #[test]
    fn a_note_is_measured_by_its_packets_con_14() {
        assert_eq!(check(&note(1)), Ok(20));
        assert_eq!(check(&note(125)), Ok(2_500));
        assert_eq!(check(&note(6_000)), Ok(VOICE_MS_MAX));
        assert_eq!(check(&note(6_001)), Err(DecodeError::Limit("voice length")));
        assert_eq!(check(&note(0)), Err(DecodeError::Value("opus")));
        // A packet over several laces counts once.
        let long = [&[0x48][..], &[0; 700]].concat();
        let big = [
            page_of(2, 0, &[HEAD]),
            page_of(0, 1, &[b"OpusTags"]),
            page_of(4, 2, &[&long]),
        ]
        .concat();
        assert_eq!(check(&big), Ok(20));
    }

    #[test]
    fn what_the_page_recorded_in_chromium_is_a_note_con_14() {
        let length = check(include_bytes!("../tests/fixtures/chromium.ogg"));
        assert!(matches!(length, Ok(1_000..12_000)), "{length:?}");
    }

    #[test]
    fn what_is_no_note_gives_its_error_con_14() {
        let good = note(3);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(check(&bad).is_err(), "byte {at}");
            assert!(check(&good[..at]).is_err(), "cut at {at}");
        }
        let other = [note(1), page_of(2, 0, &[HEAD])].concat();
        assert_eq!(check(&other), Err(DecodeError::Value("ogg page")));
        let many = b"OpusHead\x01\x03\x38\x01\x80\xbb\0\0\0\0\0";
        let surround = [page_of(2, 0, &[many]), note(1)].concat();
        assert_eq!(check(&surround), Err(DecodeError::Value("opus head")));
        let vorbis = page_of(2, 0, &[b"\x01vorbis"]);
        assert_eq!(check(&vorbis), Err(DecodeError::Value("opus head")));
        for packet in [&[0x4b, 0][..], &[0x4b, 63], &[0x1b, 3], &[0x4b]] {
            let odd = [page_of(2, 0, &[HEAD]), page_of(0, 1, &[b"OpusTags", packet])].concat();
            assert!(check(&odd).is_err(), "{packet:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_note_or_err_con_14(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = check(&bytes);
            let _ = check(&page_of(0, 1, &[&bytes]));
            let _ = check(&[page_of(2, 0, &[HEAD]), page_of(0, 1, &[b"OpusTags", &bytes])].concat());
        }
    }
}
