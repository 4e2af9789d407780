// Generated from crates/core/src/api.rs. Do not edit: UPDATE_TS=1 cargo test -p stonechat-core typescript

/**
 * Changes something. JSON-RPC method = the name in `method`, parameters = `params`.
 */
export type Command = { "method": "init", "params": Init } | { "method": "restore", "params": Restore } | { "method": "restore.giveUp", "params": GiveUp } | { "method": "words" } | { "method": "invite.create", "params": InviteCreate } | { "method": "invite.revoke", "params": ById } | { "method": "public.create", "params": PublicCreate } | { "method": "public.revoke", "params": ById } | { "method": "accept", "params": Accept } | { "method": "accept.retry", "params": AcceptRetry } | { "method": "accept.forget", "params": ById } | { "method": "approve", "params": ById } | { "method": "decline", "params": ById } | { "method": "send", "params": Send } | { "method": "media.send", "params": MediaSend } | { "method": "react", "params": React } | { "method": "edit", "params": Edit } | { "method": "delete", "params": Delete } | { "method": "timer.set", "params": TimerSet } | { "method": "pin", "params": Pin } | { "method": "poll.send", "params": PollSend } | { "method": "poll.vote", "params": PollVote } | { "method": "poll.close", "params": ByMessage } | { "method": "forward", "params": Forward } | { "method": "card.send", "params": CardSend } | { "method": "place.send", "params": PlaceSend } | { "method": "typing", "params": ByChat } | { "method": "saved.open" } | { "method": "group.create", "params": GroupCreate } | { "method": "group.add", "params": GroupMembers } | { "method": "group.remove", "params": GroupMembers } | { "method": "group.leave", "params": ByChat } | { "method": "group.role", "params": GroupRole } | { "method": "group.consent", "params": GroupConsent } | { "method": "group.edit", "params": GroupEdit } | { "method": "group.picture.set", "params": GroupPicture } | { "method": "group.link", "params": GroupLink } | { "method": "markRead", "params": MarkRead } | { "method": "verify", "params": Verify } | { "method": "contact.rename", "params": ContactRename } | { "method": "device.link", "params": DeviceLinkWish } | { "method": "device.accept", "params": DeviceAccept } | { "method": "device.confirm", "params": DeviceConfirm } | { "method": "device.remove", "params": ById } | { "method": "contact.block", "params": ContactBlock } | { "method": "bundle.export", "params": BundleExport } | { "method": "bundle.import", "params": BundleImport } | { "method": "introduce", "params": Introduce } | { "method": "introduction.answer", "params": IntroductionAnswer } | { "method": "contact.noticed", "params": ById } | { "method": "relay.add", "params": RelayAdd } | { "method": "relay.remove", "params": ById } | { "method": "relay.forgetWay", "params": RelayForgetWay } | { "method": "profile.rename", "params": ProfileRename } | { "method": "settings.set", "params": Settings } | { "method": "draft.set", "params": DraftSet };

/**
 * Reads something; changes nothing.
 */
export type Query = { "method": "status" } | { "method": "invites" } | { "method": "publics" } | { "method": "acceptances" } | { "method": "requests" } | { "method": "contacts" } | { "method": "introductions" } | { "method": "blocked" } | { "method": "chats", "params": Page } | { "method": "messages", "params": MessagesOf } | { "method": "message", "params": ByMessage } | { "method": "pins", "params": ByChat } | { "method": "history", "params": ByMessage } | { "method": "media.get", "params": MediaGet } | { "method": "group", "params": ByChat } | { "method": "group.picture.get", "params": ByChat } | { "method": "search", "params": Search } | { "method": "safetyNumber", "params": ById } | { "method": "firstContact", "params": ById } | { "method": "devices" } | { "method": "settings.get" } | { "method": "draft.get", "params": ByChat };

/** What each method answers (methods of `Command`, then of `Query`). */
export type Answers = {
  "init": Me,
  "restore": Me,
  "restore.giveUp": Done,
  "words": Words,
  "invite.create": Invite,
  "invite.revoke": Done,
  "accept": Acceptance,
  "accept.retry": Done,
  "accept.forget": Done,
  "approve": Contact,
  "decline": Done,
  "send": Message,
  "media.send": Message,
  "react": Message,
  "edit": Message,
  "delete": Done,
  "timer.set": Done,
  "pin": Message,
  "poll.send": Message,
  "poll.vote": Message,
  "poll.close": Message,
  "forward": Message,
  "card.send": Message,
  "place.send": Message,
  "typing": Done,
  "saved.open": ByChat,
  "group.create": Group,
  "group.add": Group,
  "group.remove": Group,
  "group.leave": Group,
  "group.role": Group,
  "group.consent": Group,
  "group.edit": Group,
  "group.picture.set": Group,
  "group.link": Invite,
  "public.create": PublicInvite,
  "public.revoke": Done,
  "markRead": Done,
  "verify": Done,
  "contact.block": Done,
  "contact.rename": Done,
  "device.link": DeviceLink,
  "device.accept": Done,
  "device.confirm": Linking | Done,
  "device.remove": Done,
  "bundle.export": BundlePage,
  "bundle.import": BundleTaken,
  "introduce": Done,
  "introduction.answer": Done,
  "contact.noticed": Done,
  "relay.add": Done,
  "relay.remove": Done,
  "relay.forgetWay": Done,
  "profile.rename": Done,
  "settings.set": Done,
  "draft.set": Done,
  "status": Status,
  "invites": Invite[],
  "publics": PublicInvite[],
  "acceptances": Acceptance[],
  "requests": Request[],
  "contacts": Contact[],
  "introductions": Message[],
  "blocked": Contact[],
  "chats": Chat[],
  "messages": Messages,
  "message": Message,
  "pins": Message[],
  "history": Version[],
  "media.get": MediaFile,
  "group.picture.get": MediaFile,
  "group": Group,
  "search": Hit[],
  "safetyNumber": SafetyNumber,
  "firstContact": FirstContact,
  "devices": Devices,
  "settings.get": Settings,
  "draft.get": Draft,
};

/** Nothing to say. */
export type Done = Record<string, never>;

