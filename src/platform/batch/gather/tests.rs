#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::sync::Semaphore;

use super::*;

/// The items of each batch, in the order in which the batches ran.
type Batches = Arc<Mutex<Vec<Vec<u32>>>>;

/// Two workers, see [`gated_by`].
fn gated(limit: usize) -> (Gatherer<&'static str, u32, u32>, Arc<Semaphore>, Batches) {
    gated_by(bounds(2, limit))
}

/// Each batch waits for a permit; it doubles even numbers, has no outcome for odd ones, and panics at 13.
fn gated_by(bounds: Bounds) -> (Gatherer<&'static str, u32, u32>, Arc<Semaphore>, Batches) {
    let gate = Arc::new(Semaphore::new(0));
    let batches = Batches::default();
    let (inner_gate, inner_batches) = (Arc::clone(&gate), Arc::clone(&batches));
    let gatherer = Gatherer::new("test", bounds, move |_, _, jobs: Vec<Job<u32, u32>>| {
        let (gate, batches) = (Arc::clone(&inner_gate), Arc::clone(&inner_batches));
        async move {
            gate.acquire().await.unwrap().forget();
            let items: Vec<u32> = jobs.iter().map(|job| job.item).collect();
            batches.lock().unwrap().push(items.clone());
            assert!(!items.contains(&13), "the test's panic");
            for job in jobs.into_iter().filter(|job| job.item % 2 == 0) {
                let outcome = job.item * 2;
                job.finish(outcome);
            }
        }
        .boxed()
    });
    (gatherer, gate, batches)
}

fn bounds(workers: usize, waiting: usize) -> Bounds {
    Bounds { workers, spare: 1, waiting }
}

fn anybody() -> Order {
    Order::default()
}

fn about(subject: u128) -> Order {
    Order { subject: Some(Uuid::from_u128(subject)), ..Order::default() }
}

fn by(caller: u64) -> Order {
    Order { caller: Some(caller), ..Order::default() }
}

/// Polls each of them once, and lets workers begin.
async fn begin<F: Future>(submitted: &mut [std::pin::Pin<Box<F>>]) {
    for item in submitted {
        assert!(futures_util::poll!(item.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn items_that_arrive_during_a_batch_are_the_next_one() {
    let (gatherer, gate, batches) = gated(100);
    let mut items: Vec<_> = (0..10).map(|item| Box::pin(gatherer.submit("partition", anybody(), item))).collect();
    begin(&mut items).await;
    gate.add_permits(3);
    let outcomes = futures_util::future::join_all(items).await;
    let expected: Vec<_> = (0..10).map(|item| Ok((item % 2 == 0).then_some(item * 2))).collect();
    assert_eq!(outcomes, expected, "each item has its own outcome");
    let mut sizes: Vec<usize> = batches.lock().unwrap().iter().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 1, 8], "two began at once, the others gathered");
    assert!(gatherer.0.partitions().is_empty(), "an idle partition is forgotten");
}

#[tokio::test]
async fn the_next_batch_begins_when_as_many_items_wait_as_run() {
    let (gatherer, gate, batches) = gated_by(bounds(4, 100));
    let submit = |item| Box::pin(gatherer.submit("partition", anybody(), item));
    let mut first: Vec<_> = (0..8).map(|item| submit(item * 2)).collect();
    begin(&mut first).await; // batches of 1, 1, 2 and 4
    let mut early = vec![submit(20)];
    begin(&mut early).await;
    gate.add_permits(3);
    for item in first.drain(..4) {
        item.await.unwrap();
    }
    assert_eq!(batches.lock().unwrap().len(), 3, "one waits, four run: workers that are done do not begin with it");
    let mut late: Vec<_> = [22, 24, 26].map(submit).into();
    begin(&mut late).await;
    gate.add_permits(2);
    futures_util::future::join_all(first.into_iter().chain(early).chain(late)).await;
    let sizes: Vec<usize> = batches.lock().unwrap().iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 1, 2, 4, 4]);
    assert!(gatherer.0.partitions().is_empty());
}

