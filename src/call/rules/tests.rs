//! Properties of a call's life.

use proptest::prelude::*;
use time::Duration;
use uuid::Uuid;

use super::*;

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::seconds(seconds)
}

fn call(status: CallStatus) -> CallRecord {
    CallRecord {
        company_id: Uuid::nil(),
        id: Uuid::nil(),
        call_control_id: None,
        user_id: "user".to_owned(),
        agent_id: "agent".to_owned(),
        call_type: CallType::Direct,
        campaign_id: None,
        phone_number: None,
        contact_id: None,
        contact_name: None,
        user_data: None,
        attempt: 1,
        inbound: false,
        status,
        end_reason: None,
        told_reason: None,
        told_at: None,
        untold_at: None,
        pending_hang_up: false,
        dialing: false,
        dialed: false,
        hanging_up: false,
        hung_up_until: None,
        asked: false,
        generation: 1,
        version: 1,
        queued_at: None,
        started_at: None,
        answered_at: None,
        ended_at: None,
        hang_up_at: Some(at(1_000)),
        finalize_at: None,
        finalized_at: None,
        abandoned: 0,
        lease_expires_at: None,
        inserted_at: at(0),
        updated_at: at(0),
    }
}

const STATES: [CallStatus; 6] = [
    CallStatus::Queued,
    CallStatus::Reserved,
    CallStatus::Ringing,
    CallStatus::InProgress,
    CallStatus::Ending,
    CallStatus::Ended,
];
const REASONS: [EndReason; 10] = [
    EndReason::Completed,
    EndReason::Busy,
    EndReason::NoAnswer,
    EndReason::NoResponse,
    EndReason::Failed,
    EndReason::Rejected,
    EndReason::Voicemail,
    EndReason::Transferred,
    EndReason::Canceled,
    EndReason::LeaseExpired,
];

fn news() -> impl Strategy<Value = News> {
    (0..6_usize, prop::option::of(0..10_usize), 0..5_i64).prop_map(|(status, reason, seconds)| News {
        status: STATES[status],
        end_reason: reason.map(|reason| REASONS[reason]).filter(|_| STATES[status] == CallStatus::Ended),
        occurred_at: at(seconds),
    })
}

fn merged(all: &[News]) -> CallRecord {
    let mut call = call(CallStatus::Reserved);
    for news in all {
        merge(&mut call, news);
    }
    call
}

proptest! {
    #[test]
    fn any_permutation_with_repeats_of_news_converges(
        (all, shuffled) in prop::collection::vec(news(), 1..8).prop_flat_map(|all| {
            let twice: Vec<News> = all.iter().chain(&all).copied().collect();
            (Just(all), Just(twice).prop_shuffle())
        })
    ) {
        prop_assert_eq!(merged(&all), merged(&shuffled));
    }

    #[test]
    fn a_call_never_goes_back_and_its_end_absorbs(all in prop::collection::vec(news(), 1..20)) {
        let mut call = call(CallStatus::Reserved);
        for news in &all {
            let before = call.clone();
            merge(&mut call, news);
            prop_assert!(call.status >= before.status);
            prop_assert!((call.generation == 1) != call.status.is_over());
            prop_assert_eq!(call.status == CallStatus::Ended, call.end_reason.is_some() && call.ended_at.is_some());
            prop_assert!(!call.status.is_over() || call.hang_up_at.is_none());
            prop_assert!(call.ended_at <= before.ended_at || before.ended_at.is_none(), "the end only moves earlier");
        }
    }

    #[test]
    fn a_finalized_call_that_has_ended_keeps_everything(all in prop::collection::vec(news(), 1..8), late in news()) {
        let mut call = merged(&all);
        call.finalized_at = Some(at(10));
        let before = call.clone();
        merge(&mut call, &late);
        if before.status == CallStatus::Ended {
            prop_assert_eq!(call, before);
        } else {
            prop_assert_eq!(call.status, before.status.max(late.status), "its status still moves on");
        }
    }

    #[test]
    fn only_a_call_that_was_given_up_is_hung_up_because_it_is_heard_of_again(
        all in prop::collection::vec(news(), 1..8), late in news()
    ) {
        let mut call = merged(&all);
        let before = call.clone();
        hear_again(&mut call, &late);
        let is_live = matches!(late.status, CallStatus::Ringing | CallStatus::InProgress);
        let is_later = before.ended_at.is_some_and(|ended_at| ended_at < late.occurred_at);
        prop_assert_eq!(call.pending_hang_up, before.is_given_up() && is_live && is_later);
        prop_assert_eq!(call.is_to_hang_up(), call.pending_hang_up);
        prop_assert_eq!((call.status, call.end_reason), (before.status, before.end_reason));
    }

    #[test]
    fn of_any_number_of_hang_ups_one_begins_it(all in prop::collection::vec(news(), 0..6), asked in 1..6_usize) {
        let mut call = merged(&all);
        let outcomes: Vec<HangUpOutcome> = (0..asked).map(|_| hang_up(&mut call, at(9))).collect();
        let initiated = outcomes.iter().filter(|outcome| **outcome == HangUpOutcome::Initiated).count();
        prop_assert!(initiated <= 1 && outcomes[1..].iter().all(|outcome| *outcome != HangUpOutcome::Initiated));
        prop_assert!(inactive(Some(&call)).is_some());
        prop_assert!(call.generation <= 2);
    }
}

#[test]
fn an_end_without_a_reason_depends_on_whether_the_call_was_ever_answered() {
    let end = News { status: CallStatus::Ended, end_reason: None, occurred_at: at(5) };
    let answered = News { status: CallStatus::InProgress, end_reason: None, occurred_at: at(3) };
    assert_eq!(merged(&[end]).end_reason, Some(EndReason::Failed));
    assert_eq!(merged(&[end, answered]).end_reason, Some(EndReason::Completed));
    let busy = News { end_reason: Some(EndReason::Busy), occurred_at: at(6), ..end };
    assert_eq!(merged(&[busy, end, answered]).end_reason, Some(EndReason::Completed), "the earlier end holds");
}

#[test]
fn a_hang_up_before_anybody_dialled_ends_the_call_at_once() {
    let mut waiting = call(CallStatus::Reserved);
    assert_eq!(hang_up(&mut waiting, at(1)), HangUpOutcome::Initiated);
    assert_eq!((waiting.status, waiting.end_reason), (CallStatus::Ended, Some(EndReason::Canceled)));
    let mut dialling = CallRecord { dialing: true, ..call(CallStatus::Reserved) };
    assert_eq!(hang_up(&mut dialling, at(1)), HangUpOutcome::Initiated);
    assert!(dialling.status == CallStatus::Ending && dialling.is_to_hang_up());
    assert_eq!(inactive(Some(&dialling)), Some(InactiveReason::PendingHangUp));
}
