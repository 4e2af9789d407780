//! Makes a table of the interface's built files, so that the daemon is one binary.
//!
//! In: `ui/dist`, where it exists. Out: `assets.rs` in the build folder: (path, bytes) for each file, sorted, beside a
//! copy of the files, since the interface may be built again at any moment.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let dist = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../ui/dist");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    let page = dist.join("index.html");
    let mut files = Vec::new();
    if page.is_file() {
        println!("cargo::rerun-if-changed={}", dist.display());
        collect(&dist, &mut files);
    } else {
        // Looked for at every build until it is there.
        println!("cargo::rerun-if-changed={}", page.display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    files.sort();
    let copies = out.join("assets");
    let _ = fs::remove_dir_all(&copies);
    let table = files
        .iter()
        .fold(String::from("&[\n"), |table, file| table + &entry(&dist, file, &copies));
    fs::write(out.join("assets.rs"), table + "]").expect("the build folder can be written");
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files)
        } else {
            files.push(path)
        }
    }
}

/// Copies one file and gives its line of the table; nothing for one that has gone meanwhile.
fn entry(dist: &Path, file: &Path, copies: &Path) -> String {
    let name = file.strip_prefix(dist).expect("it is inside");
    let copy = copies.join(name);
    fs::create_dir_all(copy.parent().expect("it has one")).expect("the build folder can be written");
    let mut line = String::new();
    if fs::copy(file, &copy).is_ok() {
        let path = format!("/{}", name.to_string_lossy().replace('\\', "/"));
        writeln!(
            line,
            "    ({path:?}, include_bytes!({:?})),",
            copy.display().to_string()
        )
        .expect("a text takes it");
    }
    line
}
