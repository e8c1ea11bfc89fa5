"""The same in SQL, with DuckDB over an export: how often both models agree, by country.

shadowbus export --topic comparisons --out comparisons.parquet
python examples/agent_sql.py comparisons.parquet
"""

import sys

import duckdb

QUERY = """
    SELECT segments->>'$.country' AS country, count(*) FILTER (agree) AS agree, count(*) AS compared
    FROM read_parquet(?) WHERE agree IS NOT NULL GROUP BY country ORDER BY country
"""

for country, agree, compared in duckdb.execute(QUERY, [sys.argv[1]]).fetchall():
    print(f"{country}: {agree} of {compared} agree")
