//! Defences that a test can switch off one by one, to see that the attack they answer then works.
//!
//! In what is shipped there is no switch: [`holds`] is `true`. Nothing else in core may ask which build it is in.
//! The attacks: `tests/it/attacks.rs`; those on keys: `mls/tests.rs`.

/// A defence that stands by itself: without it some attack works, whatever else holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defence {
    /// What the unseated commit beside their removal is void (FORK-2).
    VoidCommits,
    /// Commits are judged by the state signed in their parent (GRP-4).
    CommitRules,
    /// What the removed wrote later stands apart (GRP-6).
    Cuts,
    /// A message that is known is not taken in again, however it was encrypted (OUT-5).
    KnownMessages,
    /// Only some may delete what others wrote (CON-5).
    Moderation,
    /// Whom the state does not let write is not heard (GRP-10).
    WriteLock,
    /// The card is of the account that the link pins (INV-3).
    CardPin,
    /// The leaf that comes with a claim is the claimant's (MLS-7).
    LeafOfClaim,
    /// Two commits of one member on one epoch are kept, no more (EPO-5).
    RivalsEach,
    /// 32 epochs keep keys, no more (EPO-4).
    EpochsRetained,
    /// What somebody could not have read is not put again for them (WNT-4).
    ReadersOnly,
    /// Five accounts speak for a large group (RCP-5).
    Speakers,
    /// A clock far ahead does not pull mine along (MSG-3).
    ClockAhead,
    /// A parent of mine forgets the commit that was staged in it (MLS-9).
    StagedCleared,
    /// Only the account's key brings a device or takes one away (DEV-4).
    OwnLeaves,
    /// A device link is its account's (LNK-3).
    LinkPin,
    /// Commits that somebody lacks are put again (EPO-7).
    CommitsAgain,
    /// Who asks to be brought back is heard once in three days (GRP-12).
    BackOnce,
    /// One want list of an account is heard in 30 seconds (WNT-4).
    ListsHeard,
    /// Answers have a limit an hour (WNT-4).
    AnswersHourly,
    /// What is noted as missing has a limit (WNT-1).
    NotedMax,
    /// Who was in the group before waits for a word, whatever the link says (GLK-2).
    WasMember,
    /// Whoever is blocked is answered nowhere (BLK-1).
    Blocked,
    /// A pin counts where its sender might pin (CON-19).
    Pins,
    /// A clock that goes back keeps nothing longer (CON-12).
    ClockBack,
    /// A commit by my leaf that I did not make is shown (ALM-2).
    NotMine,
    /// Two commits of one leaf on one epoch are shown (ALM-1).
    TwoCommits,
    /// A relay that keeps back what it called stored is found out (OUT-10).
    RelayWatched,
    /// The person types what the new device shows (LNK-4).
    LinkNumber,
    /// More than two thirds agree that somebody becomes an owner (GRP-18).
    Consents,
    /// A link that two devices ask by is closed (LNK-4).
    LinkOnce,
    /// An introduction's invitation lets in one account by name (INT-5).
    BoundInvite,
    /// Vouches are signed, follow one another and end with me (INT-3).
    Vouches,
    /// A link that comes by an introduction is of the account that was introduced (INT-6).
    IntroducedPin,
    /// Only those two answer whom an introduction asks (INT-4).
    AskedAnswer,
    /// A link is passed on when both have said yes (INT-4).
    BothFirst,
    /// What was asked stays about the one it was asked about (INT-8).
    QuestionStays,
    /// Only the account that the link pins answers a claim (MEET-12).
    AnswerSigned,
    /// Ten claims that do not open close an invitation (MEET-11).
    ClaimsUnopened,
    /// A device link is good for an hour (LNK-1).
    LinkHour,
    /// A linked device that cannot follow is heard once in three days (OWN-11).
    OwnBackOnce,
    /// Where a removal has lost to a fork nobody writes what the removed could read (FORK-8).
    LostRemovals,
    /// Void commits give nobody a right (FORK-2).
    VoidRights,
    /// Only who may add members leads anybody into a group, or back (GRP-9).
    MayAdd,
    /// Who is in a group's tree is in its list (GRP-9).
    TreeAndList,
    /// Who says that it leaves has signed it (GRP-7).
    LeaveSigned,
    /// Who has moved on brings no late rival (FORK-5).
    MovedOn,
    /// Of two commits by one member on one epoch the lower counts (FORK-6).
    OneEach,
    /// An account that lets a removed device in by an old log is shown (DEV-6).
    OldLogs,
    /// Keys are renewed daily (RNW-1).
    RenewedDaily,
    /// Who was added on two branches stands on the one that the others are heard on (FORK-9).
    OthersBranch,
}

#[cfg(any(test, feature = "lab"))]
mod switch {
    use super::Defence;
    use std::cell::Cell;

    thread_local! {
        static OFF: Cell<Option<Defence>> = const { Cell::new(None) };
    }

    pub(crate) fn holds(defence: Defence) -> bool {
        OFF.get() != Some(defence)
    }

    /// Runs `attack` on this thread without a defence.
    pub fn without<T>(defence: Defence, attack: impl FnOnce() -> T) -> T {
        struct Before(Option<Defence>);
        impl Drop for Before {
            fn drop(&mut self) {
                OFF.set(self.0);
            }
        }
        let _as_before = Before(OFF.replace(Some(defence)));
        attack()
    }
}

#[cfg(any(test, feature = "lab"))]
pub(crate) use switch::holds;
#[cfg(any(test, feature = "lab"))]
pub use switch::without;

#[cfg(not(any(test, feature = "lab")))]
pub(crate) const fn holds(_: Defence) -> bool {
    true
}
