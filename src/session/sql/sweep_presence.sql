-- Disconnects who has been silent for too long; gives their number.
--   $1 has_lived  boolean  this server took a turn lately by its own clock
select session_sweep_presence($1) as "swept!";
