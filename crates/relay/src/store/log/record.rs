//! Bytes of the segment log: records, the head of a segment, the lines of a hint.
//!
//! In: bytes, of which nothing is believed. Out: what they say, or nothing. A record's sum covers its segment's salt
//! and its own place too, so bytes that somebody put inside an envelope, or that stand where they did not stand
//! before, are no record. The files themselves are the log's job.

use stonechat_wire::hand::DECK_BYTES_MAX;
use stonechat_wire::ids::Timestamp;

/// Length of what stands before a record's body.
pub(crate) const HEAD: usize = 45;
/// Longest body: a door with a full deck.
pub(crate) const BODY_MAX: usize = DOOR_FIXED + DECK_BYTES_MAX;
/// What stands before a door's card in its record: the proof's hash, its uses and the key's hash.
pub(crate) const DOOR_FIXED: usize = 68;
const _: () = assert!(BODY_MAX >= 65_538, "a chunk of a blob, with its number");
/// Length of one copy of a segment's head; there are two, so that one flipped bit costs nothing.
const SEGMENT_HEAD_COPY: usize = 32;
/// Where a segment's records begin.
pub(crate) const SEGMENT_HEAD: usize = 2 * SEGMENT_HEAD_COPY;
/// Length of one line of a hint.
pub(crate) const HINT_LINE: usize = 57;
/// Length of what ends a hint.
pub(crate) const HINT_END: usize = 16;
/// Length of one copy of the mark.
const MARK_COPY: usize = 28;

const SEGMENT_MAGIC: &[u8; 8] = b"STONESG1";
const HINT_MAGIC: &[u8; 8] = b"STONEHT1";
const MARK_MAGIC: &[u8; 8] = b"STONEMK1";

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An envelope; key: its tag.
    Envelope,
    /// The envelope of this tag and serial lives longer; no body.
    Prolonged,
    /// A door; key: its path.
    Door,
    /// A door was used; body: how often in all.
    DoorUsed,
    /// A door was taken down; no body.
    DoorClosed,
    /// A blob begins; key: half of its id; body: id, size, count, deletion hash, list.
    Blob,
    /// A chunk of the blob of this key and serial; body: its number, its bytes.
    Chunk,
    /// The blob of this key and serial lives longer; no body.
    BlobProlonged,
    /// The blob of this key and serial was deleted; no body.
    BlobGone,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Envelope => 1,
            Self::Prolonged => 2,
            Self::Door => 3,
            Self::DoorUsed => 4,
            Self::DoorClosed => 5,
            Self::Blob => 6,
            Self::Chunk => 7,
            Self::BlobProlonged => 8,
            Self::BlobGone => 9,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Envelope,
            2 => Self::Prolonged,
            3 => Self::Door,
            4 => Self::DoorUsed,
            5 => Self::DoorClosed,
            6 => Self::Blob,
            7 => Self::Chunk,
            8 => Self::BlobProlonged,
            9 => Self::BlobGone,
            _ => return None,
        })
    }
}

/// What stands before a record's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) key: [u8; 16],
    pub(crate) serial: u64,
    pub(crate) expires_at: Timestamp,
    pub(crate) length: u32,
    pub(crate) body_sum: u32,
}

/// A number that only this segment knows; its records' sums rest on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Salt(pub(crate) [u8; 8]);

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt(..)")
    }
}

impl Head {
    /// Length of head and body.
    pub(crate) const fn record_len(&self) -> u32 {
        self.length.saturating_add(HEAD as u32)
    }

    /// Appends the record to `out`; it will stand at `place` of its segment.
    pub(crate) fn write(&self, body: &[u8], salt: Salt, place: u32, out: &mut Vec<u8>) {
        let mut head = Vec::with_capacity(HEAD);
        head.push(self.kind.code());
        head.extend(self.length.to_be_bytes());
        head.extend(self.key);
        head.extend(self.serial.to_be_bytes());
        head.extend(self.expires_at.0.to_be_bytes());
        head.extend(self.body_sum.to_be_bytes());
        out.extend(head_sum(salt, place, &head).to_be_bytes());
        out.extend(head);
        out.extend(body);
    }

