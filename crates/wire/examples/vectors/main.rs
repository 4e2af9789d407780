//! Writes the protocol's vectors as JSON into the folder named by the first argument (`cargo xtask vectors`), and the
//! seeds of the fuzzers' corpora into the one named by the second, if there is one.

mod make;

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(
        std::env::args()
            .nth(1)
            .unwrap_or_else(|| "docs/protocol/vectors".into()),
    );
    for (name, vectors) in make::all() {
        let text = serde_json::to_string_pretty(&make::sorted(vectors))?;
        std::fs::write(folder.join(name), text + "\n")?;
    }
    let Some(corpus) = std::env::args().nth(2) else {
        return Ok(());
    };
    for (target, name, bytes) in make::corpora() {
        let folder = PathBuf::from(&corpus).join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
