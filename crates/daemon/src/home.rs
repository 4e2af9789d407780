//! The home folder: one home = one account = one daemon.
//!
//! In: a folder. Out: the folder claimed for this process (a lock file that the system releases with it), and the
//! names of everything inside. What the files hold is their owners' job.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// What was said of lending the connection.
const LEND: &str = "lend";

/// A home folder that this process alone has.
#[derive(Debug)]
pub struct Home {
    dir: PathBuf,
    /// Held open: closing it gives the home back.
    _lock: File,
}

/// Why a home could not be claimed.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Another process has it: wait, or talk to that process over its socket.
    #[error("profile in use")]
    InUse,
    /// The folder cannot be made or written.
    #[error("the home folder cannot be used: {0}")]
    Io(#[from] io::Error),
}

impl Home {
    /// Makes the folder where it is missing (only its owner may enter) and takes its lock.
    ///
    /// Errors: [`HomeError::InUse`] while another process holds it.
    pub fn claim(dir: &Path) -> Result<Self, HomeError> {
        make_private_dir(dir)?;
        let lock = private_file()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                dir: dir.to_path_buf(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(HomeError::InUse),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The two log files' folder.
    pub fn log_dir(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Where the launch token lies for `open` and other own programs (0600).
    pub fn launch_file(&self) -> PathBuf {
        self.dir.join("launch")
    }

    /// Hashes of the browser sessions that are open (0600).
    pub fn sessions_file(&self) -> PathBuf {
        self.dir.join("sessions")
    }

    /// Whether the device lends its connection, where that was said.
    pub fn lends(&self) -> Option<bool> {
        match fs::read_to_string(self.dir.join(LEND)).ok()?.trim() {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        }
    }

    /// Keeps what was said of it.
    ///
    /// Errors: the file cannot be written.
    pub fn keep_lending(&self, on: bool) -> io::Result<()> {
        write_private(&self.dir.join(LEND), if on { b"on" } else { b"off" })
    }

    /// The number that tells this profile's cookie from another's: 16 hex digits, made once.
    ///
    /// Errors: the file cannot be read or written.
    pub fn profile_id(&self) -> io::Result<String> {
        let file = self.dir.join("profile");
        match fs::read_to_string(&file) {
            Ok(id) if is_profile_id(id.trim()) => Ok(id.trim().to_owned()),
            Ok(_) => self.new_profile_id(&file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.new_profile_id(&file),
            Err(error) => Err(error),
        }
    }

    fn new_profile_id(&self, file: &Path) -> io::Result<String> {
        let id = hex::encode(crate::random::bytes::<8>());
        write_private(file, id.as_bytes())?;
        Ok(id)
    }

    /// Deletes everything inside except what the running process holds: its lock and its socket.
    ///
    /// Errors: the first file that stays; the rest is still tried.
    pub fn empty(&self) -> io::Result<()> {
        let mut result = Ok(());
        for entry in fs::read_dir(&self.dir)?.flatten() {
            if entry.file_name() == "lock" || entry.file_name() == "socket" {
                continue;
            }
            let path = entry.path();
            let removed = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            result = result.and(removed);
        }
        result
    }
}

/// Where the UNIX socket of a home's daemon is.
pub fn socket_path(dir: &Path) -> PathBuf {
    dir.join("socket")
}

/// The home used when none is given: `$XDG_DATA_HOME/stonechat`, else `~/.local/share/stonechat`.
pub fn default_dir() -> PathBuf {
    let data = std::env::var_os("XDG_DATA_HOME")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| ".".into())).join(".local/share");
    data.unwrap_or_else(home).join("stonechat")
}

/// Makes a folder (and those above it) that only its owner may enter.
///
/// Errors: the folder cannot be made.
pub fn make_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Options for a file that only its owner may read, where the system knows such a thing.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Writes a file that only its owner may read, through a new file beside it, so that it is whole or absent.
///
/// Errors: the file cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let draft = path.with_extension("new");
    let mut file = private_file().create(true).truncate(true).write(true).open(&draft)?;
    file.write_all(bytes)?;
    fs::rename(&draft, path)
}

fn is_profile_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_claimed_by_one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = Home::claim(dir.path()).unwrap();
        assert!(matches!(Home::claim(dir.path()), Err(HomeError::InUse)));
        drop(first);
        Home::claim(dir.path()).unwrap();
    }

    #[test]
    fn the_profile_id_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::claim(dir.path()).unwrap();
        let id = home.profile_id().unwrap();
        assert!(is_profile_id(&id));
        assert_eq!(home.profile_id().unwrap(), id);
    }

    #[cfg(unix)]
    #[test]
    fn private_files_and_folders_are_closed_to_others() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let home = Home::claim(&dir.path().join("a")).unwrap();
        write_private(&home.launch_file(), b"x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(home.dir()), 0o700);
        assert_eq!(mode(&home.launch_file()), 0o600);
    }

    #[test]
    fn an_emptied_home_keeps_only_what_the_process_holds() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::claim(dir.path()).unwrap();
        write_private(&home.launch_file(), b"x").unwrap();
        make_private_dir(&home.log_dir()).unwrap();
        home.empty().unwrap();
        let left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .flatten()
            .map(|e| e.file_name())
            .collect();
        assert_eq!(left, ["lock"]);
    }
}
