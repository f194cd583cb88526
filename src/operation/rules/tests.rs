//! Random histories of one line: whatever happens, one holder at a time, first come first served, every wait ends once.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

/// A step of a client or of time.
#[derive(Debug, Clone, Copy)]
enum Step {
    Arrive { caller: u8, ends: bool, wait_ms: u16 },
    Complete { with_stale_token: bool, succeeded: bool },
    Settle { caller: u8, look: u8 },
    Pass { ms: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12_u8, any::<bool>(), 0..3_000_u16).prop_map(|(caller, ends, wait_ms)| Step::Arrive { caller, ends, wait_ms }),
        3 => (any::<bool>(), any::<bool>()).prop_map(|(with_stale_token, succeeded)| Step::Complete { with_stale_token, succeeded }),
        3 => (0..12_u8, 0..3_u8).prop_map(|(caller, look)| Step::Settle { caller, look }),
        2 => (1..2_000_u16).prop_map(|ms| Step::Pass { ms }),
    ]
}

fn request(caller: u8, ends: bool, wait_ms: u16) -> Request {
    Request {
        call_type: if ends { CallType::EndChat } else { CallType::StartChat },
        principal: "service:backend".to_owned(),
        actor: "backend".to_owned(),
        request_id: caller.to_string(),
        attempt: Uuid::from_u128(caller.into()),
        lease_ms: 1_000,
        longest_hold: None,
        wait_ms: wait_ms.into(),
        server_id: Uuid::nil(),
        waits_for_same_type: false,
    }
}

/// What the tables would hold, and what was seen.
struct Model {
    now: OffsetDateTime,
    line: Line,
    waiters: VecDeque<Waiter>,
    finished: Vec<String>,
    /// Phases of each waiter, by place.
    phases: BTreeMap<i64, Vec<Phase>>,
    granted_places: Vec<i64>,
    tokens: Vec<i64>,
}

impl Model {
    fn new() -> Self {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let (line, waiters, finished) = (Line::default(), VecDeque::new(), Vec::new());
        Self { now, line, waiters, finished, phases: BTreeMap::new(), granted_places: Vec::new(), tokens: Vec::new() }
    }

    fn draft(&self) -> Draft {
        let mut draft = Draft::new(self.now, self.line.clone(), self.waiters.clone());
        draft.reap();
        draft
    }

    fn known(&self, request_id: &str) -> Known {
        if let Some(waiter) = self.waiters.iter().find(|waiter| waiter.request_id == request_id) {
            let &Waiter { call_type, place, attempt, .. } = waiter;
            return Known::Waiting { call_type, place, attempt };
        }
        if self.finished.iter().any(|finished| finished == request_id) { Known::Finished } else { Known::New }
    }

    fn commit(&mut self, draft: Draft) -> Result<(), TestCaseError> {
        self.waiters.retain(|waiter| !draft.left.contains(&waiter.place));
        self.waiters.extend(draft.entered);
        self.finished.extend(draft.finished.into_iter().map(|finished| finished.request_id));
        for event in draft.events {
            if event.phase == Phase::Complete {
                self.granted_places.push(event.waiter.place);
            }
            self.phases.entry(event.waiter.place).or_default().push(event.phase);
        }
        if draft.granted {
            self.tokens.push(draft.line.last_token);
        }
        self.line = draft.line;
        prop_assert_eq!(usize::try_from(self.line.waiting).unwrap(), self.waiters.len());
        prop_assert!(self.line.holder.is_some() || self.waiters.is_empty(), "a free line has no waiter");
        Ok(())
    }

