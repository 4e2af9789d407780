//! Opens an address in the person's browser, where there is a desktop.

use std::process::{Command, Stdio};

/// Tries; whoever has no desktop has the printed address.
pub(crate) fn open(url: &str) {
    let shown = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if shown("DISPLAY") || shown("WAYLAND_DISPLAY") {
        let quiet = |command: &mut Command| {
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
        };
        // The child is left to itself: it ends when the browser has the address.
        drop(quiet(Command::new("xdg-open").arg(url)));
    }
}
