//! What an IMAP server says (RFC 3501, RFC 9051): where an answer ends, and the few kinds of it that mean something here.
//!
//! In: bytes, whatever they are. Out: how many belong to the first answer, and what it says. Total, within limits, without
//! recursion. What is not known here is [`Answer::Other`]: servers may say more than they were asked.

use super::super::connector::AskError;
use super::letter;

/// Most bytes of an answer beside its literals.
pub const LINE_MAX: usize = 8 << 10;

/// How much there is of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framed {
    /// It ends there.
    Whole(usize),
    /// That cannot be told before so many bytes are there.
    Needs(usize),
}

/// One answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The end of a command.
    Done {
        tag: String,
        verdict: Verdict,
    },
    /// Go on with what was announced.
    Go,
    /// So many mails are there.
    Exists(u32),
    /// One of them is not there any more.
    Expunged,
    Mail(Mail),
    /// Numbers (UID) of mails that were searched for.
    Found(Vec<u32>),
    Can(Skills),
    /// The selected mailbox is this one.
    Validity(u32),
    /// The next mail's number (UID).
    Next(u32),
    /// The server takes its leave.
    Bye,
    Other,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    /// The mailbox is not there.
    NoMailbox,
    /// The account is full.
    Full,
    /// It may be done later.
    Later,
    /// Not done, or not understood.
    No,
}

/// What a server can do beyond what all can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Skills {
    /// Say by itself what comes (RFC 2177).
    pub(super) idle: bool,
    /// Take away certain mails, and no others (RFC 4315).
    pub(super) uidplus: bool,
}

/// What is said of a mail.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mail {
    pub(super) uid: u32,
    /// When it came, by the server's clock, Unix ms; 0 where that is not said.
    pub(super) came_ms: u64,
    /// Bytes in all.
    pub(super) size: u32,
    /// The part of it that was asked for.
    pub(super) part: Option<Vec<u8>>,
}

/// Where the first answer ends. Errors: it is longer than it may be.
pub(super) fn framed(bytes: &[u8], literal_max: usize) -> Result<Framed, AskError> {
    let (mut at, mut text) = (0, 0);
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else {
            if text + rest.len() > LINE_MAX {
                return Err(AskError::TooLong);
            }
            return Ok(Framed::Needs(bytes.len() + 1));
        };
        let end = at + line + 2;
        text += line + 2;
        if text > LINE_MAX {
            return Err(AskError::TooLong);
        }
        let literal = literal_at_end(rest.get(..line).unwrap_or_default()).filter(|_| has_literals(bytes));
        let Some(length) = literal else {
            return Ok(Framed::Whole(end));
        };
        if length > literal_max {
            return Err(AskError::TooLong);
        }
        at = end + length;
        if bytes.len() < at + 2 {
            return Ok(Framed::Needs(at + 2));
        }
    }
}

/// What a person might read has no literals, whatever it looks like.
fn has_literals(bytes: &[u8]) -> bool {
    let Some(said) = bytes.strip_prefix(b"* ") else {
        return false;
    };
    let word = said
        .split(|byte| matches!(byte, b' ' | b'\r'))
        .next()
        .unwrap_or_default();
    verdict_of(word).is_none() && !is(word, "BYE") && !is(word, "PREAUTH")
}

fn literal_at_end(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"}")?;
    let open = line.iter().rposition(|byte| *byte == b'{')?;
    number(line.get(open + 1..)?).and_then(|length| usize::try_from(length).ok())
}

/// Reads one answer, as it was framed.
pub(super) fn read(bytes: &[u8]) -> Answer {
    let line = bytes.strip_suffix(b"\r\n").unwrap_or(bytes);
    if line.first() == Some(&b'+') {
        return Answer::Go;
    }
    let mut words = Words(line);
    match words.next() {
        b"*" => untagged(&mut words),
        tag => tagged(tag, &mut words),
    }
}

fn tagged(tag: &[u8], words: &mut Words<'_>) -> Answer {
    let Some(verdict) = verdict_of(words.next()) else {
        return Answer::Other;
    };
    let tag = String::from_utf8_lossy(tag).into_owned();
    let verdict = match (verdict, code(words)) {
        (Verdict::No, Some(Code::Refusal(why))) => why,
        (verdict, _) => verdict,
    };
    Answer::Done { tag, verdict }
}

