"""Tables and figures from a store of records; `bench.reports.build.build` writes them all."""
