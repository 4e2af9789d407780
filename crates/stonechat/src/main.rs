//! The `stonechat` command: messenger and relay in one binary.
//!
//! In: a command line. Out: results on standard output, one line on standard error when it was not done, an exit code.
//! What a messenger does is in the daemon and core; here are only words, waiting and processes.

mod grammar;

mod commands;
mod near;
mod relay;
mod serve;
mod supervise;

mod client;
mod desktop;
mod failure;
mod show;

use std::alloc::System;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;
use stonechat_daemon::config::Wishes;
use stonechat_daemon::rpc::Secret;
use stonechat_relay::forgetful::wipe_stack;
use zeroizing_alloc::ZeroAlloc;

use crate::client::Place;
use crate::failure::CommandError;
use crate::grammar::{Line, RelayVerb, Verb};

/// Freed memory is memory too, and whoever seizes a machine that runs reads it: it is wiped when it is freed (RLY-48).
#[global_allocator]
static MEMORY: ZeroAlloc<System> = ZeroAlloc(System);

/// Version and commit.
pub(crate) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("STONECHAT_COMMIT"), ")");

fn main() -> ExitCode {
    quiet_panics();
    let line = Line::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_park(wipe_stack)
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(run(line));
            // A thread that waits for a name server must not hold the prompt back.
            runtime.shutdown_timeout(std::time::Duration::from_millis(200));
            result
        }
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // As a program ends that the signal for it ends.
        Err(error @ CommandError::Unheard) => ExitCode::from(error.exit_code()),
        Err(error) => {
            show::note(&error.to_string().replace('\n', " "));
            ExitCode::from(error.exit_code())
        }
    }
}

/// A panic's message may hold anything; its place is enough to find it.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a part of the program gave up");
        show::note(&format!("a part of the program gave up at {place}"));
    }));
}

async fn run(line: Line) -> Result<(), CommandError> {
    let dir = line.home.unwrap_or_else(stonechat_daemon::home::default_dir);
    if let Verb::Relay(relay) = line.verb {
        let relay = *relay;
        return relay::command(relay.verb.unwrap_or(RelayVerb::Run(relay.run)), &dir).await;
    }
    let passphrase_file = passphrase_file(&dir, line.passphrase_file)?;
    let passphrase = passphrase_file.as_deref().map(read_passphrase).transpose()?;
    let place = Place { dir, passphrase };
    match line.verb {
        Verb::Serve(serve) => serve::run(serve, &place).await,
        Verb::Run(run) => supervise::run(run, &place.dir, passphrase_file.as_deref()).await,
        Verb::Demo(demo) => supervise::demo(&demo, &place.dir).await,
        verb => commands::run(verb, &place).await,
    }
}

/// Flag, else environment, else the home's settings.
fn passphrase_file(dir: &Path, flag: Option<PathBuf>) -> Result<Option<PathBuf>, CommandError> {
    let flags = Wishes {
        passphrase_file: flag,
        ..Wishes::default()
    };
    Ok(client::settle(dir, flags)?.passphrase_file)
}

/// Reads a small text file that a flag names.
pub(crate) fn read_file(path: &Path) -> Result<String, CommandError> {
    std::fs::read_to_string(path).map_err(|error| CommandError::File(path.display().to_string(), error))
}

/// The first line of the file. An empty one protects nothing, and is refused.
fn read_passphrase(path: &Path) -> Result<Secret, CommandError> {
    let text = read_file(path)?;
    let secret = text.lines().next().unwrap_or_default().to_owned();
    drop(Secret::new(text));
    if secret.is_empty() {
        return Err(CommandError::NoPassphrase(path.display().to_string()));
    }
    Ok(Secret::new(secret))
}
