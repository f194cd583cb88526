//! Statements on the places of streams, each in a file of its own.

use sqlx::{PgConnection, postgres::types::PgInterval};
use uuid::Uuid;

use super::{BookmarkKey, KEPT};
use crate::platform::{
    error::{Error, Result},
    event::Cursor,
};

/// What is written of one stream.
pub(super) struct Place {
    pub(super) key: BookmarkKey,
    pub(super) cursor: String,
    pub(super) is_cut: bool,
}

fn kept() -> Result<PgInterval> {
    PgInterval::try_from(KEPT).map_err(|why| Error::internal(why.to_string()))
}

/// Takes over the row of a stream, if it still means something: the cursor, unless the stream had not begun to send, and the
/// pin.
pub(super) async fn claim(
    connection: &mut PgConnection,
    key: BookmarkKey,
    server_id: Uuid,
) -> Result<(Option<Cursor>, Option<Uuid>)> {
    let row = sqlx::query_file!(
        "src/platform/subscription/bookmark/sql/claim_bookmark.sql",
        key.company_id,
        key.id(),
        server_id,
        kept()?
    );
    let Some(row) = row.fetch_optional(connection).await? else { return Ok((None, None)) };
    let cursor = row.cursor.parse().ok().filter(|cursor| *cursor != Cursor::Restart);
    Ok((cursor, row.pin))
}

/// Writes the places of streams that this server sends or has sent last.
pub(super) async fn write(connection: &mut PgConnection, server_id: Uuid, places: &[Place]) -> Result<()> {
    if places.is_empty() {
        return Ok(());
    }
    let companies: Vec<Uuid> = places.iter().map(|place| place.key.company_id).collect();
    let ids: Vec<&[u8]> = places.iter().map(|place| place.key.id()).collect();
    let cursors: Vec<&str> = places.iter().map(|place| &*place.cursor).collect();
    let cut: Vec<bool> = places.iter().map(|place| place.is_cut).collect();
    let write = sqlx::query_file!(
        "src/platform/subscription/bookmark/sql/write_bookmarks.sql",
        server_id,
        &companies,
        &ids as &[&[u8]],
        &cursors as &[&str],
        &cut
    );
    write.execute(connection).await?;
    Ok(())
}

/// Deletes the rows of streams that will not be opened again.
pub(super) async fn forget(connection: &mut PgConnection, server_id: Uuid, keys: &[BookmarkKey]) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let companies: Vec<Uuid> = keys.iter().map(|key| key.company_id).collect();
    let ids: Vec<&[u8]> = keys.iter().map(BookmarkKey::id).collect();
    let delete = sqlx::query_file!(
        "src/platform/subscription/bookmark/sql/delete_bookmarks.sql",
        server_id,
        &companies,
        &ids as &[&[u8]]
    );
    delete.execute(connection).await?;
    Ok(())
}

/// Deletes the rows that mean nothing any more.
pub(super) async fn clean(connection: &mut PgConnection) -> Result<()> {
    let delete = sqlx::query_file!("src/platform/subscription/bookmark/sql/delete_old_bookmarks.sql", kept()?);
    delete.execute(connection).await?;
    Ok(())
}
