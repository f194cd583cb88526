//! Many timers at once: locked subjects, many in a transaction, purposes of another build, settings by SQL.

use std::sync::atomic::Ordering;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use switchboard::platform::timer::{self, NewTimer, TimerWaker, listener, scheduler::Report};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{LONG, Tower, clear, execute, report, skipped};
use crate::support::{
    event_path::{PATIENCE, server_options},
    locks::until_waiting,
};

#[tokio::test]
async fn a_timer_whose_subject_is_locked_is_left_alone_and_the_others_fire_at_once() {
    let mut tower = Tower::new(&["cleared", "free", "locked", "moved"]).await;
    tower.set_due(&["cleared", "free", "locked", "moved"]).await;
    let later = tower.now().await + time::Duration::hours(1);
    let mut writer = PgConnection::connect_with(&server_options(&tower.options)).await.unwrap();
    let mut transaction = writer.begin().await.unwrap();
    execute(&mut transaction, "select from bell where id <> 'free' order by id for no key update").await;
    let first = timeout(PATIENCE, tower.tick()).await.expect("it waits for nobody");
    assert_eq!(first, Report { fired: 1, skipped: 3, ..Report::default() });
    assert_eq!(tower.tick().await, skipped(3));
    // The writer never waits for the scheduler either.
    let company_id = tower.company_id;
    clear(&mut transaction, company_id, "cleared").await;
    timer::set(&mut transaction, &[tower.timer("moved", later)]).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(tower.tick().await, report(1, 0, 0));
    let rung = [tower.rung("free").await, tower.rung("locked").await];
    assert_eq!((rung, tower.rung("cleared").await, tower.rung("moved").await), ([1, 1], 0, 0));
}

#[tokio::test]
async fn a_scheduler_comes_back_to_a_locked_subject_without_waiting_for_its_poll() {
    let mut tower = Tower::new(&["free", "locked"]).await;
    let (alarm, stop) = (TimerWaker::default(), CancellationToken::new());
    let mut writer = PgConnection::connect_with(&server_options(&tower.options)).await.unwrap();
    let mut transaction = writer.begin().await.unwrap();
    execute(&mut transaction, "select from bell where id = 'locked' for no key update").await;
    tower.set_due(&["locked", "free"]).await;
    let running = tokio::spawn(tower.scheduler(&alarm).run(LONG, stop.clone()));
    tower.until_rung("free", 1).await;
    transaction.rollback().await.unwrap();
    tower.until_rung("locked", 1).await;
    stop.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap();
}

#[tokio::test]
async fn timers_behind_more_locked_ones_than_fit_in_a_page_fire() {
    let locked: Vec<String> = (0..1_200).map(|number| format!("locked-{number}")).collect();
    let locked: Vec<&str> = locked.iter().map(String::as_str).collect();
    let mut tower = Tower::new(&locked).await;
    execute(&mut tower.connection, "insert into bell select company_id, 'last', 0 from bell limit 1").await;
    tower.set_due(&locked).await;
    tower.set_due(&["last"]).await;
    let mut writer = PgConnection::connect_with(&server_options(&tower.options)).await.unwrap();
    let mut transaction = writer.begin().await.unwrap();
    execute(&mut transaction, "select from bell where id <> 'last' for no key update").await;
    assert_eq!(tower.tick().await, Report { fired: 1, skipped: 1_200, ..Report::default() });
    assert_eq!(tower.rung("last").await, 1);
}

#[tokio::test]
async fn a_timer_that_is_cleared_or_set_anew_between_the_look_and_the_lock_does_not_fire() {
    let mut tower = Tower::new(&["cleared", "moved"]).await;
    tower.set_due(&["cleared", "moved"]).await;
    let due_at = tower.now().await;
    let mut writer = PgConnection::connect_with(&server_options(&tower.options)).await.unwrap();
    let mut transaction = writer.begin().await.unwrap();
    // The scheduler has listed both when it waits for this.
    execute(&mut transaction, "lock table bell in access exclusive mode").await;
    let scheduler = tower.scheduler(&TimerWaker::default());
    let looking = tokio::spawn(async move { scheduler.tick().await.unwrap() });
    until_waiting(&mut tower.connection, 1).await;
    let company_id = tower.company_id;
    clear(&mut transaction, company_id, "cleared").await;
    timer::set(&mut transaction, &[tower.timer("moved", due_at)]).await.unwrap(); // due as well, but another setting
    transaction.commit().await.unwrap();
    assert_eq!(timeout(PATIENCE, looking).await.unwrap().unwrap(), report(0, 0, 2));
    assert_eq!((tower.rung("cleared").await, tower.rung("moved").await), (0, 0));
    assert_eq!(tower.tick().await, report(1, 0, 0), "the new setting fires at the next look");
}

#[tokio::test]
async fn timers_of_purposes_that_this_build_does_not_handle_are_left_as_they_are() {
    let mut tower = Tower::new(&["a"]).await;
    let due_at = tower.now().await;
    let strange: Vec<NewTimer> = (0..1_200)
        .map(|number| NewTimer { purpose: "toll", ..tower.timer(&format!("new-{number}"), due_at) })
        .collect();
    timer::set(&mut tower.connection, &strange).await.unwrap();
    tower.set_due(&["a"]).await;
    assert_eq!(tower.tick().await, report(1, 0, 0), "none of them is in its way");
    let untouched: i64 = sqlx::query_scalar("select count(*) from timer where due_at = $1 and attempts = 0")
        .bind(due_at)
        .fetch_one(&mut tower.connection)
        .await
        .unwrap();
    assert_eq!(untouched, 1_200, "they are neither fired nor put off");
    // Nor does a scheduler keep looking because they are due.
    let (alarm, stop) = (TimerWaker::default(), CancellationToken::new());
    let running = tokio::spawn(tower.scheduler(&alarm).run(LONG, stop.clone()));
    let soon = tower.now().await + time::Duration::milliseconds(50);
    tower.set("a", soon).await;
    alarm.wake_for(soon);
    tower.until_rung("a", 2).await;
    stop.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap();
}

