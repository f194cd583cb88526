//! Pages of lists: bounds on their size.

use crate::error::{Error, Result};

/// Rows of a page unless told otherwise.
pub const DEFAULT_SIZE: usize = 20;
/// Most rows of one page.
pub const LARGEST: usize = 100;

/// The size of a page asked for by `argument` (`first` or `last`).
///
/// # Errors
/// `BAD_USER_INPUT` unless it is 0 to [`LARGEST`].
pub fn size(argument: &str, asked: Option<i32>) -> Result<usize> {
    let Some(asked) = asked else { return Ok(DEFAULT_SIZE) };
    match usize::try_from(asked) {
        Ok(size) if size <= LARGEST => Ok(size),
        _ => Err(Error::invalid(argument, format!("must be between 0 and {LARGEST}"))),
    }
}
