-- Disconnects who has been silent for too long; gives their number.
select session_sweep_presence() as "swept!";
