-- Websites: where a company's widget is embedded.

create table switchboard.website (
    company_id      uuid        not null references switchboard.company (id),
    id              uuid        not null,
    public_key      uuid        not null,
    name            text,
    logo_url        text,
    color           text,
    allowed_origins text[]      not null default '{}',
    inserted_at     timestamptz not null default switchboard.now(),
    primary key (company_id, id)
);
comment on table  switchboard.website is 'Where a widget is embedded.';
comment on column switchboard.website.company_id is 'The tenant.';
comment on column switchboard.website.id is 'Claim user_id of its visitors'' tokens.';
comment on column switchboard.website.public_key is 'In the widget''s page; exchanged for a visitor''s token by consumerLogin.';
comment on column switchboard.website.name is 'For people.';
comment on column switchboard.website.logo_url is 'Shown by the widget.';
comment on column switchboard.website.color is 'Shown by the widget.';
comment on column switchboard.website.allowed_origins is 'Browser origins that may call the API (CORS).';
comment on column switchboard.website.inserted_at is 'When it was created.';

-- Not unique: a unique index would have to begin with company_id. The application makes random keys.
create index website_public_key on switchboard.website (public_key);
comment on index switchboard.website_public_key is 'The website of a widget: consumerLogin knows nothing but the key.';

create index website_origin on switchboard.website using gin (allowed_origins);
comment on index switchboard.website_origin is 'Which web pages may call (CORS): asked by origin alone.';
