//! The few things the segment log asks of a file system, and the real one.
//!
//! In: names inside one folder, bytes, offsets. Out: the same, or the system's error. What is appended is durable
//! after [`DiskFile::sync`]; a name that was made or removed is so after [`Disk::sync_folder`]. The tests put a
//! simulated disk in its place, which loses power between any two of these calls.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// One folder of files.
pub trait Disk: fmt::Debug {
    /// An open file of it.
    type File: DiskFile;

    /// Names of all files.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file. Errors: it is there already.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file for reading and appending.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Gives a file another name, in place of what had that name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes names that came and went durable.
    fn sync_folder(&self) -> io::Result<()>;
}

/// One open file.
pub trait DiskFile: fmt::Debug {
    /// Its length, in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Fills `bytes` from `at` on. Errors: the file ends before that.
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;

    /// Writes `bytes` from `at` on; some of them may be written when it fails.
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Makes everything that was written durable.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to a length.
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

/// A folder of the real file system.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`, made if there is none, for its owner only.
    pub fn at(path: &Path) -> io::Result<Self> {
        if !path.is_dir() {
            make_folder(path)?;
            if let Some(parent) = path.parent() {
                sync_folder(parent)?;
            }
        }
        Ok(Self(path.to_owned()))
    }
}

impl Disk for Folder {
    type File = File;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            // A name that is no text is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        own_file(OpenOptions::new().read(true).write(true).create_new(true)).open(self.0.join(name))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.0.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync_folder(&self) -> io::Result<()> {
        sync_folder(&self.0)
    }
}

#[cfg(unix)]
impl DiskFile for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, bytes, at)
    }

    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, at)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}

#[cfg(not(unix))]
impl DiskFile for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = self;
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(bytes)
    }

    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        use std::io::{Seek, SeekFrom, Write};
        self.seek(SeekFrom::Start(at))?;
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}

#[cfg(unix)]
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(unix)]
pub(crate) fn own_file(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600)
}

#[cfg(not(unix))]
pub(crate) fn own_file(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(unix)]
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