#[tokio::test]
async fn an_item_whose_caller_leaves_runs_only_if_its_batch_has_begun_and_a_panic_costs_only_its_batch() {
    let (gatherer, gate, batches) = gated(100);
    let mut items: Vec<_> =
        [2, 13, 4, 6].map(|item| Box::pin(gatherer.submit("partition", anybody(), item))).into_iter().collect();
    begin(&mut items).await;
    let mut items = items.into_iter();
    let (begun, panics, waits, stays) =
        (items.next().unwrap(), items.next().unwrap(), items.next().unwrap(), items.next().unwrap());
    drop(begun);
    drop(waits);
    gate.add_permits(3);
    assert_eq!(panics.await, Ok(None));
    assert_eq!(stays.await, Ok(Some(12)));
    let mut batches = batches.lock().unwrap().clone();
    batches.sort_unstable();
    assert_eq!(batches, [vec![2], vec![6], vec![13]], "4 was dropped");
    assert!(gatherer.0.partitions().is_empty());
}

#[tokio::test]
async fn a_subject_is_never_in_two_workers_and_its_items_keep_their_order() {
    let (gatherer, gate, batches) = gated(100);
    let subjects = [1, 1, 2, 1, 3, 2];
    let mut items: Vec<_> = subjects
        .into_iter()
        .zip((0..).step_by(2))
        .map(|(subject, item)| Box::pin(gatherer.submit("partition", about(subject), item)))
        .collect();
    begin(&mut items).await;
    gate.add_permits(10);
    futures_util::future::join_all(items).await;
    // The first worker began with 0, the second with 4. Whoever looks again takes what is not in the other's hands.
    let batches = batches.lock().unwrap().clone();
    assert!(batches.contains(&vec![0]) && batches.contains(&vec![4]), "{batches:?}");
    let order: Vec<u32> = batches.into_iter().flatten().collect();
    let place = |item| order.iter().position(|other| *other == item).unwrap();
    assert!(place(0) < place(2) && place(2) < place(6) && place(4) < place(10), "{order:?}");
    assert!(gatherer.0.partitions().is_empty());
}

