-- Writes the samples of a company for a minute, unless they are written.
--
-- $1 company
-- $2 the minute's end
select taken.is_taken as "is_taken!", taken.violations as "violations!"
from call_queue_take_sample($1, $2) as taken
