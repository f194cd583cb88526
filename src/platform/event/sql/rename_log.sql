-- Gives an emptied log another name and another key, so that no position or cursor of before means anything in it.
-- Locks the log's row.
update event_log
set id = default, cursor_key = default, floor = '0', floor_at = null
where only_row;