#[tokio::test]
async fn a_full_partition_refuses_at_once_and_one_caller_has_half_of_it() {
    let (gatherer, gate, _) = gated(8);
    let mut items: Vec<_> = (0..6).map(|item| Box::pin(gatherer.submit("partition", by(1), item * 2))).collect();
    begin(&mut items).await; // two run, four wait
    assert_eq!(gatherer.submit("partition", by(1), 100).await, Err(Full), "half of the places are its own");
    let mut others: Vec<_> = (0..4).map(|item| Box::pin(gatherer.submit("partition", by(2 + item), 20))).collect();
    begin(&mut others).await;
    assert_eq!(gatherer.submit("partition", by(9), 100).await, Err(Full));
    drop(others.pop());
    let mut last = vec![Box::pin(gatherer.submit("partition", by(9), 30))];
    begin(&mut last).await; // the place of one who left
    gate.add_permits(10);
    assert_eq!(last.pop().unwrap().await, Ok(Some(60)));
    assert!(futures_util::future::join_all(items).await.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_workers_that_hang_gets_a_worker_of_its_own() {
    let (gatherer, gate, batches) = gated(100);
    let mut hanging: Vec<_> = [2, 4].map(|item| Box::pin(gatherer.submit("partition", anybody(), item))).into();
    begin(&mut hanging).await;
    let mut waiting = vec![Box::pin(gatherer.submit("partition", anybody(), 6))];
    begin(&mut waiting).await;
    tokio::time::advance(HANGING).await;
    let mut next = vec![Box::pin(gatherer.submit("partition", anybody(), 8))];
    begin(&mut next).await;
    let mut later = vec![Box::pin(gatherer.submit("partition", anybody(), 10))];
    begin(&mut later).await;
    assert_eq!(gatherer.0.partitions().values().map(|here| here.workers).sum::<usize>(), 3, "one more, not two");
    gate.add_permits(10);
    for (submitted, outcome) in [(waiting, 12), (next, 16), (later, 20), (hanging, 8)] {
        assert_eq!(submitted.into_iter().next_back().unwrap().await, Ok(Some(outcome)));
    }
    assert!(batches.lock().unwrap().contains(&vec![6, 8]), "the third worker took what waited");
}

#[tokio::test]
async fn a_job_that_is_passed_on_keeps_its_caller() {
    let (behind, gate, _) = gated(2);
    let inner = behind.clone();
    let front: Gatherer<(), u32, u32> = Gatherer::new("test", bounds(1, 2), move |_, (), jobs: Vec<Job<u32, u32>>| {
        let behind = inner.clone();
        async move {
            for job in jobs {
                behind.pass("behind", job);
            }
        }
        .boxed()
    });
    let mut passed: Vec<_> = (1..=5).map(|item| Box::pin(front.submit((), anybody(), item * 2))).collect();
    for item in &mut passed {
        assert!(futures_util::poll!(item.as_mut()).is_pending());
        while front.is_busy(&()) {
            tokio::task::yield_now().await;
        }
    }
    assert!(behind.is_busy(&"behind"), "no limit holds for them");
    gate.add_permits(10);
    let outcomes = futures_util::future::join_all(passed).await;
    assert_eq!(outcomes, (1..=5).map(|item| Ok(Some(item * 4))).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_do_not_wait_for_each_other_and_no_item_is_lost() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let gatherer: Gatherer<usize, usize, usize> =
        Gatherer::new("test", bounds(2, 10_000), move |_, partition, jobs: Vec<Job<usize, usize>>| {
            let count = Arc::clone(&count);
            async move {
                count.fetch_add(jobs.len(), Ordering::Relaxed);
                tokio::task::yield_now().await;
                for job in jobs {
                    let outcome = partition + job.item;
                    job.finish(outcome);
                }
            }
            .boxed()
        });
    let tasks: Vec<_> = (0..2_000)
        .map(|item| {
            let gatherer = gatherer.clone();
            // Few subjects, so that the workers meet.
            let order = about((item % 7) as u128);
            tokio::spawn(async move { (item, gatherer.submit(item % 3, order, item).await) })
        })
        .collect();
    for task in tasks {
        let (item, outcome) = tokio::time::timeout(Duration::from_secs(30), task).await.unwrap().unwrap();
        assert_eq!(outcome, Ok(Some(item % 3 + item)));
    }
    assert_eq!(written.load(Ordering::Relaxed), 2_000);
    assert!(gatherer.0.partitions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_worker_with_a_connection_waits_a_moment_for_the_next_job() {
    let workers = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&workers);
    let gatherer = Gatherer::new("test", bounds(2, 100), move |connection, _, jobs: Vec<Job<u32, u32>>| {
        seen.lock().unwrap().push(tokio::task::id());
        connection.pretend();
        async move {
            for job in jobs {
                let item = job.item;
                job.finish(item);
            }
        }
        .boxed()
    });
    for item in 0..3 {
        assert_eq!(gatherer.submit("partition", anybody(), item).await, Ok(Some(item)));
        assert!(!gatherer.is_busy(&"partition"), "who rests is not busy");
        tokio::time::sleep(REST / 2).await;
    }
    tokio::time::sleep(REST).await;
    assert!(gatherer.0.partitions().is_empty(), "an idle partition is forgotten");
    assert_eq!(gatherer.submit("partition", anybody(), 3).await, Ok(Some(3)));
    let workers = workers.lock().unwrap();
    assert_eq!(workers[..3], [workers[0]; 3]);
    assert_ne!(workers[3], workers[0]);
}
