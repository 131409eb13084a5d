"""Where rows come from: what has been delivered, and how it is told apart."""
