//! Blobs through real connections: put by ranges, cut off, gone on with, got by ranges.

use stonechat_wire::blob::{CHUNK_BYTES, ChunkList, ChunkSet, DeletionToken};
use stonechat_wire::frame::blobs::{BlobAsk, BlobTell, Range};

use super::*;

const CHUNKS: usize = 40;

fn file() -> Vec<u8> {
    (0..CHUNKS * CHUNK_BYTES - 7).map(|at| (at / 251 % 256) as u8).collect()
}

async fn greeted(house: &House) -> Peer {
    let mut peer = Peer::open(house).await;
    peer.hello(house.relay.route.secret).await;
    peer
}

async fn ask(peer: &mut Peer, ask: BlobAsk) -> BlobTell {
    peer.send(ToRelay::Blob(ask)).await;
    match peer.receive().await {
        Some(FromRelay::Blob(tell)) => tell,
        other => panic!("{other:?}"),
    }
}

async fn begin(peer: &mut Peer, list: &ChunkList) -> ChunkSet {
    let begin = BlobAsk::Begin {
        request: 1,
        ttl_s: 30 * 24 * 3600,
        deletion: DeletionToken::from_bytes([3; 32]).hash(),
        list: list.clone(),
    };
    has(ask(peer, begin).await)
}

fn has(tell: BlobTell) -> ChunkSet {
    match tell {
        BlobTell::Has { set, .. } => set,
        other => panic!("{other:?}"),
    }
}

fn put(file: &[u8], list: &ChunkList, first: u16) -> BlobAsk {
    let from = usize::from(first) * CHUNK_BYTES;
    let bytes = file[from..file.len().min(from + 2 * CHUNK_BYTES)].to_vec();
    BlobAsk::Put {
        request: 2,
        id: list.id(),
        range: Range { first, bytes },
    }
}

#[tokio::test]
async fn a_blob_goes_on_where_it_was_cut_off_blb_2() {
    let mut house = House::new().await;
    let (file, list) = (file(), ChunkList::of(&file()).unwrap());
    let mut peer = greeted(&house).await;
    assert_eq!(begin(&mut peer, &list).await.missing().count(), CHUNKS);
    for first in [0, 2, 20, 22] {
        has(ask(&mut peer, put(&file, &list, first)).await);
    }
    // These are on their way when the connection goes, and then the relay.
    for first in (4..20).step_by(2) {
        peer.send(ToRelay::Blob(put(&file, &list, first))).await;
    }
    drop(peer);
    house.restart().await;
    let mut peer = greeted(&house).await;
    let mut set = begin(&mut peer, &list).await;
    assert!(
        [0, 1, 2, 3, 20, 21, 22, 23].iter().all(|index| set.has(*index)),
        "what was told is there"
    );
    assert!(!set.has(24));
    let mut next = set.missing().next();
    while let Some(first) = next {
        set = has(ask(&mut peer, put(&file, &list, first)).await);
        next = set.missing().next();
    }

    house.restart().await;
    let mut other = greeted(&house).await;
    let id = list.id();
    let BlobTell::List { list: found, set, .. } = ask(&mut other, BlobAsk::List { request: 3, id }).await else {
        panic!("no list");
    };
    assert!(found.id() == id && set.is_whole());
    let mut got = Vec::new();
    while got.len() < file.len() {
        let first = u16::try_from(got.len() / CHUNK_BYTES).unwrap();
        let get = BlobAsk::Get {
            request: 4,
            id,
            first,
            count: 3,
        };
        let BlobTell::Range { range, .. } = ask(&mut other, get).await else {
            panic!("no range");
        };
        assert!(found.chunks(first, &range.bytes).is_some(), "each by itself");
        got.extend(range.bytes);
    }
    assert!(got == file);

    let token = DeletionToken::from_bytes([3; 32]);
    let gone = ask(&mut other, BlobAsk::Drop { request: 5, id, token }).await;
    assert_eq!(gone, BlobTell::Gone { request: 5 });
    other.send(ToRelay::Blob(BlobAsk::List { request: 6, id })).await;
    let refused = FromRelay::Refused {
        request: 6,
        why: Refusal::NotHere,
    };
    assert_eq!(other.receive().await, Some(refused));
}
