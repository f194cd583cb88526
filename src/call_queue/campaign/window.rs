//! The daily window of a campaign: when it is open, and when it opens or closes next. Pure.
//!
//! A window is a first and a last minute of the day in a time zone, the last one excluded. Equal: the whole day. If the
//! first is greater than the last the window is open over midnight. On a day on which clocks are put forward, a time that
//! does not exist means the end of the gap. On one on which they are put back, a time that comes twice opens the window at
//! its first and closes it at its second.

use chrono::{DateTime, Days, MappedLocalTime, NaiveDate, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use time::OffsetDateTime;

/// Minutes of a day.
const DAY: u32 = 24 * 60;
/// Longest gap that any time zone ever had, and a little more, in minutes: a whole day was skipped.
const LONGEST_GAP: i64 = 26 * 60;
/// Days around a moment whose windows may matter to it.
const DAYS_BEFORE: u64 = 2;
/// A window that is never open within so many days does not turn.
const DAYS_AFTER: u64 = 4;

/// A daily window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    first: u32,
    last: u32,
    zone: Tz,
}

/// Parses HH:MM, "00:00" to "24:00", as minutes.
pub fn minutes(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let is_digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(hours) || !is_digits(minutes) {
        return None;
    }
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= DAY).then_some(total)
}

impl Window {
    /// The window of these times; `None` if one of them is none.
    pub fn new(first: &str, last: &str, zone: &str) -> Option<Self> {
        Some(Self { first: minutes(first)?, last: minutes(last)?, zone: zone.parse().ok()? })
    }

    fn is_whole_day(&self) -> bool {
        self.first % DAY == self.last % DAY
    }

    /// True if calls may be made at this time.
    pub fn is_open(&self, at: OffsetDateTime) -> bool {
        let Some(at) = from(at) else { return false };
        self.is_whole_day() || self.around(at).any(|(opens, closes)| opens <= at && at < closes)
    }

    /// When the window opens or closes next; `None`: it does not.
    pub fn turns_after(&self, at: OffsetDateTime) -> Option<OffsetDateTime> {
        if self.is_whole_day() {
            return None;
        }
        let moment = from(at)?;
        let is_open = self.is_open(at);
        let mut turns: Vec<DateTime<Utc>> = self.around(moment).flat_map(|(opens, closes)| [opens, closes]).collect();
        turns.sort_unstable();
        let turns = turns.into_iter().filter(|turn| *turn > moment);
        let mut turns = turns.filter_map(|turn| OffsetDateTime::from_unix_timestamp(turn.timestamp()).ok());
        turns.find(|turn| self.is_open(*turn) != is_open)
    }

    /// The openings and closings of the days around a moment.
    fn around(&self, at: DateTime<Utc>) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> {
        let today = at.with_timezone(&self.zone).date_naive();
        let first = today.checked_sub_days(Days::new(DAYS_BEFORE)).unwrap_or(today);
        first.iter_days().take(usize::try_from(DAYS_BEFORE + DAYS_AFTER + 1).unwrap_or(7)).filter_map(|day| {
            let until = if self.first > self.last { day.succ_opt()? } else { day };
            Some((self.instant(day, self.first, true)?, self.instant(until, self.last, false)?))
        })
    }

    /// The moment of a local time: of one that comes twice the first or the second, of one in a gap the gap's end.
    fn instant(&self, day: NaiveDate, minutes: u32, is_first: bool) -> Option<DateTime<Utc>> {
        let midnight = day.and_time(NaiveTime::MIN);
        let wanted = midnight.checked_add_signed(TimeDelta::minutes(minutes.into()))?;
        for later in 0..LONGEST_GAP {
            match self.zone.from_local_datetime(&wanted.checked_add_signed(TimeDelta::minutes(later))?) {
                MappedLocalTime::Single(at) => return Some(at.to_utc()),
                MappedLocalTime::Ambiguous(first, second) => {
                    return Some(if is_first { first } else { second }.to_utc());
                }
                MappedLocalTime::None => {}
            }
        }
        None
    }
}

