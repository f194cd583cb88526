//! Pages of lists: bounds on their size, and places in lists that are ordered by time.

use std::fmt;

use async_graphql::{
    OutputType,
    connection::{Connection, Edge, EmptyFields},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::platform::error::{Error, Result};

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

/// A place in a list ordered by (time, id): at the row that has these. As text it is a page's cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The row's time.
    pub at: OffsetDateTime,
    /// The row's id.
    pub id: Uuid,
}

impl Place {
    /// Reads the cursor that was given as `argument`.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for anything that [`Place`] did not write.
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

/// A page, and whether more lies on either side of it.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// Its rows, in the list's order.
    pub items: Vec<T>,
    /// More lies before it.
    pub behind: bool,
    /// More lies after it.
    pub ahead: bool,
}

impl<T> Page<T> {
    /// A page of `size` of which one row more was asked for, read forward.
    pub fn forward(mut found: Vec<T>, size: usize, behind: bool) -> Self {
        let ahead = found.len() > size;
        found.truncate(size);
        Self { items: found, behind, ahead }
    }

    /// A page of `size` of which one row more was asked for, read backward.
    pub fn backward(mut found: Vec<T>, size: usize, ahead: bool) -> Self {
        let behind = found.len() > size;
        found.truncate(size);
        found.reverse();
        Self { items: found, behind, ahead }
    }

    /// As the API shows it.
    pub fn into_connection<N: OutputType>(
        self,
        place: impl Fn(&T) -> Place,
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
    fn a_place_survives_its_cursor() {
        let place = Place { at: time::macros::datetime!(2030-01-31 12:00:00.123456 UTC), id: Uuid::now_v7() };
        assert_eq!(Place::parse("after", &place.to_string()).unwrap(), place);
        let error = Place::parse("after", "nonsense").unwrap_err();
        assert!(error.message().starts_with("after: "));
    }

    #[test]
    fn pages_know_their_neighbours() {
        let forward = Page::forward(vec![1, 2, 3], 2, false);
        assert_eq!((forward.items, forward.behind, forward.ahead), (vec![1, 2], false, true));
        let backward = Page::backward(vec![3, 2, 1], 2, false);
        assert_eq!((backward.items, backward.behind, backward.ahead), (vec![2, 3], true, false));
    }
}
