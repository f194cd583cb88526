//! Telephone numbers, normalised to E.164. They need their country: no region is assumed.

use phonenumber::Mode;

use crate::platform::error::{Error, Result};

/// Longest text that is read as a number, in bytes.
const LONGEST: usize = 64;

/// Checks a number and normalises it: "+49 30 901820" becomes "+4930901820".
///
/// # Errors
/// `BAD_USER_INPUT` for anything that no telephone of a country could have.
pub fn normalise(field: &str, text: &str) -> Result<String> {
    let malformed = || Error::invalid(field, "must be a telephone number with its country, such as +14155552671");
    let text = text.trim();
    if text.len() > LONGEST || text.rfind('+') != Some(0) {
        return Err(malformed());
    }
    let number = phonenumber::parse(None, text).map_err(|_| malformed())?;
    let digits = number.format().mode(Mode::E164).to_string();
    // E.164 allows 15 digits. Whether a number is in use only the provider knows.
    if number.extension().is_none() && (8..=16).contains(&digits.len()) { Ok(digits) } else { Err(malformed()) }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_normalised_or_refused() {
        for (text, expected) in [
            ("+1 (415) 555-2671", "+14155552671"),
            (" +14155552671 ", "+14155552671"),
            ("+49 30 901820", "+4930901820"),
        ] {
            assert_eq!(normalise("phoneNumber", text).unwrap(), expected);
        }
        for text in ["", "+", "4155552671", "+1", "+999999999999999999", "+1415555267x1", "Ada", "++14155552671"] {
            assert!(normalise("phoneNumber", text).is_err(), "{text}");
        }
    }
}