/**
 * Something changed. Every event carries a growing `seq`; `subscribe {since}` replays what was missed or says `reset`.
 */
export type Event = { "kind": "messageAdded", 
/**
 * The whole message.
 */
message: Message, } | { "kind": "messageChanged", 
/**
 * The whole message.
 */
message: Message, } | { "kind": "messageRemoved", 
/**
 * Where.
 */
chat: number, 
/**
 * Which.
 */
id: string, } | { "kind": "messageState", 
/**
 * Where.
 */
chat: number, 
/**
 * Which.
 */
id: string, 
/**
 * The state it has reached.
 */
state: MessageState, } | { "kind": "typing", 
/**
 * Where.
 */
chat: number, 
/**
 * Who, hex.
 */
account: string, 
/**
 * Their name.
 */
name: string, 
/**
 * When, by this device's clock.
 */
at: number, } | { "kind": "chatChanged", 
/**
 * The whole entry.
 */
chat: Chat, } | { "kind": "chatRemoved", 
/**
 * Which.
 */
chat: number, } | { "kind": "contactChanged", 
/**
 * The whole entry.
 */
contact: Contact, } | { "kind": "requestAdded", 
/**
 * The whole entry.
 */
request: Request, } | { "kind": "requestRemoved", 
/**
 * Which.
 */
id: string, } | { "kind": "inviteChanged", 
/**
 * The whole entry.
 */
invite: Invite, } | { "kind": "publicChanged", 
/**
 * The whole entry.
 */
invite: PublicInvite, } | { "kind": "acceptanceChanged", 
/**
 * The whole entry.
 */
acceptance: Acceptance, } | { "kind": "connectionChanged", 
/**
 * In one word; the interface has the sentence.
 */
connection: Connection, } | { "kind": "clockOff", 
/**
 * Relay clock minus device clock.
 */
offsetMs: number, } | { "kind": "statusChanged", } | { "kind": "ingested", 
/**
 * New messages in this batch.
 */
messages: number, } | { "kind": "locked", } | { "kind": "unlocked", } | { "kind": "wiped", } | { "kind": "diskFull", };

/**
 * Why a command or query was not done. The JSON-RPC error's `data.kind`; each has its words in the interface.
 */
export type Fault = "noAccount" | "accountExists" | "badName" | "badWords" | "brokenLink" | "routeNotInvite" | "inviteNotRoute" | "brokenRoute" | "newerLink" | "linkExpired" | "ownInvite" | "alreadyAccepted" | "notLetIn" | "noRelay" | "notAllowed" | "notMember" | "memberAlready" | "groupFull" | "ownerHeard" | "lastOwner" | "noKeysYet" | "notFound" | "badText" | "brokenBundle" | "badMedia" | "mediaTooBig" | "badPlace" | "tooFar" | "noSafetyCode" | "numbersDiffer" | "badPoll" | "pollClosed" | "badEmoji" | "tooManyReactions" | "notYours" | "locked" | "wrongPassphrase" | "badParams" | "noMethod" | "newerDatabase" | "brokenDatabase" | "diskFull" | "tooMany" | "stillLooking" | "notBackYet" | "revoked" | "notHome" | "brokenDeviceLink" | "internal";

/**
 * Parameters of `Command::Init`.
 */
export type Init = { 
/**
 * Display name, 1 to 64 characters after trimming.
 */
name: string, 
/**
 * Routes of relays (`stone:r...`) to use.
 */
relays?: Array<string>, 
/**
 * 24 recovery words to restore an account; absent: a fresh one.
 */
words?: string | null, };

/**
 * Parameters of `Command::Restore`.
 */
export type Restore = { 
/**
 * 24 recovery words.
 */
words: string, 
/**
 * Route of one of the account's relays (`stone:r...`), or any invitation whose door stands on one.
 */
door: string, };

/**
 * Parameters of `Command::RestoreGiveUp`.
 */
export type GiveUp = { 
/**
 * Display name, 1 to 64 characters.
 */
name: string, };

/**
 * Where coming back from the words stands.
 */
export type RestoreState = "looking" | "found" | "givenUp" | "doorSpent";

/**
 * How an account comes back.
 */
export type Restoring = { 
/**
 * Where it stands.
 */
state: RestoreState, 
/**
 * When what was found had been made: who was met after that is not in it.
 */
madeAt: number | null, 
/**
 * People and groups that it had no room for.
 */
leftOut: number, 
/**
 * People whose devices have not answered yet.
 */
people: number, 
/**
 * Groups that nobody has brought this account back into yet.
 */
groups: number, };

/**
 * Who an invitation is for.
 */
export type Who = "family" | "one" | "group";

/**
 * How an invitation is passed on.
 */
export type How = "inPerson" | "spoken" | "plain";

/**
 * Parameters of `Command::InviteCreate`.
 */
export type InviteCreate = { 
/**
 * Who.
 */
who: Who, 
/**
 * How.
 */
how: How, };

/**
 * How far an invitation's entrance can be reached from.
 */
export type Reach = "thisComputer" | "localNetwork" | "internet";

/**
 * Where an invitation stands.
 */
export type InviteState = "preparing" | "open" | "used" | "expired" | "revoked" | "attacked";

/**
 * An invitation as its owner sees it.
 */
export type Invite = { 
/**
 * Hex.
 */
id: string, 
/**
 * Who.
 */
who: Who, 
/**
 * How.
 */
how: How, 
/**
 * `http://ADDR:PORT/PATH#FRAGMENT`, at most 120 characters; the code where the door is a dead drop's.
 */
link: string, 
/**
 * The same as `stone:i...`, for QR and files.
 */
code: string, 
/**
 * The three words, where there are some.
 */
spokenWords: string | null, 
/**
 * Reach of the entrance.
 */
reach: Reach, 
/**
 * State.
 */
state: InviteState, 
/**
 * Made at.
 */
createdAt: number, 
/**
 * Not after.
 */
expiresAt: number, 
/**
 * People let in with it.
 */
approved: number, 
/**
 * People waiting.
 */
waiting: number, 
/**
 * It was claimed again after it was used: somebody else holds the link.
 */
usedTwice: boolean, 
/**
 * The group it leads into, where there is one.
 */
group: LinkedGroup | null, };

