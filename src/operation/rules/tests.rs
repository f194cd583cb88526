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

const MEMORY: std::time::Duration = std::time::Duration::from_mins(10);

/// A draft of `line`, of whose requests nothing is known.
fn draft_of(line: Line) -> Draft {
    Draft::new(OffsetDateTime::UNIX_EPOCH, MEMORY, line, Requests::default(), VecDeque::new())
}

/// What the tables would hold, and what was seen.
struct Model {
    now: OffsetDateTime,
    line: Line,
    waiters: VecDeque<Waiter>,
    finished: BTreeMap<RequestKey, Finished>,
    /// Phases of each waiter, by place.
    phases: BTreeMap<i64, Vec<Phase>>,
    granted_places: Vec<i64>,
    tokens: Vec<i64>,
}

impl Model {
    fn new() -> Self {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let (line, waiters, finished) = (Line::default(), VecDeque::new(), BTreeMap::new());
        Self { now, line, waiters, finished, phases: BTreeMap::new(), granted_places: Vec::new(), tokens: Vec::new() }
    }

    /// The line as so many calls of one batch would read it: with one waiter more than they are.
    fn draft(&self, calls: usize) -> Draft {
        let mut requests = Requests::default();
        for waiter in &self.waiters {
            requests.read(waiter.key(), Known::Waiting(waiter.clone()));
        }
        for (key, finished) in &self.finished {
            requests.read(key.clone(), Known::Finished(finished.clone()));
        }
        let is_live = |waiter: &&Waiter| waiter.wait_until > self.now;
        let last = self.waiters.iter().filter(is_live).nth(calls).map_or(i64::MAX, |waiter| waiter.place);
        let next = self.waiters.iter().filter(|waiter| waiter.place <= last).cloned().collect();
        Draft::new(self.now, MEMORY, self.line.clone(), requests, next)
    }

    fn commit(&mut self, draft: Draft) -> Result<(), TestCaseError> {
        for (key, known) in draft.requests.changed() {
            self.waiters.retain(|waiter| waiter.key() != *key);
            self.finished.remove(key);
            match known {
                Known::New => {}
                Known::Waiting(waiter) => self.waiters.push_back(waiter.clone()),
                Known::Finished(finished) => {
                    self.finished.insert(key.clone(), finished.clone());
                }
            }
        }
        self.waiters.make_contiguous().sort_by_key(|waiter| waiter.place);
        let mut version = self.line.version;
        for event in draft.events {
            version += 1;
            prop_assert_eq!(event.version, version, "versions have no holes");
            if event.phase == Phase::Complete {
                self.granted_places.push(event.waiter.place);
            }
            self.phases.entry(event.waiter.place).or_default().push(event.phase);
        }
        prop_assert_eq!(draft.line.version, version);
        if draft.granted {
            self.tokens.push(draft.line.last_token);
        }
        self.line = draft.line;
        prop_assert_eq!(usize::try_from(self.line.waiting).unwrap(), self.waiters.len());
        prop_assert!(self.line.holder.is_some() || self.waiters.is_empty(), "a free line has no waiter");
        Ok(())
    }

    /// Some calls of one batch, which decide over one draft.
    fn run(&mut self, steps: &[Step]) -> Result<(), TestCaseError> {
        let mut draft = self.draft(steps.len());
        for &step in steps {
            self.step(&mut draft, step)?;
        }
        self.commit(draft)
    }

