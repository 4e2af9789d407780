//! The log: two files of bounded size in `HOME/log`, and what may stand in them.
//!
//! In: lines of this project's own crates. Out: `log/stonechat.log`, and `log/stonechat.old.log` when the first is full.
//! Never contents, keys, addresses or whole ids: a test runs a conversation at the loudest level and looks for them.
//! Lines of foreign crates are left out at every level, since nobody here decides what they print.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogLevel;
use crate::home::{make_private_dir, private_file};

/// One file holds at most this much.
pub const FILE_BYTES_MAX: u64 = 1_000_000;

/// Starts logging for the whole process. A second call keeps the first.
///
/// Errors: the folder cannot be made or written.
pub fn start(dir: &Path, level: LogLevel) -> io::Result<()> {
    if level == LogLevel::Off {
        return Ok(());
    }
    let writer = LogWriter(Arc::new(Mutex::new(Rotating::open(dir, FILE_BYTES_MAX)?)));
    let subscriber = tracing_subscriber::fmt()
        .with_writer(writer)
        .with_ansi(false)
        .with_env_filter(filter(level))
        .finish();
    // Fails only when there is a subscriber already, which is then used.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

/// Ours at the level asked for; others not at all.
fn filter(level: LogLevel) -> EnvFilter {
    let word = match level {
        LogLevel::Off => "off",
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let ours = [
        "stonechat",
        "stonechat_daemon",
        "stonechat_core",
        "stonechat_transport",
        "stonechat_relay",
        "stonechat_wire",
    ];
    EnvFilter::new(ours.map(|name| format!("{name}={word}")).join(","))
}

/// A file that moves aside when it is full.
#[derive(Debug)]
struct Rotating {
    path: PathBuf,
    old: PathBuf,
    file: File,
    size: u64,
    size_max: u64,
}

impl Rotating {
    fn open(dir: &Path, size_max: u64) -> io::Result<Self> {
        make_private_dir(dir)?;
        let path = dir.join("stonechat.log");
        let file = private_file().create(true).append(true).open(&path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            old: dir.join("stonechat.old.log"),
            path,
            file,
            size,
            size_max,
        })
    }

    fn rotate(&mut self) -> io::Result<()> {
        std::fs::rename(&self.path, &self.old)?;
        self.file = private_file().create(true).append(true).open(&self.path)?;
        self.size = 0;
        Ok(())
    }
}

impl Write for Rotating {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.size > 0 && self.size.saturating_add(length) > self.size_max {
            self.rotate()?;
        }
        self.size = self.size.saturating_add(length);
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[derive(Clone, Debug)]
struct LogWriter(Arc<Mutex<Rotating>>);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full disk must not stop the messenger: the line is lost.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_two_files_of_bounded_size() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Rotating::open(dir.path(), 100).unwrap();
        for number in 0..100 {
            writeln!(log, "line {number:03}").unwrap();
        }
        let sizes: Vec<u64> = std::fs::read_dir(dir.path())
            .unwrap()
            .flatten()
            .map(|e| e.metadata().unwrap().len())
            .collect();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|size| *size <= 100));
        assert!(
            std::fs::read_to_string(dir.path().join("stonechat.log"))
                .unwrap()
                .ends_with("line 099\n")
        );
    }

    #[test]
    fn foreign_crates_do_not_speak_at_any_level() {
        let text = filter(LogLevel::Trace).to_string();
        assert!(text.split(',').all(|part| part.starts_with("stonechat")));
    }
}
