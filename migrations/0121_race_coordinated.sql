-- Spares startChat and endChat the read of a line that nobody was ever granted.
alter table switchboard.chat_race
    add column coordinated boolean not null default false;
comment on column switchboard.chat_race.coordinated is 'True once the line of one of its chats was granted: from then on decisions on its chats read that line. Set together with the revision that the grant raises, under the race''s row lock.';
