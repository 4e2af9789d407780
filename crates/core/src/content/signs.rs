//! The signs that people type around words, and what they mark.
//!
//! In: a text as it is typed. Out: the text without its signs, and its spans; and the same back, for changing it.
//! `**bold**` or `*bold*`, `__italic__` or `_italic_`, `~~struck~~` or `~struck~`, `||spoiler||`, `` `fixed` ``, lines of
//! code between lines of ```` ``` ````, lines that begin with `> `, `@name`, `@all`. A sign counts beside a word only,
//! and both must stand in one line. What is no mark stays as it is typed. Local: the wire knows spans (CON-16).

use super::links;
use stonechat_wire::marks::{Mark, SPANS_MAX, Span, Spans};

/// Who can be meant, by what they are called; the longest name that fits counts.
pub(crate) type Names = [(String, Mark)];

/// Around words, the longer ones first.
const AROUND: [(&str, Mark); 7] = [
    ("**", Mark::Bold),
    ("__", Mark::Italic),
    ("~~", Mark::Strike),
    ("||", Mark::Spoiler),
    ("*", Mark::Bold),
    ("_", Mark::Italic),
    ("~", Mark::Strike),
];
const FENCE: &str = "```";
const QUOTE: &str = ">";

/// What a typed text says, and what is marked in it.
pub(crate) fn read(typed: &str, names: &Names) -> (String, Spans) {
    let mut reading = Reading {
        names,
        text: String::new(),
        spans: Vec::new(),
    };
    let lines: Vec<&str> = typed.split('\n').collect();
    let mut at = 0;
    while at < lines.len() {
        if at > 0 {
            reading.text.push('\n');
        }
        at += reading.lines(lines.get(at..).unwrap_or_default());
    }
    let Reading { text, mut spans, .. } = reading;
    spans.sort_by_key(|span| (span.from, usize::MAX - span.length, span.mark));
    match Spans::over(&text, spans) {
        Ok(spans) if !text.trim().is_empty() => (text, spans),
        _nothing => (typed.to_owned(), Spans::default()),
    }
}

struct Reading<'a> {
    names: &'a Names,
    text: String,
    spans: Vec<Span>,
}

impl Reading<'_> {
    /// Reads what begins with the first of these lines. Out: how many lines that was.
    fn lines(&mut self, lines: &[&str]) -> usize {
        let Some((first, rest)) = lines.split_first() else {
            return 1;
        };
        if *first == FENCE
            && let Some(length) = rest.iter().position(|line| *line == FENCE).filter(|length| *length > 0)
        {
            let code = rest.get(..length).unwrap_or_default().join("\n");
            self.mark(Mark::Code, |reading| reading.text.push_str(&code));
            return length + 2;
        }
        let quoted = lines.iter().map_while(|line| unquoted(line)).collect::<Vec<_>>();
        if quoted.iter().any(|line| !line.is_empty()) {
            self.mark(Mark::Quote, |reading| reading.quote(&quoted));
            return quoted.len();
        }
        self.words(first, &[]);
        1
    }

    fn quote(&mut self, lines: &[&str]) {
        for (number, line) in lines.iter().enumerate() {
            if number > 0 {
                self.text.push('\n');
            }
            self.words(line, &[]);
        }
    }

    /// Marks what is read inside; too many marks are none.
    fn mark(&mut self, mark: Mark, inside: impl FnOnce(&mut Self)) {
        let from = self.text.len();
        inside(self);
        let length = self.text.len() - from;
        if length > 0 && self.spans.len() < SPANS_MAX {
            self.spans.push(Span { from, length, mark });
        }
    }

    /// A line, or what stands between two signs.
    fn words(&mut self, line: &str, within: &[Mark]) {
        let mut at = 0;
        // A sign that is not closed behind here is closed nowhere behind: nobody looks twice.
        let mut open = [true; AROUND.len()];
        while let Some((before, rest)) = line.split_at_checked(at).filter(|(_, rest)| !rest.is_empty()) {
            let begins = !before.chars().next_back().is_some_and(char::is_alphanumeric);
            let taken = if begins {
                self.word(line, at, within, &mut open)
            } else {
                None
            };
            at += taken.unwrap_or_else(|| {
                let next = rest.chars().next().unwrap_or_default();
                self.text.push(next);
                next.len_utf8()
            });
        }
    }

    /// A link, a mention, or a mark that begins here. Out: how much of the line it took.
    fn word(&mut self, line: &str, at: usize, within: &[Mark], open: &mut [bool]) -> Option<usize> {
        if let Some(end) = links::end_of(line, at) {
            self.text.push_str(line.get(at..end)?);
            return Some(end - at);
        }
        let rest = line.get(at..)?;
        if let Some((length, mark)) = meant(rest, self.names) {
            self.mark(mark, |reading| {
                reading.text.push_str(rest.get(..length).unwrap_or_default())
            });
            return Some(length);
        }
        if let Some(inside) = fixed(rest) {
            self.mark(Mark::Mono, |reading| reading.text.push_str(inside));
            return Some(inside.len() + 2);
        }
        self.around(rest, within, open)
    }

    /// Two signs with words between them.
    fn around(&mut self, rest: &str, within: &[Mark], open: &mut [bool]) -> Option<usize> {
        for ((sign, mark), open) in AROUND.into_iter().zip(open) {
            if within.contains(&mark) || !*open || !opens(rest, sign) {
                continue;
            }
            let Some(inside) = closed(rest, sign) else {
                *open = false;
                continue;
            };
            let deeper = [within, &[mark]].concat();
            self.mark(mark, |reading| reading.words(inside, &deeper));
            return Some(inside.len() + 2 * sign.len());
        }
        None
    }
}

