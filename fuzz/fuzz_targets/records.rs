#![no_main]
//! The relay's segment log: records, segment heads, hints and the mark. Sums are put right first, so that the bytes
//! behind them are reached; what is read must be written as the same bytes again.

#[path = "../../crates/relay/src/store/log/record.rs"]
#[expect(dead_code, reason = "the log uses more of it")]
mod record;

use record::{HEAD, HINT_END, HINT_LINE, Head, HintSum, Mark, Salt, SegmentHead, read_hint};

const SALT: Salt = Salt([7; 8]);

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    match choice % 4 {
        0 => head(bytes),
        1 => hint(bytes),
        2 => {
            let bytes = with_sum(b"STONESG1", bytes, 32);
            if let Some(head) = SegmentHead::from_bytes(&bytes) {
                assert_eq!(head.to_bytes(), bytes.repeat(2));
            }
        }
        _ => {
            let bytes = with_sum(b"STONEMK1", bytes, 28);
            if let Some(mark) = Mark::from_bytes(&bytes) {
                assert_eq!(mark.to_bytes(), bytes.repeat(2));
            }
        }
    }
});

fn head(bytes: &[u8]) {
    let _ = Head::read(bytes, SALT, 64);
    let mut record = vec![0; 4];
    record.extend(bytes);
    let Some(rest) = record.get(4..HEAD) else { return };
    let covered = [&SALT.0[..], &64_u32.to_be_bytes(), rest].concat();
    let sum = crc32fast::hash(&covered).to_be_bytes();
    record[..4].copy_from_slice(&sum);
    if let Some(head) = Head::read(&record, SALT, 64) {
        let mut again = Vec::new();
        head.write(&[], SALT, 64, &mut again);
        assert_eq!(again, record[..HEAD]);
        let _ = head.fits(&record[HEAD..]);
    }
}

fn hint(bytes: &[u8]) {
    let _ = read_hint(bytes, SALT);
    let lines = &bytes[..bytes.len() / HINT_LINE * HINT_LINE];
    let mut sum = HintSum::new(SALT);
    sum.add(lines);
    let whole = [lines, &sum.end(500)].concat();
    if let Some((read, length)) = read_hint(&whole, SALT) {
        assert_eq!((read.len(), length), (lines.len() / HINT_LINE, 500));
        let mut again = Vec::new();
        read.iter().for_each(|line| line.write(&mut again));
        assert_eq!(again, whole[..whole.len() - HINT_END]);
    }
}

fn with_sum(magic: &[u8], bytes: &[u8], length: usize) -> Vec<u8> {
    let mut copy = magic.to_vec();
    copy.extend(bytes);
    copy.resize(length - 4, 0);
    copy.extend(crc32fast::hash(&copy).to_be_bytes());
    copy
}
