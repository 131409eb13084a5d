"""What evaluates frames, each behind the Protocol `assay.model.ports.Engine`."""
