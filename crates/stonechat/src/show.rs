//! How things look on a terminal, and as JSON lines.
//!
//! In: typed answers. Out: text. Names and texts come from others: control characters never reach the terminal.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde::Serialize;
use serde_json::{Value, json};
use stonechat_daemon::types::{
    Alarm, AlarmKind, ChatId, Choice, IntroductionState, KnownBy, MediaKind, Message, MessageKind, MessageState, Poll,
    Vouched,
};

use crate::failure::CommandError;

/// Characters of a quoted text on a line.
const QUOTED_CHARS: usize = 40;

/// Prints one line and sees to it that it has left: what is marked as printed must have been.
///
/// Errors: nobody reads standard output any more, or it is full.
pub(crate) fn line(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => CommandError::Unheard,
        _ => error.into(),
    })
}

/// Prints one JSON object as a line.
pub(crate) fn json_line(value: &impl Serialize) -> Result<(), CommandError> {
    line(&escaped(&serde_json::to_string(value).unwrap_or_default()))
}

/// The same JSON, with nothing in it that steers a terminal: such a character stands in texts alone, where it may be escaped.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if steers(c) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Tells a person something that is not the command's result.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "stonechat: {text}");
}

/// Text of others, safe for a terminal: characters that control it, turn its direction, end a line or are not seen
/// become a mark.
pub(crate) fn tame(text: &str) -> String {
    let mut before = ' ';
    let mut tamed = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => tamed.push_str("\n    "),
            c if steers(c) || !is_seen(c, before) => tamed.push('\u{fffd}'),
            c => tamed.push(c),
        }
        before = c;
    }
    tamed
}

/// Controls the terminal, turns the direction, ends a line as no newline does, or is not seen at all.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// What is not seen alone may mean something behind some characters: an emoji of several people is held together by U+200D,
/// Persian and words of India need U+200C and U+200D, the flag of Wales is spelled in tags. Behind a Latin, Greek or Cyrillic
/// letter they would only make two names look like one.
fn is_seen(c: char, before: char) -> bool {
    match c {
        '\u{200c}' | '\u{200d}' => is_joined(before),
        '\u{e0020}'..='\u{e007f}' => matches!(before, '🏴' | '\u{e0020}'..='\u{e007e}'),
        _seen => true,
    }
}

/// Letters of scripts that join, and what emojis are made of.
fn is_joined(before: char) -> bool {
    matches!(before,
        '\u{600}'..='\u{109f}' | '\u{1780}'..='\u{18af}' | '\u{2190}'..='\u{2bff}' | '\u{a800}'..='\u{abff}'
        | '\u{fb50}'..='\u{fdff}' | '\u{fe0f}' | '\u{fe70}'..='\u{fefc}' | '\u{10a00}'..='\u{11fff}'
        | '\u{1f000}'..='\u{1faff}')
}

/// A message as a JSON line. Its kind tells a text from what has none: the beginning, what needs a newer version.
pub(crate) fn message_json(message: &Message) -> Value {
    // Each field by its name: one that comes to be is printed, or left out on purpose.
    let Message {
        id,
        chat,
        position: _, // of pages; the order of lines says it
        from,
        from_name,
        mine,
        kind,
        text,
        sent_at,
        state,
        client_id: _, // of an interface that sends twice
        late,
        missing_before,
        asked_for,
        reply,
        edited_at,
        reactions,
        may_delete,
        timer_s,
        vanishes_at,
        media,
        format,
        typed,
        mentions_me,
        pinned,
        poll,
        forwarded,
        card,
        place,
        introduction,
    } = message;
    json!({
        "id": id,
        "chat": chat,
        "from": from_name,
        "from_id": from,
        "mine": mine,
        "kind": kind,
        "text": text,
        "sent_at": sent_at,
        "state": state,
        "late": late,
        "missing_before": missing_before,
        "asked_for": asked_for,
        "reply_to": reply.as_ref().map(|quote| &quote.id),
        "quoted": reply.as_ref().and_then(|quote| quote.found.as_ref()).map(|quoted| &quoted.text),
        "edited_at": edited_at,
        "reactions": reactions,
        "may_delete": may_delete,
        "timer_s": timer_s,
        "vanishes_at": vanishes_at,
        "media": media,
        "format": format,
        "typed": typed,
        "mentions_me": mentions_me,
        "pinned": pinned,
        "poll": poll,
        "forwarded": forwarded,
        "card": card,
        "place": place,
        "introduction": introduction,
    })
}

