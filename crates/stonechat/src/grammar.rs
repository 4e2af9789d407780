//! The command line's grammar.
//!
//! In: the words after `stonechat`. Out: [`Line`]. What the commands do is in [`crate::commands`] and beside it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use stonechat_relay::CoverChoice;
use stonechat_relay::acme;
use stonechat_relay::listen::Telling;
use stonechat_relay::operate::settings::HTTPS_PORT;
use stonechat_wire::address::{self, Around};

const EXIT_CODES: &str = "Exit codes: 0 done · 1 not done · 2 wrong usage · 3 profile in use · 4 wrong or missing passphrase · \
5 the link or route is no good · 6 no such contact, message or request · 7 newer or damaged database · 8 disk full";

const SETTINGS: &str = "Settings: flag, else environment, else config.toml in the home: port (STONECHAT_PORT), \
name (STONECHAT_NAME), relays (STONECHAT_RELAY), log (STONECHAT_LOG), passphrase_file (STONECHAT_PASSPHRASE_FILE), \
lan (STONECHAT_LAN), near (STONECHAT_NEAR), lend (STONECHAT_LEND)";

/// A private messenger.
#[derive(Debug, Parser)]
#[command(name = "stonechat", version = crate::VERSION, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Line {
    /// Folder of the profile (one account each).
    #[arg(long, global = true, env = "STONECHAT_HOME", value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// File whose first line is the profile's passphrase.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Makes the account, or restores it from its recovery words.
    Init(Init),
    /// Brings an account back with its contacts and groups, from its words and one entrance.
    Restore(Restore),
    /// Shows the 24 recovery words.
    Words(Words),
    /// Makes an invitation and prints its link (with --spoken: and three words to say by phone).
    Invite(Invite),
    /// Makes an invitation for whoever reads it, which gives two relays to each.
    #[command(subcommand)]
    Public(Public),
    /// Takes up an invitation.
    Accept(Accept),
    /// Lists the people who wait for approval.
    Requests(Listing),
    /// Lets a waiting person in.
    Approve(ById),
    /// Turns a waiting person away.
    Decline(ById),
    /// Lists the contacts.
    Contacts(Listing),
    /// Blocks a contact: nothing of theirs is shown or answered, and they are not told. Without a name: who is blocked.
    Block(Block),
    /// Asks two contacts whether they want to meet. Nothing happens before both have said yes.
    Introduce(Introduce),
    /// Lists the introductions that wait for your answer.
    Introductions(Listing),
    /// Says whether you want to meet somebody, by the id that `introductions` prints.
    Meet(Meet),
    /// Sends the card of one contact to another, or to a group.
    Card(SendCard),
    /// Sends a place; nothing is looked up for it.
    Place(Place),
    /// Makes a group, changes who is in it and what they may do.
    #[command(subcommand)]
    Group(Group),
    /// Makes another device one of this account's, lists them, takes one away.
    #[command(subcommand)]
    Device(Device),
    /// Lists the relays that are used; adds one, takes one back, gives up an address of one.
    Relays(Relays),
    /// Writes what waits into a file that somebody carries, or takes such a file in: messages with no network at all.
    #[command(subcommand)]
    Bundle(Bundle),
    /// Sends a text and prints its message id; waits up to 5 s for a relay to take it. `saved` is the chat with yourself.
    Send(Send),
    /// Answers a message, by the id that `send` and `messages --json` print, and prints the answer's id.
    Reply(Reply),
    /// Puts an emoji on a message.
    React(React),
    /// Writes another text in the place of one of yours.
    Edit(Edit),
    /// Deletes a message here, or for everybody.
    Delete(Delete),
    /// Shows the texts that a message has had, the present one last.
    History(OfMessage),
    /// Sends a photo: a JPEG file of at most 192 kB; where it was taken, and all else that is no picture, stays here.
    Photo(Media),
    /// Sends a voice note: an Ogg file with Opus of at most two minutes and 192 kB.
    Voice(Media),
    /// Writes the file of a photo or voice note.
    Save(Save),
    /// Puts a message on top of its chat for everybody, or takes it off.
    Pin(Pin),
    /// Shows what is pinned in a chat, newest pin first.
    Pins(Listed),
    /// Asks something with choices, chooses, ends a poll.
    #[command(subcommand)]
    Poll(Poll),
    /// Writes a message of one chat in another, and prints the new one's id.
    Forward(Forward),
    /// Says how long messages of a chat stay after they were read; without a time: shows it.
    Timer(Timer),
    /// Shows the newest messages with a contact.
    Messages(Messages),
    /// Prints messages of others that were not printed before, and marks them read.
    Receive(Receive),
    /// Shows the 60 digits to compare with a contact.
    SafetyNumber(Compare),
    /// Marks a contact verified, once the numbers were compared.
    Verify(Verify),
    /// Shows eight words of the conversation with a contact for a quick comparison, and who introduced them.
    #[command(name = "words-of")]
    Compare(Compare),
    /// Finds messages.
    Search(Search),
    /// Shows who this is and how it is connected.
    Status(Listing),
    /// Prints a fresh address of the running interface, and opens it where there is a desktop.
    Open,
    /// Locks the running profile behind its passphrase.
    Lock,
    /// Lends this connection to contacts on the same network who reach no relay, or does not any more.
    Lend {
        /// `off` is at once.
        to: Switch,
    },
    /// Gives this program and an invitation to whoever is on the same network, by a page in their browser.
    Give(Give),
    /// Destroys the profile at once: its key first.
    Wipe,
    /// Runs the profile and its interface in the foreground.
    #[command(after_help = SETTINGS)]
    Serve(Serve),
    /// Runs a relay in the foreground.
    Relay(Box<Relay>),
    /// Runs a relay and this profile together.
    #[command(after_help = SETTINGS)]
    Run(Run),
    /// Runs a relay and two profiles, Ana and Bo, to talk to one another in one browser.
    Demo(Demo),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bundle {
    /// Writes all that waits for others into a new file: messages, receipts, invitations, answers. It goes on waiting.
    Export(BundleFile),
    /// Takes in what is for this account; what is for others is passed over. Any file, any number of times, in any order.
    Import(BundleFile),
}