    fn run(&mut self, step: Step) -> Result<(), TestCaseError> {
        let mut draft = self.draft();
        match step {
            Step::Pass { ms } => self.now += Duration::milliseconds(ms.into()),
            Step::Arrive { caller, ends, wait_ms } => {
                let request = request(caller, ends, wait_ms);
                let before = draft.line.holder.clone();
                let known = self.known(&request.request_id);
                if let Ok(Arrival::Granted(_)) = draft.arrive(&request, known) {
                    let is_own = before.is_none_or(|holder| holder.request_id == request.request_id);
                    prop_assert!(is_own, "two holders");
                }
                self.commit(draft)?;
            }
            Step::Complete { with_stale_token, succeeded } => {
                if let Some(Holder { principal, request_id, call_type, .. }) = draft.line.holder.clone() {
                    let token = draft.line.last_token - i64::from(with_stale_token);
                    let completed = draft.complete(&principal, &request_id, call_type, token, succeeded);
                    prop_assert_eq!(completed, !with_stale_token);
                }
                self.commit(draft)?;
            }
            Step::Settle { caller, look } => {
                let look = [Look::Claim, Look::TimeOut, Look::Abandon][usize::from(look)];
                let request = request(caller, false, 0);
                let waiter = self.waiters.iter().find(|waiter| waiter.request_id == request.request_id).cloned();
                draft.settle(&request, waiter, look);
                self.commit(draft)?;
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn any_history_has_one_holder_a_fair_order_and_whole_holds(steps in prop::collection::vec(step(), 1..120)) {
        let mut model = Model::new();
        for step in steps {
            model.run(step)?;
        }
        // Everybody's time passes.
        while model.line.holder.is_some() {
            model.run(Step::Pass { ms: 1_000 })?;
            let draft = model.draft();
            model.commit(draft)?;
        }
        prop_assert!(model.granted_places.is_sorted_by(|one, next| one < next), "first come, first served");
        prop_assert!(model.tokens.is_sorted_by(|one, next| one < next), "tokens grow");
        for (place, phases) in model.phases {
            let [Phase::Start, Phase::Complete | Phase::Failed] = phases[..] else {
                return Err(TestCaseError::fail(format!("place {place}: {phases:?}")));
            };
        }
    }
}

#[test]
fn a_repeat_gets_its_own_grant_again_and_a_finished_request_is_refused() {
    let mut draft = Draft::new(OffsetDateTime::UNIX_EPOCH, Line::default(), VecDeque::new());
    let request = request(1, false, 0);
    let Ok(Arrival::Granted(first)) = draft.arrive(&request, Known::New) else { panic!("the line is free") };
    draft.now += Duration::milliseconds(300);
    let Ok(Arrival::Granted(again)) = draft.arrive(&request, Known::New) else { panic!("it holds the line") };
    assert_eq!((again.token, again.expires_at), (first.token, first.expires_at + Duration::milliseconds(300)));
    let other_type = Request { call_type: CallType::EndChat, ..request.clone() };
    assert_eq!(draft.arrive(&other_type, Known::New).unwrap_err().code(), Code::Conflict);
    assert!(draft.complete(&request.principal, &request.request_id, request.call_type, first.token, true));
    assert_eq!(draft.arrive(&request, Known::Finished).unwrap_err().code(), Code::Conflict);
}

#[test]
fn reasons_name_the_opposite_call_and_its_error() {
    let mut draft = Draft::new(OffsetDateTime::UNIX_EPOCH, Line::default(), VecDeque::new());
    let Ok(Arrival::Granted(grant)) = draft.arrive(&request(1, true, 0), Known::New) else { panic!("free") };
    assert_eq!(draft.arrive(&request(2, false, 9), Known::New).unwrap(), Arrival::Waiting);
    assert_eq!(draft.arrive(&request(3, true, 9), Known::New).unwrap_err().message(), "EndChat is already in progress");
    assert_eq!(draft.arrive(&request(4, false, 0), Known::New).unwrap_err().code(), Code::WaitTimeout);
    draft.next.extend(draft.entered.clone());
    assert!(draft.complete("service:backend", "1", CallType::EndChat, grant.token, false));
    let reasons: Vec<&str> = draft.events.iter().map(|event| event.reason.as_str()).collect();
    assert_eq!(
        reasons,
        ["Waiting for EndChat to complete", "EndChat completed (with error), proceeding with StartChat"]
    );
}
