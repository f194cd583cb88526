-- Locks the log against all readers and writers, for dropping it whole.
lock table event in access exclusive mode;
