//! The ratchet tree of an epoch, in pieces that epochs of one group share.
//!
//! In: the packed row of a tree. Out: a list of its pieces' numbers, which stands in its place, and the row again. A commit
//! changes a few nodes; the pieces of all others are there already. Only trees are cut, and every member has the tree:
//! a piece holds nothing that its keeper alone knows. Specified in `docs/protocol/07-conversation.md` (MLS-11).
//! Invariant: a piece is there as long as some tree of the group names it, and no longer. Nothing is counted: what goes
//! with a tree is looked for in all others.

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

use super::pack;

/// A byte string so long is a node's public key: behind it a piece ends.
const KEY_BYTES_MIN: usize = 1_000;
/// A piece ends after so many bytes, whatever stands there.
const PIECE_BYTES: usize = 4_096;

/// Keeps the pieces of a tree that are not there yet. Out: what stands in its place.
pub(super) fn keep(db: &Connection, group: &[u8], tree: &[u8]) -> rusqlite::Result<Vec<u8>> {
    let mut known = db.prepare_cached("SELECT id FROM tree_piece WHERE group_id = ? AND hash = ?")?;
    let mut new = db.prepare_cached("INSERT INTO tree_piece(group_id, hash, bytes) VALUES (?, ?, ?) RETURNING id")?;
    let mut names = vec![];
    for piece in cut(tree) {
        let hash: [u8; 32] = Sha256::digest(piece).into();
        let found: Option<u32> = known.query_row(params![group, hash], |row| row.get(0)).optional()?;
        let id = match found {
            Some(id) => id,
            None => new.query_row(params![group, hash, piece], |row| row.get(0))?,
        };
        names.extend(id.to_be_bytes());
    }
    Ok(names)
}

/// The tree again; nothing where a piece is missing.
pub(super) fn gather(db: &Connection, names: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut find = db.prepare_cached("SELECT bytes FROM tree_piece WHERE id = ?")?;
    let mut tree = vec![];
    for id in ids(names) {
        match find.query_row([id], |row| row.get::<_, Vec<u8>>(0)).optional()? {
            Some(piece) => tree.extend(piece),
            None => return Ok(None),
        }
    }
    Ok(Some(tree))
}

/// A tree is gone: deletes of its pieces those that no other tree of the group names.
pub(super) fn sweep(db: &Connection, group: &[u8], gone: &[u8], key: &[u8]) -> rusqlite::Result<()> {
    let mut gone: BTreeSet<u32> = ids(gone).collect();
    let mut others = db.prepare_cached("SELECT value FROM epoch_row WHERE group_id = ? AND key = ?")?;
    for names in others.query_map(params![group, key], |row| row.get::<_, Vec<u8>>(0))? {
        for id in ids(&names?) {
            gone.remove(&id);
        }
    }
    let mut delete = db.prepare_cached("DELETE FROM tree_piece WHERE id = ?")?;
    for id in gone {
        delete.execute([id])?;
    }
    Ok(())
}

fn ids(names: &[u8]) -> impl Iterator<Item = u32> {
    names.as_chunks::<4>().0.iter().map(|id| u32::from_be_bytes(*id))
}

/// Where nodes did not change the pieces are the same ones, whatever stands before them.
fn cut(row: &[u8]) -> Vec<&[u8]> {
    let (mut pieces, mut rest, mut at) = (vec![], row, 0);
    while let Some(ahead) = rest.get(at..).filter(|ahead| !ahead.is_empty()) {
        let (len, is_key) = item(ahead);
        at += len;
        if (is_key || at >= PIECE_BYTES)
            && let Some((piece, behind)) = rest.split_at_checked(at)
        {
            pieces.push(piece);
            (rest, at) = (behind, 0);
        }
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// How long the item is that comes next, and whether it is a key.
fn item(ahead: &[u8]) -> (usize, bool) {
    match pack::byte_string(ahead) {
        Some(len) => (len, len >= KEY_BYTES_MIN),
        None => (pack::item_len(ahead).unwrap_or(1), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(keys: &[Vec<u8>]) -> Vec<u8> {
        let mut cbor = vec![];
        ciborium::into_writer(&keys, &mut cbor).unwrap();
        pack::pack(cbor)
    }

    proptest! {
        #[test]
        fn pieces_are_the_row_whatever_it_is_mls_11(row in prop::collection::vec(any::<u8>(), 0..20_000)) {
            let pieces = cut(&row);
            prop_assert!(pieces.iter().all(|piece| !piece.is_empty()));
            prop_assert_eq!(pieces.concat(), row);
        }
    }

    #[test]
    fn a_node_that_changes_changes_its_own_pieces_only_mls_11() {
        let key = |n: u16| -> Vec<u8> { n.to_be_bytes().into_iter().cycle().take(1_216).collect() };
        let before: Vec<Vec<u8>> = (0..100).map(key).collect();
        let mut after = before.clone();
        after[50] = key(1_000);
        after[20].truncate(900); // a shorter one: all behind it moves
        let (before, after) = (packed(&before), packed(&after));
        let known: BTreeSet<&[u8]> = cut(&before).into_iter().collect();
        let new = cut(&after).into_iter().filter(|piece| !known.contains(piece)).count();
        assert_eq!((known.len(), new), (100, 2));
    }
}
