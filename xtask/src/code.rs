//! Rust text without what is not code: comments, the inside of strings, and items behind an attribute.
//!
//! In: the text of a source file. Out: a text with the same line numbers in which what was taken out is blank, so
//! that a plain search for `std::net` finds a use and not a mention. This is a scanner, not a parser: it knows
//! strings, characters, lifetimes, comments and brackets, which is all that the checks of `tidy` need.

/// The code of `text`: comments and the inside of literals are blanked, line ends kept.
pub(crate) fn code(text: &str) -> String {
    Scanner {
        rest: text.chars().collect::<Vec<_>>().into_iter().peekable(),
        out: String::new(),
    }
    .run()
}

/// The code of `text` that is built outside tests.
pub(crate) fn shipped(text: &str) -> String {
    without_items(&code(text), |attribute| {
        attribute.starts_with("cfg(test)") || attribute.starts_with("cfg(all(test")
    })
}

/// `code` without the items whose attribute (the text between `#[` and `]`) `is_out` names.
///
/// An item ends at its closing brace, or at the `;` or `,` that comes before any brace.
pub(crate) fn without_items(code: &str, is_out: impl Fn(&str) -> bool) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let attribute_end = end_of_brackets(from, '[', ']');
        let (attribute, after) = from.split_at(attribute_end);
        let inner = attribute.trim_start_matches("#[").trim_end_matches(']').trim();
        if is_out(inner) {
            let (item, left) = after.split_at(end_of_item(after));
            out.push_str(&blank(attribute));
            out.push_str(&blank(item));
            rest = left;
        } else {
            out.push_str(attribute);
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Whether `word` stands in `line` with no letter, digit or `_` next to it.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|text| text.chars().next());
        ![before, after]
            .into_iter()
            .flatten()
            .any(|near| near.is_alphanumeric() || near == '_')
    })
}

/// The byte position just behind the bracket that closes the first `open` of `text`, or its end.
fn end_of_brackets(text: &str, open: char, close: char) -> usize {
    let mut depth = 0_usize;
    for (at, letter) in text.char_indices() {
        if letter == open {
            depth += 1;
        } else if letter == close {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at + close.len_utf8();
            }
        }
    }
    text.len()
}

