SELECT count(*) FROM {{ event }}
WHERE {{ self.condition() }}
