//! The audit trail and the log cursor.
