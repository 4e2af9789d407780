//! Spoken words: how the three words of an invite are read, however they were typed.
//!
//! In: what a person typed. Out: one spelling for the key derivation. Choosing words is core's job. (INV-8)

use alloc::string::String;

/// Lower case, words separated by single spaces; commas, hyphens, dots and runs of white space all separate.
pub fn normalise_words(typed: &str) -> String {
    let mut out = String::new();
    for word in typed.split(separates).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
    out
}

const fn separates(c: char) -> bool {
    c.is_whitespace() || matches!(c, ',' | ';' | '.' | '-' | '_' | '/' | '\u{2010}'..='\u{2015}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_however_they_were_typed_inv_8() {
        for typed in [
            "river moon chair",
            "  River,Moon ,  CHAIR ",
            "river-moon-chair.",
            "river\nmoon\u{2013}chair",
        ] {
            assert_eq!(normalise_words(typed), "river moon chair");
        }
        assert_eq!(normalise_words(" ,- "), "");
    }
}