/// A message as a line for a person.
pub(crate) fn message_line(message: &Message) -> String {
    let text = match message.kind {
        MessageKind::Text => words(message),
        MessageKind::Unknown => "(needs a newer version)".to_owned(),
        MessageKind::Began => "(the conversation began)".to_owned(),
        MessageKind::Deleted => "(deleted)".to_owned(),
        MessageKind::NewDevice => "(has a new device)".to_owned(),
        MessageKind::Timer => timer_words(message.timer_s),
        MessageKind::Introduction => introduction_words(message),
    };
    let state = if message.mine && message.kind == MessageKind::Text {
        format!("  [{}]", state_word(message.state))
    } else {
        String::new()
    };
    let late = if message.late { "(written after removal) " } else { "" };
    let (quote, after) = (quote(message), marks(message));
    format!(
        "{}  {}: {late}{quote}{text}{after}{state}",
        time(message.sent_at),
        tame(&message.from_name)
    )
}

/// A text with the signs of its marks, and what stands beside it.
fn words(message: &Message) -> String {
    let from = match &message.forwarded {
        None => String::new(),
        Some(from) => match &from.name {
            None => "(forwarded) ".to_owned(),
            Some(name) => format!("(forwarded from {}) ", tame(name)),
        },
    };
    let text = tame(message.typed.as_ref().unwrap_or(&message.text));
    let poll = message.poll.as_ref().map(choices).unwrap_or_default();
    format!("{from}{}{}{text}{poll}", media_words(message), beside_words(message))
}

/// The choices of a poll, a line each.
fn choices(poll: &Poll) -> String {
    let one = |(number, choice): (usize, &Choice)| {
        let mine = if choice.mine { " (yours)" } else { "" };
        format!("\n    {number}. {}: {}{mine}", tame(&choice.text), choice.count)
    };
    let all: String = (1..).zip(&poll.choices).map(one).collect();
    let over = if poll.closed { "\n    (over)" } else { "" };
    all + over
}

/// A card or a place.
fn beside_words(message: &Message) -> String {
    if let Some(card) = &message.card {
        return format!("(card of {}, account {}) ", tame(&card.name), card.account);
    }
    let Some(place) = &message.place else {
        return String::new();
    };
    let within = match place.accuracy_m {
        0 => String::new(),
        metres => format!(", within {metres} m"),
    };
    let label = match place.label.as_str() {
        "" => String::new(),
        label => format!(" \"{}\"", tame(label)),
    };
    format!("(place{label} {} {}{within}) ", degrees(place.lat), degrees(place.lon))
}

/// Steps of 1/100,000 of a degree as `-33.44556`.
pub(crate) fn degrees(steps: i32) -> String {
    let sign = if steps < 0 { "-" } else { "" };
    let all = steps.unsigned_abs();
    format!("{sign}{}.{:05}", all / 100_000, all % 100_000)
}

/// Two people shall meet: who asks, who vouches, where it stands.
fn introduction_words(message: &Message) -> String {
    let name = tame(&message.text);
    let Some(introduction) = &message.introduction else {
        return format!("(an introduction to {name})");
    };
    let state = introduction_state(introduction.state);
    let vouches: String = introduction.vouches.iter().map(vouch_line).collect();
    format!(
        "(would you like to meet {name}? {state}; account {}){vouches}",
        introduction.account
    )
}

/// One who vouches, as a line below.
pub(crate) fn vouch_line(vouch: &Vouched) -> String {
    let how = match vouch.known_by {
        KnownBy::Verified => "compared safety numbers, or met in person",
        KnownBy::Invitation => "met by an invitation",
        KnownBy::Introduction => "was introduced",
    };
    let verified = if vouch.verified { " (verified by you)" } else { "" };
    format!("\n    {}{verified}: {how}", tame(&vouch.name))
}

/// The same words everywhere.
pub(crate) fn introduction_state(state: IntroductionState) -> &'static str {
    match state {
        IntroductionState::Asked => "not answered yet",
        IntroductionState::Agreed => "yes; waiting for the other",
        IntroductionState::Declined => "no",
        IntroductionState::OnItsWay => "both said yes",
        IntroductionState::Met => "met",
        IntroductionState::Wrong => "ALARM: the link was somebody else's",
    }
}

