-- Races are decided over an unlocked read that is checked when the decision is written.

alter table switchboard.chat_race add column revision bigint not null default 1;
comment on column switchboard.chat_race.revision is 'Raised by every write of the race or one of its chats (but messages), under the race''s row lock. A decision made without a lock is written only if it is still what was read.';
