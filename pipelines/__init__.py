"""The pipelines that assay ships with: each a folder of plain functions that import only assay."""
