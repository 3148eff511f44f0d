"""Arms that differ in a few keys, trained over the same seeds, and what that says of the method's claims."""
