-- Keeps retention from dropping partitions of the log until the transaction ends.
-- Locks the parent table alone, in the weakest mode: only a migration ever locks it exclusively, so this does not wait.
lock table only event in access share mode;