/// What is heard or seen, before the text.
fn media_words(message: &Message) -> String {
    match &message.media {
        None => String::new(),
        Some(media) if media.kind == MediaKind::Voice => {
            format!("(voice note, {} s) ", media.duration_ms.unwrap_or(0).div_ceil(1000))
        }
        Some(media) => format!("(photo, {} x {}) ", media.width.unwrap_or(0), media.height.unwrap_or(0)),
    }
}

/// What a line about the timer says.
pub(crate) fn timer_words(timer_s: Option<u32>) -> String {
    match timer_s {
        None => "(messages stay)".to_owned(),
        Some(seconds) => format!("(messages go {} after they were read)", timer(seconds)),
    }
}

/// Seconds as `1d`, `90s`: in the largest unit that they are whole in.
pub(crate) fn timer(seconds: u32) -> String {
    let units = [(7 * 86_400, "w"), (86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = units.into_iter().find(|(size, _)| seconds.is_multiple_of(*size));
    let (size, name) = unit.unwrap_or((1, "s"));
    format!("{}{name}", seconds / size)
}

/// What it answers, before the text.
fn quote(message: &Message) -> String {
    let Some(quote) = &message.reply else {
        return String::new();
    };
    match &quote.found {
        None => "(to a message that is not here) ".to_owned(),
        Some(quoted) if quoted.kind == MessageKind::Deleted => "(to a deleted message) ".to_owned(),
        Some(quoted) => {
            let start: String = quoted.text.chars().take(QUOTED_CHARS).collect();
            let more = if start.len() < quoted.text.len() { "…" } else { "" };
            let start = tame(&start.replace('\n', " "));
            format!("(to {}: \"{start}{more}\") ", tame(&quoted.from_name))
        }
    }
}

/// That it was edited, and the emojis on it, behind the text.
fn marks(message: &Message) -> String {
    let edited = if message.edited_at.is_some() { "  (edited)" } else { "" };
    let emojis: Vec<String> = message
        .reactions
        .iter()
        .map(|reaction| format!("{} {}", tame(&reaction.emoji), reaction.count))
        .collect();
    if emojis.is_empty() {
        edited.to_owned()
    } else {
        format!("{edited}  [{}]", emojis.join(", "))
    }
}

/// What stands above a message before which others are missing.
pub(crate) fn gap_line(message: &Message) -> Option<String> {
    let asked = if message.asked_for { ", asked for" } else { "" };
    (message.missing_before > 0).then(|| format!("(missing before this one: {}{asked})", message.missing_before))
}

/// An alarm as a JSON line among messages; no message is of its kind.
pub(crate) fn alarm_json(chat: ChatId, alarm: &Alarm) -> Value {
    json!({
        "chat": chat,
        "kind": "alarm",
        "alarm": alarm.kind,
        "from": alarm.name,
        "from_id": alarm.account,
        "sent_at": alarm.at,
    })
}

/// An alarm as a line for a person.
pub(crate) fn alarm_line(alarm: &Alarm) -> String {
    let what = match alarm.kind {
        AlarmKind::TwoCommits => format!(
            "{} changed the keys of this chat twice at the same place: a copy of these keys may be in use",
            tame(&alarm.name)
        ),
        AlarmKind::NotMine => "somebody changed the keys of this chat in your name, and this device did not: \
                               a copy of your keys may be in use, or a member pretends so"
            .to_owned(),
        AlarmKind::TwoLogs => format!(
            "{} was brought back twice from the same words: somebody else may have them",
            tame(&alarm.name)
        ),
        AlarmKind::Flood => format!(
            "{} changes keys all the time, more than twelve times in a day: a broken program, or somebody who wants to \
             crowd out what others do here",
            tame(&alarm.name)
        ),
    };
    format!("{}  ALARM: {what}", time(alarm.at))
}

/// The same words everywhere.
pub(crate) fn state_word(state: MessageState) -> &'static str {
    match state {
        MessageState::Queued => "queued",
        MessageState::Carried => "carried",
        MessageState::Delivered => "delivered",
        MessageState::Read => "read",
        MessageState::Received => "received",
    }
}

/// Unix milliseconds as `2026-01-31 12:00 UTC`.
pub(crate) fn time(unix_ms: u64) -> String {
    let minutes = unix_ms / 60_000;
    let (year, month, day) = date(minutes / 1_440);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02} UTC",
        minutes / 60 % 24,
        minutes % 60
    )
}