/// The byte position just behind the item that `text` starts with (further attributes may come first), or its end.
fn end_of_item(text: &str) -> usize {
    let mut depth = 0_usize;
    let is_part_of_a_list = !starts_an_item(text);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return at + 1,
            ',' if depth == 0 && is_part_of_a_list => return at + 1,
            '{' if depth == 0 => return at + text.get(at..).map_or(0, |rest| end_of_brackets(rest, '{', '}')),
            '}' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

/// Whether `text` begins a whole item, and not a field, variant, argument or match arm.
fn starts_an_item(text: &str) -> bool {
    const WORDS: [&str; 13] = [
        "pub", "fn", "use", "mod", "struct", "enum", "impl", "trait", "const", "static", "type", "async", "let",
    ];
    let mut rest = text.trim_start();
    while rest.starts_with("#[") {
        rest = rest
            .get(end_of_brackets(rest, '[', ']')..)
            .unwrap_or_default()
            .trim_start();
    }
    let word = rest
        .split(|letter: char| !letter.is_alphanumeric())
        .next()
        .unwrap_or_default();
    WORDS.contains(&word)
}

/// `text` with everything but its line ends replaced by spaces.
fn blank(text: &str) -> String {
    text.chars()
        .map(|letter| if letter == '\n' { '\n' } else { ' ' })
        .collect()
}

/// Walks over the letters of a source file once.
struct Scanner {
    rest: std::iter::Peekable<std::vec::IntoIter<char>>,
    out: String,
}

impl Scanner {
    fn run(mut self) -> String {
        while let Some(letter) = self.rest.next() {
            let next = self.rest.peek().copied();
            match (letter, next) {
                ('/', Some('/')) => self.line_comment(),
                ('/', Some('*')) => self.block_comment(),
                ('"', _) => self.string(),
                ('\'', _) => self.quote(),
                ('r', Some('"' | '#')) if !self.follows_a_word() => self.raw_string(),
                _ => self.out.push(letter),
            }
        }
        self.out
    }

    /// Whether the last letter written belongs to a word (`b` of `br"..."` does not count).
    fn follows_a_word(&self) -> bool {
        let mut last = self.out.chars().rev();
        match last.next() {
            Some('b') => last
                .next()
                .is_some_and(|letter| letter.is_alphanumeric() || letter == '_'),
            Some(letter) => letter.is_alphanumeric() || letter == '_',
            None => false,
        }
    }

    fn blank(&mut self, letter: char) {
        self.out.push(if letter == '\n' { '\n' } else { ' ' });
    }

    fn line_comment(&mut self) {
        self.out.push(' ');
        while let Some(letter) = self.rest.next_if(|&letter| letter != '\n') {
            self.blank(letter);
        }
    }

    fn block_comment(&mut self) {
        self.out.push(' ');
        let mut depth = 1_usize;
        self.rest.next();
        self.out.push(' ');
        while depth > 0 {
            let Some(letter) = self.rest.next() else { return };
            self.blank(letter);
            let next = self.rest.peek().copied();
            match (letter, next) {
                ('*', Some('/')) => depth -= 1,
                ('/', Some('*')) => depth += 1,
                _ => continue,
            }
            self.rest.next();
            self.out.push(' ');
        }
    }

    fn string(&mut self) {
        self.out.push('"');
        while let Some(letter) = self.rest.next() {
            match letter {
                '"' => return self.out.push('"'),
                '\\' => {
                    self.out.push(' ');
                    if let Some(escaped) = self.rest.next() {
                        self.blank(escaped);
                    }
                }
                _ => self.blank(letter),
            }
        }
    }

    /// A character (`'x'`, `'\n'`) is blanked; a lifetime (`'a`) is kept.
    fn quote(&mut self) {
        self.out.push('\'');
        let Some(first) = self.rest.next() else { return };
        if first == '\\' {
            self.blank(first);
            while let Some(letter) = self.rest.next() {
                self.blank(letter);
                if self.rest.peek() == Some(&'\'') {
                    break;
                }
            }
        } else if self.rest.peek() == Some(&'\'') {
            self.blank(first);
        } else {
            return self.out.push(first);
        }
        self.rest.next();
        self.out.push('\'');
    }

    fn raw_string(&mut self) {
        self.out.push('r');
        let mut marks = 0_usize;
        while self.rest.next_if_eq(&'#').is_some() {
            marks += 1;
            self.out.push('#');
        }
        if self.rest.next_if_eq(&'"').is_none() {
            return; // `r#name`: a raw identifier
        }
        self.out.push('"');
        while let Some(letter) = self.rest.next() {
            self.blank(letter);
            let mut closing = 0_usize;
            while letter == '"' && closing < marks && self.rest.next_if_eq(&'#').is_some() {
                self.out.push('#');
                closing += 1;
            }
            if letter == '"' && closing == marks {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_no_code() {
        let text = "a(); // std::net\n/* std::fs /* x */ y */ b(\"std::net \\\" z\", r#\"tokio \" q\"#, 'c', '\\'');";
        let code = code(text);
        assert_eq!(code.lines().count(), 2);
        for word in ["std", "tokio", "x", "y", "z", "q", "c"] {
            assert!(!has_word(&code, word), "{word} in {code}");
        }
        assert!(has_word(&code, "a") && has_word(&code, "b"));
    }

    #[test]
    fn lifetimes_and_raw_names_stay() {
        let code = code("fn f<'a>(r#type: &'a str, c: char) { c == '{' }");
        assert!(code.contains("&'a str") && code.contains("r#type"));
        assert!(!code.contains("'{'"));
    }

    #[test]
    fn items_for_tests_are_not_shipped() {
        let text = "use a;\n#[cfg(test)]\nuse b;\n#[cfg(test)]\n#[path = \"x\"]\nmod tests {\n fn f() { c(); }\n}\nfn d() {}\n";
        let shipped = shipped(text);
        assert_eq!(shipped.lines().count(), text.lines().count());
        assert!(has_word(&shipped, "a") && has_word(&shipped, "d"));
        assert!(!has_word(&shipped, "b") && !has_word(&shipped, "c") && !has_word(&shipped, "tests"));
    }

    #[test]
    fn commas_end_a_field_but_not_a_function() {
        let text = "#[cfg(test)] fn a<B, C>() { d(); } struct E { #[cfg(test)] f: G, h: I }";
        let shipped = shipped(text);
        for word in ["a", "C", "d", "f", "G"] {
            assert!(!has_word(&shipped, word), "{word} in {shipped}");
        }
        assert!(has_word(&shipped, "E") && has_word(&shipped, "h"));
    }

    #[test]
    fn a_word_is_not_part_of_another() {
        assert!(has_word("x unsafe {", "unsafe"));
        assert!(!has_word("#![forbid(unsafe_code)]", "unsafe"));
    }
}
