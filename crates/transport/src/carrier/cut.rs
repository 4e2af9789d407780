//! A hello in two: two TLS records, the cut inside the name, so that neither holds it.
//!
//! In: the hello as TLS says it, one record. Out: two, which say the same (RFC 8446, 5.1). Each goes out as a segment of its
//! own. Whether to cut is the courier's to say (TRK-9).

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Length of a record's head.
const HEAD: usize = 5;
/// Between the pieces: long enough for the system to send the first by itself.
const PAUSE: Duration = Duration::from_millis(10);

/// The hello in two records; nothing where it is not one record that holds the name.
fn in_two(hello: &[u8], name: &[u8]) -> Option<[Vec<u8>; 2]> {
    let (head, body) = hello.split_first_chunk::<HEAD>()?;
    let [kind, major, minor, high, low] = *head;
    let is_whole = usize::from(u16::from_be_bytes([high, low])) == body.len();
    if name.len() < 2 || !is_whole {
        return None;
    }
    let at = body.windows(name.len()).position(|part| part == name)?;
    let (first, second) = body.split_at_checked(at.saturating_add(name.len() / 2))?;
    let record = |body: &[u8]| {
        let size = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
        [[kind, major, minor].as_slice(), &size, body].concat()
    };
    Some([record(first), record(second)])
}

/// Says a hello in two pieces, or as it is where it says no name.
pub(super) async fn say(stream: &mut (impl AsyncWrite + Unpin), hello: &[u8], name: &str) -> io::Result<()> {
    let Some([first, second]) = in_two(hello, name.as_bytes()) else {
        return stream.write_all(hello).await;
    };
    stream.write_all(&first).await?;
    stream.flush().await?;
    tokio::time::sleep(PAUSE).await;
    stream.write_all(&second).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(body: &[u8]) -> Vec<u8> {
        let size = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&[0x16, 3, 1][..], &size, body].concat()
    }

    #[test]
    fn neither_piece_holds_the_name_and_both_together_say_the_same_trk_9() {
        let body = b"\x01\x00\x00\x19...\x00\x00\x0arelay.test...";
        let [first, second] = in_two(&record(body), b"relay.test").unwrap();
        assert_eq!(first, record(b"\x01\x00\x00\x19...\x00\x00\x0arelay"));
        assert_eq!(second, record(b".test..."));
    }

    #[test]
    fn what_is_no_single_record_with_the_name_stays_whole_trk_9() {
        let whole = record(b"...relay.test...");
        assert!(in_two(&whole, b"other.test").is_none());
        assert!(in_two(&whole, b"").is_none());
        assert!(in_two(&[whole.clone(), whole.clone()].concat(), b"relay.test").is_none());
        assert!(in_two(&whole[..9], b"relay.test").is_none());
        assert!(in_two(&[], b"a").is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_without_a_loss_trk_9(body in prop::collection::vec(any::<u8>(), 0..2000), at in any::<prop::sample::Index>()) {
            let at = if body.is_empty() { 0 } else { at.index(body.len()) };
            let name = &body[at..body.len().min(at + 12)];
            if let Some([first, second]) = in_two(&record(&body), name) {
                prop_assert_eq!([&first[HEAD..], &second[HEAD..]].concat(), body.clone());
                for piece in [&first, &second] {
                    prop_assert_eq!(record(&piece[HEAD..]), piece.clone());
                    prop_assert!(piece.len() > HEAD);
                }
            }
            let _ = in_two(&body, name);
        }
    }
}
