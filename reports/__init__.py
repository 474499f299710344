"""Tables and figures from a store of records; `reports.build.build` writes them all."""
