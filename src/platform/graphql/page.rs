//! Pages of lists ordered by time or by number: their size, their cursors, and the connection that the API returns.

use std::fmt;

use async_graphql::{
    OutputType,
    connection::{Connection, Edge, EmptyFields},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::platform::error::{Error, Result};

/// Rows of a page when the request does not give a size.
pub const DEFAULT_SIZE: usize = 20;
/// Most rows of a page.
pub const LARGEST: usize = 100;

/// The page size that `value` of the argument `first` or `last` gives.
///
/// # Errors
/// `BAD_USER_INPUT` unless it is 0 to [`LARGEST`].
pub fn size(argument: &str, value: Option<i32>) -> Result<usize> {
    let Some(value) = value else { return Ok(DEFAULT_SIZE) };
    match usize::try_from(value) {
        Ok(size) if size <= LARGEST => Ok(size),
        _ => Err(Error::invalid(argument, format!("must be between 0 and {LARGEST}"))),
    }
}

/// The position of a row in a list ordered by (time, id). Its text form is the page's cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The time of the row: the first sort key.
    pub at: OffsetDateTime,
    /// The id of the row: the second sort key, unique in the list.
    pub id: Uuid,
}

impl Place {
    /// Parses the cursor that a request gave as `argument`.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for text that is not the text form of a [`Place`].
    pub fn parse(argument: &str, cursor: &str) -> Result<Self> {
        let place = || {
            let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
            let (time, id) = bytes.split_at_checked(16)?;
            let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from_be_bytes(time.try_into().ok()?)).ok()?;
            Some(Self { at, id: Uuid::from_slice(id).ok()? })
        };
        place().ok_or_else(|| Error::invalid(argument, "is not a cursor of this list"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.at.unix_timestamp_nanos().to_be_bytes().to_vec();
        bytes.extend(self.id.as_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// The rows of one page, and whether the list has more rows on either side.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// In the order of the list, also for a page that was read backward.
    pub items: Vec<T>,
    /// True if rows precede this page: `hasPreviousPage`.
    pub behind: bool,
    /// True if rows follow this page: `hasNextPage`.
    pub ahead: bool,
}

impl<T> Page<T> {
    /// A page of up to `size` rows. `found` was read forward with a limit of `size + 1`: an extra row means `ahead`.
    pub fn forward(mut found: Vec<T>, size: usize, behind: bool) -> Self {
        let ahead = found.len() > size;
        found.truncate(size);
        Self { items: found, behind, ahead }
    }

    /// A page of up to `size` rows. `found` was read backward with a limit of `size + 1`: an extra row means `behind`.
    pub fn backward(mut found: Vec<T>, size: usize, ahead: bool) -> Self {
        let behind = found.len() > size;
        found.truncate(size);
        found.reverse();
        Self { items: found, behind, ahead }
    }

    /// Converts the page to the connection type of the API. `place` gives an item's cursor.
    pub fn into_connection<N: OutputType, P: fmt::Display>(
        self,
        place: impl Fn(&T) -> P,
        node: impl Fn(T) -> N,
    ) -> Connection<String, N, EmptyFields, EmptyFields> {
        let mut connection = Connection::new(self.behind, self.ahead);
        connection.edges = self.items.into_iter().map(|item| Edge::new(place(&item).to_string(), node(item))).collect();
        connection
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_parses_to_the_place_that_wrote_it() {
        let place = Place { at: time::macros::datetime!(2030-01-31 12:00:00.123456 UTC), id: Uuid::now_v7() };
        assert_eq!(Place::parse("after", &place.to_string()).unwrap(), place);
        let error = Place::parse("after", "nonsense").unwrap_err();
        assert!(error.message().starts_with("after: "));
    }

    #[test]
    fn an_extra_row_shows_that_more_rows_follow() {
        let forward = Page::forward(vec![1, 2, 3], 2, false);
        assert_eq!((forward.items, forward.behind, forward.ahead), (vec![1, 2], false, true));
        let backward = Page::backward(vec![3, 2, 1], 2, false);
        assert_eq!((backward.items, backward.behind, backward.ahead), (vec![2, 3], true, false));
    }
}
