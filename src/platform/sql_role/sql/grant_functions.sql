-- Lets every role that is granted a company call the functions for SQL callers.
select switchboard.grant_sql_functions() as "granted!"
