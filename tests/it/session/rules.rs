//! The rules of health: tables and properties of the SQL functions that hold them.

use sqlx::{PgConnection, Row as _};

use crate::support::app::TestApp;

async fn number(sql: &mut PgConnection, expression: String) -> f64 {
    let query = sqlx::AssertSqlSafe(format!("select ({expression})::double precision"));
    sqlx::query_scalar(query).fetch_one(sql).await.unwrap()
}

#[tokio::test]
async fn the_score_has_its_golden_values_and_falls_with_everything_bad() {
    let app = TestApp::new().await;
    let mut sql = app.sql().await;
    // (round trip, jitter, loss) and R by the formula of docs/sessions.md.
    for (latency, jitter, loss, golden) in [
        (0, 0, 0.0, 92.96),
        (100, 5, 0.0, 91.52),
        (200, 10, 1.0, 86.44),
        (400, 20, 3.0, 69.06),
        (800, 40, 10.0, 19.98),
        (3_000, 0, 0.0, 0.0),
    ] {
        let score = number(&mut sql, format!("session_score({latency}, {jitter}, {loss}::real)")).await;
        assert!((score - golden).abs() < 0.01, "{latency} {jitter} {loss}: {score}");
    }
    let rises: i64 = sqlx::query_scalar(
        "select count(*)
         from generate_series(0, 1200, 60) as latency, generate_series(0, 100, 20) as jitter,
             generate_series(0, 100, 10) as loss
         where session_score(latency, jitter, loss) not between 0 and 93.2
             or session_score(latency + 60, jitter, loss) > session_score(latency, jitter, loss)
             or session_score(latency, jitter + 20, loss) > session_score(latency, jitter, loss)
             or session_score(latency, jitter, least(loss + 10, 100)) > session_score(latency, jitter, loss)",
    )
    .fetch_one(&mut sql)
    .await
    .unwrap();
    assert_eq!(rises, 0);
}

#[tokio::test]
async fn qualities_have_their_bounds() {
    let app = TestApp::new().await;
    let mut sql = app.sql().await;
    for (latency, loss, quality) in [
        ("99", "0.9", "EXCELLENT"),
        ("100", "0", "GOOD"),
        ("99", "1", "GOOD"),
        ("250", "4", "GOOD"),
        ("251", "0", "FAIR"),
        ("0", "4.1", "FAIR"),
        ("400", "8", "FAIR"),
        ("401", "0", "POOR"),
        ("0", "8.1", "POOR"),
        ("null", "8.1", "POOR"),
        ("null", "0.5", "EXCELLENT"),
    ] {
        let query = sqlx::AssertSqlSafe(format!(
            "select session_quality({latency}, {loss}::real, settings) from session_settings as settings"
        ));
        let found: String = sqlx::query_scalar(query).fetch_one(&mut sql).await.unwrap();
        assert_eq!(found, quality, "{latency} ms, {loss} %");
    }
}

#[tokio::test]
async fn five_judgements_hold_from_three_until_none() {
    let app = TestApp::new().await;
    let mut sql = app.sql().await;
    let rows = sqlx::query(
        "select bits, session_holds(bits::smallint, false) as raised, session_holds(bits::smallint, true) as kept,
             session_sampled(bits::smallint, true)::integer as worse, session_sampled(bits::smallint, false)::integer as better
         from generate_series(0, 31) as bits",
    )
    .fetch_all(&mut sql)
    .await
    .unwrap();
    for row in rows {
        let (bits, worse, better): (i32, i32, i32) = (row.get("bits"), row.get("worse"), row.get("better"));
        assert_eq!(row.get::<bool, _>("raised"), bits.count_ones() >= 3, "{bits:05b}");
        assert_eq!(row.get::<bool, _>("kept"), bits != 0, "{bits:05b}");
        assert_eq!((worse, better), ((bits << 1 | 1) & 31, (bits << 1) & 31));
    }
}

#[tokio::test]
async fn smoothing_is_quick_down_and_slow_up_and_stays_between() {
    let app = TestApp::new().await;
    let mut sql = app.sql().await;
    assert!((number(&mut sql, "session_smoothed(80, 40)".to_owned()).await - 60.0).abs() < 0.001);
    assert!((number(&mut sql, "session_smoothed(40, 80)".to_owned()).await - 44.0).abs() < 0.001);
    assert!((number(&mut sql, "session_smoothed(null, 80)".to_owned()).await - 80.0).abs() < 0.001);
    let avoidances: Vec<i64> = sqlx::query_scalar(
        "with recursive avoided as (
             select session_avoidance('0') as time, 1 as n
             union all select session_avoidance(time), n + 1 from avoided where n < 7
         )
         select extract(epoch from time)::bigint from avoided order by n",
    )
    .fetch_all(&mut sql)
    .await
    .unwrap();
    assert_eq!(avoidances, [60, 120, 240, 480, 900, 900, 900]);
    let score = number(&mut sql, "session_provider_score(session_provider_score(80, false), true)".to_owned()).await;
    assert!((score - 70.0).abs() < 0.001);
}
