//! Whether a file still has the bytes that were committed.
//!
//! Owns the comparison of an output with the checkpoint's CRC-32 of each range
//! ("Exactly once": an edited output is refused). Must never change the file.

use super::commit::Range;
use super::error::CheckpointError;
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Bytes of a file that are compared at most, but for whole ranges: 1 GiB.
const MOST: u64 = 1 << 30;
/// Of these, how many from the start: 64 MiB.
const FIRST: u64 = 64 << 20;

/// Compares the file's bytes with the ranges, which cover it from the byte `begin` on:
/// all when they are at most 1 GiB, else the first 64 MiB and the newest ranges.
///
/// # Errors
/// [`CheckpointError::Changed`] with the range; [`CheckpointError::Io`].
pub(crate) fn verify(path: &Path, begin: u64, ranges: &[Range]) -> Result<(), CheckpointError> {
    verify_at_most(path, begin, ranges, MOST, FIRST)
}

fn verify_at_most(
    path: &Path,
    begin: u64,
    ranges: &[Range],
    most: u64,
    first: u64,
) -> Result<(), CheckpointError> {
    let io = |cause| CheckpointError::io(path, "read what was committed")(cause);
    let total: u64 = ranges.iter().map(|range| range.length).sum();
    if total == 0 {
        return Ok(());
    }
    let newest = match total <= most {
        true => begin,
        false => begin + total - most.saturating_sub(first),
    };
    let mut file = BufReader::with_capacity(1 << 18, File::open(path).map_err(io)?);
    let mut from = begin;
    for range in ranges {
        let to = from + range.length;
        let skipped = from >= begin + first && to <= newest;
        if !skipped && crc(&mut file, from, range.length).map_err(io)? != Some(range.crc) {
            return Err(CheckpointError::Changed {
                path: path.to_path_buf(),
                from,
                to,
            });
        }
        from = to;
    }
    Ok(())
}

/// The CRC-32 of a range; `None` when the file ends before it does.
fn crc(file: &mut BufReader<File>, from: u64, length: u64) -> io::Result<Option<u32>> {
    if file.stream_position()? != from {
        file.seek(SeekFrom::Start(from))?;
    }
    let mut hasher = crc32fast::Hasher::new();
    let mut left = length;
    let mut buffer = [0; 1 << 16];
    while left > 0 {
        match file.by_ref().take(left).read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(read) => {
                hasher.update(buffer.get(..read).unwrap_or(&buffer));
                left -= read as u64;
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(Some(hasher.finalize()))
}

/// The modification time in Unix ns; 0 when the file system has none, or it does not fit.
pub(crate) fn mtime_ns(metadata: &Metadata) -> i64 {
    let since = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_found_in_the_ranges_that_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let bytes: Vec<u8> = (0..100).collect();
        let ranges: Vec<Range> = bytes
            .chunks(10)
            .map(|chunk| Range {
                length: 10,
                crc: crc32fast::hash(chunk),
            })
            .collect();
        for changed in 0..100 {
            let mut edited = bytes.clone();
            edited[changed] ^= 1;
            std::fs::write(&path, &edited).unwrap();
            let error = verify_at_most(&path, 0, &ranges, 100, 10).unwrap_err();
            assert!(matches!(error, CheckpointError::Changed { from, to, .. }
                    if from == changed as u64 / 10 * 10 && to == from + 10));
            // 30 bytes at most: the first 10 and the newest 20.
            let looked_at = !(10..80).contains(&changed);
            assert_eq!(
                verify_at_most(&path, 0, &ranges, 30, 10).is_err(),
                looked_at,
                "{changed}"
            );
            // Of the last 60 bytes: the first 10 of them, and the newest 20.
            let looked_at = (40..50).contains(&changed) || changed >= 80;
            assert_eq!(
                verify_at_most(&path, 40, &ranges[4..], 30, 10).is_err(),
                looked_at,
                "{changed}"
            );
        }
        std::fs::write(&path, &bytes).unwrap();
        verify(&path, 0, &ranges).unwrap();
        std::fs::write(&path, &bytes[..99]).unwrap();
        assert!(verify(&path, 0, &ranges).is_err());
    }
}
