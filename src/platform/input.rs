//! Checks of callers' input. A value out of bounds is `BAD_USER_INPUT`; the message names the field as the client wrote it.

use async_graphql::MaybeUndefined;

use super::error::{Error, Result};

/// Longest name, in characters.
pub const LONGEST_NAME: usize = 200;
/// Longest headline, in characters.
pub const LONGEST_HEADLINE: usize = 2_000;
/// Longest text of a message, in characters.
pub const LONGEST_TEXT: usize = 10_000;
/// Longest URL, in characters.
pub const LONGEST_URL: usize = 2_000;
/// Longest color, in characters.
pub const LONGEST_COLOR: usize = 50;
/// Most allowed origins of a website.
pub const MOST_ORIGINS: usize = 20;
/// Longest time until a chat counts as missed, in seconds: a week.
pub const LONGEST_MISS_TIME: i32 = 7 * 86_400;
/// Longest life of a race, in seconds: a day.
pub const LONGEST_RACE: i32 = 86_400;

/// Trims `value` and checks that it has 1 to `longest` characters, none of them a control character except those in
/// `allowed`.
fn bounded(field: &str, value: &str, longest: usize, allowed: &[char]) -> Result<String> {
    let value = value.trim();
    let length = value.chars().count();
    if length == 0 || length > longest {
        return Err(Error::invalid(field, format_args!("must have 1 to {longest} characters")));
    }
    if value.chars().any(|character| character.is_control() && !allowed.contains(&character)) {
        return Err(Error::invalid(field, "must not contain control characters"));
    }
    Ok(value.to_owned())
}

/// Checks the name of a person or a thing: one line, 1 to [`LONGEST_NAME`] characters.
pub fn name(field: &str, value: &str) -> Result<String> {
    bounded(field, value, LONGEST_NAME, &[])
}

/// Checks a headline: 1 to [`LONGEST_HEADLINE`] characters, line breaks allowed.
pub fn headline(field: &str, value: &str) -> Result<String> {
    bounded(field, value, LONGEST_HEADLINE, &['\n', '\r', '\t'])
}

/// Checks a message's text: 1 to [`LONGEST_TEXT`] characters, line breaks allowed.
pub fn text(field: &str, value: &str) -> Result<String> {
    bounded(field, value, LONGEST_TEXT, &['\n', '\r', '\t'])
}

/// Checks a value that may be kept or replaced but not cleared.
pub fn kept<T>(field: &str, value: MaybeUndefined<T>) -> Result<Option<T>> {
    match value {
        MaybeUndefined::Undefined => Ok(None),
        MaybeUndefined::Null => Err(Error::invalid(field, "cannot be null")),
        MaybeUndefined::Value(value) => Ok(Some(value)),
    }
}

/// Checks a color: 1 to [`LONGEST_COLOR`] characters, in any notation that the widget understands.
pub fn color(field: &str, value: &str) -> Result<String> {
    bounded(field, value, LONGEST_COLOR, &[])
}

/// Splits an http or https URL into its scheme and the rest.
fn http(value: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = value.split_once("://")?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some((scheme, rest))
}

/// Checks an http or https URL: at most [`LONGEST_URL`] characters.
pub fn url(field: &str, value: &str) -> Result<String> {
    let value = bounded(field, value, LONGEST_URL, &[])?;
    let is_url = http(&value).is_some_and(|(_, rest)| !rest.is_empty() && !rest.starts_with('/'))
        && !value.contains(char::is_whitespace);
    if is_url { Ok(value) } else { Err(Error::invalid(field, "must be an http or https URL")) }
}

/// Checks browser origins (scheme, host and perhaps port, as browsers send them), at most [`MOST_ORIGINS`]; returns
/// them in lower case.
pub fn origins(field: &str, values: &[String]) -> Result<Vec<String>> {
    if values.len() > MOST_ORIGINS {
        return Err(Error::invalid(field, format_args!("at most {MOST_ORIGINS}")));
    }
    values.iter().map(|value| origin(field, value)).collect()
}

