//! The working tree as text: what the checks of `tidy` read.
//!
//! In: the root folder. Out: every text file that belongs to the repository, by path, so that a check is a pure
//! function and its test needs no disk. Folders that `.gitignore` names are skipped, and so is what is not UTF-8.

use anyhow::{Context as _, Result};
use std::fs;
use std::path::Path;

/// One file of the repository.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// Path from the root, with `/` between its parts.
    pub(crate) path: String,
    /// Content; empty where the file is not UTF-8.
    pub(crate) text: String,
    /// Whether its owner may run it.
    pub(crate) executable: bool,
}

/// All files, in order of their paths.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    /// Sorted by path.
    pub(crate) files: Vec<File>,
}

impl Tree {
    /// Reads everything below `root` that git would not ignore.
    ///
    /// Errors: a folder or file that cannot be read.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let ignored = Ignored::read(root);
        let mut files = Vec::new();
        collect(root, "", &ignored, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { files })
    }

    /// The file at `path`.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Files below `folder` (written with its last `/`) whose names end in `ending`.
    pub(crate) fn below<'a>(&'a self, folder: &'a str, ending: &'a str) -> impl Iterator<Item = &'a File> {
        self.files
            .iter()
            .filter(move |file| file.path.starts_with(folder) && file.path.ends_with(ending))
    }

    /// Every file whose name ends in `ending`.
    pub(crate) fn ending<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = &'a File> {
        self.below("", ending)
    }
}

#[cfg(test)]
impl Tree {
    /// A tree for a test: paths with their texts.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
            executable: false,
        };
        Self {
            files: files.iter().map(file).collect(),
        }
    }
}

fn collect(folder: &Path, prefix: &str, ignored: &Ignored, files: &mut Vec<File>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if ignored.contains(&path, &name) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), ignored, files)?;
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).with_context(|| format!("reading {path}"))?;
            let executable = is_executable(&entry.metadata()?);
            files.push(File {
                path,
                text: String::from_utf8(bytes).unwrap_or_default(),
                executable,
            });
        }
    }
    Ok(())
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &fs::Metadata) -> bool {
    true
}

/// The plain lines of the `.gitignore` files in the root and in `ui`: names, and paths that begin with `/`.
#[derive(Debug)]
struct Ignored {
    names: Vec<String>,
    paths: Vec<String>,
}

impl Ignored {
    fn read(root: &Path) -> Self {
        let mut ignored = Self {
            names: vec![".git".to_owned()],
            paths: Vec::new(),
        };
        for folder in ["", "ui/"] {
            let text = fs::read_to_string(root.join(folder).join(".gitignore")).unwrap_or_default();
            ignored.add(folder, &text);
        }
        ignored
    }

    fn add(&mut self, folder: &str, text: &str) {
        for line in text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let line = line.trim_end_matches('/');
            match line.strip_prefix('/') {
                Some(path) => self.paths.push(format!("{folder}{path}")),
                None if line.contains('/') => self.paths.push(format!("{folder}{line}")),
                None => self.names.push(line.to_owned()),
            }
        }
    }

    fn contains(&self, path: &str, name: &str) -> bool {
        self.names.iter().any(|ignored| ignored == name) || self.paths.iter().any(|ignored| ignored == path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_folders_and_binary_content_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["target", "ui/dist", "ui/node_modules", "docs"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
            fs::write(root.path().join(folder).join("a.txt"), "text").unwrap();
        }
        fs::write(root.path().join(".gitignore"), "/target\nnode_modules\n").unwrap();
        fs::write(root.path().join("ui/.gitignore"), "/dist\n").unwrap();
        fs::write(root.path().join("docs/picture"), [0xff, 0xfe]).unwrap();
        let tree = Tree::read(root.path()).unwrap();
        let paths: Vec<&str> = tree.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [".gitignore", "docs/a.txt", "docs/picture", "ui/.gitignore"]);
        assert_eq!(tree.file("docs/picture").unwrap().text, "");
    }
}
