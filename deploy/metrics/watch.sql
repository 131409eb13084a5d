-- Lets the role monitor see what runs did; no row of any table. Carried out once, as owner, after the first run.
grant select on assay.assay_run, assay.assay_dataset, assay.assay_version to monitor;
