//! What counts as one emoji in a reaction (CON-3).
//!
//! In: a text. Out: whether it is exactly one emoji, by ranges that are written down here and not by a table of some
//! Unicode version: every receiver judges alike. Pictures and fonts are the interface's job.

/// Longest emoji, in bytes of UTF-8: a family of four with skin tones has 41.
pub const EMOJI_BYTES_MAX: usize = 64;

const JOINER: char = '\u{200d}';
const AS_PICTURE: char = '\u{fe0f}';
const KEYCAP: char = '\u{20e3}';
const TAG_END: char = '\u{e007f}';

/// Whether a text is exactly one emoji: a flag of two letters, a keycap, or pictures joined by U+200D.
pub fn is_emoji(text: &str) -> bool {
    text.len() <= EMOJI_BYTES_MAX && (is_flag(text) || is_keycap(text) || text.split(JOINER).all(is_picture))
}

fn is_flag(text: &str) -> bool {
    let letter = |c: char| matches!(c, '\u{1f1e6}'..='\u{1f1ff}');
    text.chars().count() == 2 && text.chars().all(letter)
}

fn is_keycap(text: &str) -> bool {
    let mut chars = text.chars();
    let key = chars.next().is_some_and(|c| matches!(c, '0'..='9' | '#' | '*'));
    key && chars.eq([AS_PICTURE, KEYCAP])
}

/// One picture, with its skin tone, its "as a picture" mark or the tags of a flag behind it.
fn is_picture(text: &str) -> bool {
    let mut chars = text.chars().peekable();
    if !chars.next().is_some_and(is_base) {
        return false;
    }
    if chars.peek().is_some_and(|c| *c == AS_PICTURE || is_tone(*c)) {
        chars.next();
    }
    let tags: alloc::vec::Vec<char> = chars.collect();
    match tags.split_last() {
        None => true,
        Some((last, letters)) => *last == TAG_END && letters.iter().all(|c| matches!(c, '\u{e0020}'..='\u{e007e}')),
    }
}

const fn is_tone(c: char) -> bool {
    matches!(c, '\u{1f3fb}'..='\u{1f3ff}')
}

/// Symbols that are shown as pictures. Letters of flags are none: they stand in twos.
const fn is_base(c: char) -> bool {
    matches!(
        c,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{24c2}' | '\u{3030}' | '\u{303d}'
            | '\u{3297}' | '\u{3299}' | '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{25a0}'..='\u{27bf}'
            | '\u{2934}' | '\u{2935}' | '\u{2b00}'..='\u{2bff}' | '\u{1f000}'..='\u{1f1e5}' | '\u{1f200}'..='\u{1faff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_emoji_is_one_and_nothing_else_is_con_3() {
        for emoji in [
            "👍",
            "👍🏽",
            "❤️",
            "❤",
            "🇺🇦",
            "1️⃣",
            "#️⃣",
            "👩‍👩‍👧‍👦",
            "👩🏾‍🚀",
            "🏳️‍🌈",
            "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
            "🫠",
            "☺️",
            "‼️",
            "✔",
        ] {
            assert!(is_emoji(emoji), "{emoji}");
        }
        for other in [
            "",
            "a",
            "1",
            "ok",
            "я",
            "👍👍",
            "👍a",
            " 👍",
            "\u{200d}",
            "👍\u{200d}",
            "\u{fe0f}",
            "\u{202e}👍",
            "🇺",
            "🇺🇦🇺🇦",
            "\u{e0067}",
            "👍\u{e0067}",
            "1\u{20e3}",
            "<b>",
            "\u{0}",
        ] {
            assert!(!is_emoji(other), "{other:?}");
        }
        let long = ["👩"; 16].join("\u{200d}");
        assert!(long.len() > EMOJI_BYTES_MAX && !is_emoji(&long));
    }
}