/**
 * Parameters of `Command::PublicCreate`.
 */
export type PublicCreate = { 
/**
 * The relays to deal, `stone:r...` each: 4 to 64, none of them one's own, no dead drops.
 */
routes: Array<string>, 
/**
 * For how many days: 1 to 60.
 */
days: number, 
/**
 * So many hands of two a day; absent: so that all relays are dealt once in that time.
 */
aDay: number | null, };

/**
 * A public invitation as its owner sees it. Who came by it nobody knows.
 */
export type PublicInvite = { 
/**
 * Hex.
 */
id: string, 
/**
 * `http://ADDR:PORT/PATH#FRAGMENT`: the first of its doors.
 */
link: string, 
/**
 * `stone:i...`, with all of its doors (three at most): for QR and files.
 */
code: string, 
/**
 * Reach of the doors.
 */
reach: Reach, 
/**
 * State; never used up or attacked.
 */
state: InviteState, 
/**
 * Made at, and the first day's beginning.
 */
createdAt: number, 
/**
 * Not after.
 */
expiresAt: number, 
/**
 * What is dealt on each day, from the first: the relays' addresses, two a hand.
 */
days: Array<Array<string>>, };

/**
 * Parameters of `Command::Accept`.
 */
export type Accept = { 
/**
 * `http...#...` or `stone:i...`
 */
link: string, 
/**
 * Three words, where the inviter said some.
 */
spokenWords?: string | null, };

/**
 * Parameters of `Command::AcceptRetry`.
 */
export type AcceptRetry = { 
/**
 * The acceptance.
 */
id: string, 
/**
 * Other words.
 */
spokenWords?: string | null, };

/**
 * Where taking up an invitation stands.
 */
export type AcceptanceState = "saved" | "needsWords" | "claimed" | "waiting" | "accepted" | "declined" | "used" | "expired" | "wordsWrong" | "doorSpent" | "cardWrong" | "blocked" | "dealt" | "noRoom";

/**
 * An invitation as its taker sees it.
 */
export type Acceptance = { 
/**
 * Hex.
 */
id: string, 
/**
 * State.
 */
state: AcceptanceState, 
/**
 * Who invited, once the card is here.
 */
name: string | null, 
/**
 * The chat, once it exists.
 */
chat: number | null, 
/**
 * What the group is called that the link leads into, where there is one.
 */
group: string | null, 
/**
 * When the link was taken up.
 */
createdAt: number, };

/**
 * A person who waits for approval.
 */
export type Request = { 
/**
 * Hex.
 */
id: string, 
/**
 * By which invitation.
 */
invite: string, 
/**
 * The name the person gives.
 */
name: string, 
/**
 * Account, hex.
 */
account: string, 
/**
 * What the group is called that the link leads into, where there is one.
 */
group: string | null, 
/**
 * Whether approving means "this is the person in front of me".
 */
inPerson: boolean, 
/**
 * Arrived.
 */
receivedAt: number, 
/**
 * What the person already wrote (at most 3 are shown).
 */
firstMessages: Array<string>, };

/**
 * A person we can write to.
 */
export type Contact = { 
/**
 * Account id, hex (64 characters).
 */
id: string, 
/**
 * Shown name: the alias if one was given.
 */
name: string, 
/**
 * The name the person gives.
 */
ownName: string, 
/**
 * Safety number compared, or met in person.
 */
verified: boolean, 
/**
 * The 1:1 chat.
 */
chat: number | null, 
/**
 * When a message or receipt last came from this person (not "online").
 */
heardAt: number | null, 
/**
 * Nothing of theirs is shown or answered here.
 */
blocked: boolean, 
/**
 * Who introduced us, the one who did last; empty where nobody did. They vouch; it verifies nobody.
 */
introduced: Array<Vouched>, };

/**
 * How far a message of mine got; messages of others are `received`, then `read`.
 */
export type MessageState = "queued" | "carried" | "delivered" | "read" | "received";

/**
 * What kind of message.
 */
export type MessageKind = "text" | "unknown" | "began" | "deleted" | "newDevice" | "timer" | "introduction";

/**
 * The message that another one answers, as it stands now.
 */
export type Quote = { 
/**
 * Its id, hex.
 */
id: string, 
/**
 * What is here of it; absent: it is not in this chat (any more, or not yet).
 */
found: Quoted | null, };

/**
 * What is shown of a message that is answered.
 */
export type Quoted = { 
/**
 * Its place in the chat.
 */
position: number, 
/**
 * Written on this account.
 */
mine: boolean, 
/**
 * Its sender's name.
 */
fromName: string, 
/**
 * Its kind.
 */
kind: MessageKind, 
/**
 * The first 160 characters of its text; spoilers are blotted out.
 */
text: string, 
/**
 * What is heard or seen beside it.
 */
media: MediaKind | null, };

/**
 * An emoji on a message, and who put it there.
 */
export type Reaction = { 
/**
 * The emoji.
 */
emoji: string, 
/**
 * How many have put it there.
 */
count: number, 
/**
 * I am one of them.
 */
mine: boolean, 
/**
 * Names of the first of them (at most 16).
 */
names: Array<string>, };

/**
 * What stood in the place of a text, and since when.
 */
export type Version = { 
/**
 * The text.
 */
text: string, 
/**
 * As in [`Message::format`].
 */
format: Array<Node>, 
/**
 * By its author's clock.
 */
at: number, };

/**
 * What a part of a text is.
 */
export type NodeKind = "text" | "quote" | "code" | "bold" | "italic" | "strike" | "spoiler" | "mono" | "mention" | "link";

/**
 * A part of a text as a tree. Code, fixed width, mentions, links and words have a text; the others hold parts.
 */
export type Node = { 
/**
 * What it is.
 */
kind: NodeKind, 
/**
 * Its text.
 */
text: string, 
/**
 * What it holds.
 */
inside: Array<Node>, 
/**
 * Who is meant.
 */
mention: Mentioned | null, };

/**
 * Who is meant.
 */
