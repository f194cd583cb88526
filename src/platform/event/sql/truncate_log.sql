-- Drops every event. The transaction has locked the log.
truncate event;
