-- Writes the settings of a server, if they are others than before.
--
-- $1, $2 default limits of a user and of a company
-- $3, $4 lease of a slot, aging, in seconds
select 1 as "used!"
from (select call_queue_use_settings($1, $2, make_interval(secs => $3), make_interval(secs => $4))) as used
