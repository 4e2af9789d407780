//! Texts as trees: what is marked in them, and the links found in them; and texts with their spoilers blotted out.
//!
//! In: a text and its spans. Out: [`Node`]s for the page, which draws them and decides nothing; plain texts for previews,
//! quotes and search.
//! Invariant: the texts of all nodes joined are the text, but for the breaks around blocks.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension as _};
use stonechat_wire::marks::{Mark, Span, Spans};

use crate::api::{Mentioned, Node, NodeKind};
use crate::content::links;
use crate::store::StoreError;

/// Stands for each letter of a spoiler.
const BLOT: char = '▒';
const NOTHING_MARKED: &[u8] = &[0x80];
const NAME: &str = "
    SELECT account = ?1 AS me, name FROM account WHERE account = ?1
    UNION ALL SELECT 0, coalesce(nullif(alias, ''), own_name) FROM contact WHERE account = ?1
    UNION ALL SELECT 0, name FROM seat WHERE chat = ?2 AND account = ?1 LIMIT 1";

/// The spans of a text as its row keeps them.
pub(super) fn spans(text: &str, column: Option<&[u8]>) -> Spans {
    Spans::decode(text, column.unwrap_or(NOTHING_MARKED)).unwrap_or_default()
}

/// A part of the text with what it is.
struct Part {
    range: Range<usize>,
    kind: NodeKind,
    mention: Option<Mentioned>,
}

/// The text as a tree; nothing where it is words alone. Names of the mentioned are missing yet.
pub(super) fn nodes(text: &str, spans: &Spans) -> Vec<Node> {
    let mut parts: Vec<Part> = spans.all().iter().map(part).collect();
    let links = links::found(text).into_iter().filter(|link| fits(spans, link));
    parts.extend(links.map(|range| Part {
        range,
        kind: NodeKind::Link,
        mention: None,
    }));
    if parts.is_empty() {
        return Vec::new();
    }
    // Spans are in their order; a link stands behind those that hold it.
    parts.sort_by_key(|part| (part.range.start, usize::MAX - part.range.end));
    grow(text, 0..text.len(), &mut parts.into_iter().peekable())
}

fn part(span: &Span) -> Part {
    let kind = match span.mark {
        Mark::Quote => NodeKind::Quote,
        Mark::Code => NodeKind::Code,
        Mark::Bold => NodeKind::Bold,
        Mark::Italic => NodeKind::Italic,
        Mark::Strike => NodeKind::Strike,
        Mark::Spoiler => NodeKind::Spoiler,
        Mark::Mono => NodeKind::Mono,
        Mark::Mention(_) | Mark::All => NodeKind::Mention,
    };
    let meant = |account| Mentioned {
        account,
        name: String::new(),
        me: false,
    };
    Part {
        range: span.from..span.end(),
        kind,
        mention: match span.mark {
            Mark::Mention(account) => Some(meant(Some(hex::encode(account.as_bytes())))),
            Mark::All => Some(meant(None)),
            _other => None,
        },
    }
}

/// A link is one only where every mark holds all of it or nothing, and marks can stand in what holds it.
fn fits(spans: &Spans, link: &Range<usize>) -> bool {
    spans.all().iter().all(|span| {
        let apart = span.end() <= link.start || link.end <= span.from;
        let holds = span.from <= link.start && link.end <= span.end();
        let leaf = matches!(span.mark, Mark::Code | Mark::Mono | Mark::Mention(_) | Mark::All);
        apart || (holds && !leaf)
    })
}

type Parts = std::iter::Peekable<std::vec::IntoIter<Part>>;

fn grow(text: &str, within: Range<usize>, parts: &mut Parts) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut at = within.start;
    while let Some(part) = parts.next_if(|part| part.range.start < within.end) {
        words(&mut nodes, text.get(at..part.range.start).unwrap_or_default());
        at = part.range.end;
        let (kind, mention) = (part.kind, part.mention);
        let leaf = matches!(
            kind,
            NodeKind::Code | NodeKind::Mono | NodeKind::Mention | NodeKind::Link
        );
        nodes.push(if leaf {
            let text = text.get(part.range).unwrap_or_default().to_owned();
            Node {
                kind,
                text,
                inside: Vec::new(),
                mention,
            }
        } else {
            Node {
                kind,
                text: String::new(),
                inside: grow(text, part.range, parts),
                mention,
            }
        });
    }
    words(&mut nodes, text.get(at..within.end).unwrap_or_default());
    unbroken(nodes)
}

fn words(nodes: &mut Vec<Node>, text: &str) {
    if !text.is_empty() {
        nodes.push(Node {
            kind: NodeKind::Text,
            text: text.to_owned(),
            inside: Vec::new(),
            mention: None,
        });
    }
}