export type Mentioned = { 
/**
 * The account, hex; absent: all members.
 */
account: string | null, 
/**
 * What that account is called here.
 */
name: string, 
/**
 * It is me, or I am one of all.
 */
me: boolean, };

/**
 * Where a message was written first.
 */
export type ForwardedFrom = { 
/**
 * By whom, as whoever forwarded it says; absent: it is not said.
 */
name: string | null, };

/**
 * Somebody whom the sender of a message knows.
 */
export type PersonCard = { 
/**
 * The account, hex.
 */
account: string, 
/**
 * The name they give.
 */
name: string, 
/**
 * The chat with them, where they are a contact of mine.
 */
chat: number | null, 
/**
 * It is my own.
 */
me: boolean, };

/**
 * Where somebody or something is, in steps of 1/100,000 of a degree.
 */
export type Place = { 
/**
 * North of the equator; below 0: south. At most 9,000,000 either way.
 */
lat: number, 
/**
 * East of Greenwich; below 0: west. At most 18,000,000 either way.
 */
lon: number, 
/**
 * Within so many metres; 0: not said.
 */
accuracyM: number, 
/**
 * What it is called; may be empty. At most 200 bytes.
 */
label: string, };

/**
 * Where an introduction stands.
 */
export type IntroductionState = "asked" | "agreed" | "declined" | "onItsWay" | "met" | "wrong";

/**
 * How somebody knows whom they vouch for.
 */
export type KnownBy = "verified" | "invitation" | "introduction";

/**
 * "This is the account of the one I call so": signed, and checked.
 */
export type Vouched = { 
/**
 * Who says so, hex.
 */
account: string, 
/**
 * Their name: what they are called here, else what they call themselves.
 */
name: string, 
/**
 * How they know.
 */
knownBy: KnownBy, 
/**
 * When they said so.
 */
at: number, 
/**
 * I have verified the one who says so.
 */
verified: boolean, };

/**
 * Two people shall meet: on a message of kind `introduction`.
 */
export type Introduction = { 
/**
 * Whom the one who is asked shall meet, hex.
 */
account: string, 
/**
 * That person's name, as they give it.
 */
name: string, 
/**
 * Where it stands, as far as is known here.
 */
state: IntroductionState, 
/**
 * Who knows that person, the one who asks last. Empty on my own question.
 */
vouches: Array<Vouched>, };

/**
 * How a contact came.
 */
export type CameBy = "invitation" | "groupLink" | "introduction" | "unknown";

/**
 * What to look at before trusting somebody.
 */
export type FirstContact = { 
/**
 * How they came.
 */
cameBy: CameBy, 
/**
 * Another contact whose name looks the same.
 */
looksLike: string | null, 
/**
 * Letters of several alphabets stand in one word of the name.
 */
mixedLetters: boolean, };

/**
 * Parameters of `Command::Introduce`.
 */
export type Introduce = { 
/**
 * A contact, hex.
 */
one: string, 
/**
 * Another contact, hex.
 */
other: string, };

/**
 * Parameters of `Command::IntroductionAnswer`.
 */
export type IntroductionAnswer = { 
/**
 * The message that asks, hex.
 */
id: string, 
/**
 * I want to meet. A yes is not taken back.
 */
yes: boolean, };

/**
 * Parameters of `Command::CardSend`.
 */
export type CardSend = { 
/**
 * Chat.
 */
chat: number, 
/**
 * Whose card: a contact, hex.
 */
contact: string, 
/**
 * The caller's own id: sending twice with the same one sends once.
 */
clientId?: string | null, };

/**
 * Parameters of `Command::PlaceSend`.
 */
export type PlaceSend = { 
/**
 * Chat.
 */
chat: number, 
/**
 * Where.
 */
place: Place, 
/**
 * The caller's own id: sending twice with the same one sends once.
 */
clientId?: string | null, };

/**
 * What is to choose from. The message's text is the question.
 */
export type Poll = { 
/**
 * One may choose several.
 */
several: boolean, 
/**
 * Its author has ended it.
 */
closed: boolean, 
/**
 * How many have chosen something.
 */
voters: number, 
/**
 * The choices, as they are numbered.
 */
choices: Array<Choice>, };

/**
 * One choice of a poll.
 */
export type Choice = { 
/**
 * What it says.
 */
text: string, 
/**
 * How many chose it.
 */
count: number, 
/**
 * I am one of them.
 */
mine: boolean, 
/**
 * Names of the first of them (at most 16).
 */
names: Array<string>, };

/**
 * One message.
 */
export type Message = { 
/**
 * Hex (32 characters).
 */
id: string, 
/**
 * Chat.
 */
chat: number, 
/**
 * Place in the chat: grows with the order shown; pages are asked for by it.
 */
position: number, 
/**
 * Sender's account id, hex.
 */
from: string, 
/**
 * Sender's name.
 */
fromName: string, 
/**
 * Written on this account.
 */
mine: boolean, 
/**
 * Kind.
 */
kind: MessageKind, 
/**
 * Text (empty for kinds without).
 */
text: string, 
/**
 * By the sender's clock, at most the time of arrival.
 */
sentAt: number, 
/**
 * State.
 */
state: MessageState, 
/**
 * Echo of [`Send::client_id`].
 */
clientId: string | null, 
/**
 * Written after its sender was removed, or lost the right to write: shown apart.
 */
late: boolean, 
/**
 * Messages before this one that are known to be missing: they may come, or never.
 */
missingBefore: number, 
/**
 * Those that are missing were asked for.
 */
askedFor: boolean, 
/**
 * What it answers, where it is a reply.
 */
reply: Quote | null, 
/**
 * When its text was last changed, where it was.
 */
editedAt: number | null, 
/**
 * Emojis on it, the most frequent first (at most 32).
 */
reactions: Array<Reaction>, 
/**
 * I may delete it for everybody.
 */
mayDelete: boolean, 
/**
 * It goes so many seconds after it was read (mine: after it has left). Of a line about the timer: what it sets; absent:
 * none.
 */
timerS: number | null, 
/**
 * When it goes, where that counts already.
 */
vanishesAt: number | null, 
/**
 * What is heard or seen beside its text.
 */
media: Media | null, 
/**
 * The text as a tree; empty where it is words alone.
 */
format: Array<Node>, 
/**
 * The text with the signs of its marks, to be changed ([`Send::marked`]); absent where nothing is marked.
 */
typed: string | null, 
/**
 * I am meant in it.
 */
mentionsMe: boolean, 
/**
 * It stands on top of the chat.
 */
pinned: boolean, 
/**
 * What is to choose from; the text is the question.
 */
poll: Poll | null, 
/**
 * It was written elsewhere.
 */
forwarded: ForwardedFrom | null, 
/**
 * Somebody whom its sender knows.
 */
card: PersonCard | null, 
/**
 * Where somebody or something is.
 */
place: Place | null, 
/**
 * Whom to meet, where that is asked.
 */
introduction: Introduction | null, };

