"""External validation: a network's heads against the truth of datasets that it was not trained on."""
