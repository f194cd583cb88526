//! How long an item will wait, from its place, its user's slots and how long its user's last calls held theirs. Pure.
//!
//! With `s` slots in use, calls end as a superposition of `s` streams of ends. The k-th end from now comes after
//! `(k − 1) · m / s` and the rest of the first one, `m / s · (1 + c²) / 2`, where `m` is the mean duration and `c` its
//! coefficient of variation; its variance is `(k − 1) · (m c / s)²` and that of the rest. Quantiles are those of the gamma
//! distribution with this mean and variance, by Wilson and Hilferty.

/// Durations that must be known before anything is said.
const LEAST_KNOWN: usize = 5;
/// 90 % of a normal distribution lie below this many standard deviations above its mean.
const P90: f64 = 1.281_552;

/// An estimate, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wait {
    /// Half of the items in this place wait no longer.
    pub p50: f64,
    /// Nine of ten wait no longer.
    pub p90: f64,
}

/// The slots that a user can count on.
pub fn slots(user_limit: i32, user_active: i32, system_limit: i32, users: i32) -> i32 {
    user_limit.min(user_active.max(system_limit / users.max(1)).max(1))
}

/// The wait in this place; `None` if too few durations are known.
#[expect(clippy::cast_precision_loss, reason = "places and counts are far below 2^52")]
pub fn estimate(held_ms: &[i32], slots: i32, place: i64) -> Option<Wait> {
    if held_ms.len() < LEAST_KNOWN || place < 1 {
        return None;
    }
    let count = held_ms.len() as f64;
    let mean = held_ms.iter().map(|held| f64::from(*held)).sum::<f64>() / count / 1_000.0;
    let spread = |held: &i32| (f64::from(*held) / 1_000.0 - mean).powi(2);
    let variance = held_ms.iter().map(spread).sum::<f64>() / (count - 1.0);
    if mean <= 0.0 {
        return Some(Wait { p50: 0.0, p90: 0.0 });
    }
    let (slots, before) = (f64::from(slots.max(1)), (place - 1) as f64);
    let relative = variance / (mean * mean);
    let rest = mean / slots * f64::midpoint(1.0, relative);
    let expected = before * mean / slots + rest;
    // The rest of the first call is about as uncertain as it is long. The mean itself is known from few calls only.
    let of_the_mean = (before / slots).powi(2) * variance / count;
    let uncertain =
        before * variance / (slots * slots) + rest * rest * f64::midpoint(1.0 / 1.5, relative.min(1.0)) + of_the_mean;
    let shape = uncertain / (expected * expected) / 9.0;
    let quantile = |normal: f64| expected * (1.0 - shape + normal * shape.sqrt()).max(0.0).powi(3);
    Some(Wait { p50: quantile(0.0), p90: quantile(P90) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn little_is_known_of_few_calls() {
        assert_eq!(estimate(&[1_000; 4], 1, 1), None);
        assert!(estimate(&[1_000; 5], 1, 1).is_some());
    }

    #[test]
    fn equal_calls_leave_at_equal_distances() {
        let wait = estimate(&[60_000; 50], 2, 21).unwrap_or(Wait { p50: 0.0, p90: 0.0 });
        assert!((wait.p50 - 615.0).abs() < 5.0 && (wait.p90 - 630.0).abs() < 20.0, "{wait:?}");
    }

    #[test]
    fn slots_are_shared_between_users() {
        assert_eq!(slots(2, 0, 10, 1), 2);
        assert_eq!(slots(5, 1, 10, 10), 1);
        assert_eq!(slots(5, 4, 10, 10), 4);
        assert_eq!(slots(5, 0, 10, 100), 1);
    }

    proptest! {
        #[test]
        fn a_later_place_waits_longer_and_more_slots_shorten_it(
            held in prop::collection::vec(1..600_000_i32, 5..50), slots in 1..20_i32, place in 1..10_000_i64
        ) {
            let here = estimate(&held, slots, place);
            let later = estimate(&held, slots, place + 1);
            let wider = estimate(&held, slots + 1, place);
            for (near, far) in [(here, later), (wider, here)] {
                let (near, far) = (near.expect("known"), far.expect("known"));
                prop_assert!(near.p50 <= far.p50 + 1e-6, "{near:?} {far:?}");
                prop_assert!(near.p50 <= near.p90);
            }
        }
    }
}
