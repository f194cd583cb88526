-- Writes the settings of a server, if they are others than before.
--
-- $1, $2 default limits of a user and of a company
-- $3, $4 lease of a slot, aging, in seconds
update call_queue_settings
set user_calls = $1, system_calls = $2, slot_lease = make_interval(secs => $3), aging = make_interval(secs => $4)
where only_row and (user_calls, system_calls, slot_lease, aging)
    is distinct from ($1, $2, make_interval(secs => $3), make_interval(secs => $4))
