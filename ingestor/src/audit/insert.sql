INSERT INTO {{ catalog }}.audit BY POSITION
SELECT make_timestamp(?::BIGINT * 1000000), ?, make_timestamp(?::BIGINT), ?, ?, ?, ?, ?, ?, ?, ?;