#[derive(Debug, Args)]
pub(crate) struct BundleFile {
    /// The file.
    pub(crate) file: PathBuf,
    /// One JSON object: of `export` items and bytes; of `import` taken, known and others.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `stonechat give`
#[derive(Debug, Args)]
pub(crate) struct Give {
    /// How long it is given.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=1440), value_name = "MINUTES")]
    pub(crate) minutes: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Name that others see.
    #[arg(long)]
    pub(crate) name: String,
    /// Route of a relay (stone:r...); may be given more than once.
    #[arg(long, value_name = "ROUTE")]
    pub(crate) relay: Vec<String>,
    /// A folder on a WebDAV server as the place where messages wait, davs://USER:PASSWORD@HOST/FOLDER, or a mailbox,
    /// imaps://USER:PASSWORD@HOST/MAILBOX. Other programs see a command line; STONECHAT_DROP says the same.
    #[arg(long, value_name = "URL", env = "STONECHAT_DROP", hide_env_values = true)]
    pub(crate) drop: Option<String>,
    /// File with 24 recovery words: restores that account.
    #[arg(long, value_name = "FILE")]
    pub(crate) words_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// File with the 24 recovery words.
    #[arg(long, value_name = "FILE", required_unless_present = "give_up")]
    pub(crate) words_file: Option<PathBuf>,
    /// Route of one of the account's relays (stone:r...), or any invitation whose door stands on one. While the account is
    /// looked for, another one may be given with the same words.
    #[arg(long, value_name = "LINK", required_unless_present = "give_up")]
    pub(crate) door: Option<String>,
    /// Looks no further: goes on under this name, without contacts and groups.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["words_file", "door"])]
    pub(crate) give_up: Option<String>,
    /// How long to look for the account before the command ends; looking goes on whenever the profile runs.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) wait: u32,
    /// One JSON object: id, name, state, madeAt, people, groups, leftOut.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Relays {
    #[command(subcommand)]
    pub(crate) wish: Option<RelaysWish>,
    #[command(flatten)]
    pub(crate) listing: Listing,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RelaysWish {
    /// Adds a relay, or a dead drop. Contacts hear of a new one once it has answered.
    Add(RelaysAdd),
    /// Takes one's own relay back: contacts put nothing there any more.
    Remove(RelaysRemove),
    /// Gives up a further address of a relay: one that it had before, or that a contact said.
    ForgetAddress(RelaysForget),
}

#[derive(Debug, Args)]
pub(crate) struct RelaysAdd {
    /// Route of a relay (stone:r...).
    #[arg(required_unless_present = "drop", conflicts_with = "drop")]
    pub(crate) route: Option<String>,
    /// A folder on a WebDAV server, or a mailbox, as `init --drop` takes it. STONECHAT_DROP says the same.
    #[arg(long, value_name = "URL", env = "STONECHAT_DROP", hide_env_values = true)]
    pub(crate) drop: Option<String>,
    /// It is named in no invitation and no group, and given to contacts only, to each one of the private ones: where it is
    /// blocked, it is seen who had it.
    #[arg(long)]
    pub(crate) private: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RelaysRemove {
    /// Its address, or its id or the beginning of it, as `relays` shows them.
    pub(crate) relay: String,
}

#[derive(Debug, Args)]
pub(crate) struct RelaysForget {
    /// The relay: its address, or its id or the beginning of it, as `relays` shows them.
    pub(crate) relay: String,
    /// The further address, as `relays` shows it.
    pub(crate) address: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Device {
    /// Prints a link for another device: good for an hour, once, and only with the number that the new device shows.
    Link(DeviceLink),
    /// On an empty profile: becomes a device of the account that made the link, and prints the number to confirm there.
    Accept(DeviceAccept),
    /// Lets the device in that asks, by the number that it shows.
    Confirm(DeviceConfirm),
    /// Lists the account's devices.
    List(Listing),
    /// Takes a device away: it reads nothing new from then on.
    Remove(DeviceRemove),
}

#[derive(Debug, Args)]
pub(crate) struct DeviceLink {
    /// What this device is called.
    #[arg(long, default_value = "Home")]
    pub(crate) name: String,
    /// Writes the link into a file instead.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
    /// One JSON object: link, expiresAt.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeviceAccept {
    /// stone:d...
    #[arg(required_unless_present = "from")]
    pub(crate) link: Option<String>,
    /// File with the link.
    #[arg(long, value_name = "FILE", conflicts_with = "link")]
    pub(crate) from: Option<PathBuf>,
    /// What this device is called.
    #[arg(long, default_value = "Other")]
    pub(crate) name: String,
    /// How long to wait for the number to be confirmed; it goes on whenever the profile runs.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) wait: u32,
    /// JSON objects, one a line: state, number, name.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeviceConfirm {
    /// The six digits.
    pub(crate) number: String,
    /// How long to wait for the new device's answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) wait: u32,
    /// One JSON object: state, name, wrong.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeviceRemove {
    /// The id, or its beginning, or the name, as `device list` shows it.
    pub(crate) id: String,
    /// JSON objects, one a line: the devices that are left.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Words {
    /// Prints the entrances to keep with them instead, one route a line.
    #[arg(long)]
    pub(crate) doors: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Invite {
    /// For up to ten people, each approved by you, for 48 hours.
    #[arg(long)]
    pub(crate) family: bool,
    /// Adds three words to be said by phone: for a channel that others may read.
    #[arg(long)]
    pub(crate) spoken: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Public {
    /// Makes one and prints its link and its code.
    Make(PublicMake),
    /// Lists them: id, state, link, and which relay is given on which day.
    List(Listing),
    /// Closes one. Who was given relays keeps them.
    Close {
        /// Its id, or how that begins.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PublicMake {
    /// File with the relays to give, a route (stone:r...) a line: 4 to 64, none of them your own.
    #[arg(long, value_name = "FILE")]
    pub(crate) relays: PathBuf,
    /// Lasts so many days (usually 30, or as many as there are pairs, so that each relay is given on one day).
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=60))]
    pub(crate) days: Option<u16>,
    /// Gives so many pairs a day (usually: so that all relays are given once in that time).
    #[arg(long, value_name = "PAIRS", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) a_day: Option<u16>,
    /// One JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Accept {
    /// http://... or stone:i...
    pub(crate) link: String,
    /// The three words you were told.
    #[arg(long, value_name = "WORDS")]
    pub(crate) spoken: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Block {
    /// Name or id of the contact.
    pub(crate) contact: Option<String>,
    /// Lets the contact in again.
    #[arg(long, requires = "contact")]
    pub(crate) undo: bool,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Introduce {
    /// Name or id of a contact.
    pub(crate) one: String,
    /// Name or id of another contact.
    pub(crate) other: String,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Meet {
    /// The message that asks.
    pub(crate) id: String,
    /// You do not want to; the other one is not told.
    #[arg(long)]
    pub(crate) no: bool,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SendCard {
    /// Name or id of the contact or group it goes to.
    pub(crate) contact: String,
    /// Name or id of the contact whose card it is.
    pub(crate) of: String,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Name or id of the contact or group it goes to.
    pub(crate) contact: String,
    /// Degrees north, below 0: south.
    #[arg(allow_negative_numbers = true, value_parser = steps)]
    pub(crate) lat: Steps,
    /// Degrees east, below 0: west.
    #[arg(allow_negative_numbers = true, value_parser = steps)]
    pub(crate) lon: Steps,
    /// Within so many metres.
    #[arg(long, default_value_t = 0)]
    pub(crate) within: u32,
    /// What it is called.
    #[arg(long, default_value = "")]
    pub(crate) label: String,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// 1/100,000 of a degree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps(pub(crate) i32);

/// `-33.44556`: five digits behind the point count.
fn steps(text: &str) -> Result<Steps, String> {
    let bad = || "degrees are a number from -180 to 180 with a point, as -33.44556".to_owned();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(part) {
        return Err(bad());
    }
    let part: String = part.chars().chain(std::iter::repeat('0')).take(5).collect();
    let whole: i32 = whole.parse().map_err(|_| bad())?;
    let part: i32 = part.parse().map_err(|_| bad())?;
    if whole > 180 || (whole == 180 && part > 0) {
        return Err(bad());
    }
    Ok(Steps(sign * (whole * 100_000 + part)))
}

#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// Name or id of the contact.
    pub(crate) contact: String,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Name or id of the contact.
    pub(crate) contact: String,
    /// What the other side's code says (stone:v...): compared first, and nothing is marked where it differs.
    #[arg(long, value_name = "TEXT", conflicts_with = "undo")]
    pub(crate) code: Option<String>,
    /// Takes the mark back.
    #[arg(long)]
    pub(crate) undo: bool,
    /// One JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Listing {
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ById {
    /// The id, or its beginning, as `requests` shows it.
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// Name or id of the contact or group.
    pub(crate) contact: String,
    /// The text.
    pub(crate) text: String,
    /// Signs in the text are marks: **bold**, __italic__, ~~struck~~, ||spoiler||, `fixed`, "> " for quotes, @name, @all.
    #[arg(long)]
    pub(crate) marks: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Reply {
    /// Id of the message.
    pub(crate) id: String,
    /// The text.
    pub(crate) text: String,
    /// Signs in the text are marks: **bold**, __italic__, ~~struck~~, ||spoiler||, `fixed`, "> " for quotes, @name, @all.
    #[arg(long)]
    pub(crate) marks: bool,
    /// One JSON object: the answer.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct React {
    /// Id of the message.
    pub(crate) id: String,
    /// One emoji.
    pub(crate) emoji: String,
    /// Take it back.
    #[arg(long)]
    pub(crate) remove: bool,
    /// One JSON object: the message.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// Id of the message.
    pub(crate) id: String,
    /// The text that shall stand there.
    pub(crate) text: String,
    /// Signs in the text are marks: **bold**, __italic__, ~~struck~~, ||spoiler||, `fixed`, "> " for quotes, @name, @all.
    #[arg(long)]
    pub(crate) marks: bool,
    /// One JSON object: the message.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Id of the message.
    pub(crate) id: String,
    /// For everybody; cannot be undone.
    #[arg(long)]
    pub(crate) everyone: bool,
    /// One JSON object: id, everyone.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Media {
    /// Name or id of the contact or group.
    pub(crate) contact: String,
    /// The file.
    pub(crate) file: PathBuf,
    /// What stands beside it.
    #[arg(long)]
    pub(crate) text: Option<String>,
    /// One JSON object: the message.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Save {
    /// Id of the message.
    pub(crate) id: String,
    /// Where to; a file that is there is not overwritten.
    pub(crate) file: PathBuf,
    /// One JSON object: id, kind, bytes.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Pin {
    /// Id of the message.
    pub(crate) id: String,
    /// Take it off.
    #[arg(long)]
    pub(crate) remove: bool,
    /// One JSON object: the message.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Listed {
    /// Name or id of the contact or group.
    pub(crate) contact: String,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Poll {
    /// Asks, and prints the poll's id.
    Ask(Ask),
    /// Says all that you choose; without a number: takes your vote back.
    Vote {
        /// Id of the poll.
        id: String,
        /// Numbers of choices, from 1.
        #[arg(value_parser = clap::value_parser!(u8).range(1..=12))]
        choices: Vec<u8>,
        /// One JSON object: the poll's message.
        #[arg(long)]
        json: bool,
    },
    /// Ends a poll of yours.
    End {
        /// Id of the poll.
        id: String,
        /// One JSON object: the poll's message.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Ask {
    /// Name or id of the contact or group.
    pub(crate) contact: String,
    /// The question.
    pub(crate) question: String,
    /// 2 to 12 choices.
    #[arg(required = true)]
    pub(crate) choices: Vec<String>,
    /// Several may be chosen.
    #[arg(long)]
    pub(crate) several: bool,
    /// One JSON object: the poll's message.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Forward {
    /// Id of the message.
    pub(crate) id: String,
    /// Name or id of the contact or group it goes to.
    pub(crate) contact: String,
    /// Say who wrote it.
    #[arg(long)]
    pub(crate) named: bool,
    /// One JSON object: the new message.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Timer {
    /// Name or id of the contact or group.
    pub(crate) contact: String,
    /// 30s, 5m, 1h, 1d, 2w (5 seconds to 366 days), or off.
    #[arg(value_parser = timer)]
    pub(crate) time: Option<TimerTime>,
    /// One JSON object: chat, timer_s.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a timer is set to: seconds, or nothing for off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerTime(pub(crate) Option<u32>);

fn timer(text: &str) -> Result<TimerTime, String> {
    const WORDS: &str = "a time is 5s to 366d: a number and s, m, h, d or w; or off";
    if text == "off" {
        return Ok(TimerTime(None));
    }
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(WORDS)?;
    let size = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _other => return Err(WORDS.to_owned()),
    };
    let number: u32 = number.parse().map_err(|_| WORDS)?;
    let seconds = number.checked_mul(size).filter(|s| (5..=31_622_400).contains(s));
    seconds.map(|s| TimerTime(Some(s))).ok_or_else(|| WORDS.to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct OfMessage {
    /// Id of the message.
    pub(crate) id: String,
    /// One JSON object a line: at, text, format.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Messages {
    /// Name or id of the contact or group.
    pub(crate) contact: String,
    /// One JSON object a line: as `receive` prints them, with kind: text, began (the chat can be written in; no text), unknown, deleted, newDevice, timer, introduction; late: written after its sender was removed.
    #[arg(long)]
    pub(crate) json: bool,
    /// At most this many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Receive {
    /// If there are none, wait this long for the first.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wait: Option<u32>,
    /// One JSON object a line: id, chat, from, from_id, mine, kind, text, sent_at, state, late, missing_before, asked_for, reply_to, quoted, edited_at, reactions, may_delete, timer_s, vanishes_at, media, format, typed, mentions_me, pinned, poll, forwarded, card, place, introduction.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Group {
    /// Makes a group with some contacts.
    Create {
        /// What it is called.
        name: String,
        /// Names or ids of contacts.
        members: Vec<String>,
        /// For up to 1,024 people instead of 256; this cannot be changed later.
        #[arg(long)]
        large: bool,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Lists the groups: id, name, your role, how many are in it.
    List(Listing),
    /// Shows who is in a group, and its id.
    Show(OfGroup),
    /// Adds contacts.
    Add(Members),
    /// Removes members.
    Remove(Members),
    /// Leaves a group.
    Leave(OfGroup),
    /// Gives a member another role.
    Role {
        /// Name or id of the group.
        group: String,
        /// Name or id of the member.
        member: String,
        /// What the member shall be.
        role: RoleName,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Agrees that a member becomes an owner, where no owner was heard for 30 days.
    Succeed {
        /// Name or id of the group.
        group: String,
        /// Name or id of the member.
        member: String,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Calls it something else.
    Rename {
        /// Name or id of the group.
        group: String,
        /// The new name.
        name: String,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Says what it is about.
    Describe {
        /// Name or id of the group.
        group: String,
        /// The description; empty: none.
        text: String,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Gives it a picture, a JPEG file of at most 60 kB, or takes it away.
    Picture {
        /// Name or id of the group.
        group: String,
        /// The file.
        #[arg(required_unless_present = "remove", conflicts_with = "remove")]
        file: Option<PathBuf>,
        /// Takes the picture away.
        #[arg(long)]
        remove: bool,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Says who may write: those of this role and above.
    Lock {
        /// Name or id of the group.
        group: String,
        /// The lowest role that may write; `member` opens it again.
        #[arg(long, default_value = "admin")]
        to: RoleName,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Says who may add people, or edit the group: those of this role and above.
    Allow {
        /// Name or id of the group.
        group: String,
        /// What is allowed.
        what: Allowed,
        /// The lowest role that may.
        role: RoleName,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Makes a link: whoever has it meets you and comes into the group.
    Link(GroupLink),
    /// Lists the links of a group.
    Links(OfGroup),
    /// Closes a link.
    Unlink(OfRequest),
    /// Lets in somebody who came by a link and waits, as `requests` shows them.
    Approve(OfRequest),
}

#[derive(Debug, Args)]
pub(crate) struct GroupLink {
    /// Name or id of the group.
    pub(crate) group: String,
    /// Each who comes waits until you let them in.
    #[arg(long)]
    pub(crate) approval: bool,
    /// Lets in at most so many (1 to 256; usually 50).
    #[arg(long, value_name = "PEOPLE", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) most: Option<u32>,
    /// Ends after so many hours (1 to 720; usually 168).
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=720))]
    pub(crate) hours: Option<u32>,
    /// One JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OfRequest {
    /// The id, or its beginning.
    pub(crate) id: String,
    /// One JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Switch {
    /// From now on.
    On,
    /// Not any more.
    Off,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Allowed {
    /// Adding people.
    Add,
    /// Name, description, timer.
    Edit,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum RoleName {
    Owner,
    Admin,
    Moderator,
    Member,
    Reader,
}

#[derive(Debug, Args)]
pub(crate) struct OfGroup {
    /// Name or id of the group.
    pub(crate) group: String,
    /// One JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Members {
    /// Name or id of the group.
    pub(crate) group: String,
    /// Names or ids.
    #[arg(required = true)]
    pub(crate) members: Vec<String>,
    /// One JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    /// Words to find; the last may be a beginning.
    #[arg(required = true)]
    pub(crate) words: Vec<String>,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Port of the interface on loopback; 0: any.
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Serve the interface at NAME.localhost.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Route of a relay to use (stone:r...); may be given more than once.
    #[arg(long, value_name = "ROUTE")]
    pub(crate) relay: Vec<String>,
    /// off, error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log: Option<String>,
    /// Run no relay for the local network where no other is reached.
    #[arg(long)]
    pub(crate) no_near: bool,
    /// A SOCKS 5 proxy, Tor's for instance, that everything goes through: socks5://[USER:PASSWORD@]HOST:PORT. A password on a
    /// command line is seen by others on this computer; better is STONECHAT_PROXY, or `proxy` in config.toml.
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<String>,
    /// Relays are dialled without the proxy too.
    #[arg(long)]
    pub(crate) proxy_also: bool,
    /// End when standard input ends: for a program that started this one.
    #[arg(long, hide = true)]
    pub(crate) while_stdin: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Relay {
    #[command(subcommand)]
    pub(crate) verb: Option<RelayVerb>,
    #[command(flatten)]
    pub(crate) run: RelayRun,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RelayVerb {
    /// Runs the relay (the same as without this word).
    Run(RelayRun),
    /// Makes a relay's folder, keys and settings, and says what to do next.
    Init(RelayInit),
    /// Says whether a relay can do its work here.
    Doctor(RelayData),
    /// Prints the routes to the relay, one for each access secret. Whoever has one may use it.
    Routes(RelayData),
    /// Prints the figures of a relay that runs, as it tells them at its `metrics` address.
    Stats(RelayData),
    /// Prints all that the relay could hand over to anybody.
    Disclose(RelayDisclose),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RelayData {
    /// Folder of the relay's data.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RelayInit {
    #[command(flatten)]
    pub(crate) at: RelayData,
    /// HOST:PORT under which others reach it; the numbers that the name leads to are put behind it.
    #[arg(long, value_name = "HOST:PORT", value_parser = public)]
    pub(crate) public: Option<String>,
    /// The same at the port of a web server with a certificate, 443: the name of the site.
    #[arg(long, value_name = "HOST", value_parser = host, conflicts_with_all = ["public", "address"])]
    pub(crate) name: Option<String>,
    /// The same by a number only, where there is no name.
    #[arg(long, value_name = "IP", conflicts_with = "public")]
    pub(crate) address: Option<IpAddr>,
    /// The relay gets and renews its certificate by itself, from Let's Encrypt or another directory (ACME). You agree to the
    /// directory's terms by this.
    #[arg(long, conflicts_with_all = ["cert", "behind"])]
    pub(crate) acme: bool,
    /// E-mail address that the directory may write to.
    #[arg(long, value_name = "MAIL", requires = "acme", value_parser = contact)]
    pub(crate) contact: Option<String>,
    /// Another directory than Let's Encrypt's.
    #[arg(long, value_name = "URL", requires = "acme", value_parser = directory)]
    pub(crate) directory: Option<String>,
    /// File with the authorities of the directory's own certificate, as PEM, where these are not the system's.
    #[arg(long, value_name = "FILE", requires = "acme")]
    pub(crate) acme_roots: Option<PathBuf>,
    /// Where an obfs4 bridge to it listens, by Debian's obfs4proxy.
    #[arg(long, value_name = "ADDR")]
    pub(crate) obfs4: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) face: RelayFace,
}

/// What others see of a relay.
#[derive(Clone, Debug, Args)]
pub(crate) struct RelayFace {
    /// File with the certificate, as PEM, its chain behind it: the relay speaks TLS.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// File with the certificate's private key, as PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// An nginx, Caddy or the like holds the certificate and stands before the relay, which listens in plain for it only.
    /// It tells for whom it comes: "http" in X-Forwarded-For, "proxy-protocol" in that header.
    #[arg(
        long,
        value_name = "http|proxy-protocol",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "http",
        conflicts_with = "cert"
    )]
    pub(crate) behind: Option<Telling>,
    /// Folder of the site that strangers see.
    #[arg(long, value_name = "DIR", conflicts_with = "proxy")]
    pub(crate) site: Option<PathBuf>,
    /// Web server behind, whose site strangers see: http://HOST:PORT.
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<String>,
}

impl RelayFace {
    /// Certificate and key.
    pub(crate) fn tls(&self) -> Option<(PathBuf, PathBuf)> {
        self.cert.clone().zip(self.key.clone())
    }

    /// What strangers see, where it is said.
    pub(crate) fn cover(&self) -> Option<CoverChoice> {
        let site = self.site.clone().map(CoverChoice::Site);
        site.or_else(|| self.proxy.clone().map(CoverChoice::Proxy))
    }
}

/// A name without a port.
fn host(text: &str) -> Result<String, String> {
    if text.contains([':', ',']) {
        return Err("a name without a port is wanted".to_owned());
    }
    public(&format!("{text}:{HTTPS_PORT}")).map(|_| text.to_owned())
}

fn directory(text: &str) -> Result<String, String> {
    let is_one = acme::is_directory(text).then(|| text.to_owned());
    is_one.ok_or_else(|| "the URL of a directory is wanted: https://HOST/PATH".to_owned())
}

fn contact(text: &str) -> Result<String, String> {
    let is_one = acme::is_contact(text).then(|| text.to_owned());
    is_one.ok_or_else(|| "an e-mail address is wanted".to_owned())
}

/// An address that a route can hold.
fn public(text: &str) -> Result<String, String> {
    if address::holds(text) && address::split(text).0 == Around::Plain {
        Ok(text.to_owned())
    } else {
        Err("HOST:PORT is wanted, and behind it at most three times a comma and IP:PORT".to_owned())
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RelayDisclose {
    #[command(flatten)]
    pub(crate) at: RelayData,
    /// About one mailbox: 32 hex digits.
    #[arg(long, value_name = "TAG", conflicts_with_all = ["ip", "day"])]
    pub(crate) tag: Option<String>,
    /// About one address.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "day")]
    pub(crate) ip: Option<IpAddr>,
    /// About one day: YYYY-MM-DD.
    #[arg(long, value_name = "DAY")]
    pub(crate) day: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RelayRun {
    /// Where to listen: ADDRESS:PORT; port 0: any [default: 127.0.0.1:7481].
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where else to listen; may be given several times.
    #[arg(long, value_name = "ADDR")]
    pub(crate) also_listen: Vec<SocketAddr>,
    /// Folder of the relay's data.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// What the route names, where it is not the address listened on: HOST:PORT, and up to three times ,IP:PORT for those to
    /// whom the name is not told.
    #[arg(long, value_name = "HOST:PORT", value_parser = public)]
    pub(crate) public: Option<String>,
    #[command(flatten)]
    pub(crate) face: RelayFace,
    /// Have an obfs4 bridge to it listen there, by Debian's obfs4proxy; its route is printed too.
    #[arg(long, value_name = "ADDR")]
    pub(crate) obfs4: Option<SocketAddr>,
    /// Listening on 0.0.0.0, name this machine's address on the local network in the route.
    #[arg(long)]
    pub(crate) lan: bool,
    /// Anyone may use it, without the secret in its route.
    #[arg(long)]
    pub(crate) open: bool,
    /// End when standard input ends: for a program that started this one.
    #[arg(long, hide = true)]
    pub(crate) while_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Make the relay reachable on the local network.
    #[arg(long)]
    pub(crate) lan: bool,
    /// Port of the interface on loopback; 0: any.
    #[arg(long)]
    pub(crate) port: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Any free ports instead of the usual ones.
    #[arg(long)]
    pub(crate) any_port: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_grammar_is_consistent() {
        Line::command().debug_assert();
    }

    #[test]
    fn the_documented_lines_are_understood() {
        for line in [
            "--home d init --name Ana --relay stone:ra --relay stone:rb --passphrase-file f --words-file w",
            "init --name Ana --drop davs://ana:pw@dav.example/drop",
            "restore --words-file w --door stone:ra --wait 9 --json",
            "restore --give-up Ana",
            "words",
            "words --doors",
            "invite --family --spoken",
            "public make --relays f --days 10 --a-day 2 --json",
            "public list --json",
            "public close 12ab",
            "accept http://x/y#z --spoken abc",
            "requests",
            "approve 12",
            "decline 12",
            "contacts --json",
            "block Bo --json",
            "block Bo --undo",
            "block --json",
            "introduce Bo Cy --json",
            "introductions --json",
            "meet 12ab --no --json",
            "meet 12ab",
            "card Bo Cy --json",
            "place House -33.44556 151.2 --within 12 --label pier --json",
            "words-of Bo --json",
            "relays --json",
            "relays add stone:ra --private",
            "relays add --drop davs://a:b@c/d",
            "relays remove 12ab34cd",
            "relays forget-address 12ab34cd host:443",
            "group create House Bo Cy --large --json",
            "group succeed House Bo --json",
            "group list --json",
            "group show House --json",
            "group add House Di",
            "group remove House Bo --json",
            "group role House Bo admin",
            "group rename House Home",
            "group describe House lake --json",
            "group lock House --to moderator",
            "group allow House add member",
            "group allow House edit moderator --json",
            "group picture House f.jpg --json",
            "group picture House --remove",
            "group leave House",
            "group link House --approval --most 20 --hours 48 --json",
            "group links House --json",
            "group unlink 12ab --json",
            "group approve 12ab --json",
            "device link --name Phone --to f --json",
            "device accept stone:dA --name Laptop --wait 9 --json",
            "device accept --from f",
            "device confirm 123456 --json",
            "device list --json",
            "device remove 12ab --json",
            "send Bo hello",
            "send Bo **hello** --marks",
            "pin 12ab",
            "pin 12ab --remove --json",
            "pins Bo --json",
            "poll ask House when? seven eight --several --json",
            "poll vote 12ab 1 2 --json",
            "poll vote 12ab",
            "poll end 12ab --json",
            "forward 12ab Cy --named --json",
            "reply 12ab yes --json",
            "react 12ab 👍",
            "react 12ab 👍 --remove --json",
            "edit 12ab hello --json",
            "delete 12ab --everyone --json",
            "history 12ab --json",
            "timer Bo 1d --json",
            "timer Bo off",
            "photo Bo p.jpg --text look --json",
            "voice Bo v.ogg",
            "save 12ab p.jpg --json",
            "timer Bo",
            "messages Bo --json --limit 5",
            "receive --wait 3 --json",
            "safety-number Bo --json",
            "verify Bo --code stone:vA --json",
            "verify Bo --undo",
            "search two words",
            "status --json",
            "open",
            "lock",
            "lend on",
            "lend off",
            "wipe",
            "serve --port 0 --name ana --relay stone:ra",
            "relay --listen 127.0.0.1:0 --data d",
            "relay run --listen 127.0.0.1:0 --data d",
            "relay run --cert c.pem --key k.pem",
            "relay run --site public",
            "relay run --proxy http://127.0.0.1:8080",
            "relay init --public relay.example:7481 --data d",
            "relay init --name relay.example --acme --contact me@relay.example",
            "relay init --address 192.0.2.7 --acme --directory https://acme.example/directory --acme-roots r.pem",
            "relay doctor --data d",
            "relay routes",
            "relay stats",
            "relay disclose --tag 00112233445566778899aabbccddeeff",
            "relay disclose --ip 192.0.2.1 --data d",
            "relay disclose --day 2026-11-25",
            "run --lan",
            "demo",
        ] {
            let words = std::iter::once("stonechat").chain(line.split(' '));
            assert!(Line::try_parse_from(words).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_timer_is_a_number_and_a_unit_con_9() {
        for (text, seconds) in [
            ("5s", Some(5)),
            ("90m", Some(5_400)),
            ("2w", Some(1_209_600)),
            ("off", None),
        ] {
            assert_eq!(timer(text), Ok(TimerTime(seconds)), "{text}");
        }
        for bad in ["", "5", "4s", "367d", "d", "1y", "-5s", "99999999999s", "5с"] {
            assert!(timer(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn degrees_are_read_to_five_digits_con_26() {
        for (text, read) in [
            ("0", 0),
            ("-33.44556", -3_344_556),
            ("180", 18_000_000),
            ("7.5", 750_000),
            ("-0.000019", -1),
        ] {
            assert_eq!(steps(text), Ok(Steps(read)), "{text}");
        }
        for bad in ["", "-", "x", "181", "180.00001", "1e3", "1.2.3", "--1", "١"] {
            assert!(steps(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_text_may_begin_with_a_dash_after_two_dashes() {
        let line = Line::try_parse_from(["stonechat", "send", "Bo", "--", "-1"]).unwrap();
        assert!(matches!(line.verb, Verb::Send(Send { text, .. }) if text == "-1"));
    }
}