    /// The head that stands at `place` of its segment, if one does.
    pub(crate) fn read(bytes: &[u8], salt: Salt, place: u32) -> Option<Self> {
        let (sum, head) = bytes.get(..HEAD)?.split_first_chunk()?;
        let mut reader = Bytes(head);
        let kind = Kind::from_code(reader.u8()?)?;
        let length = reader.u32().filter(|length| *length as usize <= BODY_MAX)?;
        // Last, for it costs most and a search for the next record asks at every byte.
        if u32::from_be_bytes(*sum) != head_sum(salt, place, head) {
            return None;
        }
        Some(Self {
            kind,
            length,
            key: reader.array()?,
            serial: reader.u64()?,
            expires_at: Timestamp(reader.u64()?),
            body_sum: reader.u32()?,
        })
    }

    /// Whether this is its body.
    pub(crate) fn fits(&self, body: &[u8]) -> bool {
        body.len() == self.length as usize && sum(body) == self.body_sum
    }
}

/// A body's sum.
pub(crate) fn sum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

fn head_sum(salt: Salt, place: u32, head: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.0);
    hasher.update(&place.to_be_bytes());
    hasher.update(head);
    hasher.finalize()
}

/// The head of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    pub(crate) number: u32,
    pub(crate) salt: Salt,
    /// The highest serial given out before it.
    pub(crate) floor: u64,
}

impl SegmentHead {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut copy = SEGMENT_MAGIC.to_vec();
        copy.extend(self.number.to_be_bytes());
        copy.extend(self.salt.0);
        copy.extend(self.floor.to_be_bytes());
        copy.extend(sum(&copy).to_be_bytes());
        copy.repeat(2)
    }

    /// Either copy will do.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.chunks(SEGMENT_HEAD_COPY).take(2).find_map(|copy| {
            let mut reader = Bytes(summed(copy, SEGMENT_HEAD_COPY, SEGMENT_MAGIC)?);
            Some(Self {
                number: reader.u32()?,
                salt: Salt(reader.array()?),
                floor: reader.u64()?,
            })
        })
    }
}

/// One line of a hint: a record's head, its place, and for an envelope the first half of its id, for a chunk its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HintLine {
    pub(crate) kind: Kind,
    pub(crate) key: [u8; 16],
    pub(crate) serial: u64,
    pub(crate) expires_at: Timestamp,
    pub(crate) id: [u8; 16],
    pub(crate) place: u32,
    pub(crate) length: u32,
}

impl HintLine {
    pub(crate) fn of(head: &Head, place: u32, id: [u8; 16]) -> Self {
        Self {
            kind: head.kind,
            key: head.key,
            serial: head.serial,
            expires_at: head.expires_at,
            id,
            place,
            length: head.length,
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.kind.code());
        out.extend(self.key);
        out.extend(self.serial.to_be_bytes());
        out.extend(self.expires_at.0.to_be_bytes());
        out.extend(self.id);
        out.extend(self.place.to_be_bytes());
        out.extend(self.length.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Bytes(bytes);
        Some(Self {
            kind: Kind::from_code(reader.u8()?)?,
            key: reader.array()?,
            serial: reader.u64()?,
            expires_at: Timestamp(reader.u64()?),
            id: reader.array()?,
            place: reader.u32()?,
            length: reader.u32()?,
        })
    }
}

/// The sum over a hint's lines, as they are written.
#[derive(Clone, Debug)]
pub(crate) struct HintSum(crc32fast::Hasher);

impl HintSum {
    pub(crate) fn new(salt: Salt) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&salt.0);
        Self(hasher)
    }

    pub(crate) fn add(&mut self, lines: &[u8]) {
        self.0.update(lines);
    }

    /// What ends the hint of a segment of this length.
    pub(crate) fn end(mut self, segment_len: u32) -> Vec<u8> {
        let mut end = HINT_MAGIC.to_vec();
        end.extend(segment_len.to_be_bytes());
        self.0.update(&end);
        end.extend(self.0.finalize().to_be_bytes());
        end
    }
}

/// Reads a whole hint. Out: its lines and its segment's length; nothing if anything about it is wrong.
pub(crate) fn read_hint(bytes: &[u8], salt: Salt) -> Option<(Vec<HintLine>, u32)> {
    let (lines, end) = bytes.split_at_checked(bytes.len().checked_sub(HINT_END)?)?;
    let segment_len = Bytes(end.get(HINT_MAGIC.len()..)?).u32()?;
    let mut sum = HintSum::new(salt);
    sum.add(lines);
    if sum.end(segment_len) != end || lines.len() % HINT_LINE != 0 {
        return None;
    }
    let lines = lines.chunks_exact(HINT_LINE).map(HintLine::read);
    Some((lines.collect::<Option<_>>()?, segment_len))
}

