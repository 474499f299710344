"""Tables and figures from a store of records; `bench.reports.build.build_from_store` writes them all."""