fn unquoted<'a>(line: &&'a str) -> Option<&'a str> {
    let rest = line.strip_prefix(QUOTE)?;
    if rest.is_empty() {
        Some(rest)
    } else {
        rest.strip_prefix(' ')
    }
}

/// Who is meant here, and how many bytes that is.
fn meant(rest: &str, names: &Names) -> Option<(usize, Mark)> {
    let behind = rest.strip_prefix('@')?;
    let fits = |name: &str| {
        let begins = behind.get(..name.len()) == Some(name) && !name.is_empty();
        let ends = behind.get(name.len()..)?.chars().next();
        (begins && !ends.is_some_and(char::is_alphanumeric)).then_some(name.len() + 1)
    };
    let all = names.iter().filter_map(|(name, mark)| Some((fits(name)?, *mark)));
    all.max_by_key(|(length, _)| *length)
}

fn fixed(rest: &str) -> Option<&str> {
    let inside = rest.strip_prefix('`')?.split('`').next()?;
    let closes = rest.len() > inside.len() + 1;
    (closes && !inside.trim().is_empty()).then_some(inside)
}

/// The sign stands before a word, and is not the beginning of a longer one.
fn opens(rest: &str, sign: &str) -> bool {
    let Some(next) = rest.strip_prefix(sign).and_then(|behind| behind.chars().next()) else {
        return false;
    };
    !next.is_whitespace() && (sign.len() > 1 || !sign.starts_with(next))
}

/// What stands before the sign that closes, which stands behind a word.
fn closed<'a>(rest: &'a str, sign: &str) -> Option<&'a str> {
    let inside = rest.strip_prefix(sign)?;
    let closes = |at: usize| {
        let (before, behind) = (inside.get(..at)?, inside.get(at + sign.len()..)?);
        let word = before.chars().next_back().is_some_and(|c| !c.is_whitespace());
        let ends = behind
            .chars()
            .next()
            .is_none_or(|c| !c.is_alphanumeric() && !sign.starts_with(c));
        let whole = sign.len() > 1 || !before.ends_with(sign);
        (word && ends && whole).then_some(before)
    };
    let signs = inside
        .char_indices()
        .filter(|(at, _)| inside.get(*at..).is_some_and(|rest| rest.starts_with(sign)));
    signs.map(|(at, _)| at).find_map(closes)
}

/// A text with the signs of its marks: reads back as it is, if signs can say it.
pub(crate) fn written(text: &str, spans: &Spans) -> String {
    let mut out = String::new();
    write(text, (0, text.len()), &mut spans.all(), &mut out);
    out
}

