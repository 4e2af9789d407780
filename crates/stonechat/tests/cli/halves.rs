//! `docs/two-halves.md`: exactly the commands that stand there, but for the ports.

use std::path::Path;
use std::process::Command;

use crate::harness::{PROGRAM, free_port};

/// All commands of the page, in order.
fn commands() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/two-halves.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap()).collect()
}

/// What one of them sees at the end: members, then messages.
fn seen<'a>(out: &'a str, who: &str) -> &'a str {
    let from = out.split(&format!("{who} sees:\n")).nth(1).unwrap();
    from.split(" sees:").next().unwrap()
}

#[test]
fn the_page_about_two_halves_works_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let script = commands()
        .replace("7501", &free_port().to_string())
        .replace("7502", &free_port().to_string());
    // Whatever fails, nothing goes on running.
    let script = format!("set -eu\ntrap 'kill $(cat *.pid) 2>/dev/null || true' EXIT\n{script}");
    let programs = Path::new(PROGRAM).parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(folder.path()).env("PATH", path);
    for name in ["STONECHAT_HOME", "STONECHAT_RELAY", "STONECHAT_PORT", "STONECHAT_NAME"] {
        bash.env_remove(name);
    }
    let done = bash.output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    println!("{out}\n{err}");
    assert!(done.status.success());
    for who in ["ana", "bo", "ed", "flo"] {
        let seen = seen(&out, who);
        for member in ["ana", "bo", "ed", "flo"] {
            assert!(seen.contains(member), "{who} does not list {member}");
        }
        assert!(
            !seen.contains("cy") && !seen.contains("di"),
            "{who} lists somebody who was removed"
        );
    }
    for who in ["ana", "bo"] {
        let seen = seen(&out, who);
        assert!(
            seen.contains("half one") && seen.contains("half two"),
            "{who} lacks a text"
        );
    }
    assert!(seen(&out, "ed").contains("half one"));
    assert!(seen(&out, "flo").contains("half two"));
}
