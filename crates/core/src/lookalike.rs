//! Names that look like others: the same letters to the eye, whatever alphabet they are of.
//!
//! In: names. Out: what they look like, and whether one mixes alphabets in a word. A help for the eye, not a proof: what
//! decides is the safety number. Specified in `docs/protocol/04-meeting.md` (FST-2).

/// Letters of other alphabets that look like these of the Latin one, in small letters.
const ALIKE: [(&str, char); 22] = [
    ("аαạà", 'a'),
    ("вβ", 'b'),
    ("сϲ", 'c'),
    ("ԁ", 'd'),
    ("еєεёé", 'e'),
    ("ԍɡ", 'g'),
    ("нһ", 'h'),
    ("іιïí1|!ӏ", 'l'),
    ("ј", 'j'),
    ("кκ", 'k'),
    ("мμ", 'm'),
    ("пη", 'n'),
    ("оοσ0öó", 'o'),
    ("рρ", 'p'),
    ("ԛ", 'q'),
    ("гг", 'r'),
    ("ѕ5", 's'),
    ("тτ", 't'),
    ("υц", 'u'),
    ("ѵνу", 'y'),
    ("ԝω", 'w'),
    ("хχ", 'x'),
];

/// What a name looks like: equal for two that the eye takes for one.
pub(crate) fn skeleton(name: &str) -> String {
    let small = name.to_lowercase();
    let seen = small.chars().filter(|c| c.is_alphanumeric() || matches!(c, '|' | '!'));
    let plain: String = seen.map(like).collect();
    plain
        .replace("rn", "m")
        .replace("vv", "w")
        .replace('i', "l")
        .replace('v', "y")
}

fn like(letter: char) -> char {
    let found = ALIKE.iter().find(|(letters, _)| letters.contains(letter));
    found.map_or(letter, |(_, latin)| *latin)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    Latin,
    Greek,
    Cyrillic,
}

/// Letters of several alphabets stand in one word.
pub(crate) fn mixes_alphabets(name: &str) -> bool {
    name.split(|c: char| !c.is_alphanumeric()).any(|word| {
        let mut scripts = word.chars().filter_map(script);
        let first = scripts.next();
        scripts.any(|script| Some(script) != first)
    })
}

const fn script(letter: char) -> Option<Script> {
    match letter {
        'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' => Some(Script::Latin),
        '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => Some(Script::Greek),
        '\u{400}'..='\u{52f}' => Some(Script::Cyrillic),
        _other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_eye_takes_for_one_name_is_one_fst_2() {
        for (one, other) in [
            ("Anna", "Аnnа"),
            ("Boris", "Воrіs"),
            ("PayPal", "PayPaI"),
            ("Tom", "T0m"),
            ("Marta", "rnarta"),
            ("Cy Young", "СуYоung"),
            ("Bo", "BO "),
        ] {
            assert_eq!(skeleton(one), skeleton(other), "{one} {other}");
        }
        for (one, other) in [("Ana", "Anna"), ("Bo", "Bob"), ("Анна", "Инна"), ("Cy", "Cyd")] {
            assert_ne!(skeleton(one), skeleton(other), "{one} {other}");
        }
    }

    #[test]
    fn a_word_of_several_alphabets_is_told_fst_2() {
        for mixed in ["Аnna", "Bоris", "Αna Smith", "xАx"] {
            assert!(mixes_alphabets(mixed), "{mixed}");
        }
        for plain in ["Anna", "Анна", "Anna Иванова", "Άννα", "José 5", "王 Li", ""] {
            assert!(!mixes_alphabets(plain), "{plain}");
        }
    }
}
