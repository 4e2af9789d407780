//! The few file operations that the store needs, each durable when it returns.
//!
//! In: paths and bytes. Out: files that are whole or absent after a crash, readable by their owner only.
//! Folders are the daemon's job.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Makes an empty file that only its owner may read. Errors: it exists, or the system's.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Puts `bytes` into `path` so that a crash leaves the old file or the new one, never a piece of either.
///
/// What the old file held is overwritten in place afterwards (a key that has been wrapped must not stay readable).
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let half = path.with_extension("new");
    remove_if_there(&half)?;
    let mut file = create_private(&half)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written {
        let _cleanup_only = remove_if_there(&half);
        return Err(error);
    }
    let old = OpenOptions::new().write(true).open(path).ok();
    rename_durably(&half, path)?;
    old.map_or(Ok(()), overwrite)
}

/// Overwrites a file, then removes it. Errors: the system's; a missing file is none.
pub(crate) fn destroy(path: &Path) -> io::Result<()> {
    let overwritten = match OpenOptions::new().write(true).open(path) {
        Ok(file) => overwrite(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
    };
    fs::remove_file(path)?;
    path.parent().map_or(Ok(()), sync_dir)?;
    overwritten
}

/// Zeros in place of all bytes, on the disk when this returns.
fn overwrite(mut file: File) -> io::Result<()> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(0))?;
    io::copy(&mut io::repeat(0).take(length), &mut file)?;
    file.sync_all()
}

/// Gives a file its name for good.
pub(crate) fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    to.parent().map_or(Ok(()), sync_dir)
}

/// Copies a file; the copy is on the disk when this returns.
pub(crate) fn copy_durably(from: &Path, to: &Path) -> io::Result<()> {
    remove_if_there(to)?;
    let mut copy = create_private(to)?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    copy.sync_all()?;
    to.parent().map_or(Ok(()), sync_dir)
}

/// Removes a file; a missing one is no error.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A whole small file. Errors: the system's; `InvalidData` when it is longer than `size_bytes_max`.
pub(crate) fn read_small(path: &Path, size_bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(size_bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > size_bytes_max {
        Err(io::ErrorKind::InvalidData.into())
    } else {
        Ok(bytes)
    }
}

/// The first bytes of a file, fewer when it is shorter.
pub(crate) fn head(path: &Path, size_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(size_bytes);
    File::open(path)?.take(size_bytes as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Names of the files in a folder, as far as they are text.
pub(crate) fn names(dir: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().into_string()));
    Ok(names
        .collect::<io::Result<Vec<Result<String, OsString>>>>()?
        .into_iter()
        .flatten()
        .collect())
}

/// Makes renames and removals in a folder durable.
#[cfg(unix)]
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Folders cannot be synced here; the system's journal orders their changes.
#[cfg(not(unix))]
pub(crate) fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}

/// Whether there was no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
