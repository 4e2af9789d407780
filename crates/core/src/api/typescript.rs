//! Writes the interface's types: `ui/src/core/gen/api.ts`, one file, and fails when the committed one differs.
//!
//! `UPDATE_TS=1 cargo test -p stonechat-core typescript` writes it again. Rust's 64-bit numbers become `number`:
//! times and positions stay below 2^53 until the year 2094.

use std::path::Path;

use ts_rs::TS;

use super::*;

const HEAD: &str =
    "// Generated from crates/core/src/api.rs. Do not edit: UPDATE_TS=1 cargo test -p stonechat-core typescript\n";

/// What each method takes is in `Command` and `Query`; what it answers is here.
const ANSWERS: &str = r#"
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
"#;

#[test]
fn typescript_types_are_those_of_the_api_api_4() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ui/src/core/gen/api.ts");
    let wanted = typescript();
    if std::env::var_os("UPDATE_TS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "ui/src/core/gen/api.ts differs from api.rs: run with UPDATE_TS=1"
    );
}

#[test]
fn every_method_names_its_answer_api_5() {
    let declared = format!("{}{}", declare::<Command>(), declare::<Query>());
    let methods = declared
        .split("\"method\": \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let count = methods
        .inspect(|method| assert!(ANSWERS.contains(&format!("\n  \"{method}\": ")), "{method}"))
        .count();
    assert_eq!(ANSWERS.matches("\n  \"").count(), count);
}

fn typescript() -> String {
    let mut out = HEAD.to_owned();
    macro_rules! types {
        ($($t:ty),* $(,)?) => { $(out.push_str(&declare::<$t>());)* };
    }
    types!(Command, Query);
    out.push_str(ANSWERS);
    types!(
        Event,
        Fault,
        Init,
        Restore,
        GiveUp,
        RestoreState,
        Restoring,
        Who,
        How,
        InviteCreate,
        Reach,
        InviteState,
        Invite,
        PublicCreate,
        PublicInvite,
        Accept,
        AcceptRetry,
        AcceptanceState,
        Acceptance,
        Request,
        Contact,
        MessageState,
        MessageKind,
        Quote,
        Quoted,
        Reaction,
        Version,
        NodeKind,
        Node,
        Mentioned,
        ForwardedFrom,
        PersonCard,
        Place,
        IntroductionState,
        KnownBy,
        Vouched,
        Introduction,
        CameBy,
        FirstContact,
        Introduce,
        IntroductionAnswer,
        CardSend,
        PlaceSend,
        Poll,
        Choice,
        Message,
        Chat,
        Page,
        MessagesOf,
        Messages,
        Send,
        React,
        Edit,
        Delete,
        TimerSet,
        Pin,
        PollSend,
        PollVote,
        Forward,
        MediaKind,
        Media,
        MediaSend,
        MediaGet,
        MediaFile,
        Role,
        GroupCreate,
        GroupMembers,
        GroupRole,
        GroupConsent,
        Succession,
        GroupEdit,
        GroupPicture,
        GroupLink,
        LinkedGroup,
        Group,
        Member,
        GroupBrief,
        AlarmKind,
        Alarm,
        Search,
        Hit,
        Piece,
        ById,
        ByMessage,
        ByChat,
        MarkRead,
        Verify,
        ContactBlock,
        ContactRename,
        DeviceLinkWish,
        DeviceLink,
        DeviceAccept,
        DeviceConfirm,
        LinkState,
        Linking,
        Device,
        Devices,
        BundlePlace,
        BundleExport,
        BundlePage,
        BundleImport,
        BundleTaken,
        RelayAdd,
        RelayForgetWay,
        RelayWay,
        ProfileRename,
        DraftSet,
        Draft,
        Me,
        Words,
        SafetyNumber,
        Connection,
        Relay,
        Tried,
        Missed,
        Settings,
        Status,
    );
    out
}

fn declare<T: TS + 'static>() -> String {
    let docs = T::docs().unwrap_or_default();
    format!("\n{docs}export {}\n", T::decl().replace("bigint", "number"))
}
