-- Browsers that name themselves by a key in their URLs, `?visitor=KEY`.

create table switchboard.visitor_key (
    company_id  uuid        not null,
    website_id  uuid        not null,
    hash        bytea       not null check (length(hash) = 32),
    visitor     text        not null,
    inserted_at timestamptz not null default switchboard.now(),
    primary key (company_id, website_id, hash),
    foreign key (company_id, website_id) references switchboard.website (company_id, id)
);
comment on table  switchboard.visitor_key is 'Which visitor a browser is: the page that embeds a widget adds a random key of its own to the URLs that the widget calls. Written once, at the key''s first use on a website, and never changed.';
comment on column switchboard.visitor_key.company_id is 'The company of the website.';
comment on column switchboard.visitor_key.website_id is 'The website that the key was used on: one browser is another visitor on another website.';
comment on column switchboard.visitor_key.hash is 'SHA-256 of the key. The key itself, which acts as a credential, is not stored.';
comment on column switchboard.visitor_key.visitor is 'As chat_race.owner: the visitor of the token that came with the first use, else a new one.';
comment on column switchboard.visitor_key.inserted_at is 'When the key was first used on this website.';

-- Not unique: unique indexes begin with company_id. A caller without a token belongs to no company; its key says which.
create index visitor_key_hash on switchboard.visitor_key (hash);
comment on index switchboard.visitor_key_hash is 'The visitors of a key on all websites: a caller that has a key and no token.';