/**
 * One entry of the chat list.
 */
export type Chat = { 
/**
 * Chat.
 */
id: number, 
/**
 * The contact, hex (64 characters); of a group: its id (32 characters).
 */
contact: string, 
/**
 * It is the chat with oneself: saved messages. It has no name; `contact` is the own account.
 */
own: boolean, 
/**
 * Present where it is a group.
 */
group: GroupBrief | null, 
/**
 * Shown name.
 */
name: string, 
/**
 * Contact verified.
 */
verified: boolean, 
/**
 * Newest message.
 */
last: Message | null, 
/**
 * Messages of others not read yet.
 */
unread: number, 
/**
 * Those of them in which I am meant.
 */
mentions: number, 
/**
 * Messages on top of it (at most 32).
 */
pins: number, 
/**
 * First unread message's position, if any.
 */
firstUnread: number | null, 
/**
 * The inviter has not approved yet: what I write waits there.
 */
waiting: boolean, 
/**
 * My account came back, and this contact's device has not answered yet.
 */
comingBack: boolean, 
/**
 * Kept draft, where there is one.
 */
draft: string | null, 
/**
 * Newest activity.
 */
activeAt: number, 
/**
 * When the contact was last heard of.
 */
heardAt: number | null, 
/**
 * Messages written now go so many seconds after they were read.
 */
timerS: number | null, 
/**
 * What is wrong with its keys, if anything.
 */
alarms: Array<Alarm>, 
/**
 * The contact is not verified, and what to look at was not put away: `Query::FirstContact`.
 */
isNew: boolean, };

/**
 * A window into a list.
 */
export type Page = { 
/**
 * At most this many (1 to 1000).
 */
limit: number, 
/**
 * Skip so many.
 */
offset?: number, };

/**
 * Parameters of `Query::Messages`. Give at most one of `before`, `after`, `around`; none: the newest.
 */
export type MessagesOf = { 
/**
 * Chat.
 */
chat: number, 
/**
 * Positions below this.
 */
before?: number | null, 
/**
 * Positions above this.
 */
after?: number | null, 
/**
 * Half of the page before this position, half from it on.
 */
around?: number | null, 
/**
 * At most this many (1 to 500).
 */
limit: number, };

/**
 * A stretch of a chat.
 */
export type Messages = { 
/**
 * Oldest first.
 */
messages: Array<Message>, 
/**
 * There are older ones.
 */
moreBefore: boolean, 
/**
 * There are newer ones.
 */
moreAfter: boolean, 
/**
 * All messages of the chat (for `aria-setsize`).
 */
total: number, 
/**
 * How many of the chat's messages stand before the first one here (for `aria-posinset`).
 */
index: number, };

/**
 * Parameters of `Command::Send`.
 */
export type Send = { 
/**
 * Chat.
 */
chat: number, 
/**
 * 1 to 16,384 bytes of UTF-8 after trimming.
 */
text: string, 
/**
 * Signs in the text are marks: `**bold**`, `__italic__`, `~~struck~~`, `||spoiler||`, the first three with one sign
 * each too, `` `fixed` ``, code between lines of three backticks, quotes behind `> `, `@name`, `@all`.
 */
marked?: boolean, 
/**
 * The caller's own id: sending twice with the same one sends once.
 */
clientId?: string | null, 
/**
 * The message of this chat that it answers, hex.
 */
replyTo?: string | null, };

/**
 * Parameters of `Command::React`.
 */
export type React = { 
/**
 * The message, hex.
 */
id: string, 
/**
 * One emoji. A message has at most 8 of each account.
 */
emoji: string, 
/**
 * Put it there; else take it back.
 */
on: boolean, };

/**
 * Parameters of `Command::Edit`.
 */
export type Edit = { 
/**
 * A text of mine, hex.
 */
id: string, 
/**
 * What shall stand there: 1 to 16,384 bytes of UTF-8 after trimming.
 */
text: string, 
/**
 * Signs in the text are marks, as in [`Send::marked`].
 */
marked?: boolean, };

/**
 * Parameters of `Command::Delete`.
 */
export type Delete = { 
/**
 * The message, hex.
 */
id: string, 
/**
 * For everybody; else only here.
 */
everyone: boolean, };

/**
 * Parameters of `Command::TimerSet`.
 */
export type TimerSet = { 
/**
 * The chat.
 */
chat: number, 
/**
 * 5 to 31,622,400 (366 days); absent: messages stay.
 */
seconds: number | null, };

/**
 * Parameters of `Command::Pin`.
 */
export type Pin = { 
/**
 * The message, hex.
 */
id: string, 
/**
 * Put it on top; else take it off.
 */
on: boolean, };

/**
 * Parameters of `Command::PollSend`.
 */
export type PollSend = { 
/**
 * Chat.
 */
chat: number, 
/**
 * 1 to 16,384 bytes of UTF-8 after trimming.
 */
question: string, 
/**
 * 2 to 12 different texts of 1 to 200 bytes after trimming.
 */
choices: Array<string>, 
/**
 * One may choose several.
 */
several: boolean, 
/**
 * The caller's own id: sending twice with the same one sends once.
 */
clientId?: string | null, };

/**
 * Parameters of `Command::PollVote`.
 */
export type PollVote = { 
/**
 * The poll, hex.
 */
id: string, 
/**
 * Numbers of all that I choose, from 0; none takes my vote back.
 */
choices: Array<number>, };

