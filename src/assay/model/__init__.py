"""What a pipeline is: frozen data and pure rules, without any storage, engine or clock."""
