"""Pictures for people: data as the network sees it, predictions beside the ground truth."""
