"""Where tables live, with the control tables beside them, each behind `assay.model.ports.Warehouse`."""