fn write(text: &str, (mut at, end): (usize, usize), spans: &mut &[Span], out: &mut String) {
    while let Some((span, rest)) = spans.split_first().filter(|(span, _)| span.from < end) {
        *spans = rest;
        out.push_str(text.get(at..span.from).unwrap_or_default());
        let mut inside = String::new();
        write(text, (span.from, span.end()), spans, &mut inside);
        match span.mark {
            Mark::Quote => out.push_str(&format!("{QUOTE} {}", inside.replace('\n', "\n> "))),
            Mark::Code => out.push_str(&format!("{FENCE}\n{inside}\n{FENCE}")),
            Mark::Mono => out.push_str(&format!("`{inside}`")),
            Mark::Mention(_) | Mark::All => out.push_str(&inside),
            mark => {
                let sign = AROUND
                    .into_iter()
                    .find(|(_, of)| *of == mark)
                    .map_or("", |(sign, _)| sign);
                out.push_str(&format!("{sign}{inside}{sign}"));
            }
        }
        at = span.end();
    }
    out.push_str(text.get(at..end).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use stonechat_wire::ids::AccountId;

    const BO: Mark = Mark::Mention(AccountId::from_bytes([2; 32]));

    fn names() -> Vec<(String, Mark)> {
        [
            ("Bo", BO),
            ("Bo Berg", Mark::Mention(AccountId::from_bytes([3; 32]))),
            ("all", Mark::All),
        ]
        .map(|(name, mark)| (name.to_owned(), mark))
        .to_vec()
    }

    /// `text | mark:what it covers | ...`
    fn shown(typed: &str) -> String {
        let (text, spans) = read(typed, &names());
        let all = spans.all().iter().map(|span| {
            let name = match span.mark {
                Mark::Mention(account) => format!("Mention{}", account.as_bytes()[0]),
                other => format!("{other:?}"),
            };
            format!(" | {name}:{}", text.get(span.from..span.end()).unwrap())
        });
        let marks: String = all.collect();
        text.clone() + &marks
    }

    #[test]
    fn signs_mark_words_con_17() {
        for (typed, wanted) in [
            ("a **b c** d", "a b c d | Bold:b c"),
            ("*b* and _i_ and ~s~", "b and i and s | Bold:b | Italic:i | Strike:s"),
            ("__i__ ~~s~~ ||boo||", "i s boo | Italic:i | Strike:s | Spoiler:boo"),
            ("**__both__**", "both | Bold:both | Italic:both"),
            ("**b __bi__ `*m*`**", "b bi *m* | Bold:b bi *m* | Italic:bi | Mono:*m*"),
            ("(**b**), \"*c*\"!", "(b), \"c\"! | Bold:b | Bold:c"),
            ("> one\n> **two**\nthree", "one\ntwo\nthree | Quote:one\ntwo | Bold:two"),
            (
                "so:\n```\na *b*\n\nc\n```\nend",
                "so:\na *b*\n\nc\nend | Code:a *b*\n\nc",
            ),
            (
                "@Bo, @Bo Berg and @all",
                "@Bo, @Bo Berg and @all | Mention2:@Bo | Mention3:@Bo Berg | All:@all",
            ),
            ("жирный **текст**", "жирный текст | Bold:текст"),
        ] {
            assert_eq!(shown(typed), wanted, "{typed}");
        }
    }

    #[test]
    fn what_is_no_mark_stays_as_it_is_typed_con_17() {
        for typed in [
            "5 * 3 * 2 = 30",
            "snake_case_name and a__b__c",
            "** b**",
            "**b **",
            "**",
            "****",
            "* a\n* b",
            "*a\nb*",
            "~ 5 || 6 ~",
            "```",
            "```\n```",
            ">no",
            ">",
            "`` ` ``",
            "https://a.example/_b_/*c*?d=~e~",
            "me@Bo @Bob @Al @allow",
            "2*3*4",
        ] {
            assert_eq!(shown(typed), typed, "{typed}");
        }
    }

    #[test]
    fn what_was_typed_can_be_changed_con_17() {
        for typed in [
            "a **b __c__ d** `e` ||f|| ~~g~~",
            "> one\n> **two**\nthree\n```\n*code*\n```",
            "@Bo: see https://a.example/_b_",
            "5 * 3 is **not** bold",
        ] {
            let (text, spans) = read(typed, &names());
            assert_eq!(written(&text, &spans), typed);
        }
        let (text, spans) = read("*b* _i_", &names());
        assert_eq!(written(&text, &spans), "**b** __i__");
    }

    #[test]
    fn more_marks_than_a_text_can_have_are_text_and_long_ones_take_no_time_con_16() {
        let (text, spans) = read(&"*a* ".repeat(4_000), &[]);
        assert_eq!((spans.all().len(), text.len()), (SPANS_MAX, 8_000));
        let (text, spans) = read(&"*a **a _a __a ~a ~~a ||a `a ".repeat(500), &[]);
        assert!(spans.all().len() <= SPANS_MAX && !text.is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read_con_17(typed in "[a *_~|`>@Bo\n]{0,60}") {
            let (text, spans) = read(&typed, &names());
            prop_assert!(Spans::over(&text, spans.all().to_vec()).is_ok());
            prop_assert_eq!(text.is_empty(), typed.is_empty());
            written(&text, &spans);
        }
    }
}
