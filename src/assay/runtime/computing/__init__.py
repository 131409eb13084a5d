"""One table from its inputs to what is staged: computed, accounted for, merged with what is published."""