    fn step(&mut self, draft: &mut Draft, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Pass { ms } => self.now += Duration::milliseconds(ms.into()),
            Step::Arrive { caller, ends, wait_ms } => {
                let request = request(caller, ends, wait_ms);
                let before = draft.line.holder.clone();
                if let Ok(Arrival::Granted(_)) = draft.arrive(&request) {
                    let is_own = before.is_none_or(|holder| holder.request_id == request.request_id);
                    prop_assert!(is_own, "two holders");
                }
            }
            Step::Complete { with_stale_token, succeeded } => {
                if let Some(Holder { principal, request_id, call_type, .. }) = draft.line.holder.clone() {
                    let token = draft.line.last_token - i64::from(with_stale_token);
                    let call = Uuid::from_u128(u128::try_from(token).unwrap());
                    let release = Release { call, principal, call_type, request_id, token, succeeded };
                    let completed = draft.complete(&release);
                    prop_assert_eq!(completed, !with_stale_token);
                    let after = draft.line.clone();
                    prop_assert_eq!(draft.complete(&release), completed, "a second run of the call");
                    prop_assert_eq!(&draft.line, &after, "changes nothing");
                }
            }
            Step::Settle { caller, look } => {
                let look = [Look::Claim, Look::TimeOut, Look::Abandon][usize::from(look)];
                draft.settle(&request(caller, false, 0), look);
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn any_history_has_one_holder_a_fair_order_and_whole_holds(
        batches in prop::collection::vec(prop::collection::vec(step(), 1..5), 1..60)
    ) {
        let mut model = Model::new();
        for batch in batches {
            model.run(&batch)?;
        }
        // Everybody's time passes.
        while model.line.holder.is_some() {
            model.run(&[Step::Pass { ms: 1_000 }])?;
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

fn release(request: &Request, token: i64, succeeded: bool) -> Release {
    let Request { principal, request_id, call_type, .. } = request.clone();
    Release { call: Uuid::from_u128(1_000), principal, call_type, request_id, token, succeeded }
}

#[test]
fn a_repeat_gets_its_own_grant_again_and_a_finished_request_is_refused() {
    let mut draft = draft_of(Line::default());
    let request = request(1, false, 0);
    let Ok(Arrival::Granted(first)) = draft.arrive(&request) else { panic!("the line is free") };
    draft.now += Duration::milliseconds(300);
    let Ok(Arrival::Granted(again)) = draft.arrive(&request) else { panic!("it holds the line") };
    assert_eq!((again.token, again.expires_at), (first.token, first.expires_at + Duration::milliseconds(300)));
    let other_type = Request { call_type: CallType::EndChat, ..request.clone() };
    assert_eq!(draft.arrive(&other_type).unwrap_err().code(), Code::Conflict);
    assert!(draft.complete(&release(&request, first.token, true)));
    assert_eq!(draft.arrive(&request).unwrap_err().code(), Code::Conflict);
}

#[test]
fn a_call_that_runs_twice_has_one_effect_and_another_call_is_told() {
    let mut draft = draft_of(Line::default());
    let holder = request(1, false, 0);
    let Ok(Arrival::Granted(grant)) = draft.arrive(&holder) else { panic!("the line is free") };
    let waiter = request(2, true, 900);
    for _ in 0..2 {
        assert_eq!(draft.arrive(&waiter).unwrap(), Arrival::Waiting);
    }
    assert_eq!((draft.events.len(), draft.taken_over.len(), draft.line.waiting), (1, 0, 1));
    let repeat = Request { attempt: Uuid::from_u128(77), ..waiter.clone() };
    assert_eq!(draft.arrive(&repeat).unwrap(), Arrival::Waiting);
    assert_eq!(draft.taken_over.iter().map(|told| told.attempt).collect::<Vec<_>>(), [waiter.attempt]);
    let completion = release(&holder, grant.token, true);
    for _ in 0..2 {
        assert!(draft.complete(&completion));
    }
    assert!(!draft.complete(&Release { call: Uuid::nil(), ..completion }), "another call");
    assert_eq!(draft.line.holder.as_ref().map(|holder| holder.attempt), Some(repeat.attempt), "the later one");
}

#[test]
fn reasons_name_the_opposite_call_and_its_error() {
    let mut draft = draft_of(Line::default());
    let holder = request(1, true, 0);
    let Ok(Arrival::Granted(grant)) = draft.arrive(&holder) else { panic!("free") };
    assert_eq!(draft.arrive(&request(2, false, 9)).unwrap(), Arrival::Waiting);
    assert_eq!(draft.arrive(&request(3, true, 9)).unwrap_err().message(), "EndChat is already in progress");
    assert_eq!(draft.arrive(&request(4, false, 0)).unwrap_err().code(), Code::WaitTimeout);
    assert!(draft.complete(&release(&holder, grant.token, false)));
    let reasons: Vec<&str> = draft.events.iter().map(|event| event.reason.as_str()).collect();
    assert_eq!(
        reasons,
        ["Waiting for EndChat to complete", "EndChat completed (with error), proceeding with StartChat"]
    );
}
