-- As text: DuckDB writes every type as people know it. One row more than is shown says whether there are more.
SELECT COLUMNS(*)::VARCHAR FROM (FROM query({{ question }}) LIMIT {{ limit }});
