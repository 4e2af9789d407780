//! Links in a text: found where it is shown, told by nobody.
//!
//! In: a text. Out: which bytes of it can be opened. What is opened is what stands there, all of it (CON-17).

use std::ops::Range;

/// Links of one text that can be opened; the others are text.
const LINKS_MAX: usize = 128;
const SCHEMES: [&str; 2] = ["https://", "http://"];
/// What stands at the end of a sentence, not of a link.
const TRAILING: &[char] = &[
    '.', ',', ':', ';', '!', '?', '\'', '"', '»', '”', '…', '*', '_', '~', '|', '`',
];

/// The links of a text, first to last.
pub(crate) fn found(text: &str) -> Vec<Range<usize>> {
    let mut links = Vec::new();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find("http")).map(|at| from + at) {
        from = at + 1;
        if let Some(end) = end_of(text, at) {
            links.push(at..end);
            from = end;
        }
        if links.len() >= LINKS_MAX {
            break;
        }
    }
    links
}

/// Where the link ends that begins here, if one does.
pub(crate) fn end_of(text: &str, at: usize) -> Option<usize> {
    let (before, rest) = text.split_at_checked(at)?;
    if before.chars().next_back().is_some_and(char::is_alphanumeric) {
        return None;
    }
    let scheme = SCHEMES.into_iter().find(|scheme| rest.starts_with(scheme))?;
    let end = rest.find(ends).unwrap_or(rest.len());
    let link = bare(rest.get(..end)?);
    let host = link.get(scheme.len()..)?.chars().next()?;
    host.is_alphanumeric().then_some(at + link.len())
}

/// A space, and what could make a link look like another one.
fn ends(c: char) -> bool {
    let turns = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c.is_whitespace() || c.is_control() || turns || matches!(c, '<' | '>')
}

/// Without what follows it in a sentence, and a bracket that it did not open.
fn bare(link: &str) -> &str {
    let mut link = link;
    loop {
        let shorter = link.trim_end_matches(TRAILING);
        let opens = shorter.matches('(').count();
        let shorter = match shorter.strip_suffix(')') {
            Some(open) if opens < shorter.matches(')').count() => open,
            _even => shorter,
        };
        if shorter.len() == link.len() {
            return link;
        }
        link = shorter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_http_and_end_where_people_end_them_con_17() {
        for (text, wanted) in [
            ("see https://a.example/b?c=d#e.", &["https://a.example/b?c=d#e"][..]),
            (
                "(https://a.example/x_(y)) or http://b.example,",
                &["https://a.example/x_(y)", "http://b.example"],
            ),
            ("«https://пример.рф»", &["https://пример.рф"]),
            ("xhttps://a.example javascript:alert(1) ftp://a.example", &[]),
            ("https:// http://. https://\u{202e}a", &[]),
            ("https://a.example\u{202e}gpj.exe", &["https://a.example"]),
        ] {
            let links: Vec<&str> = found(text).into_iter().filter_map(|link| text.get(link)).collect();
            assert_eq!(links, wanted, "{text}");
        }
        assert_eq!(found(&"http://a ".repeat(300)).len(), LINKS_MAX);
    }
}