/// A block breaks the line by itself: the break before it and the one behind it go.
fn unbroken(mut nodes: Vec<Node>) -> Vec<Node> {
    let is_block = |node: Option<&Node>| node.is_some_and(|n| matches!(n.kind, NodeKind::Quote | NodeKind::Code));
    for at in 0..nodes.len() {
        let before = at.checked_sub(1).is_some_and(|before| is_block(nodes.get(before)));
        let behind = is_block(nodes.get(at + 1));
        let Some(node) = nodes.get_mut(at).filter(|node| node.kind == NodeKind::Text) else {
            continue;
        };
        let mut text = node.text.as_str();
        if before {
            text = text.strip_prefix('\n').unwrap_or(text);
        }
        if behind {
            text = text.strip_suffix('\n').unwrap_or(text);
        }
        node.text = text.to_owned();
    }
    nodes.retain(|node| node.kind != NodeKind::Text || !node.text.is_empty());
    nodes
}

/// What an account is called in a chat; empty where nobody knows.
///
/// Errors: the database's own.
pub fn load_name(db: &Connection, chat: i64, account: &[u8]) -> Result<String, StoreError> {
    let mut statement = db.prepare_cached(NAME)?;
    let found = statement.query_row((account, chat), |row| row.get(1));
    Ok(found.optional()?.unwrap_or_default())
}

/// Says what the mentioned are called here, and which of them is me.
pub(super) fn name(db: &Connection, chat: i64, nodes: &mut [Node]) -> Result<(), StoreError> {
    for node in nodes {
        name(db, chat, &mut node.inside)?;
        let Some(mention) = &mut node.mention else { continue };
        let Some(account) = &mention.account else {
            mention.me = true;
            continue;
        };
        let account = hex::decode(account).map_err(|_| StoreError::Broken)?;
        let mut statement = db.prepare_cached(NAME)?;
        let found = statement.query_row((account, chat), |row| Ok((row.get(0)?, row.get(1)?)));
        (mention.me, mention.name) = found.optional()?.unwrap_or_default();
    }
    Ok(())
}

/// The text with its spoilers blotted out: for where it is seen without being asked for.
pub(super) fn blotted(text: &str, spans: &Spans) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, letter) in text.char_indices() {
        out.push(if is_hidden(spans, at) && !letter.is_whitespace() {
            BLOT
        } else {
            letter
        });
    }
    out
}

/// Blots out letters that were counted off without the text: what search marks.
pub(super) fn blot(letters: &mut [(char, bool)], text: &str, spans: &Spans) {
    let hidden = text
        .char_indices()
        .map(|(at, letter)| is_hidden(spans, at) && !letter.is_whitespace());
    for ((letter, _), hidden) in letters.iter_mut().zip(hidden) {
        if hidden {
            *letter = BLOT;
        }
    }
}

fn is_hidden(spans: &Spans, at: usize) -> bool {
    let mut spoilers = spans.all().iter().filter(|span| span.mark == Mark::Spoiler);
    spoilers.any(|span| (span.from..span.end()).contains(&at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::signs;

    fn drawn(nodes: &[Node]) -> String {
        let one = |node: &Node| match node.kind {
            NodeKind::Text => node.text.clone(),
            kind => format!("<{kind:?} {}{}>", node.text, drawn(&node.inside)),
        };
        nodes.iter().map(one).collect()
    }

    fn tree(typed: &str) -> String {
        let (text, spans) = signs::read(typed, &[("Bo".into(), Mark::All)]);
        drawn(&nodes(&text, &spans))
    }

    #[test]
    fn a_text_becomes_a_tree_with_its_links_con_17() {
        for (typed, wanted) in [
            ("words alone", ""),
            ("a **b __c__** d", "a <Bold b <Italic c>> d"),
            ("see https://a.example.", "see <Link https://a.example>."),
            (
                "**https://a.example/x** `https://b.example`",
                "<Bold <Link https://a.example/x>> <Mono https://b.example>",
            ),
            ("one\n> two\n> three\n\nfour", "one<Quote two\nthree>\nfour"),
            ("```\ncode\n```\nx", "<Code code>x"),
            ("hi @Bo", "hi <Mention @Bo>"),
        ] {
            assert_eq!(tree(typed), wanted, "{typed}");
        }
    }

    #[test]
    fn a_mark_across_a_link_makes_it_words_con_17() {
        let text = "https://a.example/b";
        let span = Span {
            from: 0,
            length: 12,
            mark: Mark::Bold,
        };
        let spans = Spans::over(text, vec![span]).unwrap();
        assert_eq!(drawn(&nodes(text, &spans)), "<Bold https://a.ex>ample/b");
    }

    #[test]
    fn spoilers_are_blotted_out_con_17() {
        let (text, spans) = signs::read("she ||dies é **now**|| ok", &[]);
        assert_eq!(blotted(&text, &spans), "she ▒▒▒▒ ▒ ▒▒▒ ok");
        let mut letters: Vec<(char, bool)> = text.chars().map(|letter| (letter, false)).collect();
        blot(&mut letters, &text, &spans);
        let letters: String = letters.into_iter().map(|(letter, _)| letter).collect();
        assert_eq!(letters, "she ▒▒▒▒ ▒ ▒▒▒ ok");
    }
}
