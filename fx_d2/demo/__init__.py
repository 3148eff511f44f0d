"""A local page to try a network on: drop a radiograph, see what each head says, compare student and teacher."""
