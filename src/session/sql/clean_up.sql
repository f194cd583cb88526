-- Ends idle sessions and deletes old rows; gives the number of sessions that ended.
select session_clean_up() as "ended!";
