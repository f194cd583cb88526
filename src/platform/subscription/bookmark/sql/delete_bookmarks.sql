-- Deletes the rows of streams that their clients have left, unless another server has taken them over.
--
-- $1 server
-- $2 companies, $3 ids
delete from stream_bookmark as bookmark
using unnest($2::uuid[], $3::bytea[]) as gone (company_id, id)
where bookmark.company_id = gone.company_id and bookmark.id = gone.id and bookmark.server_id = $1