fn untagged(words: &mut Words<'_>) -> Answer {
    let first = words.next();
    if is(first, "BYE") {
        return Answer::Bye;
    }
    if is(first, "CAPABILITY") {
        return Answer::Can(skills(words.0));
    }
    if is(first, "SEARCH") {
        return Answer::Found(words.0.split(|byte| *byte == b' ').filter_map(number).collect());
    }
    if verdict_of(first).is_some() || is(first, "PREAUTH") {
        return match code(words) {
            Some(Code::Validity(validity)) => Answer::Validity(validity),
            Some(Code::Next(next)) => Answer::Next(next),
            Some(Code::Can(skills)) => Answer::Can(skills),
            Some(Code::Refusal(_)) | None => Answer::Other,
        };
    }
    let Some(count) = number(first) else {
        return Answer::Other;
    };
    match words.next() {
        word if is(word, "EXISTS") => Answer::Exists(count),
        word if is(word, "EXPUNGE") => Answer::Expunged,
        word if is(word, "FETCH") => mail(words).map_or(Answer::Other, Answer::Mail),
        _ => Answer::Other,
    }
}

/// What stands in brackets behind a verdict.
enum Code {
    Refusal(Verdict),
    Validity(u32),
    Next(u32),
    Can(Skills),
}

fn code(words: &Words<'_>) -> Option<Code> {
    let inside = words.0.strip_prefix(b"[")?;
    let inside = inside.get(..inside.iter().position(|byte| *byte == b']')?)?;
    let mut words = Words(inside);
    let refusal = |verdict| Some(Code::Refusal(verdict));
    match words.next() {
        word if is(word, "UIDVALIDITY") => number(words.next()).map(Code::Validity),
        word if is(word, "UIDNEXT") => number(words.next()).map(Code::Next),
        word if is(word, "CAPABILITY") => Some(Code::Can(skills(words.0))),
        word if is(word, "TRYCREATE") || is(word, "NONEXISTENT") => refusal(Verdict::NoMailbox),
        word if is(word, "OVERQUOTA") => refusal(Verdict::Full),
        word if ["UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG"]
            .iter()
            .any(|one| is(word, one)) =>
        {
            refusal(Verdict::Later)
        }
        _ => None,
    }
}

fn skills(words: &[u8]) -> Skills {
    let has = |skill| words.split(|byte| *byte == b' ').any(|word| is(word, skill));
    Skills {
        idle: has("IDLE"),
        uidplus: has("UIDPLUS"),
    }
}

/// `(NAME VALUE NAME VALUE ...)`. Nothing where it is not that, or has no UID: it was not asked for then.
fn mail(words: &mut Words<'_>) -> Option<Mail> {
    words.0 = words.0.strip_prefix(b"(")?;
    let mut mail = Mail::default();
    while words.0.first() != Some(&b')') {
        let name = words.attribute()?;
        let value = words.value()?;
        match (name, value) {
            (name, Value::Bytes(value)) if is(name, "UID") => mail.uid = number(value)?,
            (name, Value::Bytes(value)) if is(name, "RFC822.SIZE") => mail.size = number(value)?,
            (name, Value::Bytes(value)) if is(name, "INTERNALDATE") => {
                mail.came_ms = letter::read_time(value).unwrap_or_default();
            }
            (name, Value::Bytes(value)) if is(name.get(..5).unwrap_or_default(), "BODY[") => {
                mail.part = Some(value.to_vec());
            }
            _ => {}
        }
        words.0 = words.0.strip_prefix(b" ").unwrap_or(words.0);
    }
    (mail.uid != 0).then_some(mail)
}

/// What is left of an answer.
struct Words<'a>(&'a [u8]);

/// What stands behind a name.
enum Value<'a> {
    /// A string or an atom.
    Bytes(&'a [u8]),
    /// In parentheses, or nothing at all.
    Other,
}