#[tokio::test]
async fn one_failing_timer_of_many_in_a_transaction_is_found_and_put_off_alone() {
    let bells: Vec<String> = (0..50).map(|number| format!("bell-{number:02}")).collect();
    let mut bells: Vec<&str> = bells.iter().map(String::as_str).collect();
    bells.push("bad");
    let mut tower = Tower::new(&bells).await;
    tower.ring.failing.store(true, Ordering::SeqCst);
    tower.set_due(&bells).await;
    assert_eq!(tower.tick().await, report(50, 1, 0));
    let rung: i64 =
        sqlx::query_scalar("select count(*) from bell where rung = 1").fetch_one(&mut tower.connection).await.unwrap();
    assert_eq!((rung, tower.rung("bad").await, tower.timers().await), (50, 0, 1));
}

#[tokio::test]
async fn two_companies_never_share_a_transaction() {
    let mut tower = Tower::new(&["a"]).await;
    let other = Uuid::now_v7();
    sqlx::query("insert into bell values ($1, 'a', 0)").bind(other).execute(&mut tower.connection).await.unwrap();
    let due_at = tower.now().await;
    let timers = [tower.timer("a", due_at), NewTimer { company_id: other, ..tower.timer("a", due_at) }];
    timer::set(&mut tower.connection, &timers).await.unwrap();
    assert_eq!(tower.tick().await, report(2, 0, 0));
    let xids: i64 = sqlx::query_scalar("select count(distinct xmin::text) from bell where rung = 1")
        .fetch_one(&mut tower.connection)
        .await
        .unwrap();
    assert_eq!(xids, 2);
}

#[tokio::test]
async fn a_collision_with_another_transaction_is_repeated_and_puts_nothing_off() {
    let mut tower = Tower::new(&["a", "b"]).await;
    tower.ring.collisions.store(3, Ordering::SeqCst);
    tower.set_due(&["a", "b"]).await;
    assert_eq!(tower.tick().await, report(2, 0, 0));
    assert_eq!((tower.rung("a").await, tower.rung("b").await, tower.timers().await), (1, 1, 0));
    assert_eq!(tower.ring.collisions.load(Ordering::SeqCst), 0, "it collided");
}

#[tokio::test]
async fn a_timer_that_is_set_by_sql_is_noticed_at_once() {
    let mut tower = Tower::new(&["a", "b"]).await;
    // `bell` of this company; the owner of the database may act for any.
    sqlx::query("insert into company (id, name) values ($1, 'Acme')")
        .bind(tower.company_id)
        .execute(&mut tower.connection)
        .await
        .unwrap();
    let (alarm, stop) = (TimerWaker::default(), CancellationToken::new());
    let listening = tokio::spawn(listener::run(alarm.clone(), server_options(&tower.options), stop.clone()));
    let running = tokio::spawn(tower.scheduler(&alarm).run(LONG, stop.clone()));
    let mut caller = PgConnection::connect_with(&tower.options).await.unwrap();
    let listeners =
        "select count(*) from pg_stat_activity where datname = current_database() and query ilike 'listen%'";
    while sqlx::query_scalar::<_, i64>(listeners).fetch_one(&mut caller).await.unwrap() < 1 {
        tokio::task::yield_now().await;
    }
    sqlx::query("select set_config('switchboard.company_id', $1, false)")
        .bind(tower.company_id.to_string())
        .execute(&mut caller)
        .await
        .unwrap();
    // Due at once, and due while the scheduler sleeps.
    for (id, pause) in [("a", "0 ms"), ("b", "200 ms")] {
        sqlx::query("select switchboard.set_timer('bell', $1, 'ring', switchboard.now() + $2::text::interval)")
            .bind(id)
            .bind(pause)
            .execute(&mut caller)
            .await
            .unwrap();
        tower.until_rung(id, 1).await;
    }
    assert_eq!(tower.timers().await, 0);
    // Due since ever; and what no server could read, or nobody may set.
    let by_sql = |due_at: &str| format!("select switchboard.set_timer('bell', 'a', 'ring', {due_at})");
    execute(&mut caller, &by_sql("'-infinity'")).await;
    tower.until_rung("a", 2).await;
    let mut refusals = Vec::new();
    for due_at in ["'infinity'", "null"] {
        refusals.push(sqlx::raw_sql(AssertSqlSafe(by_sql(due_at))).execute(&mut caller).await.unwrap_err());
    }
    execute(&mut caller, "set default_transaction_isolation = 'serializable'").await;
    refusals.push(sqlx::raw_sql(AssertSqlSafe(by_sql("now()"))).execute(&mut caller).await.unwrap_err());
    execute(&mut caller, "set switchboard.company_id = ''").await;
    refusals.push(sqlx::raw_sql(AssertSqlSafe(by_sql("now()"))).execute(&mut caller).await.unwrap_err());
    let codes = refusals.iter().map(|refusal| refusal.as_database_error().unwrap().code().unwrap());
    assert_eq!(codes.collect::<Vec<_>>(), ["22023", "22023", "25000", "42501"]);
    stop.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap();
    timeout(PATIENCE, listening).await.unwrap().unwrap();
}