/**
 * Parameters of `Command::Forward`.
 */
export type Forward = { 
/**
 * The message, hex. No poll.
 */
id: string, 
/**
 * The chat it goes to.
 */
chat: number, 
/**
 * Say who wrote it.
 */
named: boolean, 
/**
 * The caller's own id: sending twice with the same one sends once.
 */
clientId?: string | null, };

/**
 * What is heard or seen beside a text.
 */
export type MediaKind = "voice" | "photo";

/**
 * What is known of it without its file.
 */
export type Media = { 
/**
 * Which.
 */
kind: MediaKind, 
/**
 * How long a voice note plays.
 */
durationMs: number | null, 
/**
 * A photo's width in pixels.
 */
width: number | null, 
/**
 * Its height.
 */
height: number | null, 
/**
 * It has a preview.
 */
preview: boolean, };

/**
 * Parameters of `Command::MediaSend`.
 */
export type MediaSend = { 
/**
 * Chat.
 */
chat: number, 
/**
 * Which.
 */
kind: MediaKind, 
/**
 * The file, base64. With the preview at most 196,608 bytes; a voice note at most two minutes.
 */
data: string, 
/**
 * A smaller photo, base64: at most 61,440 bytes.
 */
preview?: string | null, 
/**
 * What stands beside it: at most 16,384 bytes of UTF-8 after trimming.
 */
text?: string | null, 
/**
 * Signs in the text are marks, as in [`super::Send::marked`].
 */
marked?: boolean, 
/**
 * The caller's own id: sending twice with the same one sends once.
 */
clientId?: string | null, 
/**
 * The message of this chat that it answers, hex.
 */
replyTo?: string | null, };

/**
 * Parameters of `Query::MediaGet`.
 */
export type MediaGet = { 
/**
 * The message, hex.
 */
id: string, 
/**
 * The preview, where there is one; else the file itself.
 */
preview: boolean, };

/**
 * A file.
 */
export type MediaFile = { 
/**
 * Which.
 */
kind: MediaKind, 
/**
 * The file, base64.
 */
data: string, };

/**
 * What a member of a group may do.
 */
export type Role = "owner" | "admin" | "moderator" | "member" | "reader";

/**
 * Parameters of `Command::GroupCreate`.
 */
export type GroupCreate = { 
/**
 * 1 to 128 bytes after trimming, no control characters.
 */
name: string, 
/**
 * Contacts, hex. May be empty.
 */
members: Array<string>, 
/**
 * For up to 1,024 accounts instead of 256; that is never changed.
 */
large: boolean, };

/**
 * Parameters of `Command::GroupAdd` and `Command::GroupRemove`.
 */
export type GroupMembers = { 
/**
 * The group's chat.
 */
chat: number, 
/**
 * Accounts, hex.
 */
members: Array<string>, };

/**
 * Parameters of `Command::GroupRole`.
 */
export type GroupRole = { 
/**
 * The group's chat.
 */
chat: number, 
/**
 * Account, hex.
 */
member: string, 
/**
 * The new role.
 */
role: Role, };

/**
 * Parameters of `Command::GroupConsent`.
 */
export type GroupConsent = { 
/**
 * The group's chat.
 */
chat: number, 
/**
 * Account, hex: who shall become an owner.
 */
member: string, };

/**
 * Somebody shall become an owner, and some agree.
 */
export type Succession = { 
/**
 * Account, hex.
 */
account: string, 
/**
 * So many agree.
 */
agreed: number, 
/**
 * I am one of them.
 */
mine: boolean, };

/**
 * Parameters of `Command::GroupEdit`: what is absent stays.
 */
export type GroupEdit = { 
/**
 * The group's chat.
 */
chat: number, 
/**
 * 1 to 128 bytes.
 */
name?: string | null, 
/**
 * At most 1,024 bytes.
 */
description?: string | null, 
/**
 * The lowest role that may write.
 */
mayWrite?: Role | null, 
/**
 * The lowest role that may add members.
 */
mayAdd?: Role | null, 
/**
 * The lowest role that may change name and description.
 */
mayEdit?: Role | null, };

/**
 * Parameters of `Command::GroupPicture`.
 */
export type GroupPicture = { 
/**
 * The group's chat.
 */
chat: number, 
/**
 * A JPEG, base64: at most 61,440 bytes once what is no picture was taken out. Absent: the picture is taken away.
 */
data?: string | null, };

/**
 * Parameters of `Command::GroupLink`.
 */
export type GroupLink = { 
/**
 * The group's chat.
 */
chat: number, 
/**
 * Each who comes waits until I let them in.
 */
approval: boolean, 
/**
 * People it lets in at most: 1 to 256, else 50.
 */
most?: number | null, 
/**
 * Hours that it lasts: 1 to 720, else 168.
 */
hours?: number | null, };

/**
 * The group that an invitation leads into.
 */
export type LinkedGroup = { 
/**
 * Its chat.
 */
chat: number, 
/**
 * What it is called.
 */
name: string, 
/**
 * People the link lets in at most.
 */
most: number, 
/**
 * Each of them waits until I let them in.
 */
approval: boolean, };

/**
 * A group, as the branch that is written to says.
 */
export type Group = { 
/**
 * Its chat.
 */
chat: number, 
/**
 * What it is called.
 */
name: string, 
/**
 * What it is about.
 */
description: string, 
/**
 * It has a picture, and its bytes are here.
 */
picture: boolean, 
/**
 * The lowest role that may write.
 */
mayWrite: Role, 
/**
 * The lowest role that may add members.
 */
mayAdd: Role, 
/**
 * The lowest role that may change name and description.
 */
mayEdit: Role, 
/**
 * Members, the highest authority first.
 */
members: Array<Member>, 
/**
 * I am in it, and have not said that I leave.
 */
member: boolean, 
/**
 * Founded for up to 1,024 accounts.
 */
large: boolean, 
/**
 * When an owner was heard here last, Unix ms; 0: not known.
 */
ownerHeardAt: number, 
/**
 * Accounts, hex, of those who are asked when no owner comes back.
 */
electors: Array<string>, 
/**
 * How many of them must agree.
 */
consentsNeeded: number, 
/**
 * Who shall become an owner, as far as anybody has said so.
 */
successions: Array<Succession>, };

