SELECT count(*) FROM {{ event }}
WHERE {{ condition }}
