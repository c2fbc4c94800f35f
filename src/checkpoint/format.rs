//! The checkpoint file, byte by byte: the preface and the head of a block.
//!
//! ```text
//! the file       offset  bytes
//!                0       7      "harvest"
//!                7       1      format version: 1
//!                8       8      salt: random, drawn when the file is made
//!                16      …      block 0 (the header), block 1, block 2 … up to the end of the file
//!
//! a block        0       4      length of the payload in bytes, u32 LE
//!                4       1      kind: 0 header · 1 commit · 2 opened · 3 rewriting commit
//!                5       4      head check, u32 LE: the low half of
//!                               XXH3-64(block's offset in the file u64 LE ‖ length ‖ kind; seed = salt)
//!                9       8      checksum, u64 LE:
//!                               XXH3-64(length ‖ kind ‖ payload; seed = the block before's checksum)
//!                17      …      payload
//!
//! header         JSON: {"created", "harvest", "base", "shape", "generation"}; the seed of its checksum is
//!                XXH3-64(preface). "generation": random, which update the output came from; 0 before the first
//! commit         see commit.rs
//! opened         when, Unix ms u64 LE: a run writes again after a closing commit
//! rewriting      like commit, but the failures file begins anew: its ranges cover all of it, the failures by
//!                reason are totals. The new file is durable before the block, under the draft's name, and gets
//!                its own name after it; whoever finds the block last in the journal finishes that.
//! ```
//!
//! The file gets its name only when the preface, the header and the `base`
//! commit blocks after it are durable; so in these any fault is damage. The
//! others are appended one by one, each made durable before the next is begun,
//! so only the last block may be torn. The reader tells a torn block (ignored,
//! cut off at the next open) from a damaged one (refused) like this:
//!
//! * the head fits and the block ends beyond the file, or it ends with the file
//!   and the checksum does not fit: torn;
//! * the head fits, the checksum does not, and bytes follow: damaged, for bytes
//!   follow only after a block was durable;
//! * the head does not fit, or there is less than a head: the block's length is
//!   unknown, so look for the block that would follow. Since the head check is
//!   made of the salt and the offset, a head that fits somewhere after it is a
//!   real block: damaged. If there is none, nothing was acknowledged after
//!   this block: torn (a tail of zeros after a power loss is of this kind).
//!
//! A durable last block that lost a bit is thus taken for torn: its items are
//! fetched again and the outputs cut to the block before, still exactly once.
//! The chain of seeds betrays a block that was removed, swapped, or brought
//! from another file.
//!
//! Owns these bytes. Must never read or write a file.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

/// The first bytes of every checkpoint.
pub(super) const MAGIC: [u8; 7] = *b"harvest";
/// The version that this program reads and writes.
pub(super) const VERSION: u8 = 1;
/// Bytes before block 0.
pub(super) const PREFACE: usize = 16;
/// Bytes of a block before its payload.
pub(super) const HEAD: usize = 17;

/// The kinds of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum BlockKind {
    /// What the file is about. Only block 0.
    Header = 0,
    /// Work that became durable.
    Commit = 1,
    /// A run writes again after a closing commit.
    Opened = 2,
    /// Work that became durable together with a new failures file.
    Rewriting = 3,
}

impl BlockKind {
    fn from_byte(byte: u8) -> Option<BlockKind> {
        [
            BlockKind::Header,
            BlockKind::Commit,
            BlockKind::Opened,
            BlockKind::Rewriting,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}

/// A head whose check fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of the payload.
    pub(super) length: u32,
    pub(super) kind: BlockKind,
    /// What the block's checksum should be.
    pub(super) checksum: u64,
}

/// Block 0's payload, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Header {
    /// RFC 3339.
    pub(super) created: String,
    /// The version of the program, for people.
    pub(super) harvest: String,
    /// Commit blocks that were durable before the file got its name.
    pub(super) base: u64,
    /// Name and value.
    pub(super) shape: Vec<(String, String)>,
    /// Which update the output came from; 0 before the first.
    pub(super) generation: u64,
}

/// The preface of a file with this salt.
pub(super) fn preface(salt: u64) -> [u8; PREFACE] {
    let mut bytes = [0; PREFACE];
    bytes[..7].copy_from_slice(&MAGIC);
    bytes[7] = VERSION;
    bytes[8..].copy_from_slice(&salt.to_le_bytes());
    bytes
}

/// The seed of block 0.
pub(super) fn first_seed(preface: &[u8; PREFACE]) -> u64 {
    xxh3_64(preface)
}

/// Head and payload of a block at `offset`, and its checksum: the next block's seed.
/// `None` when the payload is longer than a block can be.
pub(super) fn block(
    kind: BlockKind,
    payload: &[u8],
    offset: u64,
    salt: u64,
    seed: u64,
) -> Option<(Vec<u8>, u64)> {
    let length = u32::try_from(payload.len()).ok()?;
    let checksum = checksum(kind, payload, seed);
    let mut bytes = Vec::with_capacity(HEAD + payload.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.push(kind as u8);
    bytes.extend_from_slice(&head_check(length, kind as u8, offset, salt));
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(payload);
    Some((bytes, checksum))
}

/// The head in these bytes, when it is one for this offset of this file.
pub(super) fn head(bytes: &[u8; HEAD], offset: u64, salt: u64) -> Option<Head> {
    let [l0, l1, l2, l3, kind, c0, c1, c2, c3, sum @ ..] = *bytes;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    let known = BlockKind::from_byte(kind)?;
    (head_check(length, kind, offset, salt) == [c0, c1, c2, c3]).then(|| Head {
        length,
        kind: known,
        checksum: u64::from_le_bytes(sum),
    })
}

/// The checksum of a block after one with the checksum `seed`.
pub(super) fn checksum(kind: BlockKind, payload: &[u8], seed: u64) -> u64 {
    let mut hasher = Xxh3::with_seed(seed);
    hasher.update(
        &u32::try_from(payload.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    hasher.update(&[kind as u8]);
    hasher.update(payload);
    hasher.digest()
}

fn head_check(length: u32, kind: u8, offset: u64, salt: u64) -> [u8; 4] {
    let mut bytes = [0; 13];
    bytes[..8].copy_from_slice(&offset.to_le_bytes());
    bytes[8..12].copy_from_slice(&length.to_le_bytes());
    bytes[12] = kind;
    (xxh3_64_with_seed(&bytes, salt) as u32).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_fits_only_at_its_offset_in_its_file() {
        let (bytes, sum) = block(BlockKind::Commit, b"payload", 40, 7, 9).unwrap();
        let first: [u8; HEAD] = bytes[..HEAD].try_into().unwrap();
        assert_eq!(
            head(&first, 40, 7),
            Some(Head {
                length: 7,
                kind: BlockKind::Commit,
                checksum: sum
            })
        );
        assert_eq!(sum, checksum(BlockKind::Commit, b"payload", 9));
        assert_ne!(sum, checksum(BlockKind::Commit, b"payload", 10));
        assert_eq!(head(&first, 41, 7), None);
        assert_eq!(head(&first, 40, 8), None);
        for bit in 0..72 {
            let mut flipped = first;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(head(&flipped, 40, 7), None);
        }
    }
}
