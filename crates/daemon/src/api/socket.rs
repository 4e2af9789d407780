//! The UNIX socket in the home folder: for the command line and for bots of the same user.
//!
//! In: connections. Out: one conversation each, one JSON text a line. Only the owner may connect: the socket is 0600,
//! its folder 0700, and the peer's user id is compared.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::converse::{Caller, converse_lines};
use crate::Daemon;
use crate::home::socket_path;

/// So many connections at once.
const CONNECTIONS_MAX: usize = 64;

/// Opens the socket of a home and serves it until the task is dropped.
///
/// Errors: the socket cannot be made.
pub fn listen(daemon: &Arc<Daemon>) -> io::Result<impl Future<Output = ()> + use<>> {
    let path = socket_path(daemon.home().dir());
    // The home is ours (locked), so whatever lies there is left over.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (short, _dir) = short_path(&path)?;
    let listener = UnixListener::bind(short)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let owner = std::fs::metadata(&path)?.uid();
    Ok(serve(Arc::clone(daemon), listener, owner))
}

async fn serve(daemon: Arc<Daemon>, listener: UnixListener, owner: u32) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file handles: try again when some may be free.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        if !is_owner(&stream, owner) {
            continue;
        }
        let daemon = Arc::clone(&daemon);
        tokio::spawn(async move {
            converse_lines(daemon, Caller::Program, stream).await;
            drop(permit);
        });
    }
}

fn is_owner(stream: &UnixStream, owner: u32) -> bool {
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == owner || peer.uid() == 0)
}

/// Connects to the daemon of a home.
///
/// Errors: no daemon runs there, or it is not ours.
pub async fn connect(dir: &Path) -> io::Result<UnixStream> {
    let (short, _dir) = short_path(&socket_path(dir))?;
    UnixStream::connect(short).await
}

/// A name of the socket that fits into the system's 108 bytes; the handle keeps it valid.
fn short_path(path: &Path) -> io::Result<(PathBuf, Option<std::fs::File>)> {
    if path.as_os_str().len() < 100 {
        return Ok((path.to_path_buf(), None));
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let handle = std::fs::File::open(dir)?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&handle);
    Ok((
        Path::new("/proc/self/fd").join(number.to_string()).join(name),
        Some(handle),
    ))
}
