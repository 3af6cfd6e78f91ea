-- The one table of an audit segment. People write SQL against these names and columns, so they only ever gain.
-- Times are UTC.
CREATE TABLE IF NOT EXISTS {{ catalog }}.audit (
    stream_created TIMESTAMP,         -- when the numbering of the stream began: sequences compare within one only
    sequence BIGINT,                  -- its place in the chain
    occurred_at TIMESTAMP,            -- by the clock of whoever wrote it down
    who VARCHAR,                      -- a user's name, or a part of fleetps
    address VARCHAR,                  -- where it was asked from; NULL for commands on the machine itself
    action VARCHAR,                   -- what kind of thing it was: sign-in, command-lines.view, …
    host VARCHAR,                     -- the host that it was about, if it was about one
    what VARCHAR,                     -- the rest, for people
    outcome VARCHAR,                  -- done, refused, failed
    previous_hash VARCHAR,            -- of the entry before it; empty for the first
    hash VARCHAR                      -- SHA-256 of the JSON array [previous_hash, sequence, µs since 1970, who, address,
                                      -- action, host, what, outcome] without blanks
);