impl<'a> Words<'a> {
    /// Up to the next space.
    fn next(&mut self) -> &'a [u8] {
        let length = self.0.iter().position(|byte| *byte == b' ');
        self.take(length.unwrap_or(self.0.len()), 1)
    }

    /// So many bytes, leaving out as many behind them as are there.
    fn take(&mut self, length: usize, behind: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(length).unwrap_or((self.0, &[]));
        self.0 = rest.get(behind..).unwrap_or_default();
        taken
    }

    /// `BODY[HEADER.FIELDS (MESSAGE-ID)]<0>`: up to a space outside of brackets.
    fn attribute(&mut self) -> Option<&'a [u8]> {
        let mut is_inside = false;
        let length = self.0.iter().position(|byte| {
            match byte {
                b'[' => is_inside = true,
                b']' => is_inside = false,
                _ => {}
            }
            *byte == b' ' && !is_inside
        });
        length.map(|length| self.take(length, 1))
    }

    fn value(&mut self) -> Option<Value<'a>> {
        match self.0.first()? {
            b'"' => self.quoted().map(Value::Bytes),
            b'{' => self.literal().map(Value::Bytes),
            b'(' => self.list().map(|()| Value::Other),
            _ => {
                let length = self.0.iter().position(|byte| matches!(byte, b' ' | b')'))?;
                let atom = self.take(length, 0);
                Some(if is(atom, "NIL") {
                    Value::Other
                } else {
                    Value::Bytes(atom)
                })
            }
        }
    }

    /// As it stands between its quotes.
    fn quoted(&mut self) -> Option<&'a [u8]> {
        let inside = self.0.get(1..)?;
        let mut is_escaped = false;
        let length = inside.iter().position(|byte| {
            let ends = *byte == b'"' && !is_escaped;
            is_escaped = *byte == b'\\' && !is_escaped;
            ends
        })?;
        self.0 = inside;
        Some(self.take(length, 1))
    }

    fn literal(&mut self) -> Option<&'a [u8]> {
        let close = self.0.iter().position(|byte| *byte == b'}')?;
        let length = usize::try_from(number(self.0.get(1..close)?)?).ok()?;
        let bytes = self.0.get(close + 1..)?.strip_prefix(b"\r\n")?;
        let (taken, rest) = bytes.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// Over a list and all lists in it.
    fn list(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.0.first()? {
                b'"' => drop(self.quoted()?),
                b'{' => drop(self.literal()?),
                byte => {
                    match byte {
                        b'(' => depth += 1,
                        b')' => depth -= 1,
                        _ => {}
                    }
                    self.take(1, 0);
                    if depth == 0 {
                        return Some(());
                    }
                }
            }
        }
    }
}

fn verdict_of(word: &[u8]) -> Option<Verdict> {
    match word {
        word if is(word, "OK") => Some(Verdict::Ok),
        word if is(word, "NO") || is(word, "BAD") => Some(Verdict::No),
        _ => None,
    }
}

fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// Digits alone.
fn number(word: &[u8]) -> Option<u32> {
    let is_one = word.iter().all(u8::is_ascii_digit);
    is_one.then(|| std::str::from_utf8(word).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(mut bytes: &[u8]) -> Result<Vec<Answer>, AskError> {
        let mut answers = Vec::new();
        while let Framed::Whole(length) = framed(bytes, 64)? {
            let (one, rest) = bytes.split_at(length);
            answers.push(read(one));
            bytes = rest;
        }
        Ok(answers)
    }

    #[test]
    fn what_servers_say_is_understood_drp_16() {
        let tag = || "a1".to_owned();
        let done = |verdict| Answer::Done { tag: tag(), verdict };
        let skills = |idle, uidplus| Answer::Can(Skills { idle, uidplus });
        for (said, meant) in [
            ("a1 OK done\r\n", done(Verdict::Ok)),
            ("a1 ok\r\n", done(Verdict::Ok)),
            ("a1 OK [APPENDUID 1 2] {5}\r\n", done(Verdict::Ok)),
            ("a1 NO [AUTHENTICATIONFAILED] Неверный пароль\r\n", done(Verdict::No)),
            ("a1 NO [OVERQUOTA] full\r\n", done(Verdict::Full)),
            ("a1 NO [TryCreate] make it\r\n", done(Verdict::NoMailbox)),
            ("a1 NO [UNAVAILABLE] later\r\n", done(Verdict::Later)),
            ("a1 BAD what\r\n", done(Verdict::No)),
            ("+ go on\r\n", Answer::Go),
            ("+\r\n", Answer::Go),
            ("* OK [CAPABILITY IMAP4rev1 IDLE] hello\r\n", skills(true, false)),
            ("* PREAUTH [CAPABILITY UIDPLUS] hello\r\n", skills(false, true)),
            ("* CAPABILITY IMAP4rev1 UIDPLUS idle\r\n", skills(true, true)),
            ("* OK [UIDVALIDITY 7] x\r\n", Answer::Validity(7)),
            ("* OK [UIDNEXT 8] x\r\n", Answer::Next(8)),
            ("* 12 EXISTS\r\n", Answer::Exists(12)),
            ("* 3 EXPUNGE\r\n", Answer::Expunged),
            ("* SEARCH 4 5\r\n", Answer::Found(vec![4, 5])),
            ("* SEARCH\r\n", Answer::Found(vec![])),
            ("* BYE {9}\r\n", Answer::Bye),
            ("* FLAGS (\\Seen)\r\n", Answer::Other),
            ("* 1 FETCH (FLAGS (\\Seen))\r\n", Answer::Other),
            ("* 99999999999 EXISTS\r\n", Answer::Other),
        ] {
            assert_eq!(read_all(said.as_bytes()).unwrap(), [meant], "{said}");
        }
    }

    #[test]
    fn mails_are_read_in_each_of_their_forms_drp_16() {
        let said = "* 1 FETCH (UID 5 INTERNALDATE \"30-Nov-2026 06:00:00 +0200\" RFC822.SIZE 77 FLAGS (\\Seen \"a)\" (x)) \
                    BODY[HEADER.FIELDS (MESSAGE-ID)]<0> {10}\r\n<\")\r\n(x>\r\n X-UNKNOWN NIL)\r\n* 2 EXISTS\r\n\
                    * 2 fetch (body[text] \"a\\\"b\" uid 6)\r\n* 3 FETCH (UID 7 INTERNALDATE NIL BODY[TEXT] NIL)\r\n";
        let mail = |uid, came_ms, size, part: Option<&[u8]>| {
            Answer::Mail(Mail {
                uid,
                came_ms,
                size,
                part: part.map(<[u8]>::to_vec),
            })
        };
        assert_eq!(
            read_all(said.as_bytes()).unwrap(),
            [
                mail(5, 1_796_011_200_000, 77, Some(b"<\")\r\n(x>\r\n")),
                Answer::Exists(2),
                mail(6, 0, 0, Some(b"a\\\"b")),
                mail(7, 0, 0, None)
            ]
        );
        for other in [
            "* 1 FETCH (UID 5\r\n",
            "* 1 FETCH UID 5\r\n",
            "* 1 FETCH (UID x)\r\n",
            "* 1 FETCH (UID 0)\r\n",
            "* 1 FETCH (UID 5 X \"a)\r\n",
            "* 1 FETCH (UID 5 X (a)\r\n",
            "* 1 FETCH (UID)\r\n",
        ] {
            assert_eq!(read_all(other.as_bytes()).unwrap(), [Answer::Other], "{other}");
        }
    }

    #[test]
    fn an_answer_is_bounded_drp_16() {
        let too_long = |bytes: &[u8]| matches!(framed(bytes, 64), Err(AskError::TooLong));
        assert!(too_long(&vec![b'x'; LINE_MAX + 1]));
        assert!(!too_long(&vec![b'x'; LINE_MAX]));
        assert!(too_long(b"* 1 FETCH (BODY[TEXT] {65}\r\n"));
        assert!(too_long(b"* 1 FETCH (BODY[TEXT] {4294967295}\r\n"));
        let pieces = "* 1 FETCH (X {1}\r\n".to_owned() + &"x {1}\r\n".repeat(LINE_MAX / 6);
        assert!(too_long(pieces.as_bytes()), "many small literals are long too");
        assert_eq!(framed(b"* 1 FETCH (X {64}\r\nabc", 64).unwrap(), Framed::Needs(85));
        let deep = format!("* 1 FETCH (UID 1 BODY {})\r\n", "(".repeat(LINE_MAX - 100));
        assert_eq!(read(deep.as_bytes()), Answer::Other);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answers_or_none_drp_16(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            rest in "(\\* 1 FETCH \\(|UID 1|INTERNALDATE|BODY\\[|\\]|\\(|\\)|\"| |NIL|\\{[0-9]{1,2}\\}\r\n|\r\n|\\+|a1 OK|\\* OK \\[|UIDNEXT|x)*",
        ) {
            for bytes in [bytes.as_slice(), rest.as_bytes(), format!("* 1 FETCH ({rest})\r\n").as_bytes()] {
                let _ = (read_all(bytes), read(bytes));
            }
        }
    }
}