/**
 * A member of a group.
 */
export type Member = { 
/**
 * Account, hex.
 */
account: string, 
/**
 * What the group calls them; contacts are called as in the list of contacts.
 */
name: string, 
/**
 * Role.
 */
role: Role, 
/**
 * This is me.
 */
me: boolean, };

/**
 * What the chat list says of a group.
 */
export type GroupBrief = { 
/**
 * How many accounts.
 */
members: number, 
/**
 * I am in it, and have not said that I leave.
 */
member: boolean, 
/**
 * Nobody was heard there for long: this device has asked to be added again.
 */
behind: boolean, 
/**
 * It has a picture, and its bytes are here: another text for another picture.
 */
picture: string | null, };

/**
 * What is wrong with a conversation's keys.
 */
export type AlarmKind = "twoCommits" | "notMine" | "twoLogs" | "flood";

/**
 * An alarm about a conversation.
 */
export type Alarm = { 
/**
 * What.
 */
kind: AlarmKind, 
/**
 * Whose keys, hex (64 characters).
 */
account: string, 
/**
 * That account's name.
 */
name: string, 
/**
 * When it was noticed.
 */
at: number, };

/**
 * Parameters of `Query::Search`.
 */
export type Search = { 
/**
 * Words; the last one may be a beginning.
 */
words: string, 
/**
 * Only in this chat.
 */
chat?: number | null, 
/**
 * At most this many (1 to 200).
 */
limit: number, };

/**
 * A found message.
 */
export type Hit = { 
/**
 * The message.
 */
message: Message, 
/**
 * Name of its chat.
 */
chatName: string, 
/**
 * Text around the match as plain and marked pieces.
 */
pieces: Array<Piece>, };

/**
 * Part of a snippet.
 */
export type Piece = { 
/**
 * Text.
 */
text: string, 
/**
 * Part of the match.
 */
marked: boolean, };

/**
 * Any one thing by its hex id.
 */
export type ById = { 
/**
 * Hex.
 */
id: string, };

/**
 * One message by its id.
 */
export type ByMessage = { 
/**
 * Hex.
 */
id: string, };

/**
 * One chat.
 */
export type ByChat = { 
/**
 * Chat.
 */
chat: number, };

/**
 * Parameters of `Command::MarkRead`.
 */
export type MarkRead = { 
/**
 * Chat.
 */
chat: number, 
/**
 * Up to and with this position.
 */
position: number, };

/**
 * Parameters of `Command::Verify`.
 */
export type Verify = { 
/**
 * Contact, hex.
 */
id: string, 
/**
 * The numbers were the same.
 */
verified: boolean, 
/**
 * The other side's code, as it was read: compared here, and `numbersDiffer` where it is not this pair's.
 */
code?: string | null, };

/**
 * Parameters of `Command::ContactBlock`.
 */
export type ContactBlock = { 
/**
 * Contact, hex.
 */
id: string, 
/**
 * Nothing of theirs is shown or answered from now on.
 */
blocked: boolean, };

/**
 * Parameters of `Command::ContactRename`.
 */
export type ContactRename = { 
/**
 * Contact, hex.
 */
id: string, 
/**
 * At most 64 characters.
 */
name: string, };

/**
 * Parameters of `Command::DeviceLink`.
 */
export type DeviceLinkWish = { 
/**
 * What this device is called from now on, 1 to 64 bytes.
 */
name: string, };

/**
 * A link for one more device.
 */
export type DeviceLink = { 
/**
 * `stone:d...`
 */
link: string, 
/**
 * Not after.
 */
expiresAt: number, };

/**
 * Parameters of `Command::DeviceAccept`.
 */
export type DeviceAccept = { 
/**
 * `stone:d...`
 */
link: string, 
/**
 * What this device is called, 1 to 64 bytes.
 */
name: string, };

/**
 * Parameters of `Command::DeviceConfirm`.
 */
export type DeviceConfirm = { 
/**
 * The six digits that the new device shows.
 */
number: string, };

/**
 * Where linking stands.
 */
export type LinkState = "open" | "asked" | "granted" | "done" | "closed" | "expired" | "asking" | "showing" | "linked";

/**
 * The last link of this device, on either side.
 */
export type Linking = { 
/**
 * Where it stands.
 */
state: LinkState, 
/**
 * The link, while it is open.
 */
link: string | null, 
/**
 * Of the link.
 */
expiresAt: number | null, 
/**
 * What the new device is called.
 */
name: string | null, 
/**
 * Numbers typed that were not its.
 */
wrong: number, 
/**
 * New device: the number to type on the home device.
 */
number: string | null, };

/**
 * A device of this account.
 */
export type Device = { 
/**
 * Hex.
 */
id: string, 
/**
 * What it is called; empty where nobody has said.
 */
name: string, 
/**
 * This one.
 */
this: boolean, 
/**
 * It holds the recovery words, and links and removes others.
 */
home: boolean, 
/**
 * Since when, Unix milliseconds.
 */
addedAt: number, };

/**
 * The devices of this account, and the last link.
 */
export type Devices = { 
/**
 * Live ones, oldest first.
 */
devices: Array<Device>, 
/**
 * The last link, on either side.
 */
linking: Linking | null, };

/**
 * A place in a bundle that is being made. The first page is asked for without one.
 */
export type BundlePlace = { 
/**
 * Which of its parts.
 */
stage: number, 
/**
 * After which entry of it.
 */
after: number, };

/**
 * Parameters of `Command::BundleExport`.
 */
export type BundleExport = { 
/**
 * Where the page before ended.
 */
from?: BundlePlace | null, };

/**
 * Items of a bundle, one after the other (BDL-1).
 */
export type BundlePage = { 
/**
 * The items, base64.
 */
data: string, 
/**
 * How many.
 */
items: number, 
/**
 * Where the next page begins; none: this was the last one.
 */
next: BundlePlace | null, };

/**
 * Parameters of `Command::BundleImport`.
 */