/// Days since 1970 as year, month, day of the Gregorian calendar.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;
    use crate::grammar::Line;

    #[test]
    fn days_become_dates() {
        assert_eq!(time(0), "1970-01-01 00:00 UTC");
        assert_eq!(time(951_782_400_000), "2000-02-29 00:00 UTC");
        assert_eq!(time(1_798_761_540_000), "2026-12-31 23:59 UTC");
    }

    #[test]
    fn a_gap_and_an_alarm_have_their_lines_wnt_6() {
        let alarm = |kind| Alarm {
            kind,
            account: "ab".into(),
            name: "B\u{1b}o".into(),
            at: 0,
        };
        let twice = alarm_line(&alarm(AlarmKind::TwoCommits));
        assert!(
            twice.starts_with("1970-01-01 00:00 UTC  ALARM: B\u{fffd}o changed"),
            "{twice}"
        );
        assert!(alarm_line(&alarm(AlarmKind::Flood)).contains("B\u{fffd}o changes keys"));
        assert_eq!(alarm_json(7, &alarm(AlarmKind::NotMine))["alarm"], "notMine");
        let mut message = message(json!({}));
        assert_eq!(gap_line(&message), None);
        message.missing_before = 2;
        message.asked_for = true;
        assert_eq!(gap_line(&message).unwrap(), "(missing before this one: 2, asked for)");
        assert_eq!(message_json(&message)["asked_for"], true);
    }

    /// A text of Bo's, with some fields as they are said.
    fn message(fields: Value) -> Message {
        let mut all = json!({
            "id": "", "chat": 1, "position": 1, "from": "", "fromName": "Bo", "mine": false, "kind": "text",
            "text": "x", "sentAt": 0, "state": "received", "clientId": null, "late": false, "missingBefore": 0,
            "askedFor": false, "reply": null, "editedAt": null, "reactions": [], "mayDelete": false,
            "timerS": null, "vanishesAt": null, "media": null, "format": [], "typed": null, "mentionsMe": false,
            "pinned": false, "poll": null, "forwarded": null, "card": null, "place": null, "introduction": null,
        });
        for (name, value) in fields.as_object().unwrap() {
            all[name] = value.clone();
        }
        serde_json::from_value(all).unwrap()
    }

    /// Every field of the API's type with a value that is not the usual one, and the other fields that it needs.
    fn each_field() -> Vec<(&'static str, Value)> {
        let quote = json!({ "id": "12", "found": null });
        let thumb = json!({ "emoji": "👍", "count": 1, "mine": false, "names": [] });
        let photo = json!({ "kind": "photo", "width": 1, "height": 1, "durationMs": null, "preview": false });
        let poll = json!({ "choices": [], "several": false, "closed": true, "voters": 0 });
        let bold = json!([{ "kind": "bold", "text": "", "inside": [], "mention": null }]);
        let met = json!({ "account": "cc", "name": "Cy", "state": "asked", "vouches": [] });
        vec![
            ("id", json!({ "id": "77" })),
            ("chat", json!({ "chat": 7 })),
            ("from", json!({ "from": "cc" })),
            ("fromName", json!({ "fromName": "Cy" })),
            ("mine", json!({ "mine": true })),
            ("kind", json!({ "kind": "deleted" })),
            ("text", json!({ "text": "y" })),
            ("sentAt", json!({ "sentAt": 60_000 })),
            ("state", json!({ "state": "queued", "mine": true })),
            ("late", json!({ "late": true })),
            ("missingBefore", json!({ "missingBefore": 1 })),
            ("askedFor", json!({ "askedFor": true, "missingBefore": 1 })),
            ("reply", json!({ "reply": quote })),
            ("editedAt", json!({ "editedAt": 1 })),
            ("reactions", json!({ "reactions": [thumb] })),
            ("mayDelete", json!({ "mayDelete": true })),
            ("timerS", json!({ "timerS": 5, "kind": "timer" })),
            ("vanishesAt", json!({ "vanishesAt": 1 })),
            ("media", json!({ "media": photo })),
            ("format", json!({ "format": bold })),
            ("typed", json!({ "typed": "**x**" })),
            ("mentionsMe", json!({ "mentionsMe": true })),
            ("pinned", json!({ "pinned": true })),
            ("poll", json!({ "poll": poll })),
            ("forwarded", json!({ "forwarded": { "name": null } })),
            (
                "card",
                json!({ "card": { "name": "Cy", "account": "cc", "chat": null, "me": false } }),
            ),
            (
                "place",
                json!({ "place": { "lat": 1, "lon": 1, "accuracyM": 0, "label": "" } }),
            ),
            ("introduction", json!({ "introduction": met, "kind": "introduction" })),
        ]
    }

    /// What is no matter of a command line at all: [`message_json`] says why.
    const NOWHERE: [&str; 2] = ["position", "clientId"];
    /// What no line says: ids and marks for programs, which are in the JSON; and what a chat says by how it looks.
    const NOT_ON_THE_LINE: [&str; 8] = [
        "id",
        "chat",
        "from",
        "mayDelete",
        "vanishesAt",
        "format",
        "mentionsMe",
        "pinned",
    ];

    #[test]
    fn each_field_of_a_message_is_printed_or_left_out_on_purpose() {
        let of_the_type = serde_json::to_value(message(json!({}))).unwrap();
        let of_the_type: BTreeSet<String> = of_the_type.as_object().unwrap().keys().cloned().collect();
        let tried = each_field().into_iter().map(|(name, _)| name).chain(NOWHERE);
        assert_eq!(of_the_type, tried.map(str::to_owned).collect());
        for (name, mut fields) in each_field() {
            let with = message(fields.clone());
            fields.as_object_mut().unwrap().remove(name);
            let without = message(fields);
            assert_ne!(message_json(&with), message_json(&without), "{name}");
            let lines = |message: &Message| (gap_line(message), message_line(message));
            let told = lines(&with) != lines(&without);
            assert_eq!(told, !NOT_ON_THE_LINE.contains(&name), "{name}");
        }
    }

    #[test]
    fn the_help_of_receive_names_all_that_is_printed() {
        let line = Line::command();
        let receive = line.find_subcommand("receive").unwrap();
        let json = receive.get_arguments().find(|flag| flag.get_id() == "json").unwrap();
        let help = json.get_help().unwrap().to_string();
        let (_, named) = help.split_once(": ").unwrap();
        let named: BTreeSet<&str> = named.split(", ").collect();
        let printed = message_json(&message(json!({})));
        let printed: BTreeSet<&str> = printed.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(named, printed);
    }

    #[test]
    fn what_was_written_after_removal_says_so_before_all_else_grp_6() {
        let mut late = message(json!({ "late": true, "reply": { "id": "12", "found": null } }));
        assert_eq!(
            message_line(&late),
            "1970-01-01 00:00 UTC  Bo: (written after removal) (to a message that is not here) x"
        );
        late.late = false;
        assert!(!message_line(&late).contains("removal"));
    }

    #[test]
    fn degrees_keep_their_zeros_con_26() {
        let said = [0, -1, 100_000, -3_344_556, 18_000_000].map(degrees);
        assert_eq!(said, ["0.00000", "-0.00001", "1.00000", "-33.44556", "180.00000"]);
    }

    #[test]
    fn timers_are_said_in_their_largest_unit() {
        let said = [5, 90, 3_600, 86_400, 604_800, 31_622_400].map(timer);
        assert_eq!(said, ["5s", "90s", "1h", "1d", "1w", "366d"]);
    }

    #[test]
    fn text_of_others_cannot_steer_the_terminal() {
        assert_eq!(
            tame("a\u{1b}[2Jb\u{202e}c\nd\r"),
            "a\u{fffd}[2Jb\u{fffd}c\n    d\u{fffd}"
        );
        assert_eq!(tame("Привет 👋"), "Привет 👋");
        for unseen in
            "\u{7f}\u{9b}\u{ad}\u{61c}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{2060}\u{feff}\u{e0041}"
                .chars()
        {
            assert_eq!(tame(&format!("Bo{unseen}")), "Bo\u{fffd}", "{unseen:?}");
            assert_eq!(tame(&format!("{unseen}Во")), "\u{fffd}Во", "{unseen:?}");
        }
    }

    #[test]
    fn what_joins_emojis_and_letters_stays() {
        for whole in [
            "👩\u{200d}👩\u{200d}👧",
            "❤\u{fe0f}\u{200d}🔥",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
        ] {
            assert_eq!(tame(whole), whole);
        }
        assert_eq!(tame("می\u{200c}\u{200c}"), "می\u{200c}\u{fffd}");
    }

    #[test]
    fn json_is_the_same_and_steers_no_terminal() {
        let value = json!({ "text": "a\u{9b}2J\u{202e}b\u{2028}\u{7f}\n\\ Привет 👩\u{200d}👧" });
        let printed = escaped(&value.to_string());
        assert!(!printed.chars().any(steers), "{printed}");
        assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), value);
        assert!(printed.contains("👩\u{200d}👧"));
    }
}