fn origin(field: &str, value: &str) -> Result<String> {
    let value = value.trim();
    let authority = http(value).map(|(_, rest)| rest).unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        // Not a port but the inside of an IPv6 address.
        Some((_, tail)) if tail.ends_with(']') => (authority, None),
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let host_is_good = !host.is_empty()
        && host.chars().all(|character| character.is_ascii_alphanumeric() || ".-_[]:".contains(character))
        && (host.starts_with('[') == host.ends_with(']'))
        && (host.starts_with('[') || !host.contains([':', '[', ']']));
    if host_is_good && port.is_none_or(|port| port.parse::<u16>().is_ok()) && value.len() <= LONGEST_URL {
        Ok(value.to_ascii_lowercase())
    } else {
        Err(Error::invalid(field, "each must be an origin such as https://www.example.com"))
    }
}

/// Checks a rating: 1 to 5.
pub fn rating(field: &str, value: i32) -> Result<i32> {
    if (1..=5).contains(&value) { Ok(value) } else { Err(Error::invalid(field, "must be 1 to 5")) }
}

/// Checks a shift: 1, 2 or 3.
pub fn shift(field: &str, value: i32) -> Result<i32> {
    if (1..=3).contains(&value) { Ok(value) } else { Err(Error::invalid(field, "must be 1, 2 or 3")) }
}

/// Checks a price: finite and not negative.
pub fn amount(field: &str, value: f64) -> Result<f64> {
    if value.is_finite() && value >= 0.0 {
        Ok(value)
    } else {
        Err(Error::invalid(field, "must be a finite number, not negative"))
    }
}

/// Checks the seconds until a chat counts as missed: -1 to [`LONGEST_MISS_TIME`]. Zero and -1 mean never.
pub fn miss_time(field: &str, value: i32) -> Result<i32> {
    if (-1..=LONGEST_MISS_TIME).contains(&value) {
        Ok(value)
    } else {
        Err(Error::invalid(field, format_args!("must be between -1 and {LONGEST_MISS_TIME} seconds")))
    }
}

/// Checks the seconds until a race expires: 1 to [`LONGEST_RACE`].
pub fn expires_in(field: &str, value: i32) -> Result<i32> {
    if (1..=LONGEST_RACE).contains(&value) {
        Ok(value)
    } else {
        Err(Error::invalid(field, format_args!("must be between 1 and {LONGEST_RACE} seconds")))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn texts_are_trimmed_and_bounded() {
        assert_eq!(name("n", "  Ada \n").unwrap(), "Ada");
        assert_eq!(headline("h", "one\n\ttwo").unwrap(), "one\n\ttwo");
        assert_eq!(name("n", &"é".repeat(LONGEST_NAME)).unwrap().chars().count(), LONGEST_NAME);
        for refused in ["", "  ", "a\u{0}b", "a\nb", &"x".repeat(LONGEST_NAME + 1)] {
            assert_eq!(
                name("chat.customerName", refused).unwrap_err().code(),
                crate::platform::error::Code::BadUserInput
            );
        }
        assert_eq!(text("t", " a  \n b ").unwrap(), "a  \n b");
        assert_eq!(text("t", &"x".repeat(LONGEST_TEXT)).unwrap().len(), LONGEST_TEXT);
        text("t", &"x".repeat(LONGEST_TEXT + 1)).unwrap_err();
        assert!(headline("chat.headline", "a\u{7}").unwrap_err().message().starts_with("chat.headline: "));
    }

    #[test]
    fn urls_and_origins() {
        for good in ["https://a.example", "HTTP://a.example:80/x?y"] {
            url("u", good).unwrap();
        }
        for bad in ["ftp://a", "javascript:alert(1)", "https://", "https:///x", "https://a b", "a.example"] {
            url("u", bad).unwrap_err();
        }
        let good = ["https://A.example", "http://localhost:3000", "http://[::1]:80", "http://[::1]"];
        let origins = origins("o", &good.map(str::to_owned)).unwrap();
        assert_eq!(origins[0], "https://a.example");
        for bad in ["https://a.example/", "https://a.example:x", "*", "https://*", "http://::1", "https://[a", "null"] {
            super::origins("o", &[bad.to_owned()]).unwrap_err();
        }
    }

    #[test]
    fn numbers() {
        for bad in [f64::NAN, f64::INFINITY, -0.5] {
            amount("a", bad).unwrap_err();
        }
        rating("r", 0).unwrap_err();
        rating("r", 6).unwrap_err();
        shift("s", 0).unwrap_err();
        shift("s", 4).unwrap_err();
        miss_time("m", -2).unwrap_err();
        miss_time("m", -1).unwrap();
        expires_in("e", 0).unwrap_err();
        expires_in("e", LONGEST_RACE + 1).unwrap_err();
    }
}
