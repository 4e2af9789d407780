//! The attack matrix: every attack here works when the defence that answers it is switched off.
//!
//! Each is a test of its own, which shows that it does not work; here they run once more, each without its defence, and must
//! fail. Numbers are those of the twenty properties in `docs/attacks.md`, where those stand too that need no switch.
#![cfg(feature = "lab")]

use crate::{
    behind, block, content, copy, crowd, cuts, devices, forks, groups, halves, hostile, introduce, leaving, links,
    lost_removal, meeting, outsiders, polls, rivals, rules, succession, vanish, void, wants, watch, welcomes,
};
use std::collections::BTreeSet;
use stonechat_core::defence::{Defence, without};

type Attack = (u8, &'static str, Defence, fn());

const ATTACKS: &[Attack] = &[
    (
        1,
        "a message that was read comes again, encrypted anew",
        Defence::KnownMessages,
        halves::two_halves_apart_for_a_week_are_one_after_three_passes_fork_7,
    ),
    (
        2,
        "a clock far ahead pulls the order of a conversation along",
        Defence::ClockAhead,
        rules::a_clock_far_ahead_does_not_pull_mine_along_msg_3,
    ),
    (
        3,
        "somebody deletes what stands above",
        Defence::Moderation,
        content::in_a_group_who_moderates_deletes_what_stands_below_con_5,
    ),
    (
        4,
        "a member changes who is in the group",
        Defence::CommitRules,
        groups::a_commit_that_the_rules_forbid_is_refused_by_everybody_else_grp_4,
    ),
    (
        5,
        "a device without the account's key takes out the first one",
        Defence::OwnLeaves,
        devices::the_first_device_cannot_be_removed_by_another_dev_4,
    ),
    (
        5,
        "who stole a device link is let in",
        Defence::LinkNumber,
        devices::a_link_alone_links_nobody_and_three_wrong_numbers_close_it_lnk_4,
    ),
    (
        5,
        "two devices ask by one link",
        Defence::LinkOnce,
        devices::two_devices_that_ask_by_one_link_close_it_lnk_4,
    ),
    (
        5,
        "a device link that was forgotten is found later",
        Defence::LinkHour,
        devices::a_link_is_good_once_and_for_an_hour_lnk_1,
    ),
    (
        6,
        "whom a removed admin lets in changes what all see",
        Defence::VoidRights,
        void::whom_a_void_commit_let_in_changes_nothing_fork_2_grp_6,
    ),
    (
        6,
        "the removed reads what is written by whom both sides of a fork added",
        Defence::OthersBranch,
        halves::who_is_added_on_both_sides_stands_where_the_others_are_fork_9,
    ),
    (
        6,
        "the removed reads what is written where its removal has lost",
        Defence::LostRemovals,
        lost_removal::nobody_writes_what_the_removed_reads_while_the_removal_is_lost_fork_8,
    ),
    (
        5,
        "a linked device makes the first one commit all the time",
        Defence::OwnBackOnce,
        behind::a_linked_device_that_asks_all_the_time_gets_one_leaf_in_three_days_own_11,
    ),
    (
        16,
        "too few make themselves an owner",
        Defence::Consents,
        succession::two_of_three_make_nobody_an_owner_grp_18,
    ),
    (
        5,
        "another account answers a device link",
        Defence::LinkPin,
        devices::a_link_for_another_account_shows_no_number_lnk_3,
    ),
    (
        6,
        "what a removed device wrote later stands among the rest",
        Defence::Cuts,
        devices::what_a_removed_device_says_late_is_shown_apart_and_changes_nothing_dev_6,
    ),
    (
        6,
        "a removed admin's branch is taken for the group's",
        Defence::VoidCommits,
        outsiders::a_removed_admin_whom_all_follow_on_its_branch_changes_nothing_fork_2,
    ),
    (
        6,
        "what the removed wrote later stands among the rest",
        Defence::Cuts,
        groups::what_the_removed_wrote_afterwards_is_shown_apart_grp_6,
    ),
    (
        6,
        "numbers that the removed had left out stand among the rest",
        Defence::Cuts,
        cuts::numbers_that_were_left_out_write_nothing_after_a_removal_grp_6,
    ),
    (
        6,
        "a number that the removed had used stands among the rest",
        Defence::Cuts,
        cuts::a_number_that_was_used_writes_nothing_after_a_removal_grp_6,
    ),
    (
        6,
        "who came back from its words counts from the beginning",
        Defence::Cuts,
        cuts::who_came_back_from_words_and_is_removed_writes_nothing_unseen_afterwards_grp_6,
    ),
    (
        6,
        "the removed say that they write in an epoch nobody knows",
        Defence::Cuts,
        cuts::what_says_it_is_of_an_epoch_nobody_knows_is_late_grp_6,
    ),
    (
        6,
        "numbers that a removed device had left out stand among the rest",
        Defence::Cuts,
        cuts::numbers_that_were_left_out_write_nothing_after_a_device_was_removed_dev_6,
    ),
    (
        6,
        "a removed device says that another one of its account wrote it",
        Defence::Cuts,
        cuts::a_removed_device_does_not_write_as_another_one_of_its_account_dev_6,
    ),
    (
        6,
        "who lost the right to write is heard",
        Defence::WriteLock,
        groups::readers_write_nothing_and_a_lock_makes_members_readers_grp_10,
    ),
    (
        8,
        "keys are kept for ever",
        Defence::EpochsRetained,
        forks::at_most_32_epochs_keep_keys_and_what_waits_in_a_closed_one_comes_at_the_head_epo_4,
    ),
    (
        10,
        "a claim comes with somebody else's leaf",
        Defence::LeafOfClaim,
        rules::a_leaf_that_is_not_of_the_claims_account_is_refused_mls_7,
    ),
    (
        11,
        "another card lies behind the link",
        Defence::CardPin,
        hostile::a_card_of_another_account_does_not_fit_the_link_inv_3,
    ),
    (
        11,
        "whoever reads an introduction's link takes it up",
        Defence::BoundInvite,
        introduce::an_introductions_link_lets_in_nobody_but_the_one_it_is_for_int_5,
    ),
    (
        11,
        "a contact says that others vouch who do not",
        Defence::Vouches,
        introduce::a_vouch_that_nobody_signed_shows_no_question_int_3,
    ),
    (
        11,
        "whoever introduces hands over another one's link",
        Defence::IntroducedPin,
        introduce::a_link_of_somebody_else_than_was_asked_about_is_not_taken_up_int_6,
    ),
    (
        11,
        "who was not asked says yes for somebody else",
        Defence::AskedAnswer,
        introduce::who_was_not_asked_answers_for_nobody_int_4,
    ),
    (
        11,
        "whoever makes an introduction's invitation has it passed on to who has not said yes",
        Defence::BothFirst,
        introduce::a_link_that_comes_before_both_have_said_yes_is_not_passed_on_int_4,
    ),
    (
        11,
        "a yes to one person becomes a yes to another",
        Defence::QuestionStays,
        introduce::a_question_stays_about_the_one_it_was_asked_about_int_8,
    ),
    (
        11,
        "whoever reads the link answers in the inviter's place",
        Defence::AnswerSigned,
        hostile::nobody_but_the_inviter_answers_a_claim_meet_12,
    ),
    (
        11,
        "the spoken words are guessed",
        Defence::ClaimsUnopened,
        meeting::ten_claims_that_do_not_open_close_it_meet_11,
    ),
    (
        14,
        "one member floods an epoch with commits",
        Defence::RivalsEach,
        forks::of_three_commits_by_one_member_on_one_epoch_the_two_lowest_are_kept_epo_5,
    ),
    (
        15,
        "who came later asks for what was written before",
        Defence::ReadersOnly,
        wants::who_was_not_there_when_it_was_written_gets_no_answer_wnt_4,
    ),
    (
        15,
        "one text makes everybody answer",
        Defence::Speakers,
        crowd::one_text_in_a_crowd_causes_ten_kilobytes_of_receipts_rcp_5,
    ),
    (
        3,
        "somebody without the right pins a message",
        Defence::Pins,
        polls::in_a_group_who_may_edit_pins_con_19,
    ),
    (
        6,
        "who was removed comes back by a link",
        Defence::WasMember,
        links::who_was_removed_does_not_come_back_by_the_link_without_a_word_glk_2,
    ),
    (
        7,
        "a member stays behind a commit that the relay lost",
        Defence::CommitsAgain,
        behind::a_commit_whose_author_is_away_is_put_again_by_one_of_the_others_epo_7,
    ),
    (
        8,
        "a clock set back keeps what should be gone",
        Defence::ClockBack,
        vanish::a_wrong_clock_keeps_nothing_longer_than_its_timer_con_12,
    ),
    (
        9,
        "a copy of my keys makes a commit unseen",
        Defence::NotMine,
        forks::a_commit_by_my_leaf_that_i_did_not_make_is_shown_alm_2,
    ),
    (
        11,
        "who is blocked comes in by another door",
        Defence::Blocked,
        block::somebody_blocked_comes_in_by_no_other_door_blk_1,
    ),
    (
        14,
        "one leaf makes two commits on one epoch unseen",
        Defence::TwoCommits,
        forks::two_commits_by_one_member_on_one_epoch_are_shown_to_everybody_alm_1,
    ),
    (
        15,
        "a relay keeps back what it called stored",
        Defence::RelayWatched,
        watch::a_relay_that_calls_things_stored_and_gives_nothing_is_found_out_out_10,
    ),
    (
        15,
        "one member asks without end",
        Defence::ListsHeard,
        wants::lists_that_follow_one_another_are_not_heard_wnt_4,
    ),
    (
        15,
        "one member has everything put again",
        Defence::AnswersHourly,
        wants::whoever_asks_for_everything_gets_256_answers_an_hour_wnt_4,
    ),
    (
        16,
        "one member makes an admin commit all the time",
        Defence::BackOnce,
        behind::who_asks_all_the_time_gets_one_leaf_in_three_days_grp_12,
    ),
    (
        18,
        "members name what nobody has, without end",
        Defence::NotedMax,
        wants::of_what_members_name_1024_are_noted_wnt_1,
    ),
    (
        4,
        "who may not add adds somebody by a Welcome",
        Defence::MayAdd,
        welcomes::who_may_not_add_leads_nobody_into_a_group_grp_9,
    ),
    (
        16,
        "a member makes itself an owner and draws others onto its branch",
        Defence::MayAdd,
        welcomes::who_makes_itself_an_owner_draws_nobody_onto_its_branch_grp_9,
    ),
    (
        16,
        "who is no admin any more brings somebody back onto its branch",
        Defence::MayAdd,
        welcomes::who_is_no_admin_any_more_brings_nobody_back_grp_12,
    ),
    (
        16,
        "whoever is quicker brings an owner back who lost its device",
        Defence::MayAdd,
        welcomes::who_came_back_follows_nobody_who_could_not_bring_it_back_rch_6,
    ),
    (
        16,
        "a member gives another one a new leaf",
        Defence::CommitRules,
        welcomes::a_leaf_by_somebody_who_may_not_give_it_is_followed_by_nobody_grp_12,
    ),
    (
        16,
        "somebody whom the list does not name reads along",
        Defence::TreeAndList,
        welcomes::who_is_in_the_tree_and_not_in_the_list_keeps_everybody_out_grp_9,
    ),
    (
        15,
        "whoever says that it leaves makes everybody commit",
        Defence::LeaveSigned,
        leaving::a_leave_that_nobody_signed_makes_nobody_commit_grp_7,
    ),
    (
        14,
        "who has moved on wins by a late commit",
        Defence::MovedOn,
        rivals::who_has_moved_on_draws_nobody_back_to_a_late_rival_fork_5,
    ),
    (
        14,
        "of two commits by one member the one that is written behind counts",
        Defence::OneEach,
        rivals::of_two_commits_by_one_member_the_lower_counts_whoever_wrote_where_fork_6,
    ),
    (
        5,
        "a removed device is let in again by an old log unseen",
        Defence::OldLogs,
        devices::an_account_that_lets_a_removed_device_in_by_an_old_log_is_shown_dev_6,
    ),
    (
        9,
        "a copy of a device reads on for ever",
        Defence::RenewedDaily,
        copy::a_copy_of_a_device_goes_blind_when_that_renews_its_keys_rnw_1,
    ),
];

#[test]
fn every_attack_works_without_its_defence() {
    let mut stood = vec![];
    println!("property | attack | defence | without it");
    for (number, attack, defence, run) in ATTACKS {
        let works = std::panic::catch_unwind(|| without(*defence, run)).is_err();
        let word = if works { "works" } else { "FAILS ALL THE SAME" };
        println!("{number:2} | {attack} | {defence:?} | {word}");
        if !works {
            stood.push(*attack);
        }
    }
    assert!(stood.is_empty(), "these tests do not need their defence: {stood:?}");
}

/// `docs/attacks.md` names no test that is not there.
#[test]
fn the_tests_that_the_matrix_names_are_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/attacks.md")).unwrap();
    let mut sources = String::new();
    read_all(&root.join("crates"), &mut sources);
    let names: Vec<&str> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.len() > 20 && !word.contains(' '))
        .collect();
    assert!(names.len() > 50, "{}", names.len());
    let missing: Vec<&str> = names
        .into_iter()
        .filter(|name| !sources.contains(&format!("fn {name}(")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// And no switch, and leaves none out.
#[test]
fn the_switches_that_the_matrix_names_are_those_that_are_there() {
    let page = include_str!("../../../../docs/attacks.md");
    let rows = page.lines().filter(|line| line.split('|').count() == 6);
    let told: BTreeSet<&str> = rows
        .filter_map(|row| row.split('|').nth(4)?.split([';', '.']).next())
        .flat_map(|switches| switches.split(','))
        .map(str::trim)
        .filter(|word| word.starts_with(|first: char| first.is_ascii_uppercase()) && !word.contains(' '))
        .collect();
    let source = include_str!("../../src/defence.rs");
    let of_the_enum = source
        .split_once("pub enum Defence {")
        .unwrap()
        .1
        .split_once("\n}")
        .unwrap()
        .0;
    let there: BTreeSet<&str> = of_the_enum
        .lines()
        .filter_map(|line| line.trim().strip_suffix(','))
        .filter(|line| !line.starts_with("//"))
        .collect();
    assert_eq!(told, there);
}

fn read_all(folder: &std::path::Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