export type BundleImport = { 
/**
 * A page of items, base64.
 */
data: string, };

/**
 * What became of a page.
 */
export type BundleTaken = { 
/**
 * Items that were for this device, and new.
 */
taken: number, 
/**
 * Items that it had, or had made.
 */
known: number, 
/**
 * Items for others, and what does not open.
 */
others: number, };

/**
 * Parameters of `Command::RelayAdd`.
 */
export type RelayAdd = { 
/**
 * `stone:r...`, or where a dead drop is: `davs://USER:PASSWORD@HOST/FOLDER`, `imaps://USER:PASSWORD@HOST/MAILBOX`.
 */
route: string, 
/**
 * It is named in no invitation and no group, and dealt to contacts, one each.
 */
private: boolean, };

/**
 * Parameters of `Command::RelayForgetWay`.
 */
export type RelayForgetWay = { 
/**
 * The relay's id, hex.
 */
id: string, 
/**
 * One of its further addresses, as [`RelayWay`] shows it.
 */
address: string, };

/**
 * A further address of a relay.
 */
export type RelayWay = { 
/**
 * `host:port`, or a bridge without its keys.
 */
address: string, 
/**
 * Who said it, by name; absent: the account itself gave it.
 */
saidBy: string | null, 
/**
 * The relay is reached there at the moment.
 */
inUse: boolean, };

/**
 * Parameters of `Command::ProfileRename`.
 */
export type ProfileRename = { 
/**
 * 1 to 64 characters.
 */
name: string, };

/**
 * Parameters of `Command::DraftSet`.
 */
export type DraftSet = { 
/**
 * Chat.
 */
chat: number, 
/**
 * Unsent text.
 */
text: string, };

/**
 * A kept draft.
 */
export type Draft = { 
/**
 * Unsent text.
 */
text: string, };

/**
 * The account on this device.
 */
export type Me = { 
/**
 * Account id, hex (64 characters).
 */
id: string, 
/**
 * Display name.
 */
name: string, };

/**
 * The 24 recovery words.
 */
export type Words = { 
/**
 * English BIP-39 words, in order.
 */
words: Array<string>, 
/**
 * Entrances to keep with them: routes of the account's own relays.
 */
doors: Array<string>, };

/**
 * The safety number of a pair of accounts.
 */
export type SafetyNumber = { 
/**
 * 60 digits in twelve groups of five.
 */
groups: Array<string>, 
/**
 * Eight words for a quick look, the same on both sides; none where there is no conversation yet.
 */
words: Array<string>, 
/**
 * The number for a camera: `stone:v...`, the same on both sides.
 */
code: string, 
/**
 * Compared before.
 */
verified: boolean, };

/**
 * The way to the relays, in one word.
 */
export type Connection = "noRelay" | "connected" | "connecting" | "offline" | "nearby";

/**
 * One relay this profile uses.
 */
export type Relay = { 
/**
 * Its id, hex (32 characters).
 */
id: string, 
/**
 * `host:port`; a drop's without user and password.
 */
address: string, 
/**
 * Own (given by the user), or lent by a contact's card.
 */
own: boolean, 
/**
 * Answers now.
 */
connected: boolean, 
/**
 * It does so through another relay only.
 */
through: boolean, 
/**
 * Calls envelopes stored and does not give them.
 */
withholds: boolean, 
/**
 * Own, and for contacts alone, one each.
 */
private: boolean, 
/**
 * When it answered last; absent: never yet.
 */
answeredAt: number | null, 
/**
 * A public invitation gave it: whoever read that knows it too.
 */
fromPublic: boolean, 
/**
 * Contacts who were dealt it as their entrance, by name.
 */
dealtTo: Array<string>, 
/**
 * Its further addresses.
 */
ways: Array<RelayWay>, 
/**
 * Where it does not answer: which ways were tried last, the newest first.
 */
tried: Array<Tried>, };

/**
 * A way to a relay that was tried, and what befell it.
 */
export type Tried = { 
/**
 * `host:port` that was dialled; a drop's without user and password.
 */
place: string, 
/**
 * The address of the relay in between, where it led through one.
 */
through: string | null, 
/**
 * A page in a browser dialled.
 */
byBrowser: boolean, 
/**
 * What befell it.
 */
why: Missed, };

/**
 * What befell a way to a relay.
 */
export type Missed = "noName" | "closed" | "silent" | "cut" | "frozen" | "ended" | "certificateTime" | "certificate" | "stranger" | "secret" | "password" | "noFolder" | "busy" | "notPassedOn" | "noProxy" | "noProgram";

/**
 * Language and looks of the interface.
 */
export type Settings = { 
/**
 * `en`, `ru`, or absent: the browser's.
 */
language?: string | null, 
/**
 * `light`, `dark`, or absent: the system's.
 */
theme?: string | null, 
/**
 * Tell others what I have read.
 */
readReceipts: boolean, };

/**
 * Who this profile is and how it is doing.
 */
export type Status = { 
/**
 * Program version and commit.
 */
version: string, 
/**
 * Absent before the first screen is done, and while locked.
 */
me: Me | null, 
/**
 * Locked behind the passphrase.
 */
locked: boolean, 
/**
 * A passphrase protects the key (otherwise a key file, which protects from nobody who has the disk).
 */
hasPassphrase: boolean, 
/**
 * In one word.
 */
connection: Connection, 
/**
 * Relays in use.
 */
relays: Array<Relay>, 
/**
 * Device clock off by more than a day: relay clock minus device clock; else 0.
 */
clockOffsetMs: number, 
/**
 * Messages of mine nobody has taken yet.
 */
queued: number, 
/**
 * Restored from words: what was written before does not come back, and the interface says so.
 */
restored: boolean, 
/**
 * How that stands, where a capsule was looked for.
 */
restoring: Restoring | null, 
/**
 * This device is not part of the account any more.
 */
revoked: boolean, 
/**
 * This device holds the account's words: it links and removes others, invites, and takes invitations up.
 */
home: boolean, 
/**
 * Unread messages in all chats.
 */
unread: number, 
/**
 * People waiting for approval.
 */
requests: number, };