/// How far serials have come, beyond what the segments themselves say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// All up to here were given out.
    pub(crate) floor: u64,
    /// None above here was given out.
    pub(crate) ceiling: u64,
}

impl Mark {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut copy = MARK_MAGIC.to_vec();
        copy.extend(self.floor.to_be_bytes());
        copy.extend(self.ceiling.to_be_bytes());
        copy.extend(sum(&copy).to_be_bytes());
        copy.repeat(2)
    }

    /// Either copy will do.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.chunks(MARK_COPY).take(2).find_map(|copy| {
            let mut reader = Bytes(summed(copy, MARK_COPY, MARK_MAGIC)?);
            Some(Self {
                floor: reader.u64()?,
                ceiling: reader.u64()?,
            })
        })
    }
}

/// What stands between magic and sum, if both hold.
fn summed<'a>(bytes: &'a [u8], length: usize, magic: &[u8; 8]) -> Option<&'a [u8]> {
    let (rest, found) = bytes.split_last_chunk()?;
    let holds = bytes.len() == length && u32::from_be_bytes(*found) == sum(rest);
    rest.strip_prefix(magic).filter(|_| holds)
}

/// Takes numbers off the front.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SALT: Salt = Salt([7; 8]);

    fn head(body: &[u8]) -> Head {
        Head {
            kind: Kind::Envelope,
            key: [3; 16],
            serial: 9,
            expires_at: Timestamp(77),
            length: u32::try_from(body.len()).unwrap(),
            body_sum: sum(body),
        }
    }

    #[test]
    fn a_record_is_read_back_only_where_it_stands() {
        let mut bytes = Vec::new();
        head(b"body").write(b"body", SALT, 64, &mut bytes);
        assert_eq!(bytes.len(), HEAD + 4);
        let read = Head::read(&bytes, SALT, 64).unwrap();
        assert_eq!(read, head(b"body"));
        assert!(read.fits(&bytes[HEAD..]) && !read.fits(b"bode") && !read.fits(b"bod"));
        assert_eq!(Head::read(&bytes, SALT, 65), None, "another place");
        assert_eq!(Head::read(&bytes, Salt([8; 8]), 64), None, "another segment");
    }

    #[test]
    fn every_flipped_bit_of_a_record_is_found() {
        let mut bytes = Vec::new();
        head(b"body").write(b"body", SALT, 64, &mut bytes);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let holds = Head::read(&flipped, SALT, 64).is_some_and(|head| head.fits(&flipped[HEAD..]));
            assert!(!holds, "bit {bit}");
        }
    }

    #[test]
    fn one_copy_of_a_segments_head_and_of_the_mark_is_enough() {
        let segment = SegmentHead {
            number: 3,
            salt: SALT,
            floor: 12,
        };
        let mark = Mark { floor: 1, ceiling: 2 };
        for n in 0..SEGMENT_HEAD {
            let mut bytes = segment.to_bytes();
            bytes[n] ^= 1;
            assert_eq!(SegmentHead::from_bytes(&bytes), Some(segment));
        }
        for n in 0..2 * MARK_COPY {
            let mut bytes = mark.to_bytes();
            bytes[n] ^= 1;
            assert_eq!(Mark::from_bytes(&bytes), Some(mark));
        }
    }

    #[test]
    fn a_hint_with_any_flipped_bit_is_none() {
        let line = HintLine::of(&head(b"body"), 64, [5; 16]);
        let mut bytes = Vec::new();
        line.write(&mut bytes);
        assert_eq!(bytes.len(), HINT_LINE);
        let mut sum = HintSum::new(SALT);
        sum.add(&bytes);
        bytes.extend(sum.end(500));
        assert_eq!(read_hint(&bytes, SALT), Some((vec![line], 500)));
        assert_eq!(read_hint(&bytes, Salt([8; 8])), None, "another segment's");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_hint(&flipped, SALT), None, "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Head::read(&bytes, SALT, 64);
            let _ = SegmentHead::from_bytes(&bytes);
            let _ = Mark::from_bytes(&bytes);
            let _ = read_hint(&bytes, SALT);
        }
    }
}
