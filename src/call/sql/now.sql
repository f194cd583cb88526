-- The database's time.
select switchboard.now() as "now!"