fn from(at: OffsetDateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(at.unix_timestamp(), 0)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use time::{format_description::well_known::Rfc3339, macros::datetime};

    use super::*;

    fn at(text: &str) -> OffsetDateTime {
        OffsetDateTime::parse(text, &Rfc3339).unwrap()
    }

    #[test]
    fn times_are_hours_and_minutes() {
        assert_eq!(minutes("00:00"), Some(0));
        assert_eq!(minutes("09:30"), Some(570));
        assert_eq!(minutes("24:00"), Some(1_440));
        for text in ["", "9:30", "24:01", "25:00", "12:60", "-1:00", "12-30", "+9:00", "09:3"] {
            assert_eq!(minutes(text), None, "{text}");
        }
        assert!(Window::new("09:00", "17:00", "Europe/Nowhere").is_none());
    }

    /// Window, then moments with whether it is open and when it turns next.
    type Row = (&'static str, &'static str, &'static str, &'static [(&'static str, bool, Option<&'static str>)]);

    #[test]
    fn windows_open_and_close_on_ordinary_days_and_on_those_on_which_clocks_are_changed() {
        let table: &[Row] = &[
            ("00:00", "24:00", "UTC", &[("2026-05-05T12:00:00Z", true, None)]),
            ("08:00", "08:00", "UTC", &[("2026-05-05T07:00:00Z", true, None)]),
            (
                "09:00",
                "17:00",
                "UTC",
                &[
                    ("2026-05-05T08:59:59Z", false, Some("2026-05-05T09:00:00Z")),
                    ("2026-05-05T09:00:00Z", true, Some("2026-05-05T17:00:00Z")),
                    ("2026-05-05T17:00:00Z", false, Some("2026-05-06T09:00:00Z")),
                ],
            ),
            // Over midnight.
            (
                "22:00",
                "02:00",
                "UTC",
                &[
                    ("2026-05-05T21:59:00Z", false, Some("2026-05-05T22:00:00Z")),
                    ("2026-05-05T23:00:00Z", true, Some("2026-05-06T02:00:00Z")),
                    ("2026-05-06T01:59:00Z", true, Some("2026-05-06T02:00:00Z")),
                    ("2026-05-06T02:00:00Z", false, Some("2026-05-06T22:00:00Z")),
                ],
            ),
            ("20:00", "24:00", "UTC", &[("2026-05-05T23:59:00Z", true, Some("2026-05-06T00:00:00Z"))]),
            // 29 March 2026 in Berlin: 02:00 CET becomes 03:00 CEST, at 01:00 UTC.
            (
                "02:30",
                "04:00",
                "Europe/Berlin",
                &[
                    ("2026-03-28T01:30:00Z", true, Some("2026-03-28T03:00:00Z")),
                    ("2026-03-29T00:59:00Z", false, Some("2026-03-29T01:00:00Z")),
                    ("2026-03-29T01:00:00Z", true, Some("2026-03-29T02:00:00Z")),
                ],
            ),
            // A window that lies in the gap does not open on that day.
            ("02:10", "02:50", "Europe/Berlin", &[("2026-03-29T00:30:00Z", false, Some("2026-03-30T00:10:00Z"))]),
            // 25 October 2026 in Berlin: 03:00 CEST becomes 02:00 CET, at 01:00 UTC.
            (
                "02:30",
                "04:00",
                "Europe/Berlin",
                &[
                    ("2026-10-25T00:30:00Z", true, Some("2026-10-25T03:00:00Z")),
                    ("2026-10-25T00:29:00Z", false, Some("2026-10-25T00:30:00Z")),
                ],
            ),
            ("01:00", "02:30", "Europe/Berlin", &[("2026-10-25T00:45:00Z", true, Some("2026-10-25T01:30:00Z"))]),
            // 8 March 2026 in New York: 02:00 EST becomes 03:00 EDT, at 07:00 UTC.
            ("09:00", "17:00", "America/New_York", &[("2026-03-08T12:59:00Z", false, Some("2026-03-08T13:00:00Z"))]),
            ("09:00", "17:00", "Asia/Kathmandu", &[("2026-05-05T03:15:00Z", true, Some("2026-05-05T11:15:00Z"))]),
            // Samoa skipped 30 December 2011.
            ("09:00", "17:00", "Pacific/Apia", &[("2011-12-30T04:00:00Z", false, Some("2011-12-30T19:00:00Z"))]),
        ];
        for (first, last, zone, moments) in table {
            let window = Window::new(first, last, zone).unwrap();
            for (moment, is_open, turns) in *moments {
                let name = format!("{first}-{last} {zone} at {moment}");
                assert_eq!(window.is_open(at(moment)), *is_open, "{name}");
                assert_eq!(window.turns_after(at(moment)), turns.map(at), "{name}");
            }
        }
    }

    #[test]
    fn a_year_of_turns_alternates() {
        for (first, last) in [("02:30", "03:30"), ("22:00", "02:30"), ("00:00", "12:00")] {
            let window = Window::new(first, last, "Europe/Berlin").unwrap();
            let mut now = datetime!(2026-01-01 12:00 UTC);
            let mut is_open = window.is_open(now);
            let mut turns = 0;
            while now < datetime!(2027-01-01 12:00 UTC) {
                let turn = window.turns_after(now).unwrap();
                assert!(turn > now && window.is_open(turn) != is_open, "{now} {turn}");
                (now, is_open, turns) = (turn, !is_open, turns + 1);
            }
            assert!((720..=732).contains(&turns), "{first} {turns}");
        }
    }
}
