//! `bundle`: what waits, into a file that somebody carries; and out of one.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use stonechat_daemon::bundle::{BUNDLE_BYTES_MAX, open_file, pages, seal_file};
use stonechat_daemon::types::{BundlePage, BundleTaken, Fault};

use crate::client::Client;
use crate::failure::CommandError;
use crate::grammar::{Bundle, BundleFile};
use crate::show;

/// A page that is taken in begins a new one after so many bytes (BDL-4).
const PAGE_BYTES: usize = 160_000;

pub(super) async fn run(client: &mut Client, wish: &Bundle) -> Result<(), CommandError> {
    match wish {
        Bundle::Export(to) => export(client, to).await,
        Bundle::Import(from) => import(client, from).await,
    }
}

/// All pages, or as many as a bundle holds.
async fn export(client: &mut Client, to: &BundleFile) -> Result<(), CommandError> {
    let (mut items, mut count, mut from) = (Vec::new(), 0_u32, None);
    loop {
        let page: BundlePage = client.call("bundle.export", json!({ "from": from })).await?;
        let bytes = STANDARD.decode(&page.data).context("an answer has another shape")?;
        if items.len() + bytes.len() > BUNDLE_BYTES_MAX - 64 {
            show::note("more waits than one file holds; what is left out goes into one made later");
            break;
        }
        items.extend_from_slice(&bytes);
        count = count.saturating_add(page.items);
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    let file = seal_file(&items).context("too much for one file")?;
    write(&to.file, &file)?;
    if to.json {
        return show::json_line(&json!({ "items": count, "bytes": file.len() }));
    }
    show::line(&format!(
        "{count} envelopes, {} bytes: {}",
        file.len(),
        to.file.display()
    ))
}

/// Into a new file, on the disk before this says so: a stick is pulled out right after.
fn write(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    let writing = || format!("writing {}", path.display());
    let mut to = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .with_context(writing)?;
    to.write_all(bytes).with_context(writing)?;
    Ok(to.sync_all().with_context(writing)?)
}

async fn import(client: &mut Client, from: &BundleFile) -> Result<(), CommandError> {
    let file = read(&from.file)?;
    let items = open_file(&file).map_err(|_| CommandError::Refused(Fault::BrokenBundle.into()))?;
    let mut sum = BundleTaken::default();
    for page in pages(items, PAGE_BYTES).map_err(|_| CommandError::Refused(Fault::BrokenBundle.into()))? {
        let data = STANDARD.encode(page);
        let one: BundleTaken = client.call("bundle.import", json!({ "data": data })).await?;
        sum.taken = sum.taken.saturating_add(one.taken);
        sum.known = sum.known.saturating_add(one.known);
        sum.others = sum.others.saturating_add(one.others);
    }
    if from.json {
        return show::json_line(&json!(sum));
    }
    let BundleTaken { taken, known, others } = sum;
    show::line(&format!("{taken} taken in, {known} known already, {others} for others"))
}

/// What is longer than any bundle is read no further, and refused.
fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    let reading = || format!("reading {}", path.display());
    let mut bytes = Vec::new();
    File::open(path)
        .with_context(reading)?
        .take(BUNDLE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(reading)?;
    Ok(bytes)
}
