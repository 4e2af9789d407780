//! Makes a table of the interface's built files, so that the daemon is one binary.
//!
//! In: `ui/dist`, where it exists. Out: `assets.rs` in the build folder: (path, bytes) for each file, sorted.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let ui = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../ui");
    let dist = ui.join("dist");
    let mut files = Vec::new();
    if dist.is_dir() {
        collect(&dist, &mut files);
        println!("cargo::rerun-if-changed={}", dist.display());
    } else {
        // Watched without its `node_modules`, so that a first build of the interface is noticed.
        println!("cargo::rerun-if-changed={}", ui.join("dist/index.html").display());
    }
    files.sort();
    let out = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("assets.rs");
    fs::write(out, table(&dist, &files)).expect("the build folder can be written");
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("ui/dist can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files)
        } else {
            files.push(path)
        }
    }
}

fn table(dist: &Path, files: &[PathBuf]) -> String {
    let mut text = String::from("&[\n");
    for file in files {
        let name = file
            .strip_prefix(dist)
            .expect("it is inside")
            .to_string_lossy()
            .replace('\\', "/");
        let path = file.display().to_string();
        writeln!(text, "    ({:?}, include_bytes!({path:?})),", format!("/{name}")).expect("a text takes everything");
    }
    text.push(']');
    text
}
