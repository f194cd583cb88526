//! Checks of what a request says about a campaign.

use super::window::{self, Window};
use crate::platform::error::{Error, Result};

/// Checks the times of a window and its zone.
pub(in crate::call_queue) fn window(first: &str, last: &str, zone: &str) -> Result<()> {
    for (field, text) in [("firstCallTime", first), ("lastCallTime", last)] {
        if window::minutes(text).is_none() {
            return Err(Error::invalid(field, "must be a time such as 09:30, 00:00 to 24:00"));
        }
    }
    if Window::new(first, last, zone).is_none() {
        return Err(Error::invalid("timeZone", "must be a time zone such as Europe/Berlin"));
    }
    Ok(())
}

/// Checks that a number is within its bounds.
pub(in crate::call_queue) fn within(field: &str, value: i32, bounds: std::ops::RangeInclusive<i32>) -> Result<i32> {
    if bounds.contains(&value) {
        Ok(value)
    } else {
        Err(Error::invalid(field, format_args!("must be {} to {}", bounds.start(), bounds.end())))
    }
}
